"""Shows that every check of scripts/lint-files can fail: puts one fault into a small repository, and expects exactly it."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from loading import SCRIPTS, load_script

sys.path.insert(0, str(SCRIPTS))

script = load_script("lint-files")

WORKFLOW = """\
name: Example

on:
  pull_request:

permissions: {}

concurrency:
  group: example
  cancel-in-progress: true

jobs:
  example:
    name: Example
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    steps:
      - name: Step
        run: echo hello
"""
PINNED = "actions/checkout@df4cb1c069e1874edd31b4311f1884172cec0e10 # v6.0.3"


class InRepository(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        subprocess.run(["git", "init", "--quiet", self.root], check=True)

    def write(self, name, text, mode=0o644):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)

    def found(self, check, name, text, mode=0o644):
        """What a check says about a repository with this file."""
        self.write(name, text, mode)
        return "\n".join(script.CHECKS[check](script.Repository(self.root)))

    def edited(self, old, new):
        self.assertIn(old, WORKFLOW)
        return WORKFLOW.replace(old, new, 1)


class Scripts(InRepository):
    def test_good_ones(self):
        self.assertEqual(self.found("bash", "one", "#!/usr/bin/env bash\nset -euo pipefail\necho hello\n", 0o755), "")
        self.assertEqual(self.found("python", "two", "#!/usr/bin/env python3\nprint(1)\n", 0o755), "")
        self.assertEqual(self.found("javascript", "three.mjs", "export const one = 1;\n"), "")

    def test_a_word_that_is_split(self):
        self.assertIn("SC2086", self.found("bash", "one", "#!/usr/bin/env bash\nrm $1\n", 0o755))

    def test_a_script_that_cannot_be_executed(self):
        self.assertIn("not executable", self.found("bash", "one", "#!/usr/bin/env bash\necho hello\n"))
        self.assertIn("not executable", self.found("python", "two", "#!/usr/bin/env python3\nprint(1)\n"))

    def test_a_script_of_an_unknown_shell(self):
        self.assertIn("what runs it", self.found("bash", "one.sh", "echo hello\n"))

    def test_what_is_sourced_is_checked_too(self):
        self.assertIn("SC2086", self.found("bash", "one.sh", "# shellcheck shell=bash\nrm $1\n"))

    def test_an_error_of_python(self):
        self.assertIn("one.py", self.found("python", "one.py", "def one(:\n"))

    def test_a_warning_of_python(self):
        self.assertIn("one.py", self.found("python", "one.py", 'print("\\d")\n'))

    def test_an_undefined_name_and_an_unused_import(self):
        found = self.found("python", "one.py", "import os\n\nprint(two)\n")
        self.assertIn("F821", found)
        self.assertIn("F401", found)

    def test_an_error_of_javascript(self):
        self.assertIn("SyntaxError", self.found("javascript", "one.mjs", "const = 1;\n"))


class Data(InRepository):
    def setUp(self):
        super().setUp()
        self.write(".yamllint.yaml", (SCRIPTS.parent / ".yamllint.yaml").read_text(encoding="utf-8"))

    def test_good_ones(self):
        self.assertEqual(self.found("yaml", "one.yaml", "one: 1\n"), "")
        self.assertEqual(self.found("json", "one.json", '{"one": 1}\n'), "")
        self.assertEqual(self.found("toml", "one.toml", "one = 1\n"), "")

    def test_a_key_that_is_there_twice(self):
        self.assertIn("duplication", self.found("yaml", "one.yaml", "one: 1\none: 2\n"))
        self.assertIn("twice: one", self.found("json", "one.json", '{"one": 1, "one": 2}\n'))
        self.assertIn("one.toml", self.found("toml", "one.toml", "one = 1\none = 2\n"))

    def test_no_for_norway(self):
        self.assertIn("truthy", self.found("yaml", "one.yaml", "one: NO\n"))

    def test_templates_of_a_chart_are_left_to_helm(self):
        self.assertEqual(self.found("yaml", "helm/chart/templates/one.yaml", "{{- if .Values.one }}\n"), "")
        self.assertIn("syntax error", self.found("yaml", "helm/chart/values.yaml", "{{- if .Values.one }}\n"))

    def test_what_does_not_parse(self):
        self.assertIn("one.json", self.found("json", "one.json", '{"one": 1,}\n'))
        self.assertIn("one.toml", self.found("toml", "one.toml", "one = \n"))

    def test_an_ignored_file_is_not_looked_at(self):
        self.write(".gitignore", "one.json\n")
        self.assertEqual(self.found("json", "one.json", "{"), "")


class Dockerfiles(InRepository):
    def test_a_good_one(self):
        self.assertEqual(self.found("dockerfile", "Dockerfile", "FROM debian:12\nUSER 65532\n"), "")

    def test_an_image_without_a_version(self):
        self.assertIn("DL3006", self.found("dockerfile", "Dockerfile", "FROM debian\nUSER 65532\n"))
        (self.root / "Dockerfile").unlink()
        self.assertIn("DL3006", self.found("dockerfile", "tests/one.Dockerfile", "FROM debian\nUSER 65532\n"))


class Workflows(InRepository):
    NAME = ".github/workflows/one.yml"

    def test_a_good_one(self):
        self.assertEqual(self.found("workflows", self.NAME, WORKFLOW), "")

    def test_a_job_that_needs_one_that_does_not_exist(self):
        text = self.edited("    name: Example\n", "    name: Example\n    needs: other\n")
        self.assertIn("[actionlint job-needs]", self.found("workflows", self.NAME, text))

    def test_an_action_that_is_not_pinned(self):
        text = self.edited("      - name: Step\n", "      - uses: actions/checkout@v6\n      - name: Step\n")
        self.assertIn("unpinned", self.found("workflows", self.NAME, text))

    def test_credentials_that_stay_in_the_workspace(self):
        text = self.edited("      - name: Step\n", f"      - uses: {PINNED}\n      - name: Step\n")
        self.assertIn("credential persistence", self.found("workflows", self.NAME, text))

    def test_permissions_of_everything(self):
        text = self.edited("permissions: {}\n", "permissions: write-all\n")
        self.assertIn("overly broad", self.found("workflows", self.NAME, text))

    def test_a_title_that_is_run(self):
        text = self.edited("echo hello", 'echo "${{ github.event.pull_request.title }}"')
        found = self.found("workflows", self.NAME, text)
        self.assertIn("one.yml:19: ${{ … }} in a run", found)
        self.assertIn("code injection", found)

    def test_an_action_of_this_repository(self):
        action = "name: One\ndescription: One.\n\nruns:\n  using: composite\n  steps:\n    - shell: bash\n      run: %s\n"
        name = ".github/actions/one/action.yml"
        self.assertEqual(self.found("workflows", name, action % "echo hello"), "")
        found = self.found("workflows", name, action % "rm $GITHUB_REF_NAME")
        self.assertIn(f"{name}:8: ", found)
        self.assertIn("SC2086", found)
        self.assertIn("action.yml:8: ${{ … }} in a run", self.found("workflows", name, action % "echo ${{ inputs.one }}"))

    def test_one_that_cannot_be_read(self):
        self.assertIn("was not looked at", self.found("workflows", self.NAME, WORKFLOW.encode() + b"# \xff\n"))

    def test_what_is_run_is_shell(self):
        self.assertIn("SC2086", self.found("workflows", self.NAME, self.edited("echo hello", "rm $GITHUB_REF_NAME")))


class Text(InRepository):
    def test_a_good_one(self):
        self.assertEqual(self.found("text", "one.md", "line  \nline\n"), "")

    def test_faults(self):
        self.assertIn("not UTF-8", self.found("text", "one", b"\xff\n"))
        self.assertIn("carriage returns", self.found("text", "one", "one\r\n"))
        self.assertIn("one newline", self.found("text", "one", "one"))
        self.assertIn("one newline", self.found("text", "one", "one\n\n"))
        self.assertIn("one:2: spaces", self.found("text", "one", "one\ntwo \n"))


class NotUtf8(InRepository):
    def test_every_check_gets_through(self):
        for check, name in (("python", "one.py"), ("json", "one.json"), ("toml", "one.toml"), ("text", "one")):
            found = self.found(check, name, b"\xff\n")
            self.assertIn(name, found, check)

    def test_forbidden_names_are_found_all_the_same(self):
        self.assertEqual(self.found("names", "one", b"\xff\n"), "")
        self.assertEqual(self.found("names", "one", b"\xff\nsee /wo" + b"rk/main\n"), "one:2: a path of one machine")
        self.assertIn("Cargo.lock: is not there", self.found("names", "Cargo.lock", b"\xff\n"))


class Names(InRepository):
    def test_good_ones(self):
        for text in (
            "image: bedrock-cost-keeper:0.1.0",
            "image: registry.example.com/team/keeper",
            "see https://docs.example.com/framework/working",
            "AKIAIOSFODNN7EXAMPLE and wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "docker.iodine, 123456789012.dkr.ecr.eu-central-1.amazonaws.com",
            "mount /tmp and /home/nonroot and /data/work/",
        ):
            self.assertEqual(self.found("names", "one", text + "\n"), "", text)

    def test_hosts_of_registries(self):
        for host in ("docker" + ".io", "gh" + "cr.io", "crates" + ".io", "files.pythonhosted" + ".org", "registry.npmjs" + ".org"):
            found = self.found("names", "one", f"one\nfrom {host}/keeper\n")
            self.assertEqual(found, "one:2: the host of a package registry", host)

    def test_paths_of_a_machine(self):
        for path in ("work/main", "root/.cargo", "home/somebody/x", "Users/somebody/x"):
            self.assertEqual(self.found("names", "one", f"see /{path}\n"), "one:1: a path of one machine", path)

    def test_secrets(self):
        for secret in (
            "AKIA" + "ABCDEFGHIJ234567",
            "ghp_" + "a" * 36,
            "-----BEGIN EC PRIVATE" + " KEY-----\n" + "M" * 64,
            "eyJ" + "a" * 20 + ".eyJ" + "b" * 20 + "." + "c" * 43,
            "aws_secret_access_key = " + "a" * 40,
        ):
            found = self.found("names", "one", secret + "\n")
            self.assertEqual(found, "one:1: what looks like a secret")

    def test_where_a_package_came_from(self):
        self.assertIn("came from", self.found("names", "package-lock.json", '{"resolv' + 'ed": "https://x.example/one.tgz"}\n'))

    def test_what_is_allowed_has_to_be_needed(self):
        self.write("fuzz/Cargo.lock", "nothing\n")
        self.assertIn("fuzz/Cargo.lock: is not there", self.found("names", "Cargo.lock", "nothing\n"))


class Endings(InRepository):
    def test_an_unknown_check(self):
        command = [sys.executable, "-B", str(SCRIPTS / "lint-files"), "nonsense"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 2)
        self.assertIn("there is no check nonsense", result.stderr)

    def test_a_linter_that_fails_silently(self):
        self.assertEqual(
            script.Repository(self.root).run(["false"]), ["false ended with 1 and said nothing"]
        )


if __name__ == "__main__":
    unittest.main()
