"""CloudFormation templates, read and resolved: what a deployment with given parameters would consist of.

`load` reads the files as they are. `Deployment` evaluates the root template and everything nested in it: conditions,
references, outputs of nested stacks. What only AWS knows (ids and ARNs it makes up) becomes a text in angle brackets
that is the same wherever the same thing is meant, so that "the security group of the tasks" can be compared.
"""

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tooling.packages import ROOT, python_packages

TEMPLATES = ROOT / "deploy" / "ecs" / "templates"
PARAMETERS = ROOT / "deploy" / "ecs" / "parameters"
ENVIRONMENTS = ("dev", "staging", "production")
REGION = "eu-central-1"
ACCOUNT = "123456789012"
NESTED = "AWS::CloudFormation::Stack"
# What `deploy` adds to the parameters of the files.
ADDED = {
    "ImageUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/bedrock-cost-keeper:0.0.0",
    "SigningSecretArn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:cost-keeper/signing-aBcDeF",
    "ProvisioningSecretArn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:cost-keeper/provisioning-aBcDeF",
}
# Runs with the packages of cfn-lint, because Python's own library reads no YAML.
READER = """
import json, sys, yaml
class Loader(yaml.SafeLoader): pass
def tagged(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode): value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode): value = loader.construct_sequence(node, deep=True)
    else: value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str): value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else "Fn::" + suffix: value}
Loader.add_multi_constructor("!", tagged)
# Dates and YAML 1.1's yes and no are texts in a template.
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in Loader.yaml_implicit_resolvers.items()
}
json.dump({name: yaml.load(open(name, encoding="utf-8"), Loader) for name in sys.argv[1:]}, sys.stdout)
"""
NO_VALUE = object()
# Attributes that are, or are as good as, what Ref gives.
SAME_AS_REF = {"Arn", "GroupId", "VpcId", "TargetGroupArn", "LoadBalancerArn", "ListenerArn", "Name", "Id"}
NAME_PROPERTIES = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::ECS::Cluster": "ClusterName",
    "AWS::ECS::Service": "ServiceName",
}


class Broken(Exception):
    """The templates do not fit each other; the text is a finding."""


def load(directory: Path = TEMPLATES) -> dict[str, dict]:
    """Every template by its file name, with functions in their long form."""
    files = sorted(directory.glob("*.yaml"))
    packages = python_packages("cfn-lint")
    command = [packages.python, "-B", "-c", READER, *files]
    answer = subprocess.run(command, env=packages.environment(), capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise Broken(f"templates cannot be read: {answer.stderr.strip().splitlines()[-1]}")
    return {Path(name).name: template for name, template in json.loads(answer.stdout).items()}


def parameter_file(environment: str, directory: Path = PARAMETERS) -> dict:
    return json.loads((directory / f"{environment}.json").read_text(encoding="utf-8"))


@dataclass
class Resource:
    """A resource that exists with these parameters."""

    name: str
    stack: "Stack"
    definition: dict
    properties: dict

    @property
    def type(self) -> str:
        return self.definition["Type"]

    @property
    def where(self) -> str:
        return f"{self.stack.file}: {self.name}"


@dataclass
class Stack:
    """One template with its parameters."""

    templates: dict[str, dict]
    file: str
    given: dict[str, object]
    path: str = ""
    nested: dict[str, "Stack"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.file not in self.templates:
            raise Broken(f"{self.file} is nested, and there is no such file")
        self.template = self.templates[self.file]
        self.parameters = {}
        known = self.template.get("Parameters", {})
        for name in self.given:
            if name not in known:
                raise Broken(f"{self.file} has no parameter {name}, which is passed to it")
        for name, definition in known.items():
            value = self.given.get(name, definition.get("Default"))
            if value is None:
                raise Broken(f"{self.file} needs the parameter {name}, which is not passed to it")
            if definition["Type"] == "CommaDelimitedList" or definition["Type"].startswith("List<"):
                value = value if isinstance(value, list) else [part for part in str(value).split(",") if part]
            self.parameters[name] = value if isinstance(value, list) else str(value)

    # Conditions

    def condition(self, name: str) -> bool:
        conditions = self.template.get("Conditions", {})
        if name not in conditions:
            raise Broken(f"{self.file} has no condition {name}")
        return self.holds(conditions[name])

    def holds(self, node: object) -> bool:
        ((function, argument),) = node.items()
        if function == "Condition":
            return self.condition(argument)
        if function == "Fn::Equals":
            left, right = (self.value(side) for side in argument)
            return left == right or str(left) == str(right)
        if function == "Fn::Not":
            return not self.holds(argument[0])
        if function == "Fn::And":
            return all([self.holds(part) for part in argument])
        if function == "Fn::Or":
            return any([self.holds(part) for part in argument])
        raise Broken(f"{self.file}: {function} is no condition that is known here")

    # Values

    def value(self, node: object) -> object:
        if isinstance(node, list):
            return [value for value in (self.value(part) for part in node) if value is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name == "Ref":
                return self.reference(argument)
            if name.startswith("Fn::"):
                return self.function(name.removeprefix("Fn::"), argument)
        values = {key: self.value(part) for key, part in node.items()}
        return {key: value for key, value in values.items() if value is not NO_VALUE}

    def reference(self, name: str) -> object:
        pseudo = {
            "AWS::NoValue": NO_VALUE,
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": f"<{self.path or 'root'}>",
            "AWS::StackId": f"<{self.path or 'root'}>",
        }
        if name in pseudo:
            return pseudo[name]
        if name in self.parameters:
            return self.parameters[name]
        definition = self.definition(name)
        own = NAME_PROPERTIES.get(definition["Type"])
        if own and own in definition.get("Properties", {}):
            return self.value(definition["Properties"][own])
        return f"<{self.path}/{name}>"

    def definition(self, name: str) -> dict:
        definition = self.template["Resources"].get(name)
        if definition is None:
            raise Broken(f"{self.file} refers to {name}, which it does not have")
        if "Condition" in definition and not self.condition(definition["Condition"]):
            raise Broken(f"{self.file} refers to {name}, which does not exist with these parameters")
        return definition

    def attribute(self, name: str, attribute: str) -> object:
        definition = self.definition(name)
        if definition["Type"] == NESTED:
            return self.nested_stack(name).output(attribute.removeprefix("Outputs."))
        if definition["Type"] == "AWS::DynamoDB::Table" and attribute == "Arn":
            return f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{self.reference(name)}"
        return f"<{self.path}/{name}>" if attribute in SAME_AS_REF else f"<{self.path}/{name}.{attribute}>"

    def function(self, name: str, argument: object) -> object:
        if name == "GetAtt":
            return self.attribute(argument[0], argument[1])
        if name == "If":
            return self.value(argument[1 if self.condition(argument[0]) else 2])
        if name == "Sub":
            text, own = (argument, {}) if isinstance(argument, str) else argument
            return re.sub(r"\$\{([^}!]+)\}", lambda match: self.substitute(match.group(1), own), text)
        if name == "FindInMap":
            found = self.template["Mappings"]
            for key in argument:
                found = found[self.value(key)]
            return found
        if name == "GetAZs":
            return [f"{REGION}{letter}" for letter in "abc"]
        if name == "ToJsonString":
            return json.dumps(self.value(argument))
        values = self.value(argument)
        if name == "Join":
            return values[0].join(str(part) for part in values[1])
        if name == "Split":
            return values[1].split(values[0])
        if name == "Select":
            return values[1][int(values[0])]
        if name == "Cidr":
            return [f"<{values[0]}#{number}>" for number in range(int(values[1]))]
        raise Broken(f"{self.file}: Fn::{name} is not known here")

    def substitute(self, name: str, own: dict) -> str:
        if name in own:
            return str(self.value(own[name]))
        return str(self.attribute(*name.split(".", 1)) if "." in name else self.reference(name))

    # Parts

    def nested_stack(self, name: str) -> "Stack":
        if name not in self.nested:
            properties = self.template["Resources"][name]["Properties"]
            given = self.value(properties.get("Parameters", {}))
            self.nested[name] = Stack(self.templates, properties["TemplateURL"], given, f"{self.path}/{name}")
        return self.nested[name]

    def output(self, name: str) -> object:
        outputs = self.template.get("Outputs", {})
        if name not in outputs:
            raise Broken(f"{self.file} has no output {name}, which is used")
        if "Condition" in outputs[name] and not self.condition(outputs[name]["Condition"]):
            raise Broken(f"{self.file} has no output {name} with these parameters, and it is used")
        return self.value(outputs[name]["Value"])

    def resources(self) -> list[Resource]:
        """Everything that exists, of nested stacks too."""
        found = []
        for name, definition in self.template["Resources"].items():
            if "Condition" in definition and not self.condition(definition["Condition"]):
                continue
            if definition["Type"] == NESTED:
                found += self.nested_stack(name).resources()
            found.append(Resource(name, self, definition, self.value(definition.get("Properties", {}))))
        return found


class Deployment:
    """The root template and everything nested in it, with the parameters of an environment."""

    def __init__(self, templates: dict[str, dict], given: dict[str, str]) -> None:
        self.root = Stack(templates, "main.yaml", {**ADDED, **given})
        self.resources = self.root.resources()
        self.outputs = {
            name: self.root.output(name)
            for name, output in self.root.template.get("Outputs", {}).items()
            if "Condition" not in output or self.root.condition(output["Condition"])
        }

    def of_type(self, kind: str) -> list[Resource]:
        return [resource for resource in self.resources if resource.type == f"AWS::{kind}"]

    def one(self, kind: str) -> Resource:
        found = self.of_type(kind)
        if len(found) != 1:
            raise Broken(f"there are {len(found)} resources of the type AWS::{kind}, and one is expected")
        return found[0]
