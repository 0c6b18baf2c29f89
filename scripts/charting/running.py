"""Starts the real service the way a rendered pod would, on this machine: its arguments, variables and files, in a
directory instead of a container.

Where the store is another one than SQLite, its address is replaced by that of an SQLite file, and nothing is asked of AWS;
everything else, above all the configuration file, is exactly what is rendered.
"""

import re
import secrets
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from charting.objects import Object, Pod, Rendering, secret_text, volume_files
from charting.settings import settings, store
from tooling.packages import Unavailable
from tooling.service import binary, environment

# The service says where it listens, and is ready, within these seconds.
START_SECONDS = 30
# `config` and `migrate` end within these.
RUN_SECONDS = 30


class Directory:
    """A container's files in a directory: `/data` is `DIRECTORY/data`, in texts too."""

    def __init__(self, path: Path, rendering: Rendering, pod: Pod) -> None:
        self.path = path
        self.pod = pod
        path.mkdir(parents=True, exist_ok=True)
        self.mounts = sorted((mount["mountPath"] for mount in pod.main.get("volumeMounts") or []), key=len, reverse=True)
        for mount in pod.main.get("volumeMounts") or []:
            directory = self.inside(mount["mountPath"])
            directory.mkdir(parents=True, exist_ok=True)
            for name, text in contents(rendering, pod.volumes()[mount["name"]]).items():
                (directory / name).write_text(self.translated(text), encoding="utf-8")
                (directory / name).chmod(0o640)

    def inside(self, path: str) -> Path:
        return self.path / path.strip("/")

    def translated(self, text: str) -> str:
        """A text with the paths of mounts replaced by those in the directory."""
        for mount in self.mounts:
            text = text.replace(mount, f"\0{mount}")
        return text.replace("\0\0", "\0").replace("\0", str(self.path))

    def variables(self) -> dict[str, str]:
        listed = self.pod.main.get("env") or []
        return {variable["name"]: self.translated(variable["value"]) for variable in listed if "value" in variable}

    def arguments(self) -> list[str]:
        return [self.translated(argument) for argument in self.pod.main.get("args") or []]


def contents(rendering: Rendering, volume: Object) -> dict[str, str]:
    """The files of a volume: as rendered, or made up where they come from elsewhere."""
    files = {}
    for kind, name, items, _ in volume_files(volume):
        found = rendering.named(kind, name)
        texts = {} if found is None else secret_text(found) if kind == "Secret" else found.get("data") or {}
        keys = rendering.keys(kind, name)[1] or {item["key"] for item in items or []}
        # A Secret whose keys nobody says is that of a certificate: all others are mounted key by key.
        keys = keys or ({"tls.crt", "tls.key"} if kind == "Secret" else set())
        paths = {item["key"]: item["path"] for item in items} if items is not None else {key: key for key in keys}
        for key, path in paths.items():
            files[path] = texts.get(key) if key in texts and "PRIVATE KEY" not in texts[key] else made_up(path)
    return files


def made_up(entry: str) -> str:
    """A value that the service takes for an entry of its secrets."""
    if entry == "jwt-private-key":
        return openssl("genpkey", "-algorithm", "ed25519")
    if entry == "tls.crt":
        return CERTIFICATE["certificate"]
    if entry == "tls.key":
        return CERTIFICATE["key"]
    return f"{secrets.token_hex(32)}\n"


def openssl(*arguments: str | Path) -> str:
    try:
        return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True, timeout=30).stdout
    except FileNotFoundError:
        raise Unavailable("openssl is missing: Debian has it in the package of that name") from None


class Certificate:
    """A certificate and its key, made when first asked for."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}

    def __getitem__(self, part: str) -> str:
        if not self.made:
            key = openssl("genpkey", "-algorithm", "ed25519")
            command = ["openssl", "req", "-x509", "-key", "/dev/stdin", "-subj", "/CN=localhost", "-days", "2"]
            ended = subprocess.run(command, input=key, check=True, capture_output=True, text=True, timeout=30)
            self.made = {"key": key, "certificate": ended.stdout}
        return self.made[part]


CERTIFICATE = Certificate()


def refused_configuration(rendering: Rendering, pod: Pod, path: Path) -> Iterator[str]:
    """What `bedrock-cost-keeper config` has against the configuration of a pod."""
    directory = Directory(path, rendering, pod)
    arguments = directory.arguments()
    options = arguments[arguments.index("--config") :] if "--config" in arguments else []
    ended = subprocess.run(
        [binary(), "config", *options],
        cwd=path,
        env=environment({"COST_KEEPER_SERVER__LISTEN": "0.0.0.0:8080", "COST_KEEPER_DATA_DIR": "/data"} | directory.variables()),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    if ended.returncode != 0:
        yield f"{pod.where}: the service refuses its configuration:\n{ended.stderr.strip()}"


def failures(rendering: Rendering, path: Path) -> Iterator[str]:
    """Runs the migration of a rendering, and the service until it is ready and has ended again."""
    workload = rendering.workload()
    known = settings(rendering, workload)
    local = local_settings(known, path)
    for pod in rendering.pods():
        if pod.owner["kind"] != "Job":
            continue
        directory = Directory(path / "job", rendering, pod)
        command = [binary(), *directory.arguments()]
        variables = directory.variables() | local
        ended = subprocess.run(
            command, cwd=path, env=environment(variables), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=RUN_SECONDS, check=False,
        )  # fmt: skip
        if ended.returncode != 0:
            yield f"{pod.where}: {' '.join(pod.main['args'])} ended with {ended.returncode}:\n{ended.stderr.strip()}"
            return
    directory = Directory(path / "pod", rendering, workload)
    variables = directory.variables() | local
    listen = {"COST_KEEPER_SERVER__LISTEN": "127.0.0.1:0"}
    if "metrics.listen" in known:
        # The service does not say which port it took, so it is told one.
        listen["COST_KEEPER_METRICS__LISTEN"] = f"127.0.0.1:{free_port()}"
    yield from served(workload, directory, variables | listen, path)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def can_start(rendering: Rendering) -> bool:
    """Whether the service can run here: not if its keys are in AWS."""
    return not any(key.endswith("_aws_secret_id") for key in settings(rendering, rendering.workload()))


def local_settings(known: dict[str, Any], path: Path) -> dict[str, str]:
    """Variables that replace what this machine does not have: the store, AWS."""
    replaced = {"COST_KEEPER_PRICING__AWS__ENABLED": "false", "COST_KEEPER_AWS__BEDROCK__ENABLED": "false"}
    if store(known) != "sqlite":
        replaced["COST_KEEPER_STORAGE__URL"] = f"sqlite://{path}/keeper.db"
        replaced |= {"COST_KEEPER_STORAGE__URL_FILE": "", "COST_KEEPER_STORAGE__URL_AWS_SECRET_ID": ""}
        replaced["COST_KEEPER_DATA_DIR"] = str(path / "data")
    return replaced


def served(pod: Pod, directory: Directory, variables: dict[str, str], path: Path) -> Iterator[str]:
    """Starts the service, asks what the probes ask, and ends it as Kubernetes does.

    It may have one connection only, so that it is easily full: with a listener for metrics, the probes that restart a pod
    have to succeed also then.
    """
    log = path / "service.log"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [binary(), *directory.arguments()],
            cwd=path,
            env=environment(variables | {"COST_KEEPER_SERVER__DRAIN_DELAY_SECS": "0", "COST_KEEPER_SERVER__MAX_CONNECTIONS": "1"}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        address = listening(process, log)
        if address is None:
            yield f"{pod.where}: the service does not start:\n{log.read_text(encoding='utf-8')[-2000:]}"
            return
        addresses = {"http": address, "metrics": variables.get("COST_KEEPER_METRICS__LISTEN", "")}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if (status := probed(pod, probe, addresses)) != 200:
                yield f"{pod.where}: its {probe} is answered with {status}:\n{log.read_text(encoding='utf-8')[-2000:]}"
        if addresses["metrics"]:
            host, _, port = address.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=5):
                for probe in ("startupProbe", "livenessProbe"):
                    if (status := probed(pod, probe, addresses)) != 200:
                        yield f"{pod.where}: while all connections are taken, its {probe} is answered with {status}"
        process.send_signal(signal.SIGTERM)
        ended = process.wait(timeout=pod.spec["terminationGracePeriodSeconds"])
        if ended != 0:
            yield f"{pod.where}: the service ended with {ended} after SIGTERM"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def probed(pod: Pod, probe: str, addresses: dict[str, str]) -> int | str:
    """What a probe gets; `addresses` by the name of the port."""
    get = pod.main[probe]["httpGet"]
    return asked(f"{get.get('scheme', 'HTTP').lower()}://{addresses[get['port']]}{get['path']}")


def listening(process: subprocess.Popen, log: Path) -> str | None:
    """Host and port of the API, as the service says them at its start, in either form of its log."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"https?://([\d.]+:\d+)/api/v1", log.read_text(encoding="utf-8"))
        if found:
            return found[1]
        time.sleep(0.02)
    return None


def asked(url: str) -> int | str:
    """Status of a GET. Probes of Kubernetes do not look at certificates either, and know no proxy."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting))
    try:
        with opener.open(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return str(error)
