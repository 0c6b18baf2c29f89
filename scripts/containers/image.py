"""Checks one image: what it says of itself, what is in it, and how it starts, serves and ends."""

import re
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from containers.engine import Engine, Failed, free_port, output_of, within
from tooling.packages import ROOT

# Compressed it is about a third. The binary alone is most of it.
MOST_MEGABYTES = 120
# From `docker run` to the first 200 of /readyz, on a machine that has other things to do.
MOST_START_SECONDS = 20
# An idle service ends after server.drain_delay_secs (1), well before its requests' time is over.
MOST_STOP_SECONDS = 10
SHELLS = re.compile(r"(^|/)(sh|bash|dash|ash|busybox|apt|apt-get|dpkg|perl|python3?)$")
# As Compose, Kubernetes and ECS run it.
CONFINED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp"]
# What the whole check leaves nothing of.
LABEL = "bedrock-cost-keeper.check"


def manifest() -> dict:
    return tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]


def build(engine: Engine, name: str) -> str:
    """Builds the image as a release does; answers what its revision should be."""
    if not (ROOT / "target" / "sbom" / "THIRD-PARTY-NOTICES.txt").exists():
        output_of([sys.executable, str(ROOT / "scripts" / "sbom")], seconds=1800)
    revision = output_of(["git", "-C", str(ROOT), "rev-parse", "HEAD"]).strip()
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    arguments = {"VERSION": manifest()["version"], "REVISION": revision, "CREATED": created}
    command = ["--tag", name, *(part for item in arguments.items() for part in ("--build-arg", "=".join(item)))]
    engine.build([*command, str(ROOT)])
    return revision


def described(config: dict, architecture: str, revision: str | None) -> list[str]:
    """What is wrong with the configuration of the image."""
    package = manifest()
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in (config["Labels"] or {}).items()}
    variables = dict(item.split("=", 1) for item in config["Env"])
    expected = {
        "label version": (labels.get("version"), package["version"]),
        "label licenses": (labels.get("licenses"), package["license"]),
        "label description": (labels.get("description"), package["description"]),
        "user": (config["User"], "65532:65532"),
        "entry point": (config["Entrypoint"], ["/usr/local/bin/bedrock-cost-keeper"]),
        "command": (config["Cmd"], ["serve"]),
        "stop signal": (config["StopSignal"], "SIGTERM"),
        "volumes": (list(config["Volumes"] or {}), ["/data"]),
        "ports": (sorted(config["ExposedPorts"]), ["8080/tcp", "9464/tcp"]),
        "health check": (config["Healthcheck"]["Test"], ["CMD", "/usr/local/bin/bedrock-cost-keeper", "health"]),
        "COST_KEEPER_SERVER__LISTEN": (variables.get("COST_KEEPER_SERVER__LISTEN"), "0.0.0.0:8080"),
        "COST_KEEPER_DATA_DIR": (variables.get("COST_KEEPER_DATA_DIR"), "/data"),
    }
    if revision is not None:
        expected["label revision"] = (labels.get("revision"), revision)
        expected["label created"] = (bool(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}Z", labels.get("created", ""))), True)
    found = [f"{name} is {actual!r}, not {wanted!r}" for name, (actual, wanted) in expected.items() if actual != wanted]
    if architecture not in ("amd64", "arm64"):
        found.append(f"architecture is {architecture}")
    return found


def contained(entries: list[tarfile.TarInfo]) -> list[str]:
    """What is wrong with the files of the image."""
    files = {entry.name.removeprefix("./"): entry for entry in entries}
    programs = [name for name, entry in files.items() if SHELLS.search(name) and not entry.isdir()]
    found = [f"{name} should not be there" for name in programs]
    found += [f"{name} gives rights (mode {entry.mode:o})" for name, entry in files.items() if entry.mode & 0o6000]
    needed = ["etc/ssl/certs/ca-certificates.crt", "etc/passwd", "licenses/LICENSE", "licenses/THIRD-PARTY-NOTICES.txt"]
    found += [f"{name} is missing" for name in [*needed, "var/lib/dpkg/status.d/libc6"] if name not in files]
    owned = {name: (entry.uid, entry.mode & 0o1777) for name, entry in files.items() if name in ("data", "tmp")}
    if owned != {"data": (65532, 0o700), "tmp": (0, 0o1777)}:
        found.append(f"owner and mode of /data and /tmp are {owned}")
    writable = [name for name, entry in files.items() if entry.mode & 0o002 and not entry.issym() and name != "tmp"]
    # What the engine itself puts into a container.
    found += [f"{name} can be written by everybody" for name in writable if not name.startswith(("dev", "proc", "sys"))]
    return found


def files_of(engine: Engine, name: str) -> list[tarfile.TarInfo]:
    container = engine.run("create", "--label", LABEL, name)
    try:
        with tempfile.TemporaryDirectory() as directory:
            archive = Path(directory) / "files.tar"
            engine.run("export", "--output", str(archive), container)
            with tarfile.open(archive) as opened:
                return opened.getmembers()
    finally:
        engine.run("rm", "--volumes", container)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def smoke(url: str, key_file: Path) -> None:
    """scripts/smoke, as a user runs it."""
    command = [sys.executable, str(ROOT / "scripts" / "smoke"), url, "--key-file", str(key_file)]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
    if ended.returncode != 0:
        raise Failed(f"scripts/smoke {url}\n{ended.stdout}{ended.stderr}")
    print(f"   {ended.stdout.strip().splitlines()[-1]}")


@contextmanager
def network(engine: Engine) -> Iterator[str]:
    """A network of this check's own: an engine may be without the usual one."""
    name = engine.run("network", "create", "--label", LABEL, f"cost-keeper-check-{free_port()}")
    try:
        yield name
    finally:
        engine.run("network", "rm", name)


def run(engine: Engine, name: str) -> float:
    """Starts it as production does, uses it, ends it, and starts it again. Seconds of the start."""
    with network(engine) as private, tempfile.TemporaryDirectory() as directory:
        port = free_port()
        options = ["--detach", "--label", LABEL, "--network", private, "--publish", f"127.0.0.1:{port}:8080"]
        started = time.monotonic()
        container = engine.run("run", *options, *CONFINED, "--health-interval", "1s", name)
        try:
            url = f"http://127.0.0.1:{port}"
            within(MOST_START_SECONDS, "/readyz after docker run", lambda: answers(f"{url}/readyz"))
            seconds = time.monotonic() - started
            within(30, "a healthy container", lambda: health(engine, container) == "healthy")
            # The log speaks of the key's file, and of its contents never.
            key = Path(directory) / "key"
            engine.run("cp", f"{container}:/data/secrets/provisioning-key", str(key))
            if key.read_text(encoding="utf-8").strip() in "".join(engine.try_run("logs", container)[1:]):
                raise Failed("the log tells the provisioning key")
            smoke(url, key)
            stop(engine, container)
            engine.run("start", container)
            within(MOST_START_SECONDS, "/readyz after another start", lambda: answers(f"{url}/readyz"))
            again = Path(directory) / "again"
            engine.run("cp", f"{container}:/data/secrets/provisioning-key", str(again))
            if again.read_bytes() != key.read_bytes():
                raise Failed("a restart made other secrets: /data was lost")
            stop(engine, container)
        finally:
            engine.run("rm", "--force", "--volumes", container)
    return seconds


def health(engine: Engine, container: str) -> str:
    return engine.inspect("container", container)["State"]["Health"]["Status"]


def stop(engine: Engine, container: str) -> None:
    """SIGTERM has to end it well and in time: killed, it would end with 137."""
    started = time.monotonic()
    engine.run("stop", "--time", "30", container)
    seconds = time.monotonic() - started
    code = engine.inspect("container", container)["State"]["ExitCode"]
    if code != 0 or seconds > MOST_STOP_SECONDS:
        raise Failed(f"after SIGTERM it ended with {code} in {seconds:.1f} s")


def commands(engine: Engine, name: str) -> None:
    """Without network, and with nothing to write to but /tmp."""
    alone = ["run", "--rm", "--label", LABEL, "--network", "none", *CONFINED, name]
    code, said = engine.try_run(*alone, "health", "--url", "http://127.0.0.1:1/livez")
    if code != 1:
        raise Failed(f"health of a service that is not there ended with {code}: {said}")
    code, said = engine.try_run(*alone, "demo", "--fast")
    counted = re.search(r"counted by the service +(\S+)", said)
    added = re.search(r"added up by the clients +(\S+)", said)
    if code != 0 or counted is None or added is None or counted[1] != added[1]:
        raise Failed(f"demo ended with {code}:\n{said[-2000:]}")
    print(f"   demo: {counted[1]} counted, {added[1]} added up by its clients")


def check(engine: Engine, name: str, revision: str | None) -> str:
    """All of it; answers what was measured."""
    described_as = engine.inspect("image", name)
    found = described(described_as["Config"], described_as["Architecture"], revision)
    found += contained(files_of(engine, name))
    megabytes = described_as["Size"] / 1e6
    if megabytes > MOST_MEGABYTES:
        found.append(f"{megabytes:.1f} MB are more than {MOST_MEGABYTES}")
    if found:
        raise Failed("the image is not as it should be:\n  " + "\n  ".join(found))
    seconds = run(engine, name)
    commands(engine, name)
    return f"{described_as['Architecture']}, {megabytes:.1f} MB, ready {seconds:.2f} s after docker run"
