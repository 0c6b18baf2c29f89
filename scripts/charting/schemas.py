"""Compares objects with the schemas of Kubernetes, and of the custom resources the chart makes. Strict: a field that is
not known is an error, because the API would drop it without a word."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
from charting.objects import Object, where
from charting.rendering import TESTS
from kubernetes_validate import utils
from referencing import Registry, Resource


@cache
def custom_schemas() -> dict[tuple[str, str], dict[str, Any]]:
    """Schemas of custom resources by API group and version, and kind: tests/helm/schemas/KIND.json."""
    schemas = {}
    for path in sorted((TESTS / "schemas").glob("*.json")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        for version in schema["properties"]["apiVersion"]["enum"]:
            schemas[version, path.stem] = schema
    return schemas


@cache
def builtin_validator(api_version: str, kind: str, kube_version: str) -> jsonschema.protocols.Validator | None:
    """Validator of a built-in kind, from the schemas that kubernetes-validate brings; None: this version has no such kind.

    As kubernetes_validate.validate does it, but the definitions, several megabytes, are read once.
    """
    wanted = ".".join(kube_version.split(".")[:2])
    released = [version for version in utils.all_versions() if utils.major_minor(version) == wanted]
    directory = f"kubernetes-json-schema/v{released[-1]}-local-strict"
    group = api_version.partition("/")[0].partition(".")[0]
    name = f"{group}-{api_version.partition('/')[2]}" if "/" in api_version else api_version
    try:
        schema = utils.schema_contents(f"{directory}/{kind.lower()}-{name}.json", wanted)
    except FileNotFoundError:
        return None
    registry = definitions(directory, wanted)
    return jsonschema.Draft202012Validator(schema, registry=Resource.from_contents(schema) @ registry)


@cache
def definitions(directory: str, kube_version: str) -> Registry:
    contents = utils.schema_contents(f"{directory}/_definitions.json", kube_version)
    return (Resource.from_contents(contents) @ Registry()).crawl()


def violations(item: Object, kube_version: str) -> Iterator[str]:
    """What is wrong with an object in this version of Kubernetes."""
    schema = custom_schemas().get((item["apiVersion"], item["kind"]))
    if schema is not None:
        validator = jsonschema.Draft202012Validator(schema)
    else:
        validator = builtin_validator(item["apiVersion"], item["kind"], kube_version)
    if validator is None:
        yield f"{where(item)}: nothing knows {item['apiVersion']} {item['kind']} in Kubernetes {kube_version}"
        return
    for error in validator.iter_errors(item):
        yield f"{where(item)}: {error.json_path}: {error.message[:300]}"
