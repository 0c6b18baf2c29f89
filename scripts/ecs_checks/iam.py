"""Rights: the tasks may do what the binary calls, and nothing else.

What the binary calls is read from its sources: the operations of the AWS SDK, and the parts of transactions, which need
the rights of single writes.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ecs_checks.templates import Broken, Deployment, Resource
from ecs_checks.wiring import environment, true
from tooling.packages import ROOT

OPERATIONS = {
    "batch_get_item": "dynamodb:BatchGetItem",
    "batch_write_item": "dynamodb:BatchWriteItem",
    "create_table": "dynamodb:CreateTable",
    "delete_item": "dynamodb:DeleteItem",
    "delete_table": "dynamodb:DeleteTable",
    "describe_table": "dynamodb:DescribeTable",
    "describe_time_to_live": "dynamodb:DescribeTimeToLive",
    "get_item": "dynamodb:GetItem",
    "list_tables": "dynamodb:ListTables",
    "put_item": "dynamodb:PutItem",
    "query": "dynamodb:Query",
    "scan": "dynamodb:Scan",
    "tag_resource": "dynamodb:TagResource",
    "update_item": "dynamodb:UpdateItem",
    "update_table": "dynamodb:UpdateTable",
    "update_time_to_live": "dynamodb:UpdateTimeToLive",
    "get_secret_value": "secretsmanager:GetSecretValue",
    "describe_secret": "secretsmanager:DescribeSecret",
    "get_products": "pricing:GetProducts",
    "get_inference_profile": "bedrock:GetInferenceProfile",
}
# A transaction has no action of its own.
TRANSACTIONS = {
    "ConditionCheck::builder()": "dynamodb:ConditionCheckItem",
    "Put::builder()": "dynamodb:PutItem",
    "Update::builder()": "dynamodb:UpdateItem",
    "Delete::builder()": "dynamodb:DeleteItem",
}
# Only where `migrate` makes tables or switches expiry on, which the template does here.
MAKING_TABLES = {"dynamodb:CreateTable", "dynamodb:UpdateTimeToLive", "dynamodb:TagResource"}
# Asked for when a task starts, by ECS.
STARTING = {
    "ecr:GetAuthorizationToken",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
    "ecr:BatchCheckLayerAvailability",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
}
# Actions that AWS knows no resource for, so that there is nothing narrower than *.
WITHOUT_RESOURCE = {
    "ecr:GetAuthorizationToken": "a token is for the registry as a whole",
    "pricing:GetProducts": "prices are nobody's",
}


def used(sources: Path = ROOT / "src") -> set[str]:
    """Every action that the binary asks for anywhere."""
    found = set()
    for file in [*(sources / "storage" / "dynamodb").rglob("*.rs"), *(sources / "aws").rglob("*.rs")]:
        text = file.read_text(encoding="utf-8").split("#[cfg(test)]")[0]
        if file.stem.endswith("tests"):
            continue
        for call in re.findall(r"\.(\w+)\(\)", text):
            if call in OPERATIONS:
                found.add(OPERATIONS[call])
        found |= {action for builder, action in TRANSACTIONS.items() if builder in text}
    return found


def wanted(deployment: Deployment, everything: set[str]) -> set[str]:
    """What the tasks need with these parameters."""
    variables = environment(deployment)
    optional = {
        "pricing:GetProducts": true(variables.get("COST_KEEPER_PRICING__AWS__ENABLED", "false")),
        "bedrock:GetInferenceProfile": true(variables.get("COST_KEEPER_AWS__BEDROCK__ENABLED", "false")),
    }
    needed = {action for action in everything - MAKING_TABLES if optional.get(action, True)}
    if deployment.root.parameters["KmsKeyArn"]:
        # DynamoDB wants to see the key in the name of who calls it.
        needed |= {"kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"}
    return needed


def role(deployment: Deployment, arn: object) -> Resource:
    for resource in deployment.of_type("IAM::Role"):
        if resource.stack.reference(resource.name) == arn:
            return resource
    raise Broken(f"the task definition names a role that is not of this deployment: {arn}")


def statements(deployment: Deployment, resource: Resource) -> list[dict]:
    """Statements of a role, inline and attached."""
    own = resource.stack.reference(resource.name)
    documents = [policy["PolicyDocument"] for policy in resource.properties.get("Policies", [])]
    for kind in ("IAM::Policy", "IAM::ManagedPolicy", "IAM::RolePolicy"):
        for policy in deployment.of_type(kind):
            if own in [policy.properties.get("RoleName"), *policy.properties.get("Roles", [])]:
                documents.append(policy.properties["PolicyDocument"])
    return [statement for document in documents for statement in listed(document["Statement"])]


def listed(value: object) -> list:
    return value if isinstance(value, list) else [value]


def rights(deployment: Deployment, resource: Resource, needed: set[str]) -> Iterator[str]:
    granted: set[str] = set()
    for statement in statements(deployment, resource):
        if statement["Effect"] != "Allow":
            continue
        if "NotAction" in statement or "NotResource" in statement:
            yield f"{resource.where}: NotAction and NotResource grant what nobody listed"
        actions = {str(action) for action in listed(statement.get("Action", []))}
        granted |= actions
        for target in listed(statement.get("Resource", [])):
            if target == "*":
                broad = sorted(actions - WITHOUT_RESOURCE.keys())
                if broad:
                    yield f"{resource.where}: {', '.join(broad)} on *"
            yield from narrow(deployment, resource, actions, str(target))
    if resource.properties.get("ManagedPolicyArns"):
        yield f"{resource.where}: a managed policy grants what is not listed here"
    if missing := needed - granted:
        yield f"{resource.where}: lacks {', '.join(sorted(missing))}"
    if more := granted - needed:
        yield f"{resource.where}: grants {', '.join(sorted(more))}, which nobody uses"


def narrow(deployment: Deployment, resource: Resource, actions: set[str], target: str) -> Iterator[str]:
    parameters = deployment.root.parameters
    if any(action.startswith("dynamodb:") for action in actions):
        tables = f":table/{parameters['TablePrefix']}"
        if tables not in target:
            yield f"{resource.where}: DynamoDB on {target}, and the tables start with {parameters['TablePrefix']}"
    if any(action.startswith("secretsmanager:") for action in actions):
        if target not in (parameters["SigningSecretArn"], parameters["ProvisioningSecretArn"]):
            yield f"{resource.where}: secrets on {target}, which is neither of the two"
    if any(action.startswith("kms:") for action in actions) and target != parameters["KmsKeyArn"]:
        yield f"{resource.where}: KMS on {target}, which is not the key"


def trust(resource: Resource) -> Iterator[str]:
    for statement in listed(resource.properties["AssumeRolePolicyDocument"]["Statement"]):
        if statement.get("Principal") != {"Service": "ecs-tasks.amazonaws.com"}:
            yield f"{resource.where}: can be assumed by {statement.get('Principal')}"


def findings(deployment: Deployment, everything: set[str]) -> Iterator[str]:
    definition = deployment.one("ECS::TaskDefinition").properties
    task = role(deployment, definition["TaskRoleArn"])
    execution = role(deployment, definition["ExecutionRoleArn"])
    if task.name == execution.name:
        yield f"{task.where}: the tasks have the rights that start them"
    yield from rights(deployment, task, wanted(deployment, everything))
    yield from rights(deployment, execution, STARTING)
    for resource in deployment.of_type("IAM::Role"):
        yield from trust(resource)
