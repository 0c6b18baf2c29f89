"""The version: Cargo.toml has it, and other files say it again. Finds those places, compares and changes them."""

import json
import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

NAME = "bedrock-cost-keeper"
CHART = Path("helm") / NAME / "Chart.yaml"
# Of the pre-releases that Semantic Versioning allows, those that cannot be taken for a part of a file's name.
VERSION = re.compile(r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-(?:alpha|beta|rc)\.(?:0|[1-9]\d*))?")
HEADING = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)

# Where a file says the version of this product, `{}` being the version. Everywhere else a number of three parts may be
# anybody's.
STATEMENTS = {
    "Cargo.toml": r'(?m)^(version = "){}(")',
    "Cargo.lock": r'(name = "bedrock-cost-keeper"\nversion = "){}(")',
    "fuzz/Cargo.lock": r'(name = "bedrock-cost-keeper"\nversion = "){}(")',
    str(CHART): r'(?m)^((?:version|appVersion): "?){}("?\s*)$',
    "Dockerfile": r"(?m)^(ARG VERSION=){}($)",
    "openapi/openapi.json": r'("version": "){}(")',
}
# In every file: an image, an archive or a chart of that version, what labels say of it, and what a variable's name says.
# The name may stand behind a repository: `registry.example.com/team/bedrock-cost-keeper:0.1.0`.
ANYWHERE = (
    r"(bedrock-cost-keeper(?:[:@ -]|=v?| v))({})(?!\w|\.\d)",
    r"(Bedrock Cost Keeper )({})",
    r'(app\.kubernetes\.io/version: "?)({})("?)',
    r'(org\.opencontainers\.image\.version[=:] ?"?)({})',
    r'(COST_KEEPER_(?:VERSION|IMAGE_TAG)(?::-|: |=)"?)({})',
)
# Not looked at: the history, the lock files of others, and sources, whose tests have versions of their own.
SKIPPED = ("CHANGELOG.md", "src/", "tests/it/", "fuzz/", "migrations/", "scripts/", "tests/browser/", "Cargo.lock")


class Unusable(Exception):
    """The version cannot be read, or is none. The text is for a person."""


@dataclass(frozen=True)
class Statement:
    """A place that says a version."""

    file: str
    line: int
    version: str


def cargo_version(root: Path) -> str:
    return tomllib.loads((root / "Cargo.toml").read_text(encoding="utf-8"))["package"]["version"]


def tracked(root: Path) -> list[str]:
    """Files of the repository that are there, and new ones that are not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted({name for name in names if name and (root / name).is_file()})


def patterns(file: str, version: str) -> list[re.Pattern]:
    found = [re.compile(STATEMENTS[file].replace("{}", f"({version})"))] if file in STATEMENTS else []
    if not file.startswith(SKIPPED):
        found += [re.compile(pattern.replace("{}", version)) for pattern in ANYWHERE]
    return found


def text_of(path: Path) -> str:
    """The text of a file; nothing where it is binary."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def statements(root: Path) -> list[Statement]:
    """Every place that says the version."""
    found = set()
    for file in tracked(root):
        text = text_of(root / file)
        for pattern in patterns(file, VERSION.pattern):
            for match in pattern.finditer(text):
                # The group of the version comes second.
                found.add(Statement(file, text.count("\n", 0, match.start(2)) + 1, match[2]))
    return sorted(found, key=lambda place: (place.file, place.line))


def disagreements(root: Path) -> list[str]:
    """Where another version is said than in Cargo.toml, or none where one has to be."""
    version = cargo_version(root)
    said = statements(root)
    found = [f"{file} does not say the version" for file in STATEMENTS if file not in {place.file for place in said}]
    different = [place for place in said if place.version != version]
    return found + [f"{place.file}:{place.line} says {place.version}, Cargo.toml {version}" for place in different]


def bump(root: Path, new: str) -> dict[str, int]:
    """Changes every place that says the present version; returns how many there were in each file."""
    old = re.escape(cargo_version(root))
    changed = {}
    for file in tracked(root):
        text = text_of(root / file)
        count = 0
        for pattern in patterns(file, old):
            text, times = pattern.subn(lambda match: match[0].replace(match[2], new, 1), text)
            count += times
        if count:
            (root / file).write_text(text, encoding="utf-8")
            changed[file] = count
    return changed


def rest(root: Path, old: str) -> list[str]:
    """Lines that still have the old version, for a person to look at."""
    pattern = re.compile(rf"(?<![\w.]){re.escape(old)}(?![\w.-]*\w)")
    found = []
    for file in tracked(root):
        if not file.startswith(SKIPPED):
            lines = text_of(root / file).splitlines()
            found += [f"{file}:{number}: {line.strip()}" for number, line in enumerate(lines, 1) if pattern.search(line)]
    return found


def add_heading(root: Path, version: str, date: str) -> bool:
    """Makes a section of what is unreleased, unless the version has one."""
    changelog = root / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    if version in [match[1] for match in HEADING.finditer(text)]:
        return False
    if "## [Unreleased]\n" not in text:
        raise Unusable("CHANGELOG.md has no heading ## [Unreleased]")
    changelog.write_text(
        text.replace("## [Unreleased]\n", f"## [Unreleased]\n\n## [{version}] - {date}\n", 1), encoding="utf-8"
    )
    return True


def notes(root: Path, version: str) -> str:
    """What CHANGELOG.md says about a version; it has to have a date."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = list(HEADING.finditer(text))
    for number, heading in enumerate(headings):
        if heading[1] == version:
            if not heading[2]:
                raise Unusable(f"the heading of {version} in CHANGELOG.md has no date")
            end = headings[number + 1].start() if number + 1 < len(headings) else len(text)
            section = text[heading.end() : end].strip()
            if not section:
                raise Unusable(f"CHANGELOG.md says nothing about {version}")
            return section + "\n"
    raise Unusable(f"CHANGELOG.md has no heading ## [{version}] - DATE; scripts/bump-version {version} writes it")


def openapi_version(document: bytes) -> str:
    return json.loads(document)["info"]["version"]
