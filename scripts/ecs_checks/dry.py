"""What the scripts do without an AWS: dry runs, wrong calls, missing tools, wrong accounts, changes that fail."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from ecs_checks.aws import OURS, Checkout, Runner, programs
from ecs_checks.templates import ENVIRONMENTS

SCRIPTS = ("create-secrets", "build-and-push", "deploy", "tear-down")
# Everything that a dry run can reach.
VARIANTS = {
    "create-secrets": [[], ["--rotate", "jwt_secret"], ["--rotate", "provisioning_keys"], ["--retire", "provisioning_keys"]],
    "build-and-push": [[], ["--platform", "linux/amd64"]],
    "deploy": [[], ["--set", "LogLevel=debug"], ["--version", "9.9.9"], ["--image", "images.internal/keeper:1"]],
    "tear-down": [[], ["--delete-data"]],
}
# Something random of 128 bits or more. Ids of zeros in the example files are none.
LOOKS_SECRET = re.compile(r"\b(?!0+\b)[0-9a-f]{32,}\b|BEGIN PRIVATE KEY")
ACCOUNT = "123456789012"


def caller(account: str) -> list[list[object]]:
    """What sts answers."""
    return [[0, f"{account}\tarn:aws:iam::{account}:user/check"]]


# Arguments, exit code, and what must be said. Nothing may be called.
MISUSES = [
    ([], 2, "which environment"),
    (["--environment", "test"], 2, 'there is no environment "test"'),
    (["--environment", "dev", "--region", "nowhere"], 2, "is not a region"),
    (["--environment", "dev", "--region", "eu-central-1", "--account", "12"], 2, "is not an account id"),
    (["--environment", "dev", "--region", "eu-central-1", "--frobnicate"], 2, "unknown argument"),
    (["--environment"], 2, "--environment needs a value"),
]


def fakes(directory: Path, names: tuple[str, ...] = ("aws", "docker")) -> Path:
    return programs(directory, {name: OURS / "fake-aws" for name in names})


def dry_runs(checkout: Checkout, directory: Path) -> Iterator[str]:
    run = Runner(checkout, fakes(directory / "dry"), {})
    for script in SCRIPTS:
        for environment in ENVIRONMENTS:
            for variant in VARIANTS[script]:
                outcome = run(script, "--dry-run", *variant, environment=environment)
                called = f"{script} {' '.join(variant)} --dry-run ({environment})"
                if outcome.code != 0:
                    yield f"{called} ends with {outcome.code}: {outcome.text.strip()[-300:]}"
                if "$ aws " not in outcome.text:
                    yield f"{called} shows no command"
                if LOOKS_SECRET.search(outcome.text.replace(commit(checkout), "")):
                    yield f"{called} prints something that looks like a secret"
                if run.calls():
                    yield f"{called} calls {' '.join(run.calls()[0])}"
                run.forget()


def commit(checkout: Checkout) -> str:
    """The revision that build-and-push prints."""
    head = (checkout.root / ".git" / "HEAD").read_text(encoding="utf-8").split()[-1]
    return (checkout.root / ".git" / head).read_text(encoding="utf-8").strip()


def misuses(checkout: Checkout, directory: Path) -> Iterator[str]:
    run = Runner(checkout, fakes(directory / "misused"), {})
    for script in SCRIPTS:
        for arguments, code, said in MISUSES:
            outcome = run.raw(script, *arguments)
            if outcome.code != code or said not in outcome.text:
                yield f"{script} {' '.join(arguments)} ends with {outcome.code}: {outcome.text.strip()[-200:]}"
        outcome = run.raw(script, "--help")
        if outcome.code != 0 or "--dry-run" not in outcome.text:
            yield f"{script} --help ends with {outcome.code} and does not explain --dry-run"
    if run.calls():
        yield f"a wrong call still calls {' '.join(run.calls()[0])}"


def expect(outcome: object, code: int, said: str, what: str) -> Iterator[str]:
    if outcome.code != code or said not in outcome.text:
        yield f"{what}: ends with {outcome.code} instead of {code}, or does not say {said!r}: {outcome.text.strip()[-300:]}"


def missing_tools(checkout: Checkout, directory: Path) -> Iterator[str]:
    """With nothing on the PATH but what every system has."""
    base = directory / "bare"
    base.mkdir()
    for name in ("bash", "env", "dirname", "basename", "sed", "head", "cat", "grep", "tr", "mktemp", "rm", "date"):
        (base / name).symlink_to(shutil.which(name))
    run = Runner(checkout, base, {})
    run.environment["PATH"] = str(base)
    for script in SCRIPTS:
        yield from expect(run(script), 1, "python3 is missing", f"{script} without python3")
    (base / "python3").symlink_to(shutil.which("python3"))
    for script in SCRIPTS:
        yield from expect(run(script), 1, "aws is missing", f"{script} without aws")
    shutil.copy(OURS / "fake-aws", base / "aws")
    (base / "git").symlink_to(shutil.which("git"))
    yield from expect(run("build-and-push"), 1, "docker is missing", "build-and-push without docker")


def refusals(checkout: Checkout, directory: Path) -> Iterator[str]:
    """The account, placeholders, and questions nobody answers. Nothing may be changed."""
    run = Runner(checkout, fakes(directory / "refused"), {})
    answers = {"sts get-caller-identity": caller("999999999999"), "buildx version": [[0, ""]], "info": [[0, ""]]}
    run.environment["FAKE_ANSWERS"] = json.dumps(answers)
    for script in SCRIPTS:
        yield from expect(run(script, "--account", ACCOUNT), 1, "credentials of account 999999999999", f"{script} elsewhere")
    run.environment["FAKE_ANSWERS"] = json.dumps({**answers, "sts get-caller-identity": [[255, "ExpiredToken"]]})
    for script in SCRIPTS:
        yield from expect(run(script), 1, "sign in", f"{script} with expired credentials")
    changing = [call for call in run.calls() if call[0] == "aws" and call[1:3] != ["sts", "get-caller-identity"]]
    if changing:
        yield f"a refused script calls {' '.join(changing[0])}"


def placeholders(checkout: Checkout, directory: Path) -> Iterator[str]:
    """The example's values; `checkout` still has them."""
    run = Runner(checkout, fakes(directory / "placeholders"), {})
    run.environment["FAKE_ANSWERS"] = json.dumps({"sts get-caller-identity": caller(ACCOUNT)})
    for script in ("create-secrets", "deploy", "tear-down"):
        outcome = run(script, environment="production")
        yield from expect(outcome, 1, "still has the example's values", f"{script} with the example's parameters")


def failed_changes(checkout: Checkout, directory: Path) -> Iterator[str]:
    """A change set that is refused, and one that fails while it is made: of the stack and of one nested in it."""
    run = Runner(checkout, fakes(directory / "failed"), {})
    arn = "arn:aws:cloudformation:eu-central-1:123456789012:stack/"
    common = {
        "sts get-caller-identity": caller(ACCOUNT),
        "cloudformation describe-stacks": [[0, "UPDATE_COMPLETE"]],
        "secretsmanager describe-secret": [[0, "None"]],
        "acm describe-certificate": [[0, "ISSUED"]],
        "s3api put-public-access-block": [[0, ""]],
        "s3api put-bucket-encryption": [[0, ""]],
        "s3api put-bucket-versioning": [[0, ""]],
        "s3api put-bucket-policy": [[0, ""]],
        "s3api head-bucket": [[0, "{}"]],
        "cloudformation package": [[0, ""]],
        "cloudformation create-change-set": [[0, "{}"]],
        "cloudformation delete-change-set": [[0, ""]],
        "cloudformation execute-change-set": [[0, ""]],
    }
    refused = {"Status": "FAILED", "StatusReason": "Parameters: [CertificateArn] must have values", "Changes": []}
    answers = {**common, "cloudformation describe-change-set": [[0, json.dumps(refused)]]}
    outcome = run("deploy", "--image", "r/k:1", "--yes", FAKE_ANSWERS=json.dumps(answers))
    yield from expect(outcome, 1, "CertificateArn] must have values", "a refused change set")
    if not any("delete-change-set" in call for call in run.calls()):
        yield "a refused change set is left behind"
    yield from refused_inside(run, common)
    pending = {**common, "acm describe-certificate": [[0, "PENDING_VALIDATION"]]}
    run.forget()
    outcome = run("deploy", "--image", "r/k:1", "--yes", FAKE_ANSWERS=json.dumps(pending))
    yield from expect(outcome, 1, "is PENDING_VALIDATION and not ISSUED", "a certificate that is not issued")
    if any("create-change-set" in call for call in run.calls()):
        yield "deploy goes on with a certificate that is not issued"
    taken_over = {
        **common,
        "cloudformation describe-stacks": [*[[0, "UPDATE_COMPLETE"]] * 2, [0, "false"]],
        "dynamodb describe-table": [[0, ""]],
    }
    run.forget()
    outcome = run("deploy", "--image", "r/k:1", "--yes", FAKE_ANSWERS=json.dumps(taken_over))
    yield from expect(outcome, 1, "for good", "a stack that would make the tables it took over")
    run.forget()
    unreachable = {**common, "cloudformation describe-stacks": [[255, "Could not connect to the endpoint URL"]]}
    outcome = run("deploy", "--image", "r/k:1", "--yes", FAKE_ANSWERS=json.dumps(unreachable))
    yield from expect(outcome, 1, "cannot tell whether it is there", "an AWS that cannot be reached")
    run.forget()
    change = {"Action": "Modify", "LogicalResourceId": "Service", "ResourceType": "AWS::CloudFormation::Stack"}
    ready = {"Status": "CREATE_COMPLETE", "Changes": [{"ResourceChange": {**change, "Replacement": "False"}}]}

    def event(of: str, name: str, kind: str, status: str, reason: str) -> dict:
        own = {"StackId": f"{arn}{of}", "StackName": of, "PhysicalResourceId": f"{arn}{name}"}
        late = {"Timestamp": "2099-01-01T00:00:00.123456Z", "ResourceStatusReason": reason}
        return {**own, **late, "LogicalResourceId": name, "ResourceType": kind, "ResourceStatus": status}

    inner = "the circuit breaker was triggered: tasks failed to start"
    events = [event("root", "Service", "AWS::CloudFormation::Stack", "UPDATE_FAILED", "Embedded stack was not updated")]
    answers = {
        **common,
        "cloudformation describe-stacks": [*[[0, "UPDATE_COMPLETE"]] * 3, [0, "UPDATE_ROLLBACK_COMPLETE"]],
        "cloudformation describe-change-set": [[0, json.dumps(ready)]],
        "cloudformation describe-stack-events": [
            [0, json.dumps({"StackEvents": events})],
            [0, json.dumps({"StackEvents": [event("inner", "Service", "AWS::ECS::Service", "UPDATE_FAILED", inner)]})],
        ],
    }
    outcome = run("deploy", "--image", "r/k:1", FAKE_ANSWERS=json.dumps(answers))
    yield from expect(outcome, 1, "repeat it with --yes", "a change that nobody agreed to")
    if any("execute-change-set" in call for call in run.calls()):
        yield "deploy makes changes that nobody agreed to"
    run.forget()
    outcome = run("deploy", "--image", "r/k:1", "--yes", FAKE_ANSWERS=json.dumps(answers))
    yield from expect(outcome, 1, inner, "changes that fail")
    yield from expect(outcome, 1, "UPDATE_ROLLBACK_COMPLETE", "changes that fail")


def refused_inside(run: Runner, common: dict) -> Iterator[str]:
    """Change sets that failed because one of a nested stack did: only that one says why, or that nothing is to change."""
    inner = "arn:aws:cloudformation:eu-central-1:123456789012:changeSet/deploy-Service/1b9d6bcd"
    pointer = f"Nested change set {inner} was not successfully created: Currently in FAILED."
    outer = {"Status": "FAILED", "StatusReason": pointer, "Changes": []}
    for reason, code, said in (
        ("Parameter X failed to satisfy constraint", 1, "refuses the changes: Parameter X failed"),
        ("The submitted information didn't contain changes.", 0, "none: the stack is as it should be"),
    ):
        nested = {"Status": "FAILED", "StatusReason": reason, "Changes": []}
        answers = [[0, json.dumps(outer)], [0, json.dumps(nested)]]
        stack = json.dumps({"Stacks": [{}]})
        states = [*[[0, "UPDATE_COMPLETE"]] * 3, [0, stack]]
        run.forget()
        outcome = run("deploy", "--image", "r/k:1", "--yes", FAKE_ANSWERS=json.dumps(
            {**common, "cloudformation describe-change-set": answers, "cloudformation describe-stacks": states}
        ))
        yield from expect(outcome, code, said, "a change set that was refused inside a nested stack")
        looked = [call for call in run.calls() if "describe-change-set" in call or "delete-change-set" in call]
        if "delete-change-set" not in looked[-1] or inner not in looked[1]:
            yield "the reason of a nested change set is asked for after it is gone, or never"


def findings(checkout: Checkout, settled: Checkout, directory: Path) -> Iterator[str]:
    yield from dry_runs(checkout, directory)
    yield from misuses(checkout, directory)
    yield from missing_tools(checkout, directory)
    yield from placeholders(checkout, directory)
    yield from refusals(settled, directory)
    yield from failed_changes(settled, directory)
