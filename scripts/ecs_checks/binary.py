"""What the binary itself says: which tables it makes, and whether it accepts the environment of the task definition."""

import json
import subprocess
import tempfile
from collections.abc import Iterator

from ecs_checks.templates import Deployment
from ecs_checks.wiring import environment as variables
from tooling.service import binary, environment


def run(arguments: list[str], own: dict[str, str]) -> subprocess.CompletedProcess:
    with tempfile.TemporaryDirectory() as directory:
        return subprocess.run(
            [binary(), *arguments],
            cwd=directory,
            env=environment(own),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def tables(prefix: str) -> list[dict]:
    """Definitions of the tables that `migrate` would make."""
    url = f"dynamodb://?region=eu-central-1&table_prefix={prefix}"
    answer = run(["migrate", "--print", "--set", f"storage.url={url}"], {})
    if answer.returncode != 0:
        raise RuntimeError(f"migrate --print: {answer.stderr.strip()}")
    return json.loads(answer.stdout)["Tables"]


def real(own: dict[str, str]) -> dict[str, str]:
    """The variables with real values where only AWS knows them: networks of subnets that the stack makes."""
    return {name: "10.80.0.0/24,10.80.1.0/24" if name.endswith("TRUSTED_PROXIES") else value for name, value in own.items()}


def findings(deployment: Deployment) -> Iterator[str]:
    """Names and values of variables, as the binary judges them: it refuses what it does not know."""
    own = real(variables(deployment))
    answer = run(["config"], own)
    if answer.returncode != 0:
        yield f"the binary refuses the task definition's environment: {answer.stderr.strip() or answer.stdout.strip()}"
        return
    for name, value in own.items():
        if value and f"environment variable {name}" not in answer.stdout:
            yield f"{name} has no effect"
