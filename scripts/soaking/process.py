"""The service as a process of its own, on loopback and in a directory of its own."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

from tooling.service import address_in

START_SECS = 60
# Draining takes up to 26 seconds by default.
STOP_SECS = 60


class Broken(Exception):
    """The service did not start or stop as it has to."""


class Service:
    """Starts, kills and stops one service after the other, all on the same store."""

    def __init__(self, binary: str, directory: Path, configuration: str, secrets: dict[str, str]):
        self.binary = binary
        self.directory = directory
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("COST_KEEPER_")}
        self.environment.update(secrets)
        (directory / "cost-keeper.yaml").write_text(configuration, encoding="utf-8")
        self.log = directory / "service.log"
        self.process: asyncio.subprocess.Process | None = None
        self.port = 0
        self._rest: asyncio.Task | None = None

    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                self.binary, "serve", "--listen", "127.0.0.1:0",
                cwd=self.directory, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        try:
            async with asyncio.timeout(START_SECS):
                while line := await self.process.stdout.readline():
                    if line.endswith(b"\n") and (api := address_in(line.decode(errors="replace"))):
                        self.port = int(api.rsplit(":", 1)[1].split("/")[0])
                        break
                else:
                    raise Broken(f"the service ended before it served; see {self.log}")
        except TimeoutError as error:
            raise Broken("the service did not say where it listens") from error
        # Nobody else reads what it prints; a full pipe would stop it.
        self._rest = asyncio.create_task(self.process.stdout.read())

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> None:
        """SIGTERM, and a clean end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = await asyncio.wait_for(self.process.wait(), STOP_SECS)
        except TimeoutError as error:
            raise Broken(f"the service did not end within {STOP_SECS} s of SIGTERM") from error
        if code != 0:
            raise Broken(f"the service ended with {code} after SIGTERM")

    async def end(self) -> None:
        """Whatever happened before: nothing stays behind."""
        if self.process is not None and self.process.returncode is None:
            await self.kill()

    def run(self, *arguments: str) -> str:
        """Another command of the binary on the same store; its standard output."""
        result = subprocess.run(
            [self.binary, *arguments], cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=300, check=False
        )
        if result.returncode != 0:
            raise Broken(f"{' '.join(arguments)} ended with {result.returncode}: {result.stderr[-500:]}")
        return result.stdout
