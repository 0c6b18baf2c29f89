"""AWS imitated by moto, on 127.0.0.1 and the port given: for scripts/ecs-check, run with the packages of `moto`.

What moto lacks for stacks like ours is added here. It knows nested stacks, but not their outputs; it updates one by
deleting and creating it again; and a change set that creates a stack gives it neither parameters nor outputs.
"""

import ipaddress
import itertools
import re
import sys

from moto.cloudformation import models, parsing
from moto.cloudformation.utils import get_stack_from_s3_url
from moto.cloudformation.exceptions import UnformattedGetAttTemplateException, ValidationError
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult
from moto.dynamodb.models.table import Table
from moto.ecs.models import TaskDefinition
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket
from moto.server import main
from moto.utilities.utils import get_partition


def outputs_of_nested_stack(self: models.Stack, attribute: str) -> object:
    return {output.key: output.value for output in self.output_map.values() if output}[attribute.removeprefix("Outputs.")]


def update_in_place(cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name):
    properties = cloudformation_json["Properties"]
    template = get_stack_from_s3_url(properties["TemplateURL"], account_id, get_partition(region_name))
    original_resource.update(template, parameters=properties.get("Parameters", {}))
    return original_resource


def execute(self: models.CloudFormationBackend, change_set_name: str, stack_name: str | None = None) -> None:
    change_set = next(
        found
        for found in self.change_sets.values()
        if change_set_name in (found.change_set_name, found.change_set_id) and stack_name in (None, found.stack_name)
    )
    if change_set.change_set_type == "CREATE":
        # Only a placeholder, without a template.
        del self.stacks[change_set.stack_id]
        self.create_stack(change_set.stack_name, change_set.template, change_set.parameters, tags=change_set.tags)
    else:
        self.stacks[change_set.stack_id].update(
            change_set.template, parameters=change_set.parameters, tags=change_set.tags
        )
    change_set.execution_status = "EXECUTE_COMPLETE"


def permission(*_: object) -> PermissionResult:
    """moto reads no conditions of a bucket's policy: one that denies plain HTTP would deny everything."""
    return PermissionResult.NEUTRAL


def resolve(node: object, resources: parsing.ResourceMap) -> object:
    """Functions that moto does not know, or knows for another region only."""
    if isinstance(node, list):
        # Without what is AWS::NoValue.
        return [value for value in (resolve(part, resources) for part in node) if value is not None]
    if isinstance(node, dict) and "Fn::Cidr" in node:
        block, count, bits = (resolve(part, resources) for part in node["Fn::Cidr"])
        networks = ipaddress.ip_network(block).subnets(new_prefix=32 - int(bits))
        return [str(network) for network in itertools.islice(networks, int(count))]
    if isinstance(node, dict) and "Fn::GetAZs" in node:
        return [f"{resources['AWS::Region']}{letter}" for letter in "abc"]
    if isinstance(node, dict) and "Fn::GetAtt" in node:
        name, attribute = node["Fn::GetAtt"]
        return attribute_of(resources.get(name), name, attribute)
    return resolve_as_moto_does(node, resources)


def attribute_of(resource: object, name: str, attribute: str) -> object:
    """moto knows some attributes of some resources; others it has as its own, or they are only names here."""
    try:
        found = resource.get_cfn_attribute(attribute)
    except (AttributeError, NotImplementedError, UnformattedGetAttTemplateException):
        found = getattr(resource, re.sub(r"(?<!^)(?=[A-Z])", "_", attribute).lower(), None)
    return f"{name}.{attribute}" if found is None else found


def delete_resources(self: parsing.ResourceMap) -> None:
    """moto knows no other policy than Retain; a stack that is deleted was there, so this one means the same."""
    for resource in self._resource_json_map.values():
        if resource.get("DeletionPolicy") == "RetainExceptOnCreate":
            resource["DeletionPolicy"] = "Retain"
    delete_resources_as_moto_does(self)


parsing.ResourceMap.validate_outputs = lambda self: None
delete_resources_as_moto_does, parsing.ResourceMap.delete = parsing.ResourceMap.delete, delete_resources
resolve_as_moto_does, parsing.clean_json = parsing.clean_json, resolve
FakeBucket.get_permission = permission
def protect(self: CloudFormationResponse) -> ActionResult:
    """Unknown to moto, as is that a protected stack cannot be deleted."""
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    stack.enable_termination_protection = self._get_bool_param("EnableTerminationProtection")
    return ActionResult({"StackId": stack.stack_id})


def delete(self: models.CloudFormationBackend, name_or_stack_id: str) -> None:
    if any(stack.enable_termination_protection and name_or_stack_id in (stack.name, stack.stack_id) for stack in self.stacks.values()):
        raise ValidationError(message=f"Stack [{name_or_stack_id}] cannot be deleted while TerminationProtection is enabled")
    delete_as_moto_does(self, name_or_stack_id)


delete_as_moto_does, models.CloudFormationBackend.delete_stack = models.CloudFormationBackend.delete_stack, delete
CloudFormationResponse.update_termination_protection = protect


def next_revision(cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name):
    """moto forgets to translate the names of properties here."""
    return cls.create_from_cloudformation_json(new_resource_name, cloudformation_json, account_id, region_name)


def table(cls, resource_name, cloudformation_json, account_id, region_name, **other):
    """CloudFormation makes truth values of texts, where moto keeps the text, and knows time to live, which moto ignores."""
    properties = cloudformation_json["Properties"]
    properties["DeletionProtectionEnabled"] = str(properties.get("DeletionProtectionEnabled")).lower() == "true"
    made = table_as_moto_does(cls, resource_name, cloudformation_json, account_id, region_name, **other)
    expiry = properties.get("TimeToLiveSpecification", {})
    if str(expiry.get("Enabled")).lower() == "true":
        made.ttl = {"TimeToLiveStatus": "ENABLED", "AttributeName": expiry["AttributeName"]}
    return made


table_as_moto_does = Table.create_from_cloudformation_json.__func__
Table.create_from_cloudformation_json = classmethod(table)
TaskDefinition.update_from_cloudformation_json = classmethod(next_revision)
models.Stack.get_cfn_attribute = outputs_of_nested_stack
models.Stack.update_from_cloudformation_json = classmethod(update_in_place)
models.CloudFormationBackend.execute_change_set = execute

if __name__ == "__main__":
    main(["--host", "127.0.0.1", "--port", sys.argv[1]])
