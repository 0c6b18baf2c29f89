"""The service under test: the binary, on an empty directory and a free port of 127.0.0.1."""

import json
import os
import secrets
import subprocess
import time
from pathlib import Path

from tooling.packages import TARGET, Unavailable

# The service says where it listens within these seconds.
START_SECONDS = 60
# It ends within these after SIGTERM: its own drain takes up to 26.
STOP_SECONDS = 40


def binary() -> Path:
    """What COST_KEEPER_BIN names, or the debug build."""
    path = Path(os.environ.get("COST_KEEPER_BIN", TARGET / "debug" / "bedrock-cost-keeper")).resolve()
    if not path.exists():
        raise Unavailable(f"there is no {path}: run cargo build --all-features, or set COST_KEEPER_BIN")
    return path


def environment(variables: dict[str, str] | None = None) -> dict[str, str]:
    """This process's environment without the service's own variables, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COST_KEEPER_")}
    return {**kept, **(variables or {})}


def address_in(line: str) -> str | None:
    """Where the API is, by a line of the greeting, which is one line of JSON where the log is JSON."""
    words = line.split()
    if words[:1] == ["API"] and len(words) > 1:
        return words[1]
    if not line.startswith("{"):
        return None
    try:
        api = json.loads(line).get("api")
    except ValueError:
        return None
    return api if isinstance(api, str) else None


class Service:
    """The running service, until the end of the block. What it creates and logs is in `directory`.

    `settings` are `key=value`, as after `--set`; `variables` its environment.
    """

    def __init__(
        self, directory: Path, settings: list[str] | None = None, variables: dict[str, str] | None = None
    ) -> None:
        self.directory = directory
        self.key = secrets.token_hex(16)
        self.settings = settings or []
        self.variables = {"COST_KEEPER_AUTH__PROVISIONING_KEYS": self.key, **(variables or {})}
        self.url = ""
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "Service":
        command = [str(binary()), "serve", "--listen", "127.0.0.1:0"]
        command += [part for setting in self.settings for part in ("--set", setting)]
        with (self.directory / "server.log").open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=environment(self.variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            deadline = time.monotonic() + START_SECONDS
            while time.monotonic() < deadline and self.process.poll() is None:
                # What comes after the last newline is not a whole line yet.
                for line in self.said().split("\n")[:-1]:
                    if api := address_in(line):
                        self.url = api.removesuffix("/api/v1")
                        return self
                time.sleep(0.05)
            raise Unavailable(f"the service did not start:\n{self.said()}")
        except BaseException:
            # Python does not call it where the block was not entered.
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def said(self) -> str:
        """Everything it printed and logged."""
        return (self.directory / "server.log").read_text(encoding="utf-8", errors="replace")
