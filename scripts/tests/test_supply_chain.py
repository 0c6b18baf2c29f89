"""Tests of the parts of scripts/supply-chain that are its own. What it asks of cargo-deny: supply_chain_faults.py."""

import subprocess
import tempfile
import time
import unittest
import unittest.mock
from pathlib import Path

from loading import load_script

script = load_script("supply-chain")

CHECKSUM = "0" * 64
REGISTRY = "registry+https://example.org/index"


def lock(*packages):
    return "version = 4\n" + "".join(f"[[package]]\n{package}\n" for package in ('name = "ours"\nversion = "1.0.0"', *packages))


def package(name="serde", source=REGISTRY, checksum=CHECKSUM):
    return f'name = "{name}"\nversion = "1.0.0"\nsource = "{source}"\nchecksum = "{checksum}"'


class TheLockFile(unittest.TestCase):
    def refused(self, text):
        with self.assertRaises(script.Failed) as failure:
            script.check_lock(text, "ours")
        return str(failure.exception)

    def test_packages_of_one_registry_are_accepted_and_counted(self):
        self.assertEqual(script.check_lock(lock(package(), package("libc")), "ours"), 2)

    def test_a_git_dependency_is_refused(self):
        self.assertIn("serde 1.0.0", self.refused(lock(package(source="git+https://example.org/serde#abc"))))

    def test_another_registry_is_refused(self):
        other = package("libc", source="registry+https://example.org/other")
        self.assertIn("example.org/other", self.refused(lock(package(), other)))

    def test_a_path_is_refused(self):
        self.assertIn("a path", self.refused(lock('name = "serde"\nversion = "1.0.0"')))

    def test_a_missing_checksum_is_refused(self):
        self.assertIn("no checksum", self.refused(lock(package(checksum=""))))

    def test_a_package_that_takes_our_name_is_refused(self):
        self.assertIn("2 times", self.refused(lock(package("ours"))))


class BuildScripts(unittest.TestCase):
    def config(self, accepted, pinned):
        bypass = [{"crate": crate, "build-script": CHECKSUM} for crate in pinned]
        return {"bans": {"build": {"allow-build-scripts": accepted, "bypass": bypass}}}

    def test_a_version_or_a_checksum_pins(self):
        self.assertEqual(script.check_build_script_pins(self.config(["a@1.0.0", "b"], ["b:~1.2"])), 2)

    def test_a_script_accepted_in_any_form_is_refused(self):
        for accepted in ("a", "a:^1"):
            with self.assertRaises(script.Failed):
                script.check_build_script_pins(self.config([accepted], ["b"]))

    def test_a_bypass_without_a_checksum_pins_nothing(self):
        config = self.config(["a"], ["a"])
        del config["bans"]["build"]["bypass"][0]["build-script"]
        with self.assertRaises(script.Failed):
            script.check_build_script_pins(config)


class Unsafe(unittest.TestCase):
    def test_code_is_found(self):
        for code in ("unsafe { f() }", "pub unsafe fn f() {}", "fn f<'a>(x: &'a u8) { unsafe { g(x) } }", "let c = '\"'; unsafe {}"):
            self.assertTrue(script.uses_unsafe(code), code)

    def test_words_about_it_are_not(self):
        for code in ("// unsafe", "/// is unsafe\nfn f() {}", "/* unsafe\n */", '"an unsafe \\" word"', 'r#"unsafe "x" "#', "unsafe_code"):
            self.assertFalse(script.uses_unsafe(code), code)

    def tree(self, level, code):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        root = Path(directory.name)
        (root / "src" / "inner").mkdir(parents=True)
        (root / "Cargo.toml").write_text(f"[lints.rust]\nunsafe_code = {level}\n", encoding="utf-8")
        (root / "src" / "inner" / "file.rs").write_text(code, encoding="utf-8")
        return root

    def test_a_clean_tree_is_counted(self):
        self.assertEqual(script.check_unsafe(self.tree('"forbid"', "fn f() {}")), 1)
        self.assertEqual(script.check_unsafe(self.tree('{ level = "forbid" }', "fn f() {}")), 1)

    def test_a_use_a_weaker_lint_and_an_empty_tree_are_refused(self):
        empty = self.tree('"forbid"', "")
        (empty / "src" / "inner" / "file.rs").unlink()
        for root in (self.tree('"forbid"', "unsafe fn f() {}"), self.tree('"deny"', "fn f() {}"), empty):
            with self.assertRaises(script.Failed):
                script.check_unsafe(root)


class TheBrowserCheck(unittest.TestCase):
    def text(self, fields):
        return '{"packages": {"": {}, "node_modules/a": {' + fields + "}}}"

    def test_a_pinned_package_is_counted(self):
        self.assertEqual(script.check_npm_lock(self.text('"integrity": "sha512-x"')), 1)

    def test_what_is_not_pinned_or_runs_at_installation_is_refused(self):
        for fields in ("", '"integrity": "sha1-x"', '"integrity": "sha512-x", "hasInstallScript": true'):
            with self.assertRaises(script.Failed):
                script.check_npm_lock(self.text(fields))
        with self.assertRaises(script.Failed):
            script.check_npm_lock('{"packages": {"": {}}}')


class TheDatabase(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def repository(self):
        (self.directory / "crates").mkdir()
        identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        for command in (["init", "--quiet"], [*identity, "commit", "--quiet", "--allow-empty", "-m", "one"]):
            subprocess.run(["git", "-C", str(self.directory), *command], check=True)
        return self.directory

    def test_a_directory_is_written_into_the_configuration(self):
        config = script.with_database_directory('[advisories]\nyanked = "deny"\n', Path("/some dir"))
        self.assertEqual(config, '[advisories]\ndb-path = "/some dir"\nyanked = "deny"\n')
        with self.assertRaises(script.Failed):
            script.with_database_directory("[bans]\n", Path("/db"))

    def test_an_answer_is_noticed_and_so_is_none(self):
        self.assertTrue(script.database_is_there(script.with_database(self.repository().as_uri())))
        self.assertFalse(script.database_is_there(script.with_database("file:///does/not/exist")))

    def test_a_fresh_clone_is_accepted_and_an_old_one_refused(self):
        path = self.repository()
        self.assertEqual(script.local_database(path, time.time()), path.as_uri())
        with self.assertRaisesRegex(script.Failed, "31 days"):
            script.local_database(path, time.time() + 31 * 86400)

    def test_what_is_no_database_or_no_repository_is_refused(self):
        with self.assertRaisesRegex(script.Failed, "no database"):
            script.local_database(self.directory, time.time())
        (self.directory / "crates").mkdir()
        with self.assertRaisesRegex(script.Failed, "no git repository"):
            script.local_database(self.directory, time.time())

    def test_a_missing_database_is_said_aloud_and_fails_where_one_is_required(self):
        away = "file:///does/not/exist"
        with unittest.mock.patch.object(script, "PUBLIC_DATABASE", away):
            arguments = (Path("unused"), self.directory, self.directory, self.directory)
            self.assertIn("NOT CHECKED", script.check_advisories(*arguments, named="", required=False))
            for named, required in (("", True), (away, False)):
                with self.assertRaisesRegex(script.Failed, "no database"):
                    script.check_advisories(*arguments, named=named, required=required)


if __name__ == "__main__":
    unittest.main()
