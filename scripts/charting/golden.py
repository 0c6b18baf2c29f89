"""Renderings as they are kept in tests/helm/golden, for a person to read.

Of the three modes with the least values everything is kept (MODE.yaml). Of every other file of values only what it changes
in the rendering of its mode (NAME.diff): added and removed objects, and differences within objects, without line numbers,
so that a change of the mode's rendering does not change all of them.
"""

import difflib
import re
from pathlib import Path

import yaml
from charting.rendering import TESTS, Case
from tooling.packages import ROOT

DIRECTORY = TESTS / "golden"
MODES = ("sqlite", "postgresql", "dynamodb")
# Lines of a difference that are shown as a finding.
MOST_LINES = 40


def mode_of(case: Case) -> str:
    return yaml.safe_load(case.path.read_text(encoding="utf-8")).get("mode", "sqlite")


def path_of(case: Case) -> Path:
    return DIRECTORY / f"{case.name}.{'yaml' if case.name in MODES else 'diff'}"


def normalized(text: str, version: str) -> str:
    """Without what changes with every release or every setting, and without alerts, which are in a file of their own."""
    hidden = re.sub(rf"(?<![\d.]){re.escape(version)}(?![\d.])", "<version>", text)
    hidden = re.sub(r"(checksum/[a-z-]+: )[\"']?[0-9a-f]{8,64}[\"']?", r"\1<checksum>", hidden)
    hidden = re.sub(r"(\nkind: PrometheusRule\n(?:(?!---).*\n)*?spec:\n  groups:\n)(?:(?!---).*\n)*", r"\1    <alerts>\n", hidden)
    return "\n".join(line.rstrip() for line in hidden.splitlines()).strip() + "\n"


def documents(text: str) -> dict[str, list[str]]:
    """Lines of each object by the template it comes from and its kind, whatever its name."""
    found: dict[str, list[str]] = {}
    for document in re.split(r"^---$", text, flags=re.MULTILINE):
        lines = document.strip().splitlines()
        if not lines:
            continue
        source = re.sub(r"^# Source: [^/]+/(templates/)?", "", lines[0])
        kind = next((line.partition(": ")[2] for line in lines if line.startswith("kind: ")), "nothing")
        title, number = f"{kind} of {source}", 2
        while title in found:
            title, number = f"{kind} {number} of {source}", number + 1
        found[title] = lines[1:]
    return found


def changes(base: str, text: str) -> str:
    """What is different from the rendering of the mode."""
    before, after = documents(base), documents(text)
    parts = []
    for title in [*before, *(title for title in after if title not in before)]:
        if title not in after:
            parts.append(f"== without the {title}")
        elif title not in before:
            parts.append("\n".join([f"== with a {title}", *after[title]]))
        elif before[title] != after[title]:
            lines = list(difflib.unified_diff(before[title], after[title], lineterm="", n=1))[2:]
            parts.append("\n".join([f"== other {title}", *("…" if line.startswith("@@") else line for line in lines)]))
    return "\n\n".join(parts) + "\n"


def kept(case: Case, text: str, base: str, version: str) -> str:
    """What is kept of a rendering; `base` is that of its mode."""
    if case.name in MODES:
        return normalized(text, version)
    return changes(normalized(base, version), normalized(text, version))


def difference(case: Case, wanted: str) -> str:
    """What is different in the file that is kept; empty: nothing."""
    path = path_of(case)
    if not path.exists():
        return f"there is no {path.relative_to(ROOT)}"
    found = path.read_text(encoding="utf-8").splitlines()
    lines = list(difflib.unified_diff(found, wanted.splitlines(), "kept", "rendered", lineterm="", n=2))
    more = f"\n… and {len(lines) - MOST_LINES} lines more" if len(lines) > MOST_LINES else ""
    return "\n".join(lines[:MOST_LINES]) + more
