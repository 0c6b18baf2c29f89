"""The scripts against an AWS that moto imitates: secrets, image, stacks, the service with the environment of the task
definition they made, its smoke test, and the end of it all.

moto as DynamoDB is not the real thing (it ignores time to live and client tokens), but it is asked through `proxy`,
which allows what the role in the stack allows. The load balancer, the network and ECS are descriptions only.
"""

import ast
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ecs_checks.aws import OURS, Checkout, Imitation, Runner, WarmAws, programs
from ecs_checks.dry import expect
from ecs_checks.proxy import Proxy
from ecs_checks.templates import REGION
from tooling.packages import ROOT, python_packages
from tooling.service import Service

NAMES = ("signing", "provisioning")
STACK = "cost-keeper-dev"
SMOKE_SECONDS = 60


class World:
    """The imitation, and what the steps hand on to each other."""

    def __init__(self, imitation: Imitation, aws: WarmAws, checkout: Checkout, directory: Path) -> None:
        self.imitation, self.checkout, self.directory = imitation, checkout, directory
        tools = programs(directory / "tools", {"docker": OURS / "fake-docker"})
        aws.write(tools / "aws")
        imitation.aws = aws
        self.run = Runner(checkout, tools, imitation.credentials())
        # moto has a load balancer for certificates only that it knows.
        certificate = imitation.ask("acm", "request-certificate", "--domain-name", "keeper.internal")["CertificateArn"]
        checkout.replace(r"arn:aws:acm:[^\"]+", certificate)
        # Every value that was ever in a secret: none of them may show up anywhere.
        self.values: set[str] = set()

    def secret(self, name: str, environment: str = "dev", stage: str = "AWSCURRENT") -> dict[str, str]:
        identity = f"cost-keeper/{environment}/{name}"
        answer = self.imitation.ask(
            "secretsmanager", "get-secret-value", "--secret-id", identity, "--version-stage", stage
        )
        fields = json.loads(answer["SecretString"])
        self.values |= {part for value in fields.values() for part in value.splitlines()}
        return fields

    def stack(self) -> dict:
        """The stack with its outputs as a dictionary, empty where there is none."""
        answer = self.imitation.ask("cloudformation", "describe-stacks", "--stack-name", STACK)
        if "error" in answer:
            return {}
        stack = answer["Stacks"][0]
        return {**stack, "Outputs": {entry["OutputKey"]: entry["OutputValue"] for entry in stack.get("Outputs") or []}}

    def tables(self) -> list[str]:
        return self.imitation.ask("dynamodb", "list-tables")["TableNames"]


def secrets(world: World) -> Iterator[str]:
    run = world.run
    yield from expect(run("create-secrets"), 0, "created, with a random value", "create-secrets")
    first = [world.secret(name) for name in NAMES]
    if set(first[0]) != {"jwt_secret"} or set(first[1]) != {"provisioning_keys"}:
        yield f"the secrets have the fields {sorted(first[0])} and {sorted(first[1])}"
    yield from expect(run("create-secrets"), 0, "exists already", "create-secrets a second time")
    if [world.secret(name) for name in NAMES] != first:
        yield "create-secrets changes secrets that exist"
    yield from expect(run("create-secrets", "--rotate", "jwt_secret"), 1, "--yes", "a rotation nobody agreed to")
    yield from expect(run("create-secrets", "--rotate", "provisioning_keys", "--yes"), 0, "done", "a new provisioning key")
    keys = world.secret("provisioning")["provisioning_keys"].split("\n")
    if keys[1:] != [first[1]["provisioning_keys"]] or keys[0] == keys[1]:
        yield "rotating provisioning_keys does not keep the old key behind a new one"
    if world.secret("signing") != first[0]:
        yield "rotating provisioning_keys touches the signing key"
    yield from expect(run("create-secrets", "--retire", "provisioning_keys", "--yes"), 0, "done", "retiring keys")
    if world.secret("provisioning")["provisioning_keys"] != keys[0]:
        yield "retiring provisioning_keys keeps another key than the newest"
    yield from expect(run("create-secrets", "--rotate", "jwt_secret", "--yes"), 0, "done", "a new signing key")
    if world.secret("signing") == first[0] or world.secret("signing", stage="AWSPREVIOUS") != first[0]:
        yield "rotating jwt_secret does not leave the old one as AWSPREVIOUS"
    again = run("create-secrets", "--rotate", "jwt_secret", "--yes")
    yield from expect(again, 1, "less than 7 days ago", "a signing key that is replaced too soon")
    forced = run("create-secrets", "--rotate", "jwt_secret", "--yes", "--force")
    yield from expect(forced, 0, "done", "a signing key that is replaced by force")
    yield from ed25519(world)


def ed25519(world: World) -> Iterator[str]:
    """TokenSigning EdDSA, in another environment: a PEM that openssl made, also beside a shared secret."""
    yield from expect(world.run("create-secrets", environment="staging"), 0, "created", "create-secrets for staging")
    before = world.secret("signing", "staging")
    path = world.checkout.root / "deploy" / "ecs" / "parameters" / "staging.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["Parameters"]["TokenSigning"] = "EdDSA"
    other = world.directory / "eddsa.json"
    other.write_text(json.dumps(document), encoding="utf-8")
    added = world.run("create-secrets", "--parameters", str(other), "--yes", environment="staging")
    yield from expect(added, 0, "added", "a private key beside the shared secret")
    after = world.secret("signing", "staging")
    if after.get("jwt_secret") != before["jwt_secret"] or "BEGIN PRIVATE KEY" not in after.get("jwt_private_key", ""):
        yield f"adding jwt_private_key leaves the fields {sorted(after)}"


def image(world: World) -> Iterator[str]:
    run = world.run
    yield from expect(run("build-and-push", "--yes"), 0, "pushed: ", "build-and-push")
    yield from expect(run("build-and-push", "--yes"), 0, "nothing to do", "build-and-push a second time")
    (world.checkout.root / "README.md").write_text("changed\n", encoding="utf-8")
    yield from expect(run("build-and-push", "--yes"), 1, "commit them", "sources that are in no commit")
    draft = run("build-and-push", "--yes", "--allow-dirty")
    yield from expect(draft, 0, "pushed: ", "a build of sources that are in no commit")
    if not re.search(r"--version \S+-git-[0-9a-f]{12}-dirty-[0-9]{14}\n", draft.text):
        yield "build-and-push does not say under which tag a build of sources that are in no commit is deployed"
    dirty = run("build-and-push", "--yes", "--allow-dirty", environment="production")
    yield from expect(dirty, 1, "commit them", "production from sources that are in no commit")
    world.checkout.commit("other sources")
    yield from expect(run("build-and-push", "--yes"), 1, "raise the version", "another image of the same version")
    built = [call for call in run.calls() if call[:3] == ["docker", "buildx", "build"]]
    tags = [call[index + 1].rpartition(":")[2] for call in built[1:] for index, part in enumerate(call) if part == "--tag"]
    if len(built) != 2:
        yield f"{len(built)} images were built; two were expected"
    elif not all("-dirty-" in tag for tag in tags):
        yield f"sources that are in no commit are tagged {', '.join(tags)}"
    elif "linux/arm64" not in built[0] or not any(part.startswith("REVISION=") for part in built[0]):
        yield f"the image was built as {' '.join(built[0])}"
    if not any(call[:2] == ["docker", "logout"] for call in run.calls()):
        yield "build-and-push stays logged in to the registry"


def deployed(world: World) -> Iterator[str]:
    run = world.run
    yield from expect(run("deploy", "--version", "9.9.9", "--yes"), 1, "there is no image", "an image there is not")
    wrong = run("deploy", "--yes", "--set", "Frobnicate=1")
    yield from expect(wrong, 1, "Frobnicate is no parameter", "a parameter there is not")
    first = run("deploy", "--yes")
    yield from expect(first, 0, "CREATE_COMPLETE", "deploy")
    yield from expect(first, 0, "scripts/smoke https://", "deploy")
    if first.code != 0:
        return
    missing = {"Url", "StorageUrl", "ClusterName", "ServiceName", "LogGroupName", "TaskRoleArn"} - set(world.stack()["Outputs"])
    if missing:
        yield f"the stack has no output {', '.join(sorted(missing))}"
    bucket = f"cost-keeper-artifacts-123456789012-{REGION}"
    block = world.imitation.ask("s3api", "get-public-access-block", "--bucket", bucket)
    if not all(block.get("PublicAccessBlockConfiguration", {"": False}).values()):
        yield f"the bucket of templates may become public: {block}"
    for question in ("get-bucket-versioning", "get-bucket-encryption", "get-bucket-policy"):
        if "error" in (answer := world.imitation.ask("s3api", question, "--bucket", bucket)) or not answer:
            yield f"the bucket of templates: {question} says {answer}"
    yield from expect(run("deploy", "--yes"), 0, "none: the stack is as it should be", "deploy without changes")
    yield from expect(run("deploy", "--yes", "--set", "LogLevel=warn"), 0, "UPDATE_COMPLETE", "deploy with a change")
    level = variables(world).get("COST_KEEPER_LOG__LEVEL")
    if level != "warn":
        yield f"a changed parameter does not reach the task definition: the log level is {level}"


def variables(world: World) -> dict[str, str]:
    """The environment of the newest task definition that the stack made."""
    definition = world.imitation.ask("ecs", "describe-task-definition", "--task-definition", STACK)["taskDefinition"]
    return {entry["name"]: entry["value"] for entry in definition["containerDefinitions"][0]["environment"]}


def allowed(world: World) -> set[tuple[str, str]]:
    """Actions on tables that the role in the stack allows."""
    role = world.stack()["Outputs"]["TaskRoleArn"].rpartition("/")[2]
    found = set()
    for policy in world.imitation.ask("iam", "list-role-policies", "--role-name", role)["PolicyNames"]:
        answer = world.imitation.ask("iam", "get-role-policy", "--role-name", role, "--policy-name", policy)
        # moto prints a document of a template as Python would.
        for statement in ast.literal_eval(str(answer["PolicyDocument"]))["Statement"]:
            actions, targets = (
                value if isinstance(value, list) else [value] for value in (statement["Action"], statement["Resource"])
            )
            found |= {(action, target.rpartition("/")[2]) for action in actions for target in targets}
    return found


def served(world: World) -> Iterator[str]:
    """The binary with the task definition's environment; only addresses are of this machine."""
    own = variables(world)
    with tempfile.TemporaryDirectory(dir=world.directory) as directory, Proxy(world.imitation.url, allowed(world)) as proxy:
        own["COST_KEEPER_STORAGE__URL"] += f"&endpoint={proxy.url}"
        own["COST_KEEPER_AWS__SECRETS_MANAGER__ENDPOINT_URL"] = world.imitation.url
        # Set by the command line of `Service`.
        own.pop("COST_KEEPER_SERVER__LISTEN")
        own |= {"COST_KEEPER_METRICS__LISTEN": "", "COST_KEEPER_LOG__LEVEL": "info"}
        own |= {name: value for name, value in world.imitation.credentials().items() if name != "AWS_ENDPOINT_URL"}
        service = Service(Path(directory), variables=own)
        # Secrets Manager has them.
        del service.variables["COST_KEEPER_AUTH__PROVISIONING_KEYS"]
        service.variables |= own
        with service:
            yield from smoke(world, service)
        if proxy.refused:
            yield f"the task role lacks {', '.join(f'{action} on {table}' for action, table in sorted(proxy.refused))}"
        if len(proxy.seen) < 15:
            yield f"the smoke test needed {len(proxy.seen)} rights only: it does not go through the proxy"
        if any(value in service.said() for value in world.values):
            yield "a secret is in the log of the service"


def smoke(world: World, service: Service) -> Iterator[str]:
    key = world.secret("provisioning")["provisioning_keys"].split()[0]
    command = [ROOT / "scripts" / "smoke", service.url, "--key-file", "-", "--wait", str(SMOKE_SECONDS)]
    answer = subprocess.run(
        command, input=key, capture_output=True, text=True, timeout=3 * SMOKE_SECONDS, check=False
    )
    if answer.returncode != 0:
        text = (answer.stdout + answer.stderr).strip()[-1500:]
        yield f"scripts/smoke fails:\n{text}\nThe service:\n{service.said()[-1500:]}"


def torn_down(world: World) -> Iterator[str]:
    run, tables = world.run, sorted(world.tables())
    # As in production.
    world.imitation.ask(
        "cloudformation", "update-termination-protection", "--stack-name", STACK, "--enable-termination-protection"
    )
    group = world.stack()["Outputs"]["LogGroupName"]
    yield from expect(run("tear-down"), 1, "Nobody is there to be asked", "tear-down that nobody agreed to")
    yield from expect(run("tear-down", "--delete-data", "--yes"), 1, f"--confirm {STACK}", "deleting data with a yes")
    wrong = run("tear-down", "--delete-data", "--confirm", "cost-keeper-production")
    yield from expect(wrong, 1, "nothing was removed", "deleting data with another name")
    yield from expect(run("tear-down", "--yes"), 0, "what stays", "tear-down")
    if world.stack():
        yield "the stack is still there after tear-down"
    if sorted(world.tables()) != tables or not tables:
        yield f"tables were {tables} and are {world.tables()} after tear-down"
    again = run("deploy", "--yes")
    yield from expect(again, 1, "--set CreateTables=false", "deploy over tables of an earlier stack")
    yield from expect(run("tear-down", "--delete-data", "--confirm", STACK), 0, "what stays", "tear-down --delete-data")
    left = [stack["StackName"] for stack in world.imitation.ask("cloudformation", "describe-stacks")["Stacks"]]
    if left != ["cost-keeper-registry"]:
        yield f"stacks are left: {', '.join(left)}"
    if world.tables():
        yield f"tables are left: {', '.join(world.tables())}"
    for name in NAMES:
        secret = world.imitation.ask("secretsmanager", "describe-secret", "--secret-id", f"cost-keeper/dev/{name}")
        if "DeletedDate" not in secret:
            yield f"the secret {name} is left"
    groups = world.imitation.ask("logs", "describe-log-groups", "--log-group-name-prefix", group)["logGroups"]
    if groups:
        yield f"the log group {group} is left"
    yield from expect(run("tear-down", "--delete-data", "--confirm", STACK), 0, "there is none", "tear-down a second time")
    yield from expect(run("create-secrets"), 1, "restore-secret", "create-secrets over deleted secrets")


def unseen(world: World) -> Iterator[str]:
    """No secret in anything that was printed, on any command line, or in a file that is left."""
    if len(world.values) < 6:
        yield f"only {len(world.values)} secrets were looked for"
    said = world.run.said + "\n".join(" ".join(call) for call in world.run.calls())
    if any(value in said for value in world.values):
        yield "a secret was printed, or stood on a command line"
    left = [path for path in world.run.programs.iterdir() if path.name.startswith("cost-keeper.")]
    if left:
        yield f"private files are left: {', '.join(path.name for path in left)}"


STEPS = (secrets, image, deployed, served, torn_down, unseen)


def findings(checkout: Checkout, directory: Path) -> Iterator[str]:
    packages = python_packages("moto")
    with Imitation(packages, directory) as imitation, WarmAws(packages, directory) as aws:
        world = World(imitation, aws, checkout, directory)
        for step in STEPS:
            found = list(step(world))
            yield from found
            if found and step is deployed:
                yield f"what follows was not checked. moto: {imitation.log()[-1500:]}"
                return
