"""Checks artifacts as somebody would who has nothing but them: sums, contents, and that what is inside runs."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from releasing.packing import irregularities, unpacked
from releasing.versions import NAME, openapi_version
from tooling.kubernetes import kubernetes
from tooling.service import Service, environment

SMOKE = Path(__file__).resolve().parent.parent / "smoke"
# The oldest C library that the documents promise: Amazon Linux 2023 and Red Hat Enterprise Linux 9 have it.
GLIBC = (2, 34)
# The machine in the header of a program, by the start of the target.
MACHINES = {"x86_64": 62, "aarch64": 183}
# Most of these seconds pass in the smoke test, and in starting a debug build.
MOST_SECONDS = 180
EXPECTED = ("LICENSE", "README.md", "CHANGELOG.md", "THIRD-PARTY-NOTICES.txt", "cost-keeper.example.yaml", "docs/configuration.md")


class Broken(Exception):
    """What was built is not what it should be. The text is for a person."""


def said(command: list[str | Path], directory: Path) -> str:
    """What a program prints, if it ends with 0."""
    result = subprocess.run(
        command,
        cwd=directory,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )
    if result.returncode != 0:
        raise Broken(f"{' '.join(map(str, command))} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.stdout


def extracted(archive: Path, top: str, epoch: int, directory: Path) -> Path:
    """Unpacks an archive, and returns its one directory."""
    if found := irregularities(archive, top, epoch):
        raise Broken("\n".join(found))
    with tarfile.open(archive) as tar:
        tar.extractall(directory, filter="data")
    return directory / top


def check_program(program: Path, target: str, portable: bool) -> str:
    """A program for this target; that it runs where the documents say, if it has to. Says what it needs."""
    header = program.read_bytes()[:20]
    machine = MACHINES.get(target.split("-", 1)[0])
    if machine is None or "-linux-gnu" not in target:
        raise Broken(f"{target} is none of the targets that are released: {', '.join(MACHINES)} with -unknown-linux-gnu")
    if header[:4] != b"\x7fELF" or int.from_bytes(header[18:20], "little") != machine:
        raise Broken(f"the binary is not one for {target}")
    symbols = said(["objdump", "-T", program], program.parent)
    versions = {tuple(map(int, found.split("."))) for found in re.findall(r"\bGLIBC_(\d+\.\d+)", symbols)}
    if not versions:
        raise Broken("the binary names no version of glibc")
    needed, promised = (".".join(map(str, version)) for version in (max(versions), GLIBC))
    if max(versions) <= GLIBC:
        return f"needs glibc {needed}"
    # Built where the C library is newer, Rust's own library may take more from it than it needs.
    if portable:
        raise Broken(f"the binary needs glibc {needed}; {promised} is promised. Build it on an older system")
    return f"needs glibc {needed}, which is newer than the {promised} of a release"


def check_binary(directory: Path, release, runs: bool, portable: bool) -> list[str]:
    top = release.top()
    with tempfile.TemporaryDirectory() as temporary:
        place = extracted(directory / f"{top}.tar.gz", top, release.epoch, Path(temporary))
        program = place / NAME
        missing = [name for name in EXPECTED if not (place / name).is_file() or not (place / name).stat().st_size]
        if missing:
            raise Broken(f"the archive lacks {', '.join(missing)}")
        needs = check_program(program, release.target, portable)
        bill = json.loads((directory / f"{top}.cdx.json").read_text(encoding="utf-8"))
        component = bill["metadata"]["component"]
        if (component["name"], component["version"]) != (NAME, release.version) or not bill["components"]:
            raise Broken(f"the bill of materials is not of {NAME} {release.version}")
        lines = [f"{top}.tar.gz: {len(list(place.rglob('*')))} files, a program for {release.target}", f"the program {needs}"]
        if not runs:
            return [*lines, f"not run: this machine is not {release.target}"]
        if (version := said([program, "--version"], place).strip()) != f"{NAME} {release.version}":
            raise Broken(f"the binary says that it is {version}")
        said([program, "--config", "cost-keeper.example.yaml", "config"], place)
        lines.append(check_service(program, Path(temporary)))
    return lines


def check_service(program: Path, directory: Path) -> str:
    """Starts the unpacked program on an empty directory, and has a client's day."""
    empty = directory / "empty"
    empty.mkdir()
    before = os.environ.get("COST_KEEPER_BIN")
    os.environ["COST_KEEPER_BIN"] = str(program)
    try:
        with Service(empty) as service:
            key = directory / "key"
            key.write_text(service.key, encoding="utf-8")
            told = said([sys.executable, "-B", SMOKE, service.url, "--key-file", key], directory)
    finally:
        os.environ.pop("COST_KEEPER_BIN")
        if before is not None:
            os.environ["COST_KEEPER_BIN"] = before
    return f"unpacked and started on an empty directory: {told.strip().splitlines()[-1]}"


def check_chart(directory: Path, release) -> str:
    """The packed chart says its version, and renders."""
    name = f"{NAME}-{release.label}.tgz"
    if found := irregularities(directory / name, NAME, release.epoch):
        raise Broken("\n".join(found))
    helm = kubernetes(4)
    shown = helm.run("show", "chart", directory / name)
    said_by_chart = dict(line.split(": ", 1) for line in shown.stdout.splitlines() if ": " in line)
    found = (said_by_chart.get("version", "").strip('"'), said_by_chart.get("appVersion", "").strip('"'))
    if found != (release.label, release.version):
        raise Broken(f"the chart says {found}, not {(release.label, release.version)}; {shown.stderr.strip()}")
    rendered = helm.run("template", "keeper", directory / name)
    if rendered.returncode != 0 or not re.search(rf"image: .*{NAME}:{re.escape(release.version)}\b", rendered.stdout):
        raise Broken(f"the chart does not render with the image of {release.version}: {rendered.stderr.strip()}")
    return f"{name}: the chart, of version {release.label} and application version {release.version}"


def check_shared(directory: Path, release) -> list[str]:
    lines = [check_chart(directory, release)]
    top = f"{NAME}-{release.label}-ecs"
    archive = directory / f"{top}.tar.gz"
    if found := irregularities(archive, top, release.epoch):
        raise Broken("\n".join(found))
    names = [name.removeprefix(f"{top}/") for name in unpacked(archive)]
    templates = [name for name in names if name.startswith("templates/")]
    if not templates or "README.md" not in names:
        raise Broken(f"{archive.name} has no templates, or no README.md")
    lines.append(f"{archive.name}: {len(names)} files, {len(templates)} templates")
    if (version := openapi_version((directory / "openapi.json").read_bytes())) != release.version:
        raise Broken(f"openapi.json is of version {version}")
    return lines


def verify(directory: Path, release, binary: bool, shared: bool, runs: bool, portable: bool) -> list[str]:
    """What was found good, in lines; raises Broken at the first thing that is not."""
    said(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], directory)
    listed = {line.split("  ", 1)[1] for line in (directory / "SHA256SUMS").read_text(encoding="utf-8").splitlines()}
    present = {file.name for file in directory.iterdir()} - {"SHA256SUMS"}
    if listed != present:
        raise Broken(f"SHA256SUMS and the directory differ: {', '.join(sorted(listed ^ present))}")
    lines = [f"SHA256SUMS: {len(listed)} files"]
    if binary:
        lines += check_binary(directory, release, runs, portable)
    if shared:
        lines += check_shared(directory, release)
    return lines
