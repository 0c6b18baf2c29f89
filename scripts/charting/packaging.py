"""Checks the chart as what is published: its archive, its values and their schema, and the notes it prints."""

import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from charting.rendering import CHART, NAMESPACE, Case, Refused, render, version
from tooling.kubernetes import Kubernetes
from tooling.packages import ROOT

# What may be in the archive. `tests` are the pods of `helm test`.
CONTENTS = re.compile(
    r"Chart\.yaml|values\.yaml|values\.schema\.json|README\.md|LICENSE|\.helmignore|files/[a-z_-]+\.ya?ml"
    r"|templates/NOTES\.txt|templates/_[a-z_-]+\.tpl|templates/[a-z-]+\.yaml|templates/tests/[a-z-]+\.yaml"
)
NEEDED = {"Chart.yaml", "values.yaml", "values.schema.json", "README.md", "templates/NOTES.txt"}
GUIDE = ROOT / "docs" / "deployment" / "kubernetes.md"
# What notes must not have: a value that was not there, or a template that was not run.
UNRESOLVED = ("<no value>", "<nil>", "{{", "}}", "%!", "map[")


def archive_is_clean(tool: Kubernetes) -> Iterator[str]:
    """`helm package` makes an archive of exactly the chart's own files."""
    with tempfile.TemporaryDirectory() as directory:
        ended = tool.run("package", CHART, "--destination", directory)
        if ended.returncode != 0:
            yield f"helm package: {ended.stderr.strip()}"
            return
        archive = Path(directory) / f"{CHART.name}-{version()}.tgz"
        with tarfile.open(archive) as opened:
            names = {member.name.removeprefix(f"{CHART.name}/") for member in opened.getmembers() if member.isfile()}
        for name in sorted(name for name in names if not CONTENTS.fullmatch(name)):
            yield f"the archive has {name}, which is no part of a chart: put it into .helmignore"
        for name in sorted(NEEDED - names):
            yield f"the archive has no {name}"
        shown = tool.run("show", "values", archive)
        if shown.returncode != 0 or yaml.safe_load(shown.stdout) != values():
            yield "helm show values does not show values.yaml"
        ended = tool.run("template", "keeper", archive, "--namespace", NAMESPACE)
        if ended.returncode != 0:
            yield f"the archive cannot be rendered: {ended.stderr.strip()}"


def values() -> dict[str, Any]:
    return yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


def schema_is_strict() -> Iterator[str]:
    """The schema accepts values.yaml, and refuses a name that is not there wherever names are the chart's own."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    defaults = values()
    for error in validator.iter_errors(defaults):
        yield f"values.yaml: {error.json_path}: {error.message[:200]}"
    for path in own_maps(schema, defaults):
        misspelled = json.loads(json.dumps(defaults))
        inner = misspelled
        for part in path:
            inner = inner[part]
        inner["missspelled"] = "x"
        if validator.is_valid(misspelled):
            yield f"values.schema.json accepts {'.'.join([*path, 'missspelled'])}"
    for path, value in leaves(schema, defaults):
        if not resolved(schema, path):
            yield f"values.schema.json has no {'.'.join(path)}"
        elif isinstance(value, bool | int) and validator.is_valid(replaced(defaults, path, "yes please")):
            yield f"values.schema.json accepts text for {'.'.join(path)}"


def own_maps(schema: dict[str, Any], value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Places of values.yaml with names of the chart's own: those whose schema lists properties."""
    if isinstance(value, dict) and resolved(schema, path).get("properties"):
        yield path
        for key, inner in value.items():
            yield from own_maps(schema, inner, (*path, key))


def resolved(schema: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The part of the schema for a place; references to definitions followed."""
    found = schema
    for part in path:
        found = (found.get("properties") or {}).get(part) or {}
        if "$ref" in found:
            target: Any = schema
            for step in found["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            found = target
    return found


def leaves(schema: dict[str, Any], value: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Values of values.yaml whose name is the chart's own."""
    for key, inner in value.items():
        if isinstance(inner, dict) and resolved(schema, (*path, key)).get("properties"):
            yield from leaves(schema, inner, (*path, key))
        else:
            yield (*path, key), inner


def replaced(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    copied = json.loads(json.dumps(tree))
    inner = copied
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return copied


def documented() -> dict[str, str]:
    """The values in the guide to Kubernetes: blocks that start with `# values-NAME.yaml`."""
    text = GUIDE.read_text(encoding="utf-8")
    return dict(re.findall(r"^```yaml\n# (values-[a-z-]+)\.yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def notes(tool: Kubernetes, case: Case) -> str:
    """What `helm install` would print at its end."""
    if not (CHART / "templates" / "NOTES.txt").exists():
        raise Refused("there is no templates/NOTES.txt")
    if tool.major >= 4:
        command = ["install", case.release, CHART, "--namespace", NAMESPACE, "--values", case.path, "--dry-run=client"]
        ended = tool.run(*command)
        if ended.returncode != 0:
            raise Refused(ended.stderr.strip())
        return ended.stdout.partition("\nNOTES:\n")[2]
    # Helm 3 asks for a cluster even then, and `template` prints no notes: here they are the contents of an object.
    with tempfile.TemporaryDirectory() as directory:
        chart = Path(directory) / CHART.name
        shutil.copytree(CHART, chart)
        (chart / "templates" / "NOTES.txt").rename(chart / "templates" / "_notes.tpl")
        text = (chart / "templates" / "_notes.tpl").read_text(encoding="utf-8")
        (chart / "templates" / "_notes.tpl").write_text('{{ define "notes" }}' + text + "{{ end }}", encoding="utf-8")
        (chart / "templates" / "notes.yaml").write_text('{{ dict "notes" (include "notes" .) | toJson }}', encoding="utf-8")
        printed = render(tool, case, extra=("--show-only", "templates/notes.yaml"), chart=chart)
        return yaml.safe_load(printed)["notes"]


def notes_help(text: str) -> Iterator[str]:
    """Notes name the commands for a first look, and have nothing unresolved in them."""
    if not text.strip():
        yield "prints no notes"
    for trace in UNRESOLVED:
        if trace in text:
            yield f"its notes have {trace!r} in them"
    for command in ("kubectl", "port-forward", "curl"):
        if command not in text:
            yield f"its notes say nothing of {command}"
    for line in text.splitlines():
        if len(line) > 160:
            yield f"its notes have a line of {len(line)} characters"
