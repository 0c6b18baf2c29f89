"""What the scripts beside it leave to Python: JSON, random values, and texts for a person. Standard library only.

Called as `helper.py COMMAND ARGUMENT…` by lib.sh and the scripts. What holds secrets comes by standard input and leaves
by standard output, never as an argument.
"""

import json
import re
import secrets
import sys
import time
from datetime import datetime
from pathlib import Path

# What the committed parameter files have where an account's own values belong.
PLACEHOLDERS = re.compile(r"111122223333|-0{8,17}\b|203\.0\.113\.|\bZ0{8,}|\bexample\.(?:com|org|net)\b|\b0{8}-0{4}-")
# Added by `deploy`, and in no file.
ADDED = ("ImageUri", "SigningSecretArn", "ProvisioningSecretArn")
TABLES = ("config", "usage", "counters", "totals")
# What CloudFormation gives as the reason for a change set without changes.
NOTHING = re.compile(r"didn't contain changes|No updates are to be performed")


class Refused(Exception):
    """What was given is wrong; the text is for a person."""


def read_parameters(path: str) -> tuple[dict[str, str], dict[str, str]]:
    """Parameters and tags of a parameter file."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise Refused(f"{path} is no JSON: {error}") from error
    if not isinstance(document, dict) or not set(document) <= {"Parameters", "Tags"}:
        raise Refused(f'{path} is not of the form {{"Parameters": {{…}}, "Tags": {{…}}}}')
    for part in ("Parameters", "Tags"):
        values = document.get(part, {})
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise Refused(f"{path}: every value in {part} must be a text, in quotes")
    return document.get("Parameters", {}), document.get("Tags", {})


def template_parameters(path: str) -> dict[str, str | None]:
    """Parameters of a template, with their defaults: None where there is none.

    Reads the form our templates have, a block of YAML with one key a line; a complete reader of YAML is not part of
    Python. scripts/ecs-check compares the result with that of a complete one.
    """
    found: dict[str, str | None] = {}
    inside, name = False, ""
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if re.match(r"\S", line) and not line.startswith("#"):
            inside = line.startswith("Parameters:")
        elif inside and (match := re.match(r"  (\w+):\s*$", line)):
            name = match.group(1)
            found[name] = None
        elif inside and name and (match := re.match(r"    Default:\s*(.*?)\s*$", line)):
            found[name] = re.sub(r"^(['\"])(.*)\1$", r"\2", match.group(1))
    return found


def check(path: str, template: str, environment: str) -> None:
    """Whether the file can be the one of this environment."""
    given, _ = read_parameters(path)
    known = template_parameters(template)
    problems = [f"{name} is no parameter of {Path(template).name}" for name in given if name not in known]
    problems += [f"{name} is set by `deploy` and belongs in no file" for name in given if name in ADDED]
    required = [name for name, default in known.items() if default is None and name not in ADDED]
    problems += [f"{name} is missing" for name in required if name not in given]
    if given.get("Environment", environment) != environment:
        problems.append(f'it is the file of the environment "{given["Environment"]}" and not of "{environment}"')
    least, most = (given.get(name, known.get(name) or "") for name in ("MinTasks", "MaxTasks"))
    if least.isdecimal() and most.isdecimal() and int(least) > int(most):
        problems.append(f"MinTasks is {least} and MaxTasks is {most}: the least number of tasks is more than the largest")
    if problems:
        raise Refused("\n".join(problems))


def parameter(path: str, template: str, name: str) -> None:
    given, _ = read_parameters(path)
    print(given.get(name, template_parameters(template).get(name) or ""))


def placeholders(path: str) -> None:
    """Ends with 1 and names them where values of the example are left."""
    given, _ = read_parameters(path)
    left = [name for name, value in given.items() if PLACEHOLDERS.search(value)]
    if left:
        print(", ".join(left))
        sys.exit(1)


def amend(path: str, *pairs: str) -> None:
    """The file with other values for some parameters."""
    given, tags = read_parameters(path)
    given |= dict(pair.split("=", 1) for pair in pairs)
    json.dump({"Parameters": given, "Tags": tags}, sys.stdout, indent=2)


def stack_input(path: str, directory: str, *added: str) -> None:
    """Writes parameters.json and tags.json as create-change-set takes them."""
    given, tags = read_parameters(path)
    given |= dict(pair.split("=", 1) for pair in added)
    parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]
    entries = [{"Key": key, "Value": value} for key, value in tags.items()]
    Path(directory, "parameters.json").write_text(json.dumps(parameters, indent=2), encoding="utf-8")
    Path(directory, "tags.json").write_text(json.dumps(entries, indent=2), encoding="utf-8")


def instant(value: str | float) -> float:
    """Seconds since 1970: the two versions of the AWS CLI print instants as a text or as a number."""
    if isinstance(value, (int, float)):
        return float(value)
    # Python 3.9 and 3.10 know neither Z nor fractions of other lengths than 3 and 6.
    return datetime.fromisoformat(re.sub(r"\.\d+", "", value).replace("Z", "+00:00")).timestamp()


def new_key() -> str:
    return secrets.token_hex(32)


def secret(action: str, field: str = "", days: str = "0", force: str = "no") -> None:
    """Writes the new text of a secret.

    Standard input has the present version and the one before, as get-secret-value prints them, one a line. A new
    private key comes as the last line, because Python's library cannot make one; it is quoted as JSON.
    Ends with 3 where a signing key may still be in use and would be lost.
    """
    lines = [json.loads(line) for line in sys.stdin if line.strip()]
    key = lines.pop() if field == "jwt_private_key" else new_key()
    fields = json.loads(lines[0]["SecretString"]) if lines else {}
    if action in ("create", "add"):
        fields.setdefault(field, key)
    elif action == "rotate" and field == "provisioning_keys":
        fields[field] = "\n".join([key, *fields[field].split()])
    elif action == "retire" and field == "provisioning_keys":
        fields[field] = fields[field].split()[0]
    elif action == "rotate":
        before = json.loads(lines[1]["SecretString"]) if len(lines) > 1 else {}
        recent = time.time() - instant(lines[0]["CreatedDate"]) < int(days) * 86400
        if recent and force != "yes" and before.get(field, fields[field]) != fields[field]:
            sys.exit(3)
        fields[field] = key
    else:
        raise Refused(f"{action} {field} is nothing that can be done")
    json.dump(fields, sys.stdout)


def has_field(field: str) -> None:
    """Ends with 1 where the secret, as get-secret-value prints it, has no such field."""
    fields = json.loads(json.load(sys.stdin)["SecretString"])
    sys.exit(0 if isinstance(fields, dict) and fields.get(field) else 1)


def field(name: str) -> None:
    print(json.load(sys.stdin).get(name) or "")


def changes() -> None:
    """A change set as a table."""
    rows = []
    for entry in json.load(sys.stdin).get("Changes") or []:
        change = entry["ResourceChange"]
        replaced = {"True": "REPLACED", "Conditional": "may be replaced"}.get(change.get("Replacement") or "", "")
        rows.append((change["Action"], change["LogicalResourceId"], change["ResourceType"], replaced))
    for action, name, kind, replaced in sorted(rows):
        print(f"  {action:8} {name:32} {kind:44} {replaced}".rstrip())


def nested_changes() -> None:
    """Ids of the change sets of nested stacks: of what is changed, and those that the reason of a refusal names."""
    document = json.load(sys.stdin)
    found = [entry["ResourceChange"].get("ChangeSetId") for entry in document.get("Changes") or []]
    found += re.findall(r"arn:aws[a-z-]*:cloudformation:[\w/:.-]*:changeSet/[\w/-]+", document.get("StatusReason") or "")
    for identity in dict.fromkeys(filter(None, found)):
        print(identity)


def refusal(root: str, *inner: str) -> None:
    """Why a change set failed, from its description and those of nested ones; nothing where only nothing is to change."""
    first, *others = (json.loads(Path(path).read_text(encoding="utf-8")) for path in (root, *inner))
    failed = [document for document in (first, *others) if document.get("Status") == "FAILED"]
    reasons = [document.get("StatusReason") or "without a reason" for document in failed]
    if NOTHING.search(reasons[0]):
        return
    # That of the root only names the nested one that failed.
    real = [reason for reason in reasons[1:] if not NOTHING.search(reason)]
    changing = any(document.get("Changes") for document in others if document.get("Status") != "FAILED")
    if real or changing or len(reasons) == 1:
        print("\n".join(dict.fromkeys(real or reasons)))


def failures(stack: str, since: str) -> None:
    """Events that say what failed, oldest first; not those of what was only given up because something else failed."""
    for event in reversed(json.load(sys.stdin).get("StackEvents") or []):
        reason = event.get("ResourceStatusReason") or ""
        if instant(event["Timestamp"]) < float(since) - 5 or "cancelled" in reason:
            continue
        if "FAILED" in event["ResourceStatus"]:
            name = event.get("StackName") or stack
            print(f"  {name}: {event['LogicalResourceId']} ({event['ResourceType']}): {event['ResourceStatus']}: {reason}")


def nested() -> None:
    """ARNs of the nested stacks that the events name."""
    events = json.load(sys.stdin).get("StackEvents") or []
    own = {event["StackId"] for event in events}
    stacks = {
        event["PhysicalResourceId"]
        for event in events
        if event["ResourceType"] == "AWS::CloudFormation::Stack" and event.get("PhysicalResourceId")
    }
    for arn in sorted(stacks - own):
        print(arn)


def output(name: str) -> None:
    stack = json.load(sys.stdin)["Stacks"][0]
    print({entry["OutputKey"]: entry["OutputValue"] for entry in stack.get("Outputs") or []}.get(name, ""))


def outputs() -> None:
    for entry in sorted(json.load(sys.stdin)["Stacks"][0].get("Outputs") or [], key=lambda entry: entry["OutputKey"]):
        print(f"  {entry['OutputKey']:24} {entry['OutputValue']}")


def tables(prefix: str) -> None:
    for role in TABLES:
        print(f"{prefix}{role}")


def log_groups() -> None:
    for group in json.load(sys.stdin).get("logGroups") or []:
        print(group["logGroupName"])


def resources(kind: str) -> None:
    """Physical ids of the resources of a kind, of the answer of list-stack-resources: of those that are still there."""
    for entry in json.load(sys.stdin).get("StackResourceSummaries") or []:
        gone = entry.get("ResourceStatus") == "DELETE_COMPLETE"
        if entry["ResourceType"] == kind and entry.get("PhysicalResourceId") and not gone:
            print(entry["PhysicalResourceId"])


COMMANDS = {
    "check": check,
    "parameter": parameter,
    "placeholders": placeholders,
    "amend": amend,
    "stack-input": stack_input,
    "secret": secret,
    "has-field": has_field,
    "field": field,
    "changes": changes,
    "nested-changes": nested_changes,
    "refusal": refusal,
    "failures": failures,
    "nested": nested,
    "output": output,
    "outputs": outputs,
    "tables": tables,
    "log-groups": log_groups,
    "resources": resources,
}

if __name__ == "__main__":
    try:
        COMMANDS[sys.argv[1]](*sys.argv[2:])
    except Refused as refused:
        sys.exit(str(refused))
