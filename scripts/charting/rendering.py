"""Runs Helm over the files in tests/helm/values and reads what it renders."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from charting.objects import Rendering
from tooling.kubernetes import Kubernetes
from tooling.packages import ROOT

CHART = ROOT / "helm" / "bedrock-cost-keeper"
TESTS = ROOT / "tests" / "helm"
RELEASE = "keeper"
NAMESPACE = "spend"
# Versions of Kubernetes that the chart is rendered for and its objects are checked against. The last one is that of the
# golden files.
KUBE_VERSIONS = ("1.25.0", "1.29.0", "1.32.0", "1.35.0")


class Refused(Exception):
    """Helm rendered nothing. The text is what it said."""


class Loader(yaml.CSafeLoader):
    """Refuses a key that is given twice: Kubernetes would take the last one, and PyYAML does so silently."""


def unique(loader: Loader, node: yaml.MappingNode, deep: bool = False) -> dict:
    keys = [loader.construct_object(key) for key, _ in node.value]
    twice = sorted({str(key) for key in keys if keys.count(key) > 1})
    if twice:
        raise yaml.YAMLError(f"{', '.join(twice)} twice in line {node.start_mark.line + 1}")
    return yaml.CSafeLoader.construct_mapping(loader, node, deep)


Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, unique)


@dataclass(frozen=True)
class Case:
    """A file of values. Its first comment says what it is for; `# release:` and `# exists:` say what is around it."""

    path: Path
    # Instead of the release name that the file asks for.
    other_release: str = ""

    @property
    def name(self) -> str:
        return self.path.stem

    def said(self, word: str) -> list[str]:
        text = self.path.read_text(encoding="utf-8")
        return re.findall(rf"^# {word}: (.+)$", text, re.MULTILINE)

    @property
    def release(self) -> str:
        return self.other_release or (self.said("release") or [RELEASE])[0]

    def existing(self) -> dict[tuple[str, str], set[str] | None]:
        """What `# exists: Kind/name key key` lists."""
        found: dict[tuple[str, str], set[str] | None] = {}
        for line in self.said("exists"):
            what, *keys = line.split()
            kind, _, name = what.partition("/")
            found[kind, name] = set(keys) or None
        return found


def cases(directory: str) -> list[Case]:
    found = [Case(path) for path in sorted((TESTS / directory).glob("*.yaml"))]
    if not found:
        raise SystemExit(f"helm-check: there is nothing in {TESTS / directory}")
    return found


def render(tool: Kubernetes, case: Case, kube_version: str = KUBE_VERSIONS[-1], *, extra: tuple = (), chart: Path = CHART) -> str:
    """What `helm template` prints."""
    command = ["template", case.release, chart, "--namespace", NAMESPACE, "--values", case.path]
    ended = tool.run(*command, "--kube-version", kube_version, *extra)
    if ended.returncode != 0:
        raise Refused(ended.stderr.strip() or "it says nothing")
    return ended.stdout


def parse(text: str, case: Case) -> Rendering:
    """Objects of a rendering, those in a List one by one."""
    objects = []
    for document in yaml.load_all(text, Loader=Loader):
        if document is not None:
            objects += document["items"] if document.get("kind") == "List" else [document]
    return Rendering(objects, case.release, NAMESPACE, case.existing())


def version() -> str:
    """The chart's version."""
    return str(yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["version"])
