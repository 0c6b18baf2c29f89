"""Tests of scripts/helm-check: each rule finds what it is for. The objects that are spoiled here are the reviewed ones in
tests/helm/golden."""

import copy
import importlib.util
import sys
import unittest

from loading import SCRIPTS

sys.path.insert(0, str(SCRIPTS))

from tooling.packages import ROOT, python_packages  # noqa: E402

if importlib.util.find_spec("yaml") is None or importlib.util.find_spec("jsonschema") is None:
    packages = python_packages("kubernetes-validate")
    sys.path += [str(packages.path)] if packages.path else map(str, packages.directory.glob("lib/python*/site-packages"))

import yaml  # noqa: E402
from charting import golden, packaging, pods, relations, settings  # noqa: E402
from charting.objects import Rendering, quantity, selects  # noqa: E402
from charting.rendering import Loader  # noqa: E402

RULES = [*pods.RULES, *relations.RULES, *settings.RULES]
KEYS = {"storage-url", "provisioning-keys", "jwt-secret"}
NAME = "keeper-bedrock-cost-keeper"
RESTRICTED = {
    "image": "x:1",
    "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "1Mi"}},
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
}


def rendering(mode="postgresql"):
    text = (ROOT / "tests" / "helm" / "golden" / f"{mode}.yaml").read_text(encoding="utf-8")
    text = text.replace("<version>", "1.2.3").replace("<checksum>", "abc")
    objects = [item for item in yaml.load_all(text, Loader=Loader) if item]
    return Rendering(objects, existing={("Secret", "keeper-secrets"): set(KEYS)})


def found(rule, objects):
    return "\n".join(rule(objects))


def added(objects, kind, spec, **metadata):
    """An object with everything that all of them have."""
    labels = copy.deepcopy(objects.workload().owner["metadata"]["labels"])
    objects.objects.append({"kind": kind, "metadata": {"name": NAME, "labels": labels, **metadata}, "spec": spec})
    return objects.objects[-1]


def main(objects):
    return objects.workload().main


def job(objects):
    return next(pod for pod in objects.pods() if pod.owner["kind"] == "Job")


def env(objects, name, value):
    listed = main(objects)["env"]
    listed[:] = [variable for variable in listed if variable["name"] != name]
    listed.append({"name": name, "value": value})


def spec_of(objects):
    return objects.workload().spec


# Rule, mode, what spoils the objects, a part of what is found.
SPOILED = [
    (pods.mounts_fit_volumes, "sqlite", lambda o: main(o)["volumeMounts"].append({"name": "x", "mountPath": "/x"}), "names volume x"),
    (pods.mounts_fit_volumes, "sqlite", lambda o: main(o)["volumeMounts"].pop(), "is mounted nowhere"),
    (pods.mounts_fit_volumes, "sqlite", lambda o: main(o)["volumeMounts"].append(main(o)["volumeMounts"][0]), "2 mounts at"),
    (pods.references_exist, "postgresql", lambda o: o.existing.clear(), "needs Secret/keeper-secrets"),
    (pods.references_exist, "postgresql", lambda o: o.existing["Secret", "keeper-secrets"].clear(), "has no jwt-secret"),
    (pods.references_exist, "sqlite", lambda o: o.objects.remove(o.of("ServiceAccount")[0]), "needs ServiceAccount"),
    (pods.configuration_files_exist, "sqlite", lambda o: main(o)["args"].__setitem__(2, "/etc/other.yaml"), "in no mount"),
    (pods.configuration_files_exist, "sqlite", lambda o: env(o, "COST_KEEPER_METRICS__KEY_FILE", "/run/x"), "in no mount"),
    (pods.probes_fit, "sqlite", lambda o: main(o)["livenessProbe"]["httpGet"].update(path="/readyz"), "livenessProbe asks /readyz"),
    (pods.probes_fit, "sqlite", lambda o: main(o)["readinessProbe"]["httpGet"].update(port="web"), "port web"),
    (pods.probes_fit, "sqlite", lambda o: main(o)["livenessProbe"]["httpGet"].update(port="http"), "port http, not metrics"),
    (pods.probes_fit, "sqlite", lambda o: main(o)["readinessProbe"]["httpGet"].update(port="metrics"), "port metrics, not http"),
    (pods.probes_fit, "sqlite", lambda o: main(o).pop("startupProbe"), "no startupProbe"),
    (pods.containers_are_restricted, "sqlite", lambda o: main(o)["securityContext"].pop("capabilities"), "keeps capabilities"),
    (pods.containers_are_restricted, "sqlite", lambda o: spec_of(o)["securityContext"].update(runAsUser=0), "run as root"),
    (pods.containers_are_restricted, "sqlite", lambda o: spec_of(o)["securityContext"].pop("fsGroup"), "without fsGroup"),
    (pods.containers_are_restricted, "postgresql", lambda o: job(o).spec.update(automountServiceAccountToken=True), "has a token"),
    (pods.containers_are_restricted, "sqlite", lambda o: spec_of(o)["volumes"].append({"name": "h", "hostPath": {}}), "is a hostPath"),
    (pods.containers_have_resources, "sqlite", lambda o: main(o)["resources"]["limits"].clear(), "no limit of memory"),
    (pods.containers_have_resources, "sqlite", lambda o: main(o)["resources"]["requests"].update(memory="9Gi"), "more memory"),
    (pods.images_are_fixed, "sqlite", lambda o: main(o).update(image="host:5000/keeper"), "has image"),
    (pods.images_are_fixed, "sqlite", lambda o: main(o).update(image="keeper:latest"), "has image"),
    (pods.empty_directories_are_bounded, "sqlite", lambda o: spec_of(o)["volumes"].append({"name": "t", "emptyDir": {}}), "no sizeLimit"),
    (pods.jobs_end, "postgresql", lambda o: job(o).owner["spec"].pop("activeDeadlineSeconds"), "no activeDeadlineSeconds"),
    (pods.variables_are_unique, "sqlite", lambda o: main(o)["env"].append(main(o)["env"][0]), "2 times"),
    (pods.variables_are_unique, "sqlite", lambda o: spec_of(o).pop("enableServiceLinks"), "enableServiceLinks"),
    (relations.names_are_valid, "sqlite", lambda o: o.workload().owner["metadata"].update(name="x" * 53), "of 53 characters"),
    (relations.names_are_valid, "sqlite", lambda o: o.objects.append(o.objects[0]), "rendered 2 times"),
    (relations.names_are_valid, "sqlite", lambda o: o.objects[0]["metadata"].update(namespace="x"), "in namespace x"),
    (relations.labels_are_valid, "sqlite", lambda o: o.objects[0]["metadata"]["labels"].update(a="b c"), "label a='b c'"),
    (relations.labels_are_valid, "sqlite", lambda o: o.objects[0]["metadata"]["labels"].pop("helm.sh/chart"), "no label helm.sh/chart"),
    (relations.labels_are_valid, "sqlite", lambda o: claim_labels(o).update({"helm.sh/chart": "x-1"}), "cannot be changed"),
    (relations.selectors_select, "postgresql", lambda o: o.of("Service")[0]["spec"]["selector"].update(a="b"), "does not select"),
    (relations.selectors_select, "postgresql", lambda o: selector_without_component(o), "also selects the pods of Job"),
    (relations.selectors_select, "sqlite", lambda o: o.of("Service")[0]["spec"].update(selector={}), "selects every pod"),
    (relations.services_reach_pods, "sqlite", lambda o: main(o)["ports"].pop(), "targets port metrics"),
    (relations.services_reach_pods, "sqlite", lambda o: o.workload().owner["spec"].update(serviceName="x"), "Service x is not there"),
    (relations.backends_exist, "sqlite", lambda o: ingress(o, "other", 8080), "leads to Service other"),
    (relations.backends_exist, "sqlite", lambda o: ingress(o, NAME, 80), "leads to port 80"),
    (relations.backends_exist, "sqlite", lambda o: added(o, "HTTPRoute", {"rules": []}), "leads nowhere"),
    (relations.backends_exist, "sqlite", lambda o: monitor(o, {"a": "b"}), "0 of the Services"),
    (relations.backends_exist, "sqlite", lambda o: monitor(o, {}, namespace="other"), "does not look into"),
    (relations.scaling_fits, "postgresql", lambda o: scaler(o, "Deployment"), "would scale it back"),
    (relations.scaling_fits, "postgresql", lambda o: scaler(o, "StatefulSet"), "scales StatefulSet"),
    (relations.scaling_fits, "postgresql", lambda o: budget(o).update(maxUnavailable=0), "no node could be drained"),
    (relations.scaling_fits, "postgresql", lambda o: budget(o).update(minAvailable=1), "needs one of"),
    (relations.hooks_find_everything, "postgresql", lambda o: hook(o, "ConfigMap").clear(), "applied with the release, after it"),
    (relations.hooks_find_everything, "postgresql", lambda o: hook(o, "ConfigMap").update({"helm.sh/hook-weight": "0"}), "no lower weight"),
    (relations.secrets_stay_secret, "sqlite", lambda o: o.of("ConfigMap")[0]["data"].update(x="s3cret-1"), "contains a secret"),
    (relations.secrets_stay_secret, "sqlite", lambda o: main(o)["env"].append(SECRET_VARIABLE), "anyone who may see"),
    (relations.network_policies_allow, "postgresql", lambda o: policy(o, ports=[8080]), "reach its port metrics"),
    (relations.network_policies_allow, "postgresql", lambda o: policy(o, ports=[8080, 9464]), "ask the DNS"),
    (settings.grace_period_lasts, "sqlite", lambda o: spec_of(o).update(terminationGracePeriodSeconds=30), "is too short"),
    (settings.grace_period_lasts, "sqlite", lambda o: env(o, "COST_KEEPER_SERVER__DRAIN_DELAY_SECS", "0"), "before the other pods"),
    (settings.memory_suffices, "sqlite", lambda o: env(o, "COST_KEEPER_SERVER__MAX_CONNECTIONS", "8192"), "8192 MiB of requests"),
    (settings.ports_are_listened_on, "sqlite", lambda o: env(o, "COST_KEEPER_SERVER__LISTEN", "0.0.0.0:9"), "nothing listens on"),
    (settings.ports_are_listened_on, "sqlite", lambda o: env(o, "COST_KEEPER_METRICS__LISTEN", "127.0.0.1:9464"), "from outside"),
    (settings.tls_is_consistent, "sqlite", lambda o: main(o)["livenessProbe"]["httpGet"].update(scheme="HTTPS"), "speaks HTTPS"),
    (settings.proxies_are_trusted, "sqlite", lambda o: ingress(o, NAME, 8080), "without server.trusted_proxies"),
    (settings.store_fits_workload, "sqlite", lambda o: o.workload().owner["spec"].update(replicas=2), "several pods on one"),
    (settings.store_fits_workload, "sqlite", lambda o: o.workload().owner["spec"].pop("volumeClaimTemplates"), "no volume at /data"),
    (settings.store_fits_workload, "postgresql", lambda o: o.objects.remove(job(o).owner), "brings the store to this version"),
    (settings.store_fits_workload, "postgresql", lambda o: without(o, "JWT_SECRET"), "auth.jwt_secret has no source"),
    (settings.store_can_be_reached, "postgresql", lambda o: policy(o, ports=[53]), "lets it reach port 5432"),
    (settings.several_pods_spread, "postgresql", lambda o: o.objects.remove(o.of("PodDisruptionBudget")[0]), "all be evicted"),
    (settings.several_pods_spread, "postgresql", lambda o: spec_of(o).pop("topologySpreadConstraints"), "on one node"),
    (settings.alerts_match_the_job, "sqlite", lambda o: alert(o, 'up{job=~"other"} == 0'), "asks for job other"),
    (settings.alerts_match_the_job, "sqlite", lambda o: alert(o, "up == 0"), "asks for no job"),
    (settings.alerts_match_the_job, "sqlite", lambda o: alert(o, 'up{job=~".*cost-keeper.*"} == 0'), "one would hide the other"),
    (settings.alerts_are_complete, "sqlite", lambda o: alert(o, "up == 0"), "is not as in files/alerts.yaml"),
    (settings.checksum_is_there, "sqlite", lambda o: o.workload().annotations.clear(), "no checksum"),
]  # fmt: skip
SECRET_VARIABLE = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "keeper-secrets", "key": "jwt-secret"}}}


def claim_labels(objects):
    return objects.workload().owner["spec"]["volumeClaimTemplates"][0]["metadata"]["labels"]


def selector_without_component(objects):
    objects.of("Service")[0]["spec"]["selector"].pop("app.kubernetes.io/component")


def ingress(objects, service, port):
    path = {"path": "/", "backend": {"service": {"name": service, "port": {"number": port}}}}
    return added(objects, "Ingress", {"rules": [{"host": "h", "http": {"paths": [path]}}]})


def monitor(objects, labels, **metadata):
    return added(objects, "ServiceMonitor", {"selector": {"matchLabels": labels}, "endpoints": [{"port": "metrics"}]}, **metadata)


def alert(objects, expression):
    monitor(objects, {})
    return added(objects, "PrometheusRule", {"groups": [{"name": "x", "rules": [{"alert": "X", "expr": expression}]}]})


def scaler(objects, kind):
    return added(objects, "HorizontalPodAutoscaler", {"scaleTargetRef": {"kind": kind, "name": NAME}, "maxReplicas": 3})


def budget(objects):
    return objects.of("PodDisruptionBudget")[0]["spec"]


def hook(objects, kind):
    return next(item for item in objects.of(kind) if item["metadata"].get("annotations"))["metadata"]["annotations"]


def policy(objects, ports):
    rule = {"ports": [{"port": port} for port in ports]}
    selector = {"app.kubernetes.io/component": "server"}
    spec = {"podSelector": {"matchLabels": selector}, "policyTypes": ["Ingress", "Egress"], "ingress": [rule], "egress": [rule]}
    return added(objects, "NetworkPolicy", spec)


def without(objects, part):
    main(objects)["env"][:] = [variable for variable in main(objects)["env"] if part not in variable["name"]]


class Rules(unittest.TestCase):
    def test_nothing_is_wrong_with_what_was_reviewed(self):
        for mode in golden.MODES:
            for rule in RULES:
                with self.subTest(mode=mode, rule=rule.__name__):
                    self.assertEqual("", found(rule, rendering(mode)))

    def test_each_rule_finds_what_it_is_for(self):
        for rule, mode, spoil, expected in SPOILED:
            with self.subTest(rule=rule.__name__, expected=expected):
                objects = rendering(mode)
                spoil(objects)
                self.assertIn(expected, found(rule, objects))

    def test_each_rule_is_tried(self):
        self.assertEqual({rule.__name__ for rule in RULES}, {rule.__name__ for rule, *_ in SPOILED})

    def test_what_exists_is_not_missed(self):
        objects = rendering("sqlite")
        ingress(objects, NAME, 8080)
        spec_of(objects)["initContainers"] = [{"name": "first", **RESTRICTED}]
        for rule in (relations.backends_exist, pods.containers_are_restricted, pods.containers_have_resources):
            self.assertEqual("", found(rule, objects))


class Reading(unittest.TestCase):
    def test_selectors(self):
        self.assertTrue(selects({"a": "b"}, {"a": "b", "c": "d"}))
        self.assertFalse(selects({"matchLabels": {"a": "b"}}, {"a": "c"}))
        expression = {"key": "a", "operator": "In", "values": ["b"]}
        self.assertTrue(selects({"matchExpressions": [expression]}, {"a": "b"}))
        self.assertFalse(selects({"matchExpressions": [expression | {"operator": "NotIn"}]}, {"a": "b"}))

    def test_quantities(self):
        self.assertEqual([0.25, 512 * 1024**2, 2.0], [quantity("250m"), quantity("512Mi"), quantity(2)])

    def test_a_key_given_twice_is_refused(self):
        with self.assertRaises(yaml.YAMLError):
            yaml.load("a: 1\na: 2", Loader=Loader)

    def test_versions_and_checksums_are_not_kept(self):
        text = golden.normalized("image: keeper:0.1.0\nold: 10.1.0.1\nchecksum/config: 0123456789abcdef\n", "0.1.0")
        self.assertEqual("image: keeper:<version>\nold: 10.1.0.1\nchecksum/config: <checksum>\n", text)

    def test_alerts_are_not_kept(self):
        rule = "kind: PrometheusRule\nmetadata:\n  name: x\nspec:\n  groups:\n    - name: y\n      rules: []\n"
        text = golden.normalized(f"kind: A\n---\napiVersion: x\n{rule}---\nkind: B\n", "0.1.0")
        self.assertEqual("kind: A\n---\napiVersion: x\nkind: PrometheusRule\nmetadata:\n  name: x\nspec:\n  groups:\n"
                         "    <alerts>\n---\nkind: B\n", text)  # fmt: skip

    def test_changes_of_objects(self):
        def document(kind, value):
            return f"---\n# Source: chart/templates/{kind.lower()}.yaml\nkind: {kind}\nvalue: {value}\n"

        text = golden.changes(document("A", 1) + document("B", 1) + document("C", 1), document("A", 1) + document("B", 2) + document("D", 1))
        for part in ("== other B of b.yaml", "-value: 1\n+value: 2", "== without the C of c.yaml", "== with a D of d.yaml"):
            self.assertIn(part, text)
        self.assertNotIn("A of a.yaml", text)

    def test_notes_that_help_nobody(self):
        self.assertEqual([], list(packaging.notes_help("kubectl port-forward x\ncurl localhost\n")))
        for notes in ("", "curl", "kubectl port-forward curl <no value>", f"kubectl port-forward curl {'x' * 200}"):
            self.assertNotEqual([], list(packaging.notes_help(notes)))


if __name__ == "__main__":
    unittest.main()
