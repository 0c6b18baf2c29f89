"""Rendered objects of Kubernetes, and how they refer to each other. Plain dictionaries, as a YAML file has them."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

# Where the kinds that make pods have the template of a pod.
POD_TEMPLATES = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Pod": (),
}
# Kinds whose pods stay; those of the others run once and end.
LASTING = ("Deployment", "StatefulSet", "DaemonSet")
# Directory of the configuration file, and of the secrets, in a container.
CONFIG_PATH = "/etc/cost-keeper/cost-keeper.yaml"
SECRETS_PATH = "/run/secrets/cost-keeper"


@dataclass(frozen=True)
class Rendering:
    """The objects of one `helm template`."""

    objects: list[Object]
    release: str = "keeper"
    namespace: str = "spend"
    # What is there before the release: ("Secret", "name") and its keys, or None where they do not matter.
    existing: dict[tuple[str, str], set[str] | None] = field(default_factory=dict)

    def of(self, *kinds: str) -> list[Object]:
        return [item for item in self.objects if item.get("kind") in kinds]

    def named(self, kind: str, name: str) -> Object | None:
        return next((item for item in self.of(kind) if name_of(item) == name), None)

    def pods(self) -> Iterator["Pod"]:
        """Every pod template."""
        for item in self.of(*POD_TEMPLATES):
            yield Pod(item)

    def workload(self) -> "Pod":
        """What serves the API: the one workload whose pods last."""
        lasting = [pod for pod in self.pods() if pod.owner["kind"] in LASTING]
        if len(lasting) != 1:
            raise ValueError(f"{len(lasting)} lasting workloads, not one")
        return lasting[0]

    def keys(self, kind: str, name: str) -> tuple[bool, set[str] | None]:
        """Whether there is this ConfigMap or Secret once everything is applied, and its keys (None: not known)."""
        found = self.named(kind, name)
        if found is not None:
            return True, {*(found.get("data") or {}), *(found.get("stringData") or {}), *(found.get("binaryData") or {})}
        for external in self.of("ExternalSecret") if kind == "Secret" else []:
            if self.target_of(external) == name:
                return True, external_keys(external)
        if (kind, name) in self.existing:
            return True, self.existing[kind, name]
        return False, set()

    @staticmethod
    def target_of(external: Object) -> str:
        return external["spec"].get("target", {}).get("name") or name_of(external)


@dataclass(frozen=True)
class Pod:
    """The template of a pod, and the object it is in."""

    owner: Object

    @property
    def template(self) -> Object:
        template = self.owner
        for part in POD_TEMPLATES[self.owner["kind"]]:
            template = template[part]
        return template

    @property
    def spec(self) -> Object:
        return self.template["spec"]

    @property
    def labels(self) -> dict[str, str]:
        return self.template.get("metadata", {}).get("labels") or {}

    @property
    def annotations(self) -> dict[str, str]:
        return self.template.get("metadata", {}).get("annotations") or {}

    @property
    def containers(self) -> list[Object]:
        return [*(self.spec.get("initContainers") or []), *self.spec["containers"]]

    @property
    def main(self) -> Object:
        """The container of the service itself."""
        return self.spec["containers"][0]

    @property
    def where(self) -> str:
        return where(self.owner)

    def ports(self) -> dict[str, int]:
        """Container ports by name."""
        ports = [port for container in self.containers for port in container.get("ports") or []]
        return {port.get("name", str(port["containerPort"])): port["containerPort"] for port in ports}

    def volumes(self) -> dict[str, Object]:
        """Volumes by name, those that a StatefulSet claims included."""
        volumes = {volume["name"]: volume for volume in self.spec.get("volumes") or []}
        claims = self.owner["spec"].get("volumeClaimTemplates") or [] if self.owner["kind"] == "StatefulSet" else []
        return volumes | {name_of(claim): {"name": name_of(claim), "claimed": claim} for claim in claims}


def where(item: Object) -> str:
    """How a finding names an object."""
    return f"{item.get('kind', 'object')}/{name_of(item)}"


def name_of(item: Object) -> str:
    return item.get("metadata", {}).get("name", "")


def annotations_of(item: Object) -> dict[str, str]:
    return item.get("metadata", {}).get("annotations") or {}


def hooks_of(item: Object) -> set[str]:
    """Events of a release at which an object is applied; none: with the release itself."""
    return {event.strip() for event in annotations_of(item).get("helm.sh/hook", "").split(",") if event.strip()}


def hook_weight(item: Object) -> int:
    return int(annotations_of(item).get("helm.sh/hook-weight", "0"))


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector, of either form, selects these labels. An empty one selects everything."""
    if not set(selector) <= {"matchLabels", "matchExpressions"}:
        selector = {"matchLabels": selector}
    for expression in selector.get("matchExpressions") or []:
        value = labels.get(expression["key"])
        allowed = {
            "In": value in expression.get("values", []),
            "NotIn": value not in expression.get("values", []),
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not allowed[expression["operator"]]:
            return False
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items())


def external_keys(external: Object) -> set[str] | None:
    """Keys of the Secret that an ExternalSecret makes; None if only the provider knows."""
    spec = external["spec"]
    if spec.get("dataFrom"):
        return None
    template = spec.get("target", {}).get("template", {}).get("data")
    return set(template) if template else {entry["secretKey"] for entry in spec.get("data") or []}


def volume_files(volume: Object) -> Iterator[tuple[str, str, list[Object] | None, bool]]:
    """(kind, name, items, optional) of each ConfigMap and Secret in a volume; items None: all of its keys."""
    for source in [volume, *((volume.get("projected") or {}).get("sources") or [])]:
        for kind, part, name in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
            if part in source:
                reference = source[part]
                found = reference.get(name) or reference.get("name", "")
                yield kind, found, reference.get("items"), bool(reference.get("optional"))


def references(pod: Pod) -> Iterator[tuple[str, str, set[str], bool]]:
    """(kind, name, keys, optional) of everything that has to be there before a pod can start."""
    for volume in pod.volumes().values():
        for kind, name, items, optional in volume_files(volume):
            yield kind, name, {item["key"] for item in items or []}, optional
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], set(), False
    for container in pod.containers:
        for source in container.get("envFrom") or []:
            for kind, part in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                if part in source:
                    yield kind, source[part]["name"], set(), bool(source[part].get("optional"))
        for variable in container.get("env") or []:
            for kind, part in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
                reference = (variable.get("valueFrom") or {}).get(part)
                if reference:
                    yield kind, reference["name"], {reference["key"]}, bool(reference.get("optional"))
    if pod.spec.get("serviceAccountName", "default") != "default":
        yield "ServiceAccount", pod.spec["serviceAccountName"], set(), False
    for reference in pod.spec.get("imagePullSecrets") or []:
        yield "Secret", reference["name"], set(), False


def secret_text(secret: Object) -> dict[str, str]:
    """Contents of a Secret, decoded."""
    coded = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
    return coded | dict(secret.get("stringData") or {})


def strings(value: Any) -> Iterator[str]:
    """Every text in an object, keys included."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


def quantity(text: str | int | float) -> float:
    """A quantity of Kubernetes, such as 250m or 512Mi, as a number."""
    text = str(text)
    for suffix, factor in {
        "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4, "m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    }.items():  # fmt: skip
        if text.endswith(suffix):
            return float(text.removesuffix(suffix)) * factor
    return float(text)
