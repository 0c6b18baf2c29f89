"""Compares renderings with each other: what must change with a value, what must not, and what nothing may change."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from charting.objects import Rendering, name_of, where
from charting.rendering import CHART, Case, parse, render
from tooling.kubernetes import Kubernetes

# Cases that have a ConfigMap and a Secret of their own, a StatefulSet and hooks.
CHECKED = ("sqlite", "postgresql-created-secret", "everything")
# Values that change the configuration: the pods have to be made anew.
RESTARTING = ("config.server.request_timeout_secs=20", "config.log.level=debug")
# Values that do not: no pod may be made anew, or every change of a label would restart everything.
QUIET = ("service.annotations.a=b", "migration.backoffLimit=2", "persistence.annotations.a=b", "metrics.service.port=9999")
# Fields that Kubernetes does not let anybody change.
IMMUTABLE = {
    "StatefulSet": ("selector", "serviceName", "volumeClaimTemplates", "podManagementPolicy"),
    "Deployment": ("selector",),
    "Service": ("clusterIP",),
}


def immutable_fields(rendering: Rendering) -> dict[str, Any]:
    """The fields that must be the same in every later version, by object."""
    fields = {}
    for item in rendering.objects:
        for name in IMMUTABLE.get(item["kind"], ()):
            fields[f"{where(item)} {name}"] = item["spec"].get(name)
    for job in rendering.of("Job"):
        if "helm.sh/hook" not in (job["metadata"].get("annotations") or {}):
            fields[f"{where(job)} template"] = job["spec"]["template"]
    return fields


def renderings_agree(tool: Kubernetes, case: Case) -> Iterator[str]:
    """Two renderings are the same, changes of values change what they should, and a new version nothing fixed."""
    text = render(tool, case)
    if render(tool, case) != text:
        yield "two renderings of it differ: nothing in it may be random or the time"
    if case.name not in CHECKED:
        return
    before = parse(text, case)
    template = before.workload().template
    for value in RESTARTING:
        changed = parse(render(tool, case, extra=("--set", value)), case).workload().template
        if changed.get("metadata", {}).get("annotations") == template.get("metadata", {}).get("annotations"):
            yield f"{value} changes no annotation of the pods, so they go on with the old configuration"
    for value in QUIET:
        if parse(render(tool, case, extra=("--set", value)), case).workload().template != template:
            yield f"{value} changes the pods' template, which restarts them for nothing"
    with tempfile.TemporaryDirectory() as directory:
        later = later_version(Path(directory))
        after = parse(render(tool, case, chart=later), case)
    fields, same = immutable_fields(before), immutable_fields(after)
    for name in sorted(fields):
        if fields[name] != same.get(name):
            yield f"{name} changes with the chart's version, but nobody can change it"
    if after.workload().main["image"] == before.workload().main["image"] and "@sha256:" not in before.workload().main["image"]:
        yield "a later version of the chart has the image of this one"
    if {where(item) for item in before.objects} != {where(item) for item in after.objects}:
        yield "names of objects change with the chart's version"


def later_version(directory: Path) -> Path:
    """The chart, as if it were released as 9.9.9."""
    chart = directory / CHART.name
    shutil.copytree(CHART, chart)
    lines = (chart / "Chart.yaml").read_text(encoding="utf-8").splitlines()
    versions = {"version": "version: 9.9.9", "appVersion": 'appVersion: "9.9.9"'}
    lines = [versions.get(line.partition(":")[0], line) for line in lines]
    (chart / "Chart.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return chart


def names_differ(tool: Kubernetes, case: Case) -> Iterator[str]:
    """Two releases in one namespace share no object and select no pod of each other."""
    releases = (Case(case.path, "first"), Case(case.path, "second"))
    first, second = (parse(render(tool, release), release) for release in releases)
    shared = {where(item) for item in first.objects} & {where(item) for item in second.objects}
    if shared:
        yield f"two releases both make {', '.join(sorted(shared))}"
    labels = second.workload().labels
    selector = first.workload().owner["spec"]["selector"]["matchLabels"]
    if selector.items() <= labels.items():
        yield f"{name_of(first.workload().owner)} selects pods of another release"
