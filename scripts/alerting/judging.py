"""The judgement on rules and dashboard: pure functions from texts to findings."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

ANNOTATIONS = ("summary", "description", "runbook")
SEVERITIES = ("critical", "warning")
# Made by Prometheus itself for each target.
OF_PROMETHEUS = {"up"}
LABELS_OF_PROMETHEUS = {"job", "instance"}
HISTOGRAM_SUFFIXES = ("_bucket", "_sum", "_count")


@dataclass(frozen=True)
class Selector:
    """`metric{label="value"}` in an expression."""

    metric: str
    labels: dict[str, str]


def selectors(expression: str) -> list[Selector]:
    """Every selector of an expression. Those of this repository all have braces."""
    found = []
    for name, inside in re.findall(r'([a-zA-Z_:][\w:]*)\s*\{((?:[^{}"]|"[^"]*")*)\}', expression):
        labels = dict(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', inside))
        found.append(Selector(name, labels))
    return found


def metrics_of_source(source: str) -> dict[str, str]:
    """Kind of each metric in the table of src/telemetry/metrics.rs."""
    return dict(re.findall(r'^    \("(\w+)", Kind::(\w+)', source, re.MULTILINE))


def metrics_of_page(page: str) -> dict[str, set[str]]:
    """Labels of each metric that has samples in what the service answers."""
    found: dict[str, set[str]] = {}
    for line in page.splitlines():
        match = re.match(r"(\w+)(?:\{(.*)\})? \S+$", line)
        if match:
            found.setdefault(match[1], set()).update(re.findall(r'(\w+)="', match[2] or ""))
    return found


def base(metric: str, kinds: dict[str, str]) -> str:
    """A histogram's name without the suffix of its series."""
    for suffix in HISTOGRAM_SUFFIXES:
        name = metric.removesuffix(suffix)
        if name != metric and kinds.get(name) == "Histogram":
            return name
    return metric


def anchors(markdown: str) -> set[str]:
    """Anchors of a document's headings, as hosting sites make them."""
    found = set()
    for heading in re.findall(r"^#+ +(.+?) *$", re.sub(r"^```.*?^```", "", markdown, flags=re.M | re.S), re.MULTILINE):
        found.add(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"))
    return found


def judge_expression(where: str, expression: str, kinds: dict[str, str], page: dict[str, set[str]], source: str) -> list[str]:
    """Selectors that nothing of the service could match."""
    findings = []
    for selector in selectors(expression):
        if selector.metric in OF_PROMETHEUS:
            continue
        name = base(selector.metric, kinds)
        if name not in kinds:
            findings.append(f"{where}: the service has no metric {selector.metric}")
            continue
        if kinds[name] == "Histogram" and name == selector.metric:
            findings.append(f"{where}: {name} is a histogram: its series end in {', '.join(HISTOGRAM_SUFFIXES)}")
        known = page.get(selector.metric)
        for label, value in selector.labels.items():
            if label in LABELS_OF_PROMETHEUS:
                continue
            if known is not None and label not in known:
                findings.append(f"{where}: {selector.metric} has no label {label}, it has {', '.join(sorted(known)) or 'none'}")
            if label in ("group", "action", "outcome", "reason", "result"):
                words = [word for word in value.split("|") if re.fullmatch(r"\w+", word)]
                findings += [f"{where}: no source says {label} {word}" for word in words if not re.search(rf"[\"`]{word}[\"`]", source)]
    return findings


def judge_rule(rule: dict, tested: set[str], documents: dict[str, set[str]]) -> list[str]:
    """What an alert lacks. `documents` has the anchors of each document that a runbook may be in."""
    name = rule.get("alert", "a rule without a name")
    findings = []
    if rule.get("labels", {}).get("severity") not in SEVERITIES:
        findings.append(f"{name}: severity is none of {', '.join(SEVERITIES)}")
    annotations = rule.get("annotations", {})
    findings += [f"{name}: no {wanted}" for wanted in ANNOTATIONS if not annotations.get(wanted)]
    document, _, anchor = annotations.get("runbook", "").partition("#")
    if document and anchor not in documents.get(document, set()):
        findings.append(f"{name}: there is no section {document}#{anchor}")
    if name not in tested:
        findings.append(f"{name}: no test in alerts.test.yaml")
    return findings


def undocumented(names: Iterable[str], text: str, what: str) -> list[str]:
    return [f"{what} {name} is not described" for name in sorted(names) if f"`{name}`" not in text]
