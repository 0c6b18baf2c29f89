"""The scripts of deploy/ecs, run for real: against an AWS that moto imitates, or one that only writes down its calls.

They run in a checkout of their own, a copy of what they need, so that neither the state of this one nor its parameter
files matter.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from ecs_checks.templates import ENVIRONMENTS, REGION
from tooling.packages import ROOT, PythonPackages, Unavailable

OURS = ROOT / "tests" / "ecs"
# Longest time of one script, and of the start of a server.
SCRIPT_SECONDS = 100
START_SECONDS = 60
# What an account has in place of the example's values.
OWN_VALUES = [
    ("111122223333", "123456789012"),
    ("00000000-0000-0000-0000-000000000000", "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"),
    (r"-0{8,17}\b", "-0123456789abcdef0"),
    (r"\bZ0{8,}", "Z0123456789ABCDEFGHIJ"),
    (r"203\.0\.113\.", "10.1.2."),
    (r"example\.com", "keeper.internal"),
]


class Checkout:
    """A clean git checkout with the scripts, the templates and what the scripts read besides."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "checkout"
        self.scripts = self.root / "deploy" / "ecs" / "scripts"
        shutil.copytree(ROOT / "deploy" / "ecs", self.root / "deploy" / "ecs")
        for name in ("Cargo.toml", "Dockerfile"):
            shutil.copy(ROOT / name, self.root / name)
        self.git("init", "--quiet")
        self.commit("first")

    def git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=check", "-c", "user.email=check@localhost", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=self.root, check=True, stdin=subprocess.DEVNULL)

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def settle(self) -> None:
        """Puts an account's own values where the parameter files have those of the example."""
        for pattern, own in OWN_VALUES:
            self.replace(pattern, own)

    def replace(self, pattern: str, own: str) -> None:
        """Replaces a value in every parameter file."""
        for name in ENVIRONMENTS:
            path = self.root / "deploy" / "ecs" / "parameters" / f"{name}.json"
            path.write_text(re.sub(pattern, own, path.read_text(encoding="utf-8")), encoding="utf-8")
        self.commit("an account's own values")

    def version(self, version: str) -> None:
        manifest = self.root / "Cargo.toml"
        text = manifest.read_text(encoding="utf-8")
        first = next(line for line in text.splitlines() if line.startswith("version = "))
        manifest.write_text(text.replace(first, f'version = "{version}"', 1), encoding="utf-8")
        self.commit(version)


class Runner:
    """Runs scripts with programs of its own in front of the PATH, and keeps everything they said and called."""

    def __init__(self, checkout: Checkout, programs: Path, variables: dict[str, str]) -> None:
        self.checkout, self.programs = checkout, programs
        self.log = programs / "calls.jsonl"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "COST_KEEPER_"))}
        self.environment = {
            **kept,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(programs),
            "TMPDIR": str(programs),
            "FAKE_LOG": str(self.log),
            "COST_KEEPER_POLL_SECONDS": "0.2",
            "AWS_EC2_METADATA_DISABLED": "true",
            **variables,
        }
        self.said = ""

    def __call__(self, script: str, *arguments: str, environment: str = "dev", **variables: str) -> "Outcome":
        return self.raw(script, "--environment", environment, "--region", REGION, *arguments, **variables)

    def raw(self, script: str, *arguments: str, **variables: str) -> "Outcome":
        answer = subprocess.run(
            [self.checkout.scripts / script, *arguments],
            env={**self.environment, **variables},
            cwd=self.programs,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SCRIPT_SECONDS,
            check=False,
        )
        text = answer.stdout + answer.stderr
        self.said += text
        return Outcome(answer.returncode, text)

    def calls(self) -> list[list[str]]:
        """Every call of one of the programs, with its arguments."""
        if not self.log.exists():
            return []
        return [json.loads(line)["called"] for line in self.log.read_text(encoding="utf-8").splitlines()]

    def forget(self) -> None:
        self.log.unlink(missing_ok=True)


class Outcome:
    def __init__(self, code: int, text: str) -> None:
        self.code, self.text = code, text


def programs(directory: Path, sources: dict[str, Path]) -> Path:
    """A directory of programs under these names."""
    directory.mkdir()
    # It takes seconds, and ecs-check has run it already.
    (directory / "cfn-lint").symlink_to(shutil.which("true"))
    for name, source in sources.items():
        shutil.copy(source, directory / name)
        (directory / name).chmod(0o755)
    return directory


class Imitation:
    """moto's AWS on a free port of 127.0.0.1, until the end of the block."""

    def __init__(self, packages: PythonPackages, directory: Path) -> None:
        self.packages, self.directory = packages, directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.aws: "WarmAws | None" = None
        # A name, because moto takes the first part of an address for that of a bucket.
        self.url = f"http://localhost:{self.port}"

    def __enter__(self) -> "Imitation":
        log = (self.directory / "moto.log").open("w", encoding="utf-8")
        command = [self.packages.python, "-B", OURS / "imitation.py", str(self.port)]
        # Certificates are issued at once.
        environment = {**self.packages.environment(), "MOTO_ACM_VALIDATION_WAIT": "0"}
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        try:
            self.wait()
        except BaseException:
            # Python does not call it where the block was not entered.
            self.__exit__()
            raise
        return self

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise Unavailable(f"moto did not start: {self.log()[-2000:]}")

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        return (self.directory / "moto.log").read_text(encoding="utf-8")

    def credentials(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "imitation",
            "AWS_DEFAULT_REGION": REGION,
        }

    def ask(self, *arguments: str) -> dict:
        """Asks past the scripts."""
        answer = subprocess.run(
            [*self.aws.command, *arguments, "--output", "json"],
            env={"PATH": os.environ["PATH"], **self.credentials()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SCRIPT_SECONDS,
            check=False,
        )
        if answer.returncode != 0:
            return {"error": answer.stderr}
        return json.loads(answer.stdout) if answer.stdout.strip() else {}


class WarmAws:
    """The real `aws`, which writes down how it is called, until the end of the block: see tests/ecs/warm_aws.py."""

    def __init__(self, packages: PythonPackages, directory: Path) -> None:
        self.packages, self.socket = packages, directory / "aws.socket"
        self.command = [sys.executable, "-SEB", str(OURS / "warm_aws.py"), "call", str(self.socket)]

    def __enter__(self) -> "WarmAws":
        command = [self.packages.python, "-B", OURS / "warm_aws.py", "serve", self.socket]
        self.process = subprocess.Popen(command, env=self.packages.environment(), stdin=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not self.socket.exists() and time.monotonic() < deadline and self.process.poll() is None:
                time.sleep(0.05)
            if not self.socket.exists():
                raise Unavailable("the AWS command line interface did not start")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def write(self, program: Path) -> None:
        """Writes a program that does what `aws` does."""
        program.write_text(
            f"""#!{sys.executable} -SEB
import json, os, sys
with open(os.environ["FAKE_LOG"], "a", encoding="utf-8") as log:
    log.write(json.dumps({{"name": "", "called": ["aws", *sys.argv[1:]]}}) + "\\n")
os.execv({sys.executable!r}, [*{self.command!r}, *sys.argv[1:]])
""",
            encoding="utf-8",
        )
        program.chmod(0o755)
