"""Rules about what the service is told and what surrounds it. Each answers what is wrong."""

import re
from collections.abc import Iterator
from typing import Any

import yaml
from charting.objects import CONFIG_PATH, Object, Pod, Rendering, name_of, quantity, selects, volume_files, where
from charting.relations import allows
from charting.rendering import CHART

# The service's own defaults, of what the rules below ask for.
DEFAULTS = {
    "server.listen": "127.0.0.1:8080",
    "server.body_limit_bytes": 1048576,
    "server.max_connections": 8192,
    "server.drain_delay_secs": 1,
    "server.drain_timeout_secs": 25,
}
# Seconds that must be left after the drain, to write what is queued and end.
GRACE_MARGIN_SECS = 10
PREFIX = "COST_KEEPER_"


def configuration(rendering: Rendering, pod: Pod) -> dict[str, Any]:
    """Contents of the configuration file of a pod, by dotted key."""
    for mount in pod.main.get("volumeMounts") or []:
        if not CONFIG_PATH.startswith(mount["mountPath"]):
            continue
        for kind, name, _, _ in volume_files(pod.volumes()[mount["name"]]):
            found = rendering.named(kind, name)
            text = ((found or {}).get("data") or {}).get(CONFIG_PATH.rpartition("/")[2])
            if text is not None:
                return flat(yaml.safe_load(text) or {})
    return {}


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{key}.")
        elif value is not None:
            result[f"{prefix}{key}"] = value
    return result


def settings(rendering: Rendering, pod: Pod) -> dict[str, Any]:
    """What the service in a pod is told: the image's variables and defaults, then the file, variables, arguments."""
    known = DEFAULTS | configuration(rendering, pod)
    # The image sets this one; a variable beats the file.
    known["server.listen"] = "0.0.0.0:8080"
    for variable in pod.main.get("env") or []:
        if variable["name"].startswith(PREFIX) and "value" in variable:
            known[variable["name"].removeprefix(PREFIX).lower().replace("__", ".")] = variable["value"]
    arguments = pod.main.get("args") or []
    for before, after in zip(arguments, arguments[1:], strict=False):
        if before == "--set":
            key, _, value = after.partition("=")
            known[key] = value
        elif before == "--listen":
            known["server.listen"] = after
    return known


def store(known: dict[str, Any]) -> str:
    """sqlite, dynamodb, or `shared` where only a file or a secret says which."""
    if "storage.url" in known:
        return str(known["storage.url"]).partition(":")[0]
    return "shared" if {"storage.url_file", "storage.url_aws_secret_id"} & set(known) else "sqlite"


def grace_period_lasts(rendering: Rendering) -> Iterator[str]:
    """The grace period is longer than everything that happens in it."""
    pod = rendering.workload()
    known = settings(rendering, pod)
    sleep = ((pod.main.get("lifecycle") or {}).get("preStop") or {}).get("sleep", {}).get("seconds", 0)
    needed = int(known["server.drain_delay_secs"]) + int(known["server.drain_timeout_secs"]) + sleep + GRACE_MARGIN_SECS
    given = pod.spec.get("terminationGracePeriodSeconds", 30)
    if given < needed:
        yield f"{pod.where}: a grace period of {given} s is too short for a drain of {needed} s"
    if int(known["server.drain_delay_secs"]) + sleep < 3:
        yield f"{pod.where}: connections end before the other pods know that it goes (drain_delay_secs)"


def memory_suffices(rendering: Rendering) -> Iterator[str]:
    """The most that connections can hold fits into the limit of memory."""
    pod = rendering.workload()
    known = settings(rendering, pod)
    most = int(known["server.max_connections"]) * int(known["server.body_limit_bytes"])
    limit = quantity(pod.main["resources"]["limits"]["memory"])
    if most >= limit:
        yield f"{pod.where}: {most >> 20} MiB of requests do not fit into {int(limit) >> 20} MiB of memory"


def ports_are_listened_on(rendering: Rendering) -> Iterator[str]:
    """Each container port has a listener of the service, reachable from outside the pod, and each listener a port."""
    pod = rendering.workload()
    known = settings(rendering, pod)
    listening = {}
    for key in ("server.listen", "metrics.listen"):
        address, _, port = str(known.get(key, "")).rpartition(":")
        if port:
            listening[int(port)] = key
            if address not in ("0.0.0.0", "[::]"):
                yield f"{pod.where}: {key} {address} cannot be reached from outside the pod"
    ports = set(pod.ports().values())
    for port in sorted(ports - set(listening)):
        yield f"{pod.where}: nothing listens on container port {port}"
    for port in sorted(set(listening) - ports):
        yield f"{pod.where}: {listening[port]} has port {port}, which the container does not name"


def tls_is_consistent(rendering: Rendering) -> Iterator[str]:
    """Probes speak TLS exactly if the listener they ask does: that of the metrics never has it."""
    pod = rendering.workload()
    api_has_tls = "server.tls.certificate_file" in settings(rendering, pod)
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        get = (pod.main.get(probe) or {}).get("httpGet") or {}
        scheme, has_tls = get.get("scheme", "HTTP"), api_has_tls and get.get("port") != "metrics"
        if (scheme == "HTTPS") != has_tls:
            yield f"{pod.where}: {probe} speaks {scheme}, the service {'HTTPS' if has_tls else 'HTTP'}"


def proxies_are_trusted(rendering: Rendering) -> Iterator[str]:
    """Behind an Ingress or a Gateway, the service is told whose X-Forwarded-For counts."""
    pod = rendering.workload()
    if rendering.of("Ingress", "HTTPRoute") and not settings(rendering, pod).get("server.trusted_proxies"):
        yield f"{pod.where}: without server.trusted_proxies all clients behind the proxy share its limit of failed logins"


def store_fits_workload(rendering: Rendering) -> Iterator[str]:
    """SQLite: one pod, never two at once, on a volume. Shared stores: no volume, and secrets that all pods share."""
    pod = rendering.workload()
    known = settings(rendering, pod)
    spec = pod.owner["spec"]
    claimed = [name for name, volume in pod.volumes().items() if "claimed" in volume or "persistentVolumeClaim" in volume]
    if store(known) == "sqlite":
        if spec.get("replicas", 1) != 1 or rendering.of("HorizontalPodAutoscaler"):
            yield f"{pod.where}: several pods on one SQLite file"
        if pod.owner["kind"] == "Deployment" and (spec.get("strategy") or {}).get("type") != "Recreate":
            yield f"{pod.where}: an update would open the SQLite file twice: strategy Recreate"
        mounts = {mount["name"]: mount for mount in pod.main.get("volumeMounts") or []}
        data = known.get("data_dir", "/data")
        if not any(mounts.get(name, {}).get("mountPath") == data for name in claimed):
            ephemeral = any("emptyDir" in volume and mounts[name]["mountPath"] == data for name, volume in pod.volumes().items())
            if not ephemeral:
                yield f"{pod.where}: no volume at {data}, so nothing can be written"
        return
    if claimed:
        yield f"{pod.where}: claims a volume, though its data is elsewhere"
    if pod.owner["kind"] != "Deployment":
        yield f"{pod.where}: a shared store needs no {pod.owner['kind']}"
    for one_of in (("provisioning_keys",), ("jwt_secret", "jwt_private_key")):
        names = {f"auth.{name}{suffix}" for name in one_of for suffix in ("", "_file", "_aws_secret_id")}
        if not names & set(known):
            yield f"{pod.where}: auth.{one_of[0]} has no source, and a shared store creates none"
    jobs = [job for job in rendering.pods() if job.owner["kind"] == "Job" and "migrate" in (job.main.get("args") or [])]
    if not jobs and str(known.get("storage.auto_migrate", False)).lower() != "true":
        yield f"{pod.where}: neither a Job nor storage.auto_migrate brings the store to this version"
    for job in jobs:
        other = settings(rendering, job)
        for key in sorted(key for key in {*known, *other} if key.startswith(("storage.", "aws."))):
            if known.get(key) != other.get(key) and key != "storage.auto_migrate":
                yield f"{job.where}: has another {key} than the service"


def store_can_be_reached(rendering: Rendering) -> Iterator[str]:
    """Where egress is restricted, the store and AWS can be reached, from jobs too."""
    for pod in rendering.pods():
        covering = [item for item in rendering.of("NetworkPolicy") if selects(item["spec"]["podSelector"], pod.labels)]
        covering = [item for item in covering if "Egress" in (item["spec"].get("policyTypes") or [])]
        if not covering or "args" not in pod.main:
            continue
        known = settings(rendering, pod)
        wanted = {"sqlite": [], "dynamodb": [443], "shared": [5432]}[store(known)]
        if any(key.endswith("_aws_secret_id") for key in known) or str(known.get("pricing.aws.enabled")).lower() == "true":
            wanted = [*wanted, 443]
        rules = [rule for item in covering for rule in item["spec"].get("egress") or []]
        for port in sorted(set(wanted)):
            if not any(allows(rule, port, pod) for rule in rules):
                yield f"{pod.where}: no NetworkPolicy lets it reach port {port}, which its configuration needs"


def several_pods_spread(rendering: Rendering) -> Iterator[str]:
    """More than one pod: on several nodes where possible, and never none at once."""
    pod = rendering.workload()
    scalers = rendering.of("HorizontalPodAutoscaler")
    least = scalers[0]["spec"].get("minReplicas", 1) if scalers else pod.owner["spec"].get("replicas", 1)
    if least < 2:
        return
    if not pod.spec.get("topologySpreadConstraints") and not (pod.spec.get("affinity") or {}).get("podAntiAffinity"):
        yield f"{pod.where}: {least} pods may all be on one node"
    if not rendering.of("PodDisruptionBudget"):
        yield f"{pod.where}: {least} pods without a PodDisruptionBudget may all be evicted at once"
    rolling = (pod.owner["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    if rolling.get("maxUnavailable", "25%") != 0:
        yield f"{pod.where}: an update takes pods away before new ones are ready (maxUnavailable)"


def checksum_is_there(rendering: Rendering) -> Iterator[str]:
    """The pods change when the configuration does: it is read at the start only."""
    pod = rendering.workload()
    used: list[Object] = [
        item for volume in pod.volumes().values() for kind, name, _, _ in volume_files(volume)
        if kind == "ConfigMap" and (item := rendering.named(kind, name))
    ]  # fmt: skip
    if used and not any(key.startswith("checksum/") for key in pod.annotations):
        yield f"{pod.where}: no checksum of {', '.join(map(where, used))} in its annotations"


def alerts_match_the_job(rendering: Rendering) -> Iterator[str]:
    """Rules of alerts ask for the job under which Prometheus keeps what it scrapes, whatever the release is called."""
    monitors, rules = rendering.of("ServiceMonitor"), rendering.of("PrometheusRule")
    if not monitors or not rules:
        return
    label = monitors[0]["spec"].get("jobLabel", "")
    found = [item for item in rendering.of("Service") if selects(monitors[0]["spec"]["selector"], item["metadata"]["labels"])]
    job = found[0]["metadata"]["labels"].get(label, name_of(found[0])) if found else ""
    for endpoint in monitors[0]["spec"]["endpoints"]:
        for relabeling in endpoint.get("relabelings") or []:
            if relabeling.get("targetLabel") == "job":
                job = relabeling["replacement"]
    expressions = "\n".join(rule["expr"] for item in rules for group in item["spec"]["groups"] for rule in group["rules"])
    selected = set(re.findall(r'\bjob(=~?)"([^"]+)"', expressions))
    if not selected:
        yield f"{where(rules[0])}: asks for no job, so for the metrics of everything"
    for operator, wanted in sorted(selected):
        pattern = wanted if operator == "=~" else re.escape(wanted)
        if not re.fullmatch(pattern, job):
            yield f"{where(rules[0])}: asks for job {wanted}, but what is scraped has job {job}"
        elif re.fullmatch(pattern, f"{job}-2"):
            yield f"{where(rules[0])}: asks for job {wanted}, which another release has too, and one would hide the other"


def alerts_are_complete(rendering: Rendering) -> Iterator[str]:
    """A PrometheusRule has every group of files/alerts.yaml as it is there, templates of Prometheus included. Only the job
    is that of the release."""
    text = (CHART / "files" / "alerts.yaml").read_text(encoding="utf-8")
    job = f'job="{CHART.name}/{rendering.namespace}/{rendering.release}"'
    groups = yaml.safe_load(text.replace('job=~".*cost-keeper.*"', job))["groups"]
    for item in rendering.of("PrometheusRule"):
        rendered = {group["name"]: group for group in item["spec"]["groups"]}
        for group in groups:
            if rendered.get(group["name"]) != group:
                yield f"{where(item)}: group {group['name']} is not as in files/alerts.yaml"


RULES = [
    grace_period_lasts,
    memory_suffices,
    ports_are_listened_on,
    tls_is_consistent,
    proxies_are_trusted,
    store_fits_workload,
    store_can_be_reached,
    several_pods_spread,
    checksum_is_there,
    alerts_match_the_job,
    alerts_are_complete,
]
