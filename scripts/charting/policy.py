"""Asks Checkov what it thinks of rendered objects, with the skip list in tests/helm/checkov.yaml."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from charting.rendering import TESTS
from tooling.packages import PythonPackages, Unavailable

# It takes seconds to start, however little there is to look at.
MOST_SECONDS = 120
# With fewer it has not looked at what there is.
LEAST_CHECKS = 100


def start(packages: PythonPackages, directory: Path) -> subprocess.Popen:
    """Starts Checkov over the files of a directory; it asks no server."""
    command = [packages.program("checkov"), "--config-file", TESTS / "checkov.yaml", "--directory", directory]
    command += ["--framework", "kubernetes", "--skip-download", "--quiet", "--compact", "--output", "json"]
    return subprocess.Popen(
        command,
        env=packages.environment() | {"LOG_LEVEL": "ERROR"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def findings(process: subprocess.Popen) -> Iterator[str]:
    """What a started Checkov found."""
    try:
        output, errors = process.communicate(timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Unavailable(f"checkov did not end within {MOST_SECONDS} s") from None
    try:
        report = json.loads(output)
    except json.JSONDecodeError:
        raise Unavailable(f"checkov says nothing that can be read:\n{(output + errors)[-2000:]}") from None
    summary = report.get("summary", report)
    if summary.get("passed", 0) < LEAST_CHECKS or summary.get("parsing_errors", 0):
        yield f"checkov looked at too little: {summary}"
    for check in report.get("results", {}).get("failed_checks", []):
        yield f"{check['check_id']} {check['check_name']}: {check['resource']} ({Path(check['file_path']).name})"
