# shellcheck shell=bash disable=SC2034 # what is set here is read by the scripts
# What the scripts of this directory have in common. Sourced by them, not run.
#
# After `common_defaults`, a script hands each argument to `common_option`, which knows --environment, --region,
# --parameters, --account, --dry-run, --yes and --help; then it calls `common_check`.
#
# Secrets never stand on a command line, where every user of the machine could read them, and are never printed: they
# pass through pipes, and through files of mode 0600 in a directory that is removed at the end, whatever ends the script.
set -euo pipefail
umask 077

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ECS=$(dirname "$SCRIPTS")
ROOT=$(cd "$ECS/../.." && pwd)
SCRIPT=$(basename "$0")

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
warn() { printf '%s: %s\n' "$SCRIPT" "$*" >&2; }
die() {
  warn "$*"
  exit 1
}
# A wrong call, as opposed to something that went wrong.
misused() {
  warn "$*; see $SCRIPT --help"
  exit 2
}

# The comment at the top of a script is its help.
usage() { sed -n '2,/^$/{/^#/!d;s/^# \{0,1\}//;p;}' "$0"; }

common_defaults() {
  ENVIRONMENT=''
  REGION=${AWS_REGION:-${AWS_DEFAULT_REGION:-}}
  ACCOUNT=''
  PARAMETERS=''
  DRY_RUN=no
  YES=no
  PRIVATE=''
  trap remove_private EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

# Takes the argument of an option: GIVEN.
given() {
  if [ $# -lt 2 ] || [ -z "$2" ]; then misused "$1 needs a value"; fi
  GIVEN=$2
}

# Takes an option that every script has; USED says how many arguments it was. 1 where it is none of these.
common_option() {
  USED=2
  case $1 in
    --environment) given "$@" && ENVIRONMENT=$GIVEN ;;
    --region) given "$@" && REGION=$GIVEN ;;
    --parameters) given "$@" && PARAMETERS=$GIVEN ;;
    --account) given "$@" && ACCOUNT=$GIVEN ;;
    --dry-run) USED=1 && DRY_RUN=yes ;;
    --yes) USED=1 && YES=yes ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) return 1 ;;
  esac
}

# Checks what was given, and finds what follows from it without asking anybody: the parameter file, names, the region.
common_check() {
  case $ENVIRONMENT in
    dev | staging | production) ;;
    '') misused 'which environment? --environment dev, staging or production' ;;
    *) misused "there is no environment \"$ENVIRONMENT\"; there are dev, staging and production" ;;
  esac
  if [ -z "$REGION" ]; then misused 'which region? --region REGION (or AWS_REGION)'; fi
  if ! [[ $REGION =~ ^[a-z]{2}(-[a-z]+)+-[0-9]+$ ]]; then misused "\"$REGION\" is not a region, such as eu-central-1"; fi
  if [ -n "$ACCOUNT" ] && ! [[ $ACCOUNT =~ ^[0-9]{12}$ ]]; then
    misused "\"$ACCOUNT\" is not an account id: 12 digits"
  fi
  need python3 'install Python 3.9 or later'
  need aws 'install the AWS command line interface, version 1 or 2'
  PARAMETERS=${PARAMETERS:-$ECS/parameters/$ENVIRONMENT.json}
  helper check "$PARAMETERS" "$ECS/templates/main.yaml" "$ENVIRONMENT" || die "$PARAMETERS does not fit: nothing was done"
  NAME=$(parameter Name)
  STACK=$NAME-$ENVIRONMENT
  SIGNING_SECRET=$NAME/$ENVIRONMENT/signing
  PROVISIONING_SECRET=$NAME/$ENVIRONMENT/provisioning
  REGISTRY_STACK=$NAME-registry
  # Where answers go that nobody reads. In a dry run it is where commands are shown.
  if [ "$DRY_RUN" = yes ]; then exec 3>&1; else exec 3>/dev/null; fi
  # For every aws command of the script, whatever the profile says. Nothing opens a pager.
  export AWS_REGION=$REGION AWS_DEFAULT_REGION=$REGION AWS_PAGER=''
}

need() { command -v "$1" >/dev/null || die "$1 is missing: $2"; }

# What bash is not made for: JSON, random values, texts for a person.
helper() { python3 -B "$SCRIPTS/helper.py" "$@"; }

# The value of a parameter of main.yaml: of the file, or else the template's default.
parameter() { helper parameter "$PARAMETERS" "$ECS/templates/main.yaml" "$1"; }

# The version in Cargo.toml, the only source of it.
version() { sed -n 's/^version = "\([^"]*\)"$/\1/p' "$ROOT/Cargo.toml" | head -n 1; }

# Which account this is, and whether it is the right one; PARTITION is the second part of every ARN in it. A dry run
# asks nobody, and prints what stands for the account.
find_account() {
  PARTITION=aws
  if [ "$DRY_RUN" = yes ]; then
    ACCOUNT=${ACCOUNT:-ACCOUNT_ID}
    say "dry run: no command below is run; environment $ENVIRONMENT, region $REGION"
    return
  fi
  local found arn
  found=$(aws sts get-caller-identity --query '[Account, Arn]' --output text) ||
    die 'AWS does not say whose credentials these are: sign in, or set AWS_PROFILE'
  read -r found arn <<<"$found"
  if ! [[ $arn =~ ^arn:(aws[a-z-]*): ]]; then die "AWS answers with \"$arn\", which is no ARN of a caller"; fi
  PARTITION=${BASH_REMATCH[1]}
  if [ -n "$ACCOUNT" ] && [ "$found" != "$ACCOUNT" ]; then
    die "these are credentials of account $found and not of $ACCOUNT (--account): nothing was done"
  fi
  ACCOUNT=$found
  say "account $ACCOUNT, region $REGION, environment $ENVIRONMENT"
}

# The file must be about this account before anything is made from it. A dry run only says so.
refuse_placeholders() {
  local found
  found=$(helper placeholders "$PARAMETERS") && return
  if [ "$DRY_RUN" = yes ]; then
    warn "before a real run, put your own values in place of: $found ($PARAMETERS)"
  else
    die "$PARAMETERS still has the example's values: $found. Put your own there, or name another file (--parameters)"
  fi
}

# Prints a command as it could be typed.
show() {
  local line
  line=$(printf ' %q' "$@")
  say "  \$$line"
}

# Runs a command that changes something, or shows it in a dry run.
run() {
  if [ "$DRY_RUN" = yes ]; then
    show "$@"
  else
    "$@"
  fi
}

# Whether something is there: 0 yes, 1 no. $1 is what the answer says where it is not. Every other failure ends the
# script, because a missing right or network must not be taken for absence.
exists() {
  local absent=$1 answer
  shift
  if answer=$("$@" 2>&1 >/dev/null); then return 0; fi
  if [[ $answer =~ $absent ]]; then return 1; fi
  die "cannot tell whether it is there: $answer"
}

stack_exists() { exists 'does not exist' aws cloudformation describe-stacks --stack-name "$1"; }

# STATE of a secret: absent, present, or deleted, which it stays for some days before it is gone.
find_secret() {
  local deleted
  STATE=absent
  exists ResourceNotFoundException aws secretsmanager describe-secret --secret-id "$1" || return 0
  deleted=$(aws secretsmanager describe-secret --secret-id "$1" --query DeletedDate --output text)
  if [ "$deleted" = None ]; then STATE=present; else STATE=deleted; fi
}

refuse_deleted() {
  if [ "$STATE" = deleted ]; then
    die "$1 is about to be deleted. To have it back: aws secretsmanager restore-secret --secret-id $1 --region $REGION"
  fi
}

# Asks, unless --yes. Whoever cannot be asked has not agreed.
confirm() {
  if [ "$YES" = yes ] || [ "$DRY_RUN" = yes ]; then return 0; fi
  if [ ! -t 0 ]; then die "$1 Nobody is there to be asked: repeat it with --yes"; fi
  local answer
  read -r -p "$1 [y/N] " answer || answer=''
  case $answer in
    y | Y | yes) ;;
    *) return 1 ;;
  esac
}

# A directory of this script's own, readable by its user only, that is gone when the script ends.
make_private() {
  if [ "$DRY_RUN" = yes ]; then
    PRIVATE=PRIVATE_DIRECTORY
  else
    PRIVATE=$(mktemp -d "${TMPDIR:-/tmp}/cost-keeper.XXXXXXXX")
  fi
}
remove_private() {
  if [ -n "$PRIVATE" ] && [ "$DRY_RUN" = no ]; then rm -rf "$PRIVATE"; fi
}

# Waits until an operation on a stack has ended: 0 where it ended with one of the states in $2. STATUS says how.
# $3: most minutes. What is gone has been deleted.
wait_for_stack() {
  local stack=$1 wanted=$2 minutes=$3 deadline before='' pause=${COST_KEEPER_POLL_SECONDS:-10}
  deadline=$((SECONDS + minutes * 60))
  while [ "$SECONDS" -lt "$deadline" ]; do
    # First, because for a moment the state before may still be shown.
    sleep "$pause"
    if ! STATUS=$(aws cloudformation describe-stacks --stack-name "$stack" \
      --query 'Stacks[0].StackStatus' --output text 2>&1); then
      case $STATUS in
        *'does not exist'*) STATUS=DELETE_COMPLETE ;;
        # One lost answer does not end the wait: it is bounded anyway.
        *) warn "$STATUS" && STATUS=UNKNOWN ;;
      esac
    fi
    if [ "$STATUS" != "$before" ]; then say "  $(date -u +%H:%M:%S) $STATUS" && before=$STATUS; fi
    if [[ " $wanted " == *" $STATUS "* ]]; then return 0; fi
    case $STATUS in
      *FAILED | *ROLLBACK_COMPLETE) return 1 ;;
    esac
  done
  die "it still goes on after $minutes minutes (--timeout-minutes), and is not stopped by that. Look at it: \
aws cloudformation describe-stack-events --stack-name $stack --region $REGION"
}

# Why an operation failed: the events of the stack and of those nested in it, since $2 (seconds since 1970).
print_failures() {
  local stack=$1 since=$2 nested
  aws cloudformation describe-stack-events --stack-name "$stack" --max-items 300 --output json >"$PRIVATE/events" || return 0
  helper failures "$stack" "$since" <"$PRIVATE/events" >&2
  while read -r nested; do
    aws cloudformation describe-stack-events --stack-name "$nested" --max-items 300 --output json 2>/dev/null |
      helper failures "$nested" "$since" >&2 || true
  done < <(helper nested <"$PRIVATE/events")
}

# An output of the stack, empty where there is none.
output() {
  helper output "$1" <"$PRIVATE/stack"
}
