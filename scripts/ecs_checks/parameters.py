"""What can be said of the templates and parameter files without resolving anything: names, values, rules."""

import importlib.util
import itertools
import re
from collections.abc import Iterator

from ecs_checks import templates as cloudformation
from ecs_checks.templates import ADDED, NESTED, Broken, Stack

# Templates that are stacks of their own.
STANDALONE = {"main.yaml", "registry.yaml", "key.yaml"}


def nesting(templates: dict[str, dict]) -> Iterator[str]:
    """Nested stacks: their files, parameters and outputs, in every branch and not only where conditions hold."""
    used = set(STANDALONE)
    for file, template in templates.items():
        nested = {}
        for name, resource in template["Resources"].items():
            if resource["Type"] != NESTED:
                continue
            child = resource["Properties"]["TemplateURL"]
            used.add(child)
            if child not in templates:
                yield f"{file}: {name} nests {child}, and there is no such file"
                continue
            nested[name] = child
            known, given = templates[child].get("Parameters", {}), resource["Properties"].get("Parameters", {})
            yield from (f"{file}: {name} passes {key}, which {child} does not have" for key in given if key not in known)
            yield from (f"{file}: {name} does not pass {key}, which {child} has" for key in known if key not in given)
            # A change set does not know it yet, and would compare a text that stands for it.
            yield from (
                f"{child}: {key} is an output of another stack and has {constraint}, which a change set may not fulfil"
                for key, value in given.items()
                for constraint in ("AllowedPattern", "AllowedValues")
                if constraint in known.get(key, {}) and any(references(value))
            )
        wanted = {(name, output) for name, output in references(template) if name in nested}
        for name, output in sorted(wanted):
            if output not in templates[nested[name]].get("Outputs", {}):
                yield f"{file}: {nested[name]} has no output {output}, which is used"
    yield from (f"{file} is nested nowhere" for file in sorted(set(templates) - used))


def references(node: object) -> Iterator[tuple[str, str]]:
    """Nested stack and output of each !GetAtt Stack.Outputs.Name."""
    if isinstance(node, list):
        for part in node:
            yield from references(part)
    elif isinstance(node, dict):
        for key, part in node.items():
            if key == "Fn::GetAtt" and isinstance(part, list) and str(part[1]).startswith("Outputs."):
                yield part[0], part[1].removeprefix("Outputs.")
            elif key == "Fn::Sub":
                text = part if isinstance(part, str) else part[0]
                yield from re.findall(r"\$\{(\w+)\.Outputs\.(\w+)\}", text)
            else:
                yield from references(part)


def values(template: dict, environment: str, given: dict[str, str]) -> Iterator[str]:
    """Names and values of a parameter file, as CloudFormation would judge them."""
    where = f"parameters/{environment}.json"
    known = template["Parameters"]
    yield from (f"{where}: {name} is no parameter of main.yaml" for name in given if name not in known)
    yield from (f"{where}: {name} is passed by `deploy`" for name in given if name in ADDED)
    if given.get("Environment") != environment:
        yield f"{where}: Environment is {given.get('Environment')}"
    for name, definition in known.items():
        value = {**ADDED, **given}.get(name, definition.get("Default"))
        if value is None:
            yield f"{where}: {name} is needed"
        elif problem := value_problem(definition, str(value)):
            yield f"{where}: {name} is {value!r}, {problem}"


def value_problem(definition: dict, value: str) -> str | None:
    allowed = [str(entry) for entry in definition.get("AllowedValues", [])]
    if allowed and value not in allowed:
        return f"and not one of {', '.join(allowed)}"
    pattern = definition.get("AllowedPattern")
    if pattern and not re.fullmatch(pattern, value):
        return definition.get("ConstraintDescription", f"and does not match {pattern}")
    if definition["Type"] == "Number":
        if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
            return "and no number"
        if not definition.get("MinValue", float(value)) <= float(value) <= definition.get("MaxValue", float(value)):
            return "outside its bounds"
    return None


def rules(templates: dict[str, dict], environment: str, given: dict[str, str]) -> Iterator[str]:
    """The assertions in the Rules of main.yaml."""
    stack = Stack(templates, "main.yaml", {**ADDED, **given})
    for name, rule in stack.template.get("Rules", {}).items():
        if "RuleCondition" in rule and not stack.holds(rule["RuleCondition"]):
            continue
        for assertion in rule["Assertions"]:
            if not stack.holds(assertion["Assert"]):
                yield f"parameters/{environment}.json: rule {name}: {assertion['AssertDescription']}"


def apart(files: dict[str, dict[str, str]]) -> Iterator[str]:
    """Environments may share an account: what is named by a parameter must differ."""
    prefixes = [given.get("TablePrefix", "cost-keeper-") for given in files.values()]
    if len(set(prefixes)) < len(prefixes):
        yield f"environments share tables: their TablePrefix are {', '.join(prefixes)}"
    for one in set(prefixes):
        # Rights are given on PREFIX*.
        for other in set(prefixes) - {one}:
            if other.startswith(one):
                yield f"the role of the prefix {one} reaches the tables of {other}"


def findings(templates: dict[str, dict], files: dict[str, dict[str, str]]) -> Iterator[str]:
    yield from nesting(templates)
    yield from apart(files)
    for environment, given in files.items():
        yield from values(templates["main.yaml"], environment, given)
        try:
            yield from rules(templates, environment, given)
        except Broken as broken:
            yield str(broken)


def read_by_scripts(template: dict) -> Iterator[str]:
    """helper.py reads parameters without a reader of YAML: it must come to the same result."""
    path = cloudformation.ROOT / "deploy" / "ecs" / "scripts" / "helper.py"
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location("helper", path))
    module.__spec__.loader.exec_module(module)
    found = module.template_parameters(str(cloudformation.TEMPLATES / "main.yaml"))
    wanted = {
        name: None if "Default" not in definition else str(definition["Default"])
        for name, definition in template["Parameters"].items()
    }
    for name in sorted(set(found) | set(wanted)):
        if found.get(name, "nothing") != wanted.get(name, "nothing"):
            yield f"helper.py reads {name} of main.yaml as {found.get(name)!r}, and it is {wanted.get(name)!r}"


def files() -> dict[str, dict[str, str]]:
    """Parameters of every environment."""
    return {name: cloudformation.parameter_file(name)["Parameters"] for name in cloudformation.ENVIRONMENTS}


def filled(given: dict[str, str]) -> dict[str, str]:
    """The parameters with different subnets wherever the example has the same zeros for all of them."""
    numbers = itertools.count(1)
    return {
        name: re.sub(r"subnet-0+\b", lambda _: f"subnet-{next(numbers):017x}", value) for name, value in given.items()
    }
