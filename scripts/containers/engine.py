"""The engine, through its command line."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable

# Longest time of one command, but for builds.
COMMAND_SECONDS = 300


class Failed(Exception):
    """A check did not hold; the text is for a person."""


def finished(command: list[str], environment: dict[str, str] | None, seconds: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def output_of(command: list[str], environment: dict[str, str] | None = None, seconds: int = COMMAND_SECONDS) -> str:
    """Standard output of a command that has to succeed."""
    try:
        ended = finished(command, environment, seconds)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(command)}: not done within {seconds} s") from error
    if ended.returncode != 0:
        said = (ended.stderr.strip() or ended.stdout.strip())[-3000:]
        raise Failed(f"{' '.join(command)}: ended with {ended.returncode}\n{said}")
    return ended.stdout


def both_of(command: list[str]) -> tuple[int, str]:
    """How a command ended and all it said, whether or not it succeeded."""
    ended = finished(command, None, COMMAND_SECONDS)
    return ended.returncode, ended.stdout + ended.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def within(most: float, what: str, look: Callable[[], object]) -> float:
    """Looks until there is something to see; the seconds it took."""
    started = time.monotonic()
    while not look():
        if time.monotonic() - started > most:
            raise Failed(f"{what}: not within {most:g} s")
        time.sleep(0.02)
    return time.monotonic() - started


class Engine:
    """Whatever `docker` reaches; DOCKER names another program."""

    def __init__(self) -> None:
        self.program = os.environ.get("DOCKER", "docker")

    def missing(self) -> str | None:
        """Why there is no engine."""
        if shutil.which(self.program) is None:
            return f"there is no program {self.program}"
        try:
            version = self.run("info", "--format", "{{.ServerVersion}}", seconds=30)
        except Failed as failure:
            return str(failure).strip().splitlines()[-1]
        # Older programs call it a success that there is no answer.
        return None if version else f"{self.program} reaches none"

    def run(self, *arguments: str, seconds: int = COMMAND_SECONDS) -> str:
        return output_of([self.program, *arguments], seconds=seconds).strip()

    def inspect(self, kind: str, name: str) -> dict:
        return json.loads(self.run(kind, "inspect", name))[0]

    def try_run(self, *arguments: str) -> tuple[int, str]:
        """How a command ended and all it said, whether or not it succeeded."""
        return both_of([self.program, *arguments])

    def build(self, arguments: list[str]) -> None:
        """Builds with BuildKit and shows how it goes, with this machine's own KEEPER_BUILD_OPTIONS."""
        options = os.environ.get("KEEPER_BUILD_OPTIONS", "").split()
        command = [self.program, "build", *options, *arguments]
        environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
        if subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode != 0:
            raise Failed("the image cannot be built")
