#!/usr/bin/env python3
"""Shows that every rule of deny.toml can fail: puts one fault at a time into a copy of what scripts/supply-chain
checks, and expects cargo-deny to refuse exactly that. `.ci/run supply-chain` runs it after the checks themselves.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from loading import load_script

script = load_script("supply-chain")

ADVISORY = """```toml
[advisory]
id = "RUSTSEC-2026-9999"
package = "serde_json"
date = "2026-01-01"

[versions]
patched = ["{patched}"]
```

# A made-up advisory
"""


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.binary = script.install_cargo_deny()
        cls.graph = script.metadata(script.ROOT)
        cls.config = (script.ROOT / "deny.toml").read_text(encoding="utf-8")

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.metadata = json.loads(self.graph)

    def package(self, name):
        return next(package for package in self.metadata["packages"] if package["name"] == name)

    def errors(self, config=None):
        """The codes of what is refused."""
        graph, rules = self.directory / "metadata.json", self.directory / "deny.toml"
        graph.write_text(json.dumps(self.metadata), encoding="utf-8")
        rules.write_text(config or self.config, encoding="utf-8")
        checks = ["bans", "licenses", "sources"]
        command = script.cargo_deny(self.binary, graph, rules, checks, "--offline", "--format", "json")
        result = subprocess.run(command, cwd=script.ROOT, capture_output=True, text=True, check=False)
        lines = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
        fields = [line["fields"] for line in lines if line.get("type") == "diagnostic"]
        codes = {field.get("code") for field in fields if field["severity"] == "error"}
        self.assertEqual(result.returncode == 0, not codes, result.stderr[-2000:])
        return codes

    def edited(self, old, new):
        self.assertIn(old, self.config)
        return self.config.replace(old, new, 1)

    def test_nothing_is_refused_without_a_fault(self):
        self.assertEqual(self.errors(), set())

    def test_a_license_that_is_not_listed(self):
        self.package("serde")["license"] = "GPL-3.0-only"
        self.assertEqual(self.errors(), {"rejected"})

    def test_no_license_at_all(self):
        package = self.package("serde")
        package["license"] = None
        self.moved(package, "serde")
        self.assertIn("unlicensed", self.errors())

    def test_a_git_dependency(self):
        self.package("serde")["source"] = "git+https://example.org/serde?rev=abc#abc"
        self.assertIn("source-not-allowed", self.errors())

    def test_another_registry(self):
        self.package("serde")["source"] = "registry+https://example.org/index"
        self.assertIn("source-not-allowed", self.errors())

    def test_a_wildcard(self):
        own = self.package("bedrock-cost-keeper")
        next(dependency for dependency in own["dependencies"] if dependency["name"] == "csv")["req"] = "*"
        self.assertEqual(self.errors(), {"wildcard"})

    def test_a_banned_crate(self):
        self.package("csv")["name"] = "openssl-sys"
        self.assertEqual(self.errors(), {"banned"})

    def test_a_client_to_download_with(self):
        self.package("csv")["name"] = "ureq"
        self.assertEqual(self.errors(), {"banned"})

    def test_an_old_line(self):
        package = self.package("hyper")
        package["version"] = "0.14.32"
        self.assertIn("banned", self.errors())

    def test_a_second_version(self):
        accepted = '    { crate = "sha2:^0.10", reason = "sqlx-core" },\n'
        self.assertEqual(self.errors(self.edited(accepted, "")), {"duplicate"})

    def test_an_exception_nobody_needs_any_more(self):
        skip = '{ crate = "base64:^0.23", reason'
        self.assertEqual(self.errors(self.edited(skip, '{ crate = "csv:^0.1", reason = "" }, ' + skip)), {"unmatched-skip"})

    def test_assets_that_a_build_would_download(self):
        rules = self.edited('allow = ["axum", "vendored"]', 'allow = ["axum"]')
        self.assertEqual(self.errors(rules), {"exact-features-mismatch"})

    def moved(self, package, name):
        """A copy of the package in a directory of its own."""
        old = Path(package["manifest_path"]).parent
        new = self.directory / name
        shutil.copytree(old, new)
        for file in new.glob("LICENSE*"):
            file.unlink()
        package["manifest_path"] = str(new / "Cargo.toml")
        for target in package["targets"]:
            target["src_path"] = str(new / Path(target["src_path"]).relative_to(old))
        return new

    def test_a_new_build_script(self):
        targets = self.package("csv")["targets"]
        targets.append({**targets[0], "kind": ["custom-build"], "crate_types": ["bin"], "name": "build-script-build"})
        self.assertEqual(self.errors(), {"build-script-not-allowed"})

    def test_a_changed_build_script(self):
        directory = self.moved(self.package("rustix"), "rustix")
        with (directory / "build.rs").open("a", encoding="utf-8") as file:
            file.write("// one more line\n")
        self.assertIn("checksum-mismatch", self.errors())

    def test_another_version_of_a_build_script_of_several_files(self):
        self.package("aws-lc-sys")["version"] = "0.47.99"
        self.assertEqual(self.errors(), {"build-script-not-allowed"})

    def test_native_code_that_a_macro_brings_along(self):
        directory = self.moved(self.package("async-trait"), "async-trait")
        shutil.copy("/bin/true", directory / "helper")
        self.assertIn("detected-executable", self.errors())

    def test_a_lock_file_that_is_out_of_step(self):
        for name in ("Cargo.toml", "Cargo.lock", "deny.toml"):
            shutil.copy(script.ROOT / name, self.directory / name)
        for name in ("src/lib.rs", "src/main.rs", "tests/it/main.rs", "benches/prices.rs"):
            (self.directory / name).parent.mkdir(parents=True, exist_ok=True)
            (self.directory / name).touch()
        script.metadata(self.directory)
        manifest = self.directory / "Cargo.toml"
        text = manifest.read_text(encoding="utf-8")
        self.assertIn('\ncsv = "1.4"\n', text)
        manifest.write_text(text.replace('\ncsv = "1.4"\n', '\ncsv = "=1.3.0"\n'), encoding="utf-8")
        with self.assertRaises(script.Failed):
            script.metadata(self.directory)

    def database(self, patched):
        root = self.directory / "database"
        advisory = root / "crates" / "serde_json" / "RUSTSEC-2026-9999.md"
        advisory.parent.mkdir(parents=True)
        advisory.write_text(ADVISORY.format(patched=patched), encoding="utf-8")
        identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        for command in (["init", "--quiet", "--initial-branch", "main"], ["add", "."], [*identity, "commit", "--quiet", "-m", "one"]):
            subprocess.run(["git", "-C", str(root), *command], check=True)
        return root

    def compared_with(self, root):
        graph = self.directory / "metadata.json"
        graph.write_text(self.graph, encoding="utf-8")
        arguments = (self.binary, script.ROOT, graph, self.directory)
        return script.check_advisories(*arguments, named=str(root), required=False)

    def test_an_advisory_that_applies(self):
        with self.assertRaises(script.Failed):
            self.compared_with(self.database(">= 999.0.0"))

    def test_an_advisory_that_does_not_apply(self):
        self.assertIn("none applies", self.compared_with(self.database(">= 0.0.1")))

    def test_no_database_where_one_is_named(self):
        with self.assertRaises(script.Failed):
            self.compared_with(self.directory)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main()
