"""Programs out of Debian packages, unpacked into target/tools: nothing is installed, and no service is started."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tooling.packages import TOOLS, Unavailable

# apt's own retries included.
DOWNLOAD_SECS = 300


def debian_program(package: str, path: str) -> Path:
    """The program of this name in the PATH, or `path` of the package as the system's sources have it.

    apt verifies what it downloads. Packages it depends on are not unpacked, so this is for programs that need only libc.
    """
    name = Path(path).name
    if found := shutil.which(name):
        return Path(found)
    directory = TOOLS / f"debian-{package}"
    if (directory / path).exists():
        return directory / path
    for needed in ("apt-get", "dpkg-deb"):
        if shutil.which(needed) is None:
            raise Unavailable(f"{name} is missing, and there is no {needed} to get it with: install it by hand")
    print(f"== getting {name} out of the package {package}", flush=True)
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TOOLS) as download:
        try:
            download_package(package, Path(download))
        except Unavailable:
            # Sources that were never read, or are old.
            run(["apt-get", "-qq", "-o", "Acquire::Retries=3", "update"], Path(download), "apt-get update failed")
            download_package(package, Path(download))
        archives = list(Path(download).glob("*.deb"))
        if len(archives) != 1:
            raise Unavailable(f"apt-get left {len(archives)} archives of {package}")
        unpack = ["dpkg-deb", "--extract", str(archives[0]), str(directory)]
        run(unpack, Path(download), f"{package} cannot be unpacked")
    if not (directory / path).exists():
        raise Unavailable(f"the package {package} has no {path}")
    return directory / path


def download_package(package: str, directory: Path) -> None:
    command = ["apt-get", "-qq", "-o", "Acquire::Retries=3", "download", package]
    run(command, directory, f"apt-get cannot download {package}")


def run(command: list[str], directory: Path, failure: str) -> None:
    try:
        done = subprocess.run(
            command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DOWNLOAD_SECS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{failure}: it took longer than {DOWNLOAD_SECS} s") from error
    if done.returncode != 0:
        raise Unavailable(f"{failure}: {done.stderr.strip()[-300:]}")
