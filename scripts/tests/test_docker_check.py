"""Tests of what scripts/docker-check judges by, without an engine: each fault that it is for is found."""

import contextlib
import copy
import importlib
import io
import os
import shutil
import sys
import tarfile
import unittest
from unittest import mock

from loading import SCRIPTS, load_script

sys.path.insert(0, str(SCRIPTS))
static = importlib.import_module("containers.static")
image = importlib.import_module("containers.image")
engine = importlib.import_module("containers.engine")
script = load_script("docker-check")

ROOT = SCRIPTS.parent
MANIFEST = {"package": image.manifest()}
SERVICE = {
    "image": "bedrock-cost-keeper:1.2.3",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "read_only": True,
    "mem_limit": str(512 * 1024 * 1024),
    "stop_grace_period": "40s",
    "healthcheck": {"test": ["CMD", "x"]},
    "logging": {"options": {"max-size": "10m"}},
    "ports": [{"host_ip": "127.0.0.1", "target": 8080, "published": "8080"}],
    "environment": {"COST_KEEPER_SERVER__MAX_CONNECTIONS": "256", "COST_KEEPER_AUTH__JWT_SECRET_FILE": "/x"},
    "volumes": [{"type": "bind", "source": "/x", "read_only": True}, {"type": "volume", "source": "data"}],
}


def changed(**changes):
    return static.of_services({"one": {**copy.deepcopy(SERVICE), **changes}})


class Services(unittest.TestCase):
    def test_a_good_one_has_no_findings(self):
        self.assertEqual(changed(), [])

    def test_each_fault_is_found(self):
        for fault, finding in (
            ({"ports": [{"target": 8080, "published": "8080"}]}, "published on every address"),
            ({"ports": [{"host_ip": "0.0.0.0", "target": 8080, "published": "1"}]}, "published on 0.0.0.0"),
            ({"ports": SERVICE["ports"] * 2}, "port 8080 is published twice"),
            ({"network_mode": "host"}, "shares the network"),
            ({"cap_drop": []}, "cap_drop"),
            ({"security_opt": []}, "no-new-privileges"),
            ({"privileged": True}, "is privileged"),
            ({"volumes": [{"type": "bind", "source": "/x"}]}, "may write /x"),
            ({"environment": {"POSTGRES_PASSWORD": "postgres"}}, "POSTGRES_PASSWORD is written down"),
            ({"environment": {"COST_KEEPER_AUTH__PROVISIONING_KEYS": "x"}}, "PROVISIONING_KEYS is written down"),
            ({"environment": {}}, "mem_limit is less than twice what 8192 connections"),
            ({"image": "haproxy"}, "has no version"),
            ({"image": "haproxy:latest"}, "has no version"),
            ({"image": "registry.example.com/haproxy:3"}, "names a registry"),
            ({"read_only": False}, "root file system"),
            ({"stop_grace_period": "10s"}, "stop_grace_period"),
            ({"stop_grace_period": "26s"}, "stop_grace_period"),
            ({"logging": {}}, "grows without end"),
        ):
            with self.subTest(finding):
                self.assertIn(finding, "\n".join(changed(**fault)))

    def test_what_ends_is_not_started_again_and_what_goes_on_says_how_it_is(self):
        ends = {**SERVICE, "ports": [], "restart": "no"}
        del ends["healthcheck"]
        waits = {**SERVICE, "depends_on": {"ends": {"condition": "service_completed_successfully"}}}
        self.assertEqual(static.of_services({"ends": ends, "waits": waits}), [])
        self.assertIn("has no healthcheck", "\n".join(static.of_services({"ends": ends})))
        again = {"ends": {**ends, "restart": "always"}, "waits": waits}
        self.assertIn("restart has to be no", "\n".join(static.of_services(again)))

    def test_durations_are_read_as_compose_writes_them(self):
        self.assertEqual([static.seconds(text) for text in ("40s", "1m30s", "1h0m1s", "500ms")], [40, 90, 3601, 0.5])

    def test_without_a_profile_there_is_one_service(self):
        self.assertEqual(static.of_default({"keeper": {}}), [])
        self.assertTrue(static.of_default({"keeper": {}, "postgres": {}}))


class Files(unittest.TestCase):
    """The committed ones are good, and would be found out."""

    def spoiled(self, check, name, old, new, *arguments):
        text = (ROOT / name).read_text(encoding="utf-8")
        self.assertEqual(check(text, *arguments), [])
        self.assertIn(old, text)
        return "\n".join(check(text.replace(old, new), *arguments))

    def test_dockerfile(self):
        version = MANIFEST["package"]["version"]
        for old, new, finding in (
            (f"ARG VERSION={version}", "ARG VERSION=9.9.9", "ARG VERSION"),
            ("FROM scratch", "FROM debian:bookworm-slim", "FROM scratch"),
            ("USER 65532:65532", "USER root", "65532"),
            ("RUST_IMAGE=rust:1.", "RUST_IMAGE=rust:0.", "RUST_IMAGE"),
            ("--profile dist --locked", "--release", "profile dist"),
            ('licenses="MIT"', 'licenses="Apache-2.0"', "licenses"),
            ("ARG RUST_IMAGE", "# syntax=docker/dockerfile:1\nARG RUST_IMAGE", "syntax"),
            ("STOPSIGNAL", "RUN true\nSTOPSIGNAL", "runs or fetches"),
        ):
            with self.subTest(finding):
                self.assertIn(finding, self.spoiled(static.of_dockerfile, "Dockerfile", old, new, MANIFEST))

    def test_dockerignore(self):
        self.assertTrue(self.spoiled(static.of_ignored, ".dockerignore", "\n*\n", "\n"))
        self.assertTrue(self.spoiled(static.of_ignored, ".dockerignore", "!src", "src"))

    def test_version_in_compose(self):
        version = MANIFEST["package"]["version"]
        found = self.spoiled(static.of_version, "compose.yaml", f"keeper:{version}", "keeper:9.9.9", version)
        self.assertIn("9.9.9", found)

    def test_proxy(self):
        services = {"postgres-keeper-1": {}, "postgres-keeper-2": {}, "postgres": {}}
        name = "deploy/compose/haproxy.cfg"
        spoiling = {"postgres-keeper-2:": "elsewhere:", "set-header X-F": "add-header X-F", "/readyz": "/livez"}
        for old, new in spoiling.items():
            self.assertTrue(self.spoiled(static.of_proxy, name, old, new, services), old)


    def test_unit(self):
        name = "deploy/systemd/bedrock-cost-keeper.service"
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertIn("TimeoutStopSec", self.spoiled(static.of_unit, name, "StopSec=40", "StopSec=20"))
            self.assertIn("MemoryMax", self.spoiled(static.of_unit, name, "CONNECTIONS=512", "CONNECTIONS=8192"))

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is not here")
    def test_unit_that_systemd_does_not_understand(self):
        name = "deploy/systemd/bedrock-cost-keeper.service"
        found = self.spoiled(static.of_unit, name, "ProtectSystem=strict", "ProtectSystem=strikt")
        self.assertIn("protect system", found)


class Image(unittest.TestCase):
    def entry(self, name, mode=0o644, uid=0, kind=tarfile.REGTYPE):
        made = tarfile.TarInfo(name)
        made.mode, made.uid, made.type = mode, uid, kind
        return made

    def entries(self, *more):
        names = ["etc/ssl/certs/ca-certificates.crt", "etc/passwd", "licenses/LICENSE"]
        names += ["licenses/THIRD-PARTY-NOTICES.txt", "var/lib/dpkg/status.d/libc6"]
        good = [self.entry(name) for name in names]
        data = self.entry("data", 0o700, 65532, tarfile.DIRTYPE)
        return [*good, data, self.entry("tmp", 0o1777, 0, tarfile.DIRTYPE), *more]

    def test_contents(self):
        self.assertEqual(image.contained(self.entries()), [])
        for entry, finding in (
            (self.entry("usr/bin/bash", 0o755), "should not be there"),
            (self.entry("usr/bin/su", 0o4755), "gives rights"),
            (self.entry("etc/anything", 0o666), "written by everybody"),
            (self.entry("data", 0o755, 0, tarfile.DIRTYPE), "owner and mode"),
        ):
            self.assertIn(finding, "\n".join(image.contained(self.entries(entry))))
        self.assertIn("LICENSE is missing", "\n".join(image.contained(self.entries()[3:])))

    def test_description(self):
        package = MANIFEST["package"]
        labels = {"version": package["version"], "description": package["description"], "licenses": package["license"]}
        good = {
            "Labels": {f"org.opencontainers.image.{name}": value for name, value in labels.items()},
            "Env": ["COST_KEEPER_SERVER__LISTEN=0.0.0.0:8080", "COST_KEEPER_DATA_DIR=/data"],
            "User": "65532:65532",
            "Entrypoint": ["/usr/local/bin/bedrock-cost-keeper"],
            "Cmd": ["serve"],
            "StopSignal": "SIGTERM",
            "Volumes": {"/data": {}},
            "ExposedPorts": {"9464/tcp": {}, "8080/tcp": {}},
            "Healthcheck": {"Test": ["CMD", "/usr/local/bin/bedrock-cost-keeper", "health"]},
        }
        self.assertEqual(image.described(good, "arm64", None), [])
        self.assertIn("label revision", "\n".join(image.described(good, "amd64", "abc")))
        self.assertIn("architecture", "\n".join(image.described(good, "riscv64", None)))
        spoiling = {"User": "root", "Cmd": ["demo"], "Labels": {}, "Volumes": {}, "StopSignal": "SIGKILL"}
        for field, value in spoiling.items():
            self.assertTrue(image.described({**good, field: value}, "amd64", None), field)


class Called(unittest.TestCase):
    """Where there is no engine, it says so, and fails if it has to have one."""

    def run_script(self, *arguments):
        said = io.StringIO()
        with (
            mock.patch.dict(os.environ, {"DOCKER": "/nonexistent/docker"}),
            mock.patch.object(script, "python_packages", lambda name: None),
            mock.patch.object(script.static, "findings", lambda packages: []),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            return script.main(list(arguments)), said.getvalue()

    def test_no_engine(self):
        code, said = self.run_script()
        self.assertEqual(code, 0)
        self.assertRegex(said, r"(?m)^docker-check: NOT RUN: .*no program /nonexistent/docker")
        for arguments in (["--require-engine"], ["--image", "x"]):
            code, said = self.run_script(*arguments)
            self.assertEqual(code, 1)
            self.assertIn("there is no engine", said)

    def test_static_asks_for_no_engine(self):
        code, said = self.run_script("--static")
        self.assertEqual((code, "NOT RUN" in said), (0, False))


if __name__ == "__main__":
    unittest.main()
