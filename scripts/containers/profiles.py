"""Runs each profile of compose.yaml as a user does, and takes it down again with everything it made."""

import json
import os
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from containers.engine import Engine, Failed, finished, free_port, output_of
from containers.image import answers, smoke
from tooling.packages import ROOT, PythonPackages

# Not the name of a user's own: nothing of theirs is touched, and everything of it goes in the end.
PROJECT = "cost-keeper-check"
UP_SECONDS = 300
# Longer than any grace period in the file.
DOWN_SECONDS = 90
# What a client claims to be, and is not.
SPOOFED = "198.51.100.77"
MODEL = "premium"
SAMPLE_ORG = "5a0c0e50-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Profile:
    """What is started, which service has the key, and where it can be reached."""

    name: str
    # What its services' names begin with.
    services: str
    target: str
    key_service: str
    key: str
    port_variable: str


SHARED_KEY = "/run/secrets/cost-keeper/provisioning-keys"
PROFILES = (
    Profile("sqlite", "keeper", "keeper", "keeper", "/data/secrets/provisioning-key", "KEEPER_PORT"),
    Profile("postgres", "postgres", "postgres-proxy", "postgres-keeper-1", SHARED_KEY, "KEEPER_POSTGRES_PORT"),
    Profile("dynamodb", "dynamodb", "dynamodb-keeper", "dynamodb-keeper", SHARED_KEY, "KEEPER_DYNAMODB_PORT"),
)


class Compose:
    """One profile of compose.yaml, in a project and on ports of this check."""

    def __init__(self, packages: PythonPackages, image: str) -> None:
        self.ports = {profile.port_variable: str(free_port()) for profile in PROFILES}
        self.environment = {**packages.environment(), **self.ports, "KEEPER_IMAGE": image}
        program = os.environ.get("COMPOSE") or packages.program("docker-compose")
        self.command = [program, "--project-name", PROJECT, "--file", str(ROOT / "compose.yaml")]

    def run(self, *arguments: str, seconds: int = UP_SECONDS) -> str:
        return output_of([*self.command, *arguments], self.environment, seconds)

    def container(self, service: str) -> str:
        return self.run("--profile", "*", "ps", "--quiet", service).strip()

    def url(self, profile: Profile) -> str:
        return f"http://127.0.0.1:{self.ports[profile.port_variable]}"

    @contextmanager
    def up(self, profile: Profile) -> Iterator[None]:
        try:
            try:
                self.run("up", "--wait", "--no-build", "--quiet-pull", profile.target)
            except Failed as failure:
                said = finished([*self.command, "--profile", "*", "logs", "--tail", "20"], self.environment, 60)
                raise Failed(f"{failure}\n{said.stdout[-4000:]}") from failure
            yield
        finally:
            self.run("--profile", "*", "down", "--volumes", "--remove-orphans", seconds=DOWN_SECONDS)


def only(compose: Compose, profile: Profile) -> None:
    """Naming the service started nothing of another profile, and everything that goes on is healthy."""
    listed = compose.run("--profile", "*", "ps", "--all", "--format", "json").splitlines()
    for container in map(json.loads, listed):
        service = container["Service"]
        if not service.startswith(profile.services):
            raise Failed(f"{profile.target} started {service}, too")
        well = container["State"] == "running" and container["Health"] == "healthy"
        if not well and not (container["State"] == "exited" and container["ExitCode"] == 0):
            raise Failed(f"{service} is {container['State']} {container['Health']}")


def asked(url: str, key: str, path: str, headers: dict[str, str], body: object = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    headers = {"X-API-Key": key, "Content-Type": "application/json", **headers}
    request = urllib.request.Request(url + path, data=data, method="GET" if data is None else "PUT", headers=headers)
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)


def address_of_client(engine: Engine, compose: Compose, profile: Profile, key: str) -> str:
    """The audit trail has to name who asked the proxy: neither the proxy, nor whom a client pretends to be."""
    url = compose.url(profile)
    body = {"org_name": "check", "timezone": "UTC", "quota_scope": "APP"}
    body |= {"model_ordering": [MODEL], "quotas": {MODEL: 1}}
    asked(url, key, f"/api/v1/orgs/{SAMPLE_ORG}", {"X-Forwarded-For": SPOOFED}, body)
    address = asked(url, key, f"/api/v1/audit?org_id={SAMPLE_ORG}&limit=1", {})["items"][0]["address"]
    networks = engine.inspect("container", compose.container(profile.target))["NetworkSettings"]["Networks"]
    own = {network["IPAddress"] for network in networks.values()}
    if address == SPOOFED or address in own:
        raise Failed(f"the address of a client is {address}: it was sent by the client, or is the proxy's own")
    return address


class Watch(threading.Thread):
    """Asks all the time, and counts what was not answered with 200."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.done = threading.Event()
        self.asked = self.lost = 0

    def run(self) -> None:
        while not self.done.wait(0.02):
            self.asked += 1
            self.lost += not answers(self.url)

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.join(30)


def without_an_instance(compose: Compose, profile: Profile, key_file: Path) -> None:
    """One instance stops: no request is lost meanwhile, and everything works without it."""
    url = compose.url(profile)
    with Watch(f"{url}/.well-known/jwks.json") as watch:
        compose.run("stop", "postgres-keeper-1")
    if watch.lost or not watch.asked:
        raise Failed(f"{watch.lost} of {watch.asked} requests were lost while one of two instances stopped")
    print(f"   one of two instances stopped: none of {watch.asked} requests lost")
    smoke(url, key_file)


def check_profile(engine: Engine, compose: Compose, profile: Profile) -> None:
    print(f"== profile {profile.name}: docker compose up --wait {profile.target}", flush=True)
    with compose.up(profile), tempfile.TemporaryDirectory() as directory:
        only(compose, profile)
        key_file = Path(directory) / "key"
        compose.run("cp", f"{profile.key_service}:{profile.key}", str(key_file))
        smoke(compose.url(profile), key_file)
        if profile.name == "postgres":
            key = key_file.read_text(encoding="utf-8").split()[0]
            print(f"   clients are known by their address, here {address_of_client(engine, compose, profile, key)}")
            without_an_instance(compose, profile, key_file)
        # Once more: nothing is made again that is there already.
        compose.run("up", "--wait", "--no-build", profile.target)
        again = Path(directory) / "again"
        compose.run("cp", f"{profile.key_service}:{profile.key}", str(again))
        if again.read_bytes() != key_file.read_bytes():
            raise Failed("a second `up` made other secrets")


def leftovers(engine: Engine, label: str) -> list[str]:
    found = []
    for kind in ("container", "volume", "network"):
        every = ["--all"] if kind == "container" else []
        listed = engine.run(kind, "ls", *every, "--quiet", "--filter", f"label={label}").split()
        found += [f"{kind} {name}" for name in listed]
    return found
