"""What must hold of Dockerfile, compose.yaml, the unit of systemd and the files beside them; needs no engine.

Each function answers findings, sentences for a person: none means that all is well.
"""

import json
import re
import shutil
import tempfile
import tomllib
from pathlib import Path

from tooling.packages import ROOT, PythonPackages
from containers.engine import Failed, both_of, output_of

PROFILES = ("postgres", "dynamodb")
LOOPBACK = "127.0.0.1"
# What compose.yaml asks of an interpolated file, where it has to be given.
VARIABLES = {"KEEPER_TEST_PASSWORD": "a-password-for-this-check"}
SECRET = re.compile(r"PASSWORD|SECRET|PRIVATE_KEY|PROVISIONING_KEYS|STORAGE__URL", re.IGNORECASE)
# Ours by its name. It gets the strictest rules.
KEEPER = "bedrock-cost-keeper:"


def compose_config(packages: PythonPackages, file: Path, profiles: tuple[str, ...]) -> dict:
    """The file as Compose understands it."""
    command = [packages.program("docker-compose"), "--file", str(file)]
    command += [part for profile in profiles for part in ("--profile", profile)]
    # Not what this machine happens to have set.
    environment = {"PATH": packages.environment()["PATH"], "HOME": "/nonexistent", **VARIABLES}
    return json.loads(output_of([*command, "config", "--format", "json"], environment))


def seconds(duration: str) -> float:
    """Of a duration as Compose writes it, such as 1m30s."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([0-9.]+)(ms|h|m|s)", duration))


def exposed(name: str, service: dict) -> list[str]:
    found = []
    for port in service.get("ports", []):
        if port.get("host_ip") != LOOPBACK:
            found.append(f"{name}: port {port.get('target')} is published on {port.get('host_ip', 'every address')}")
    if service.get("network_mode") == "host":
        found.append(f"{name}: shares the network of the machine")
    return found


def too_many_rights(name: str, service: dict) -> list[str]:
    found = []
    if service.get("cap_drop") != ["ALL"]:
        found.append(f"{name}: cap_drop has to be [ALL]")
    if "no-new-privileges:true" not in service.get("security_opt", []):
        found.append(f"{name}: security_opt lacks no-new-privileges:true")
    if service.get("privileged"):
        found.append(f"{name}: is privileged")
    for volume in service.get("volumes", []):
        if volume["type"] == "bind" and not volume.get("read_only"):
            found.append(f"{name}: may write {volume['source']}")
    return found


def known_secrets(name: str, service: dict) -> list[str]:
    """Values that are the same for everybody."""
    return [
        f"{name}: {variable} is written down"
        for variable, value in (service.get("environment") or {}).items()
        if SECRET.search(variable) and not variable.endswith("_FILE") and value not in VARIABLES.values()
    ]


def one_shots(services: dict) -> set[str]:
    """Services that others wait for to end well."""
    return {
        name
        for service in services.values()
        for name, wanted in (service.get("depends_on") or {}).items()
        if wanted["condition"] == "service_completed_successfully"
    }


def life(name: str, service: dict, ends: bool) -> list[str]:
    """What ends may not be started again, and what goes on has to say whether it is well."""
    found = []
    if ends and service.get("restart") != "no":
        found.append(f"{name}: ends by itself, so restart has to be no")
    if not ends and "healthcheck" not in service:
        found.append(f"{name}: has no healthcheck, and nobody waits for its end")
    return found


def image(name: str, service: dict) -> list[str]:
    reference = service["image"]
    if ":" not in reference or reference.endswith(":latest"):
        return [f"{name}: image {reference} has no version"]
    if "." in reference.split("/")[0].split(":")[0]:
        return [f"{name}: image {reference} names a registry, which is each machine's own choice"]
    return []


def keeper(name: str, service: dict, ends: bool) -> list[str]:
    """The rules for the service itself."""
    if not service["image"].startswith(KEEPER):
        return []
    environment = service.get("environment") or {}
    found = []
    if not service.get("read_only"):
        found.append(f"{name}: its root file system can be written to")
    connections = int(environment.get("COST_KEEPER_SERVER__MAX_CONNECTIONS", 8192))
    # Connections × body_limit_bytes is the most that clients can fill; as much again is for everything else.
    if int(service.get("mem_limit", 0)) < 2 * connections * 1024 * 1024:
        found.append(f"{name}: mem_limit is less than twice what {connections} connections can fill")
    drain = 25 + int(environment.get("COST_KEEPER_SERVER__DRAIN_DELAY_SECS", 1))
    if not ends and seconds(service.get("stop_grace_period", "10s")) <= drain:
        found.append(f"{name}: stop_grace_period is no longer than the {drain} s that requests get")
    return found


def of_services(services: dict, strict: bool = True) -> list[str]:
    """Findings about all services of a file; `strict` also asks for what servers that tests use can do without."""
    ending = one_shots(services)
    found = []
    for name, service in services.items():
        found += exposed(name, service) + too_many_rights(name, service) + known_secrets(name, service)
        found += life(name, service, name in ending) + image(name, service) + keeper(name, service, name in ending)
        if strict and "max-size" not in (service.get("logging") or {}).get("options", {}):
            found.append(f"{name}: its log grows without end")
    taken = [port["published"] for service in services.values() for port in service.get("ports", [])]
    found += [f"port {port} is published twice" for port in sorted({port for port in taken if taken.count(port) > 1})]
    return found


def of_default(services: dict) -> list[str]:
    """Without a profile there is the one service on SQLite, and nothing that it needs."""
    return [] if list(services) == ["keeper"] else [f"without a profile these start: {', '.join(services)}"]


def of_proxy(configuration: str, services: dict) -> list[str]:
    """The proxy asks every instance, and no other."""
    asked = set(re.findall(r"^\s*server \S+ ([^:\s]+):8080$", configuration, re.MULTILINE))
    instances = {name for name in services if re.fullmatch(r"postgres-keeper-\d+", name)}
    found = []
    if asked != instances:
        found.append(f"haproxy.cfg asks {sorted(asked)}, the instances are {sorted(instances)}")
    if "http-request set-header X-Forwarded-For %[src]" not in configuration:
        found.append("haproxy.cfg lets clients write X-Forwarded-For, which instances trust")
    if "uri /readyz" not in configuration:
        found.append("haproxy.cfg does not ask /readyz")
    return found


def of_dockerfile(text: str, manifest: dict) -> list[str]:
    package = manifest["package"]
    versions = set(re.findall(r"^ARG VERSION=(.*)$", text, re.MULTILINE))
    rust = re.search(r"^ARG RUST_IMAGE=rust:([0-9.]+)-", text, re.MULTILINE)
    final = text[text.rindex("\nFROM ") :]
    checks = (
        (versions == {package["version"]}, f"ARG VERSION is {versions}, Cargo.toml has {package['version']}"),
        (rust is not None and rust[1] == package["rust-version"], f"RUST_IMAGE is not Rust {package['rust-version']}"),
        ("# syntax=" not in text.replace("`# syntax=`", ""), "a `# syntax=` line fetches another image"),
        (final.startswith("\nFROM scratch\n"), "the last stage is not FROM scratch"),
        ("\nUSER 65532:65532\n" in final, "the last stage does not run as 65532:65532"),
        (not re.search(r"^(RUN|ADD|SHELL) ", final, re.MULTILINE), "the last stage runs or fetches something"),
        ("cargo build --profile dist --locked" in text, "it is not built with the profile dist and --locked"),
        (f'licenses="{package["license"]}"' in final, f"the label licenses is not {package['license']}"),
    )
    return [f"Dockerfile: {finding}" for holds, finding in checks if not holds]


def of_ignored(text: str) -> list[str]:
    """The build gets what is listed, and not what is not."""
    patterns = [line for line in text.splitlines() if line and not line.startswith("#")]
    if patterns[:1] != ["*"] or not all(pattern.startswith("!") for pattern in patterns[1:]):
        return [".dockerignore: has to begin with * and only list what may go in"]
    return []


def of_version(text: str, version: str) -> list[str]:
    found = set(re.findall(r"bedrock-cost-keeper:([0-9][0-9A-Za-z.+-]*)", text))
    return [] if found == {version} else [f"compose.yaml: names versions {sorted(found)}, Cargo.toml has {version}"]


def of_unit(text: str) -> list[str]:
    """The unit of systemd gives the service time to end, and systemd, where it is there, understands every line."""
    found = []
    values = dict(re.findall(r"^(?:Environment=)?(\w+)=(.*)$", text, re.MULTILINE))
    if int(values.get("TimeoutStopSec", 0)) <= 26:
        found.append("TimeoutStopSec is no longer than the 26 s that requests get")
    connections = int(values.get("COST_KEEPER_SERVER__MAX_CONNECTIONS", 8192))
    if values.get("MemoryMax") != f"{2 * connections // 1024}G":
        found.append("MemoryMax is not twice what all connections can fill")
    tool = shutil.which("systemd-analyze")
    if tool is None:
        print("docker-check: systemd-analyze is not there, so the unit of systemd was not verified")
        return found
    with tempfile.TemporaryDirectory() as directory:
        unit = Path(directory) / "bedrock-cost-keeper.service"
        # The binary need not be installed here.
        unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE), encoding="utf-8")
        code, said = both_of([tool, "verify", str(unit)])
    if code != 0 or said.strip():
        found.append(f"systemd-analyze verify: {said.strip()}")
    return found


def findings(packages: PythonPackages) -> list[str]:
    """Everything, of the files that are committed."""
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
    compose = ROOT / "compose.yaml"
    found = of_dockerfile((ROOT / "Dockerfile").read_text(encoding="utf-8"), manifest)
    found += of_ignored((ROOT / ".dockerignore").read_text(encoding="utf-8"))
    found += of_version(compose.read_text(encoding="utf-8"), manifest["package"]["version"])
    found += of_default(compose_config(packages, compose, ())["services"])
    for profile in PROFILES:
        alone = compose_config(packages, compose, (profile,))["services"]
        if not any(profile in service.get("profiles", []) for service in alone.values()):
            raise Failed(f"compose.yaml has no profile {profile}")
    services = compose_config(packages, compose, PROFILES)["services"]
    found += of_services(services)
    proxy = ROOT / "deploy" / "compose" / "haproxy.cfg"
    found += of_proxy(proxy.read_text(encoding="utf-8"), services)
    unit = ROOT / "deploy" / "systemd" / "bedrock-cost-keeper.service"
    found += [f"{unit.name}: {finding}" for finding in of_unit(unit.read_text(encoding="utf-8"))]
    tests = compose_config(packages, ROOT / "tests" / "compose.yaml", ())["services"]
    found += [f"tests/compose.yaml: {finding}" for finding in of_services(tests, strict=False)]
    return found
