"""Runs every check of the chart and says what is wrong. scripts/helm-check starts this in an environment with PyYAML and
the schemas of Kubernetes."""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml
from charting import changing, golden, packaging, pods, policy, relations, running, schemas, settings
from charting.objects import Rendering
from charting.rendering import CHART, KUBE_VERSIONS, ROOT, Case, Refused, cases, parse, render, version
from tooling.kubernetes import Kubernetes, kubernetes
from tooling.packages import PythonPackages, Unavailable, python_packages

RULES: list[Callable[[Rendering], Iterator[str]]] = [*pods.RULES, *relations.RULES, *settings.RULES]
# Cases whose notes are looked at: one of each way to reach the service.
NOTED = ("sqlite", "sqlite-ephemeral", "postgresql", "dynamodb", "ingress", "gateway", "tls", "everything")
# Cases that Checkov looks at; it takes seconds for each file.
JUDGED = ("everything", "sqlite", "dynamodb")
# Version of Kubernetes that the chart refuses, and one as EKS writes it.
TOO_OLD, OF_EKS = "1.24.17", "v1.29.15-eks-4096722"
MOST_FINDINGS = 60


class Report:
    """Findings, and what was looked at."""

    def __init__(self) -> None:
        self.findings: list[str] = []
        self.renderings = 0
        self.objects = 0
        self.started = 0

    def add(self, about: str, findings: Iterable[str]) -> None:
        self.findings += [f"{about}: {finding}" for finding in findings]


def rules(rendering: Rendering) -> Iterator[str]:
    """What the rules find in a rendering."""
    for rule in RULES:
        try:
            yield from rule(rendering)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            yield f"{rule.__name__} cannot be decided: {type(error).__name__}: {error}"


def check_case(tools: list[Kubernetes], case: Case, report: Report) -> tuple[Rendering, str] | None:
    """Renders a case with every Helm and for every version of Kubernetes, and looks at the objects."""
    texts: dict[str, str] = {}
    newest, seen = None, set()
    for kube_version in KUBE_VERSIONS:
        for tool in tools:
            about = f"{case.name} (Helm {tool.major}, Kubernetes {kube_version})"
            try:
                text = render(tool, case, kube_version)
            except Refused as why:
                report.add(about, [f"is not rendered: {why}"])
                return None
            report.renderings += 1
            if texts.setdefault(kube_version, text) != text:
                report.add(about, ["the other Helm renders something else"])
        try:
            rendering = parse(texts[kube_version], case)
        except yaml.YAMLError as why:
            report.add(f"{case.name} (Kubernetes {kube_version})", [f"is no YAML: {why}"])
            return None
        report.objects += len(rendering.objects)
        about = f"{case.name} (Kubernetes {kube_version})"
        for item in rendering.objects:
            report.add(about, schemas.violations(item, kube_version))
        if texts[kube_version] not in seen:
            report.add(about, rules(rendering))
        seen.add(texts[kube_version])
        newest = rendering
    return newest, texts[KUBE_VERSIONS[-1]]


def check_golden(texts: dict[Case, str], report: Report, update: bool) -> None:
    """What is rendered is what was reviewed: the files in tests/helm/golden."""
    bases = {case.name: text for case, text in texts.items() if case.name in golden.MODES}
    if set(bases) != set(golden.MODES):
        report.add("golden files", ["a mode is not rendered, so nothing can be compared with it"])
        return
    for case, text in texts.items():
        wanted = golden.kept(case, text, bases[golden.mode_of(case)], version())
        if update:
            golden.DIRECTORY.mkdir(exist_ok=True)
            golden.path_of(case).write_text(wanted, encoding="utf-8")
        difference = golden.difference(case, wanted)
        if difference:
            report.add(case.name, [f"is not what is kept of it (scripts/helm-check --update rewrites that):\n{difference}"])
    paths = {golden.path_of(case) for case in cases("values")}
    for path in sorted(set(golden.DIRECTORY.glob("*")) - paths):
        if update:
            path.unlink()
        else:
            report.add(str(path.relative_to(ROOT)), ["has no file in tests/helm/values any more"])


def check_refusals(tools: list[Kubernetes], report: Report) -> int:
    """Values that must be refused are, with the text that helps."""
    refusals = cases("refusals")
    for case in refusals:
        for tool in tools:
            about = f"refusal {case.name} (Helm {tool.major})"
            wanted = case.said("refused") + case.said(f"refused by Helm {tool.major}")
            if not wanted:
                report.add(about, ["its file has no line '# refused: TEXT'"])
            try:
                render(tool, case)
            except Refused as why:
                said = " ".join(str(why).split())
                report.add(about, [f"is not told {text!r}, but: {said[:600]}" for text in wanted if text not in said])
            else:
                report.add(about, ["is rendered, but should be refused"])
    return len(refusals)


def check_documented(tools: list[Kubernetes], report: Report) -> dict[str, Rendering]:
    """The values that the guide shows can be installed as they are."""
    found = packaging.documented()
    if not found:
        report.add(packaging.GUIDE.name, ["shows no values any more: no block starts with '# values-NAME.yaml'"])
    rendered = {}
    for name, text in found.items():
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / f"{name}.yaml"
            path.write_text(text, encoding="utf-8")
            for tool in tools:
                about = f"{name} in {packaging.GUIDE.name} (Helm {tool.major})"
                try:
                    rendering = parse(render(tool, Case(path)), Case(path))
                except Refused as why:
                    report.add(about, [f"is not rendered: {why}"])
                    continue
                rendered[f"{name} in {packaging.GUIDE.name}"] = rendering
                report.renderings += 1
                for item in rendering.objects:
                    if not item["apiVersion"].startswith("cert-manager.io/"):
                        report.add(about, schemas.violations(item, KUBE_VERSIONS[-1]))
    return rendered


def check_parse(tools: list[Kubernetes], renderings: dict[str, Path], report: Report) -> None:
    """kubectl understands the objects too, kinds it knows and kinds it does not."""
    for tool in tools:
        for name, path in renderings.items():
            with tempfile.TemporaryDirectory() as directory:
                (Path(directory) / "objects.yaml").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
                (Path(directory) / "kustomization.yaml").write_text("resources: [objects.yaml]\n", encoding="utf-8")
                ended = tool.run("kustomize", directory, program="kubectl")
                if ended.returncode != 0:
                    report.add(f"{name} (kubectl of Helm {tool.major})", [ended.stderr.strip()])


def check_running(rendered: dict[str, Rendering], report: Report) -> None:
    """The service takes every rendered configuration, and some of them up to being ready."""

    def look(name: str) -> tuple[str, list[str]]:
        rendering = rendered[name]
        with tempfile.TemporaryDirectory() as directory:
            found = []
            for number, pod in enumerate(rendering.pods()):
                if pod.main.get("args"):
                    found += running.refused_configuration(rendering, pod, Path(directory) / str(number))
            if not found and running.can_start(rendering):
                report.started += 1
                found += running.failures(rendering, Path(directory))
            return name, found

    with ThreadPoolExecutor(max_workers=4) as workers:
        for name, found in workers.map(look, rendered):
            report.add(name, found)


def check(tools: list[Kubernetes], checkov: PythonPackages, update: bool) -> tuple[Report, int]:
    report = Report()
    newest = tools[-1]
    with tempfile.TemporaryDirectory() as directory:
        rendered: dict[str, Rendering] = {}
        texts: dict[Case, str] = {}
        for case in cases("values"):
            result = check_case(tools, case, report)
            if result is not None:
                rendered[case.name], texts[case] = result
                report.add(case.name, changing.renderings_agree(newest, case))
        check_golden(texts, report, update)
        files = {}
        for case, text in texts.items():
            if case.name in JUDGED:
                files[case.name] = Path(directory) / f"{case.name}.yaml"
                files[case.name].write_text(text, encoding="utf-8")
        judging = policy.start(checkov, Path(directory))
        try:
            report.add("two releases", changing.names_differ(newest, cases("values")[0]))
            refusals = check_refusals(tools, report)
            check_chart(tools, report)
            check_parse(tools, files, report)
            check_running(rendered | check_documented(tools, report), report)
            report.add("policy", policy.findings(judging))
        finally:
            if judging.poll() is None:
                judging.kill()
                judging.communicate()
    return report, refusals


def check_chart(tools: list[Kubernetes], report: Report) -> None:
    """The chart as such: lint, archive, schema of its values, notes."""
    report.add("schema of the values", packaging.schema_is_strict())
    for tool in tools:
        about = f"chart (Helm {tool.major})"
        report.add(about, packaging.archive_is_clean(tool))
        try:
            render(tool, cases("values")[0], OF_EKS)
            render(tool, cases("values")[0], TOO_OLD)
            report.add(about, [f"is rendered for Kubernetes {TOO_OLD}, though nothing is checked for it"])
        except Refused as why:
            if TOO_OLD not in str(why):
                report.add(about, [f"is not rendered for Kubernetes {OF_EKS}: {why}"])
        for case in cases("values"):
            ended = tool.run("lint", "--strict", CHART, "--values", case.path, "--namespace", "spend")
            if ended.returncode != 0:
                report.add(f"{case.name} (Helm {tool.major})", [f"helm lint: {(ended.stdout + ended.stderr).strip()}"])
            if case.name in NOTED:
                try:
                    report.add(f"{case.name} (Helm {tool.major})", packaging.notes_help(packaging.notes(tool, case)))
                except Refused as why:
                    report.add(f"{case.name} (Helm {tool.major})", [f"its notes are not rendered: {why}"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="helm-check")
    parser.add_argument("--update", action="store_true", help="rewrite the files in tests/helm/golden")
    update = parser.parse_args().update
    started = time.monotonic()
    try:
        report, refusals = check([kubernetes(3), kubernetes(4)], python_packages("checkov"), update)
    except (Unavailable, subprocess.TimeoutExpired) as why:
        sys.exit(f"helm-check: {why}")
    for finding in report.findings[:MOST_FINDINGS]:
        print(f"- {finding}")
    did = f"{report.renderings} renderings, {report.objects} objects, {refusals} refusals, {report.started} services started"
    seconds = int(time.monotonic() - started)
    if report.findings:
        sys.exit(f"helm-check: FAILED after {seconds} s with {len(report.findings)} findings; {did}")
    print(f"helm-check: {did}: all passed in {seconds} s")


if __name__ == "__main__":
    main()
