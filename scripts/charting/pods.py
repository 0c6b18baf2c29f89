"""Rules about each pod on its own: what it mounts, probes, may do and uses. Each answers what is wrong."""

from collections import Counter
from collections.abc import Iterator

from charting.objects import Object, Pod, Rendering, quantity, references, volume_files, where


def mounts_fit_volumes(rendering: Rendering) -> Iterator[str]:
    """Every mount has a volume and every volume a mount, and no two mounts are at one path."""
    for pod in rendering.pods():
        mounted = set()
        for container in pod.containers:
            mounts = container.get("volumeMounts") or []
            mounted |= {mount["name"] for mount in mounts}
            for path, times in Counter(mount["mountPath"] for mount in mounts).items():
                if times > 1:
                    yield f"{pod.where}: {times} mounts at {path} in {container['name']}"
        for name in sorted(mounted - set(pod.volumes())):
            yield f"{pod.where}: a mount names volume {name}, which there is not"
        for name in sorted(set(pod.volumes()) - mounted):
            yield f"{pod.where}: volume {name} is mounted nowhere"


def references_exist(rendering: Rendering) -> Iterator[str]:
    """ConfigMaps, Secrets, claims and accounts that a pod needs are rendered or were said to exist, with those keys."""
    for pod in rendering.pods():
        for kind, name, wanted, optional in references(pod):
            if kind in ("ConfigMap", "Secret"):
                exists, keys = rendering.keys(kind, name)
            else:
                exists = rendering.named(kind, name) is not None or (kind, name) in rendering.existing
                keys = None
            if not exists and not optional:
                yield f"{pod.where}: needs {kind}/{name}, which nothing makes"
            elif exists and keys is not None and not optional:
                for key in sorted(wanted - keys):
                    yield f"{pod.where}: {kind}/{name} has no {key}"


def configuration_files_exist(rendering: Rendering) -> Iterator[str]:
    """A file named by an argument or a variable (`*_FILE`) is in something that is mounted there."""
    for pod in rendering.pods():
        for container in pod.containers:
            arguments = container.get("args") or []
            named = [after for before, after in zip(arguments, arguments[1:], strict=False) if before == "--config"]
            named += [
                variable["value"] for variable in container.get("env") or []
                if variable["name"].startswith("COST_KEEPER_") and variable["name"].endswith("_FILE") and variable.get("value")
            ]  # fmt: skip
            for path in named:
                if not mounted_file(rendering, pod, container, path):
                    yield f"{pod.where}: {container['name']} is told of {path}, which is in no mount"


def mounted_file(rendering: Rendering, pod: Pod, container: Object, path: str) -> bool:
    """Whether a ConfigMap or Secret puts this file there (True too where its keys are not known)."""
    mounts = sorted(container.get("volumeMounts") or [], key=lambda mount: -len(mount["mountPath"]))
    for mount in mounts:
        directory = mount["mountPath"].rstrip("/")
        if path != directory and not path.startswith(f"{directory}/"):
            continue
        wanted = mount.get("subPath") or path[len(directory) + 1 :]
        for kind, name, items, _ in volume_files(pod.volumes().get(mount["name"], {})):
            keys = {item["path"] for item in items} if items is not None else rendering.keys(kind, name)[1]
            if keys is None or wanted in keys:
                return True
        return False
    return False


def probes_fit(rendering: Rendering) -> Iterator[str]:
    """The three probes ask ports that there are; none of those that restart a pod depends on the store, or on a free
    connection of the API where there is another listener."""
    pod = rendering.workload()
    main = pod.main
    ports = pod.ports()
    for probe, paths in {
        "livenessProbe": ("/livez",),
        "readinessProbe": ("/readyz",),
        "startupProbe": ("/livez",),
    }.items():
        if probe not in main:
            yield f"{pod.where}: no {probe}"
            continue
        get = main[probe].get("httpGet")
        if get is None:
            yield f"{pod.where}: {probe} asks nothing over HTTP"
            continue
        if get.get("path") not in paths:
            yield f"{pod.where}: {probe} asks {get.get('path')}, not {' or '.join(paths)}"
        if get["port"] not in ports and get["port"] not in ports.values():
            yield f"{pod.where}: {probe} asks port {get['port']}, which the container does not have"
        alive = "metrics" if "metrics" in ports and probe != "readinessProbe" else "http"
        if get["port"] in ports and get["port"] != alive:
            yield f"{pod.where}: {probe} asks port {get['port']}, not {alive}"
        if main[probe].get("timeoutSeconds", 1) > main[probe].get("periodSeconds", 10):
            yield f"{pod.where}: {probe} may take longer than its period"


def containers_are_restricted(rendering: Rendering) -> Iterator[str]:
    """Pod Security Standard `restricted`, and a root file system nobody writes to."""
    for pod in rendering.pods():
        overall = pod.spec.get("securityContext") or {}
        for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(forbidden):
                yield f"{pod.where}: {forbidden}"
        for volume in pod.spec.get("volumes") or []:
            allowed = {"configMap", "secret", "emptyDir", "projected", "persistentVolumeClaim", "csi", "ephemeral", "downwardAPI"}
            for kind in set(volume) - {"name"} - allowed:
                yield f"{pod.where}: volume {volume['name']} is a {kind}"
        for container in pod.containers:
            own = overall | (container.get("securityContext") or {})
            name = f"{pod.where}: {container['name']}"
            if own.get("runAsNonRoot") is not True or own.get("runAsUser") == 0:
                yield f"{name} may run as root"
            if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
                yield f"{name} may gain privileges"
            capabilities = own.get("capabilities") or {}
            if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
                yield f"{name} keeps capabilities"
            if (own.get("seccompProfile") or {}).get("type") != "RuntimeDefault":
                yield f"{name} has no seccomp profile"
            if own.get("readOnlyRootFilesystem") is not True:
                yield f"{name} may write to its root file system"
        account = rendering.named("ServiceAccount", pod.spec.get("serviceAccountName", ""))
        if pod.spec.get("automountServiceAccountToken", (account or {}).get("automountServiceAccountToken")) is not False:
            yield f"{pod.where}: has a token for the API of Kubernetes, which it does not need"
        claimed = any("claimed" in volume or "persistentVolumeClaim" in volume for volume in pod.volumes().values())
        if claimed and "fsGroup" not in overall:
            yield f"{pod.where}: without fsGroup, it cannot write to its volume"


def containers_have_resources(rendering: Rendering) -> Iterator[str]:
    """Requests of memory and CPU, a limit of memory, and no request above its limit."""
    for pod in rendering.pods():
        for container in pod.containers:
            resources = container.get("resources") or {}
            requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
            for what, of in (("cpu", requests), ("memory", requests), ("memory", limits)):
                if what not in of:
                    yield f"{pod.where}: {container['name']} has no {'request' if of is requests else 'limit'} of {what}"
            for what in set(requests) & set(limits):
                if quantity(requests[what]) > quantity(limits[what]):
                    yield f"{pod.where}: {container['name']} requests more {what} than its limit"


def images_are_fixed(rendering: Rendering) -> Iterator[str]:
    """Every image has a version or a digest."""
    for pod in rendering.pods():
        for container in pod.containers:
            name, _, tag = container["image"].rpartition("/")[2].partition(":")
            if not name or tag in ("", "latest") or any(part in ("", None) for part in container["image"].split("/")):
                yield f"{pod.where}: {container['name']} has image {container['image']!r}"


def empty_directories_are_bounded(rendering: Rendering) -> Iterator[str]:
    """Nothing that keeps data is on an emptyDir without a size limit, which could fill a node."""
    for pod in rendering.pods():
        for name, volume in pod.volumes().items():
            if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
                yield f"{pod.where}: emptyDir {name} has no sizeLimit"


def jobs_end(rendering: Rendering) -> Iterator[str]:
    """A Job stops trying, and stays no longer than it is of use."""
    for job in rendering.of("Job"):
        spec = job["spec"]
        if "activeDeadlineSeconds" not in spec:
            yield f"{where(job)}: has no activeDeadlineSeconds"
        if "backoffLimit" not in spec:
            yield f"{where(job)}: has no backoffLimit"
        if spec["template"]["spec"].get("restartPolicy") not in ("Never", "OnFailure"):
            yield f"{where(job)}: its pods restart for ever"


def variables_are_unique(rendering: Rendering) -> Iterator[str]:
    """No variable is given twice: which one counts would be a guess."""
    for pod in rendering.pods():
        for container in pod.containers:
            times = Counter(variable["name"] for variable in container.get("env") or [])
            for name, count in times.items():
                if count > 1:
                    yield f"{pod.where}: {container['name']} has {name} {count} times"
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.where}: enableServiceLinks is on: every Service of the namespace adds variables"


RULES = [
    mounts_fit_volumes,
    references_exist,
    configuration_files_exist,
    probes_fit,
    containers_are_restricted,
    containers_have_resources,
    images_are_fixed,
    empty_directories_are_bounded,
    jobs_end,
    variables_are_unique,
]
