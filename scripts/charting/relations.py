"""Rules about how objects belong together: selectors, ports, policies, scaling, order. Each answers what is wrong."""

import re
from collections import Counter
from collections.abc import Iterator

from charting.objects import (
    LASTING,
    Object,
    Pod,
    Rendering,
    annotations_of,
    hook_weight,
    hooks_of,
    name_of,
    references,
    secret_text,
    selects,
    strings,
    where,
)

LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
KEY = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
DNS = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
PORT = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?")
# A controller appends to these names and uses the result as a label of at most 63 characters.
SHORTER = {"CronJob": 52, "StatefulSet": 52}
# Labels that every object has; those that change with a version must never be in a selector.
RECOMMENDED = ("app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart")
CHANGING = ("helm.sh/chart", "app.kubernetes.io/version")
# Texts that tests/helm/values use for secrets contain this; it may appear in a Secret only.
MARKER = "s3cret"


def names_are_valid(rendering: Rendering) -> Iterator[str]:
    """Names fit DNS labels and their kind's limit, and no object is there twice."""
    for (kind, name), times in Counter((item["kind"], name_of(item)) for item in rendering.objects).items():
        if times > 1:
            yield f"{kind}/{name} is rendered {times} times"
    for item in rendering.objects:
        name, most = name_of(item), SHORTER.get(item["kind"], 63)
        if not DNS.fullmatch(name) or len(name) > most:
            yield f"{where(item)}: its name of {len(name)} characters does not fit (most: {most})"
        namespace = item["metadata"].get("namespace", rendering.namespace)
        if namespace != rendering.namespace and item["kind"] != "ServiceMonitor":
            yield f"{where(item)}: is in namespace {namespace}"
    for pod in rendering.pods():
        for container in pod.containers:
            if not DNS.fullmatch(container["name"]):
                yield f"{pod.where}: container name {container['name']!r}"
            for port in container.get("ports") or []:
                if not PORT.fullmatch(port.get("name", "")):
                    yield f"{pod.where}: port name {port.get('name')!r}"


def labels_are_valid(rendering: Rendering) -> Iterator[str]:
    """Labels and annotations have valid keys, labels valid values, and the recommended ones are there."""
    for item in rendering.objects:
        templates = [pod.template for pod in rendering.pods() if pod.owner is item]
        claims = item.get("spec", {}).get("volumeClaimTemplates") or [] if item["kind"] == "StatefulSet" else []
        for part in (item, *templates, *claims):
            metadata = part.get("metadata") or {}
            for key, value in (metadata.get("labels") or {}).items():
                if not KEY.fullmatch(key) or not isinstance(value, str) or not LABEL.fullmatch(value):
                    yield f"{where(item)}: label {key}={value!r}"
            for key, value in (metadata.get("annotations") or {}).items():
                if not KEY.fullmatch(key) or not isinstance(value, str):
                    yield f"{where(item)}: annotation {key}={value!r}"
        labels = item["metadata"].get("labels") or {}
        for key in RECOMMENDED:
            if not labels.get(key):
                yield f"{where(item)}: has no label {key}"
        if labels.get("app.kubernetes.io/instance", rendering.release) != rendering.release:
            yield f"{where(item)}: its label app.kubernetes.io/instance is not the release"
        for claim in claims:
            for key in set(claim["metadata"].get("labels") or {}) & set(CHANGING):
                yield f"{where(item)}: label {key} of a claim changes with each version, but cannot be changed"


def selectors_select(rendering: Rendering) -> Iterator[str]:
    """What selects pods selects those of the workload, none of a job, and by labels that never change."""
    workload = rendering.workload()
    jobs = [pod for pod in rendering.pods() if pod.owner["kind"] not in LASTING]
    for item, selector in pod_selectors(rendering):
        for key in set(selector.get("matchLabels") or selector) & set(CHANGING):
            yield f"{where(item)}: selects by {key}, which changes with each version"
        if not selector:
            yield f"{where(item)}: selects every pod of the namespace"
        if item["kind"] == "NetworkPolicy":
            continue
        if not selects(selector, workload.labels):
            yield f"{where(item)}: does not select the pods of {workload.where}"
        for pod in jobs:
            if selects(selector, pod.labels):
                yield f"{where(item)}: also selects the pods of {pod.where}"
    for item in rendering.of("NetworkPolicy"):
        if not any(selects(item["spec"]["podSelector"], pod.labels) for pod in rendering.pods()):
            yield f"{where(item)}: selects no pod"


def pod_selectors(rendering: Rendering) -> Iterator[tuple[Object, dict]]:
    for item in rendering.objects:
        spec = item.get("spec") or {}
        if item["kind"] in (*LASTING, "PodDisruptionBudget"):
            yield item, spec.get("selector") or {}
        elif item["kind"] == "Service":
            yield item, spec.get("selector") or {}
        elif item["kind"] == "NetworkPolicy":
            yield item, spec.get("podSelector") or {}
    for pod in rendering.pods():
        for constraint in pod.spec.get("topologySpreadConstraints") or []:
            yield pod.owner, constraint.get("labelSelector") or {}


def services_reach_pods(rendering: Rendering) -> Iterator[str]:
    """A Service's target ports are ports of the pods, and its own ports differ."""
    ports = rendering.workload().ports()
    for service in rendering.of("Service"):
        listed = service["spec"]["ports"]
        for part in ("name", "port"):
            if len({port.get(part) for port in listed}) != len(listed):
                yield f"{where(service)}: two ports have one {part}"
        for port in listed:
            target = port.get("targetPort", port["port"])
            if target not in ports and target not in ports.values():
                yield f"{where(service)}: targets port {target}, which the pods do not have"
    governing = rendering.workload().owner["spec"].get("serviceName")
    if governing and rendering.named("Service", governing) is None:
        yield f"{rendering.workload().where}: its Service {governing} is not there"


def backends_exist(rendering: Rendering) -> Iterator[str]:
    """Ingress and HTTPRoute lead to Services and ports that there are, ServiceMonitor to ports with metrics."""
    for ingress in rendering.of("Ingress"):
        rules = ingress["spec"].get("rules") or []
        paths = [path for rule in rules for path in (rule.get("http") or {}).get("paths") or []]
        if not paths:
            yield f"{where(ingress)}: leads nowhere"
        for path in paths:
            backend = path["backend"]["service"]
            port = backend["port"].get("name", backend["port"].get("number"))
            yield from missing_port(rendering, ingress, backend["name"], port)
        hosts = {rule.get("host") for rule in rules}
        for tls in ingress["spec"].get("tls") or []:
            for host in set(tls.get("hosts") or []) - hosts:
                yield f"{where(ingress)}: has a certificate for {host}, but no rule"
    for route in rendering.of("HTTPRoute"):
        references = [entry for rule in route["spec"].get("rules") or [] for entry in rule.get("backendRefs") or []]
        if not references or not route["spec"].get("parentRefs"):
            yield f"{where(route)}: leads nowhere, or belongs to no Gateway"
        for reference in references:
            yield from missing_port(rendering, route, reference["name"], reference["port"])
    for monitor in rendering.of("ServiceMonitor"):
        spec = monitor["spec"]
        services = [
            service for service in rendering.of("Service")
            if selects(spec["selector"], service["metadata"].get("labels") or {})
        ]  # fmt: skip
        for endpoint in spec["endpoints"]:
            if endpoint.get("path") != "/metrics":
                yield f"{where(monitor)}: asks {endpoint.get('path')}, not /metrics"
            found = [s for s in services if any(port.get("name") == endpoint["port"] for port in s["spec"]["ports"])]
            if len(found) != 1:
                yield f"{where(monitor)}: {len(found)} of the Services it selects have port {endpoint['port']}, not one"
        namespace = monitor["metadata"].get("namespace", rendering.namespace)
        looks_into = {namespace, *spec.get("namespaceSelector", {}).get("matchNames", [])}
        if rendering.namespace not in looks_into:
            yield f"{where(monitor)}: does not look into namespace {rendering.namespace}"


def missing_port(rendering: Rendering, item: Object, name: str, port: str | int) -> Iterator[str]:
    service = rendering.named("Service", name)
    if service is None:
        yield f"{where(item)}: leads to Service {name}, which there is not"
    elif not any(port in (listed.get("name"), listed["port"]) for listed in service["spec"]["ports"]):
        yield f"{where(item)}: leads to port {port} of Service {name}, which it does not have"


def scaling_fits(rendering: Rendering) -> Iterator[str]:
    """HPA and PDB are about the workload, do not fight with it, and let nodes be drained."""
    workload = rendering.workload()
    spec = workload.owner["spec"]
    for scaler in rendering.of("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) != (workload.owner["kind"], name_of(workload.owner)):
            yield f"{where(scaler)}: scales {target['kind']}/{target['name']}"
        if "replicas" in spec:
            yield f"{workload.where}: has replicas beside {where(scaler)}: each upgrade would scale it back"
        if scaler["spec"].get("minReplicas", 1) > scaler["spec"]["maxReplicas"]:
            yield f"{where(scaler)}: its least is above its most"
    scalers = rendering.of("HorizontalPodAutoscaler")
    least = scalers[0]["spec"].get("minReplicas", 1) if scalers else spec.get("replicas", 1)
    for budget in rendering.of("PodDisruptionBudget"):
        available, unavailable = budget["spec"].get("minAvailable"), budget["spec"].get("maxUnavailable")
        if (available is None) == (unavailable is None):
            yield f"{where(budget)}: needs one of minAvailable and maxUnavailable"
        if unavailable in (0, "0%") or available == "100%" or (isinstance(available, int) and available >= least):
            yield f"{where(budget)}: lets no pod of {least} be evicted: no node could be drained"


def hooks_find_everything(rendering: Rendering) -> Iterator[str]:
    """What a hook needs is there when it runs: before the release only what exists already, or an earlier hook."""
    for pod in rendering.pods():
        early = hooks_of(pod.owner) & {"pre-install", "pre-upgrade"}
        if hooks_of(pod.owner) and "before-hook-creation" not in annotations_of(pod.owner).get(
            "helm.sh/hook-delete-policy", "before-hook-creation"
        ):
            yield f"{pod.where}: the hook of the release before is still there when it is made again"
        for kind, name, _, optional in references(pod) if early else []:
            item = rendering.named(kind, name)
            if item is None and kind == "Secret":
                item = next((ext for ext in rendering.of("ExternalSecret") if rendering.target_of(ext) == name), None)
            if item is None or optional:
                continue
            for event in sorted(early):
                if event not in hooks_of(item):
                    yield f"{pod.where}: {event} needs {where(item)}, which is applied with the release, after it"
                elif hook_weight(item) >= hook_weight(pod.owner):
                    yield f"{pod.where}: needs {where(item)}, which has no lower weight"
    for item in rendering.objects:
        policy = annotations_of(item).get("helm.sh/hook-delete-policy", "")
        if hooks_of(item) - {"test"} and "hook-succeeded" in policy:
            users = [pod for pod in rendering.pods() if not hooks_of(pod.owner)]
            for pod in users:
                if (item["kind"], name_of(item)) in {(kind, name) for kind, name, _, _ in references(pod)}:
                    yield f"{where(item)}: is deleted after the hook, but {pod.where} needs it"


def secrets_stay_secret(rendering: Rendering) -> Iterator[str]:
    """Secret values are in Secrets only, and reach a container as files rather than as variables."""
    for item in rendering.objects:
        if item["kind"] == "Secret":
            if any(MARKER in text for text in strings({**item, "data": None, "stringData": None})):
                yield f"{where(item)}: a secret is outside its data"
            for key, text in secret_text(item).items():
                if not text:
                    yield f"{where(item)}: {key} is empty"
        elif any(MARKER in text for text in strings(item)):
            yield f"{where(item)}: contains a secret"
    for pod in rendering.pods():
        for container in pod.containers:
            for variable in container.get("env") or []:
                if "secretKeyRef" in (variable.get("valueFrom") or {}):
                    yield f"{pod.where}: {variable['name']} has a secret: anyone who may see the process sees it"


def network_policies_allow(rendering: Rendering) -> Iterator[str]:
    """Policies that cover a pod let in what its probes and Services need, and let out what it asks."""
    workload = rendering.workload()
    exposed = {
        port.get("targetPort", port["port"]) for service in rendering.of("Service") for port in service["spec"]["ports"]
    }
    for pod in rendering.pods():
        covering = [item for item in rendering.of("NetworkPolicy") if selects(item["spec"]["podSelector"], pod.labels)]
        types = {kind for item in covering for kind in item["spec"].get("policyTypes") or ["Ingress"]}
        if "Ingress" in types and pod.owner["kind"] in LASTING:
            for port in sorted(exposed, key=str):
                if not any(allows(rule, port, pod) for item in covering for rule in item["spec"].get("ingress") or []):
                    yield f"{pod.where}: no NetworkPolicy lets anyone reach its port {port}"
        if "Egress" in types:
            rules = [rule for item in covering for rule in item["spec"].get("egress") or []]
            if not any(allows(rule, 53, pod) for rule in rules):
                yield f"{pod.where}: no NetworkPolicy lets it ask the DNS"
    if rendering.of("NetworkPolicy") and not any(
        selects(item["spec"]["podSelector"], workload.labels) for item in rendering.of("NetworkPolicy")
    ):
        yield f"{workload.where}: no NetworkPolicy covers it"


def allows(rule: Object, port: str | int, pod: Pod) -> bool:
    """Whether a rule of a NetworkPolicy is about this port, by name or number."""
    numbers = {port, pod.ports().get(port) if isinstance(port, str) else port}
    listed = rule.get("ports")
    return listed is None or any(entry.get("port") in numbers for entry in listed)


RULES = [
    names_are_valid,
    labels_are_valid,
    selectors_select,
    services_reach_pods,
    backends_exist,
    scaling_fits,
    hooks_find_everything,
    secrets_stay_secret,
    network_policies_allow,
]
