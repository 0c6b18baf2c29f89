"""Tests of scripts/release and scripts/bump-version: that what they refuse is refused, and that archives are the same."""

import contextlib
import hashlib
import io
import json
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from loading import SCRIPTS, load_script

sys.path.insert(0, str(SCRIPTS))

from releasing import packing, verifying, versions  # noqa: E402

script = load_script("release")
bumping = load_script("bump-version")

EPOCH = 1_700_000_000
TARGET = f"{platform.machine()}-unknown-linux-gnu"
CHANGELOG = """\
# Changelog

## [Unreleased]

### Added

- Something.
"""
# A repository that says its version wherever one has to.
FILES = {
    "Cargo.toml": '[package]\nname = "bedrock-cost-keeper"\nversion = "0.1.0"\n\n[dependencies]\nother = "0.1.0"\n',
    "Cargo.lock": '[[package]]\nname = "bedrock-cost-keeper"\nversion = "0.1.0"\n\n[[package]]\nname = "other"\nversion = "0.1.0"\n',
    "fuzz/Cargo.lock": '[[package]]\nname = "bedrock-cost-keeper"\nversion = "0.1.0"\n',
    "helm/bedrock-cost-keeper/Chart.yaml": 'name: bedrock-cost-keeper\nversion: 0.1.0\nappVersion: "0.1.0"\n',
    "openapi/openapi.json": '{"info": {"version": "0.1.0"}, "example": "0.1.0"}\n',
    "Dockerfile": "ARG VERSION=0.1.0\n",
    "CHANGELOG.md": CHANGELOG,
    "docs/one.md": "Run registry.example.com/bedrock-cost-keeper:0.1.0 and other:0.1.0 and bedrock-cost-keeper-0.1.0-x86_64.\n",
    "src/one.rs": '"bedrock-cost-keeper:0.1.0"\n',
}


class InDirectory(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def repository(self, **changed):
        root = self.directory / "repository"
        for name, text in {**FILES, **changed}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        subprocess.run(["git", "init", "--quiet", root], check=True)
        return root


class Packing(InDirectory):
    def packed(self, entries, name="one.tar.gz"):
        packing.pack(self.directory / name, entries, EPOCH)
        return self.directory / name

    def test_order_and_place_do_not_matter(self):
        one, two = packing.Entry(b"one"), packing.Entry(b"two", True)
        first = self.packed({"top/b": one, "top/a": two}).read_bytes()
        second = self.packed({"top/a": two, "top/b": one}, "another.tar.gz").read_bytes()
        self.assertEqual(first, second)
        self.assertEqual(packing.unpacked(self.directory / "one.tar.gz"), {"top/a": two, "top/b": one})
        self.assertEqual(packing.irregularities(self.directory / "one.tar.gz", "top", EPOCH), [])

    def test_contents_and_modes_do(self):
        first = self.packed({"top/a": packing.Entry(b"one")}).read_bytes()
        self.assertNotEqual(first, self.packed({"top/a": packing.Entry(b"two")}).read_bytes())
        self.assertNotEqual(first, self.packed({"top/a": packing.Entry(b"one", True)}).read_bytes())

    def test_a_link_is_refused(self):
        (self.directory / "link").symlink_to("/etc/passwd")
        with self.assertRaises(ValueError):
            packing.entry(self.directory / "link")

    def irregular(self, *names, **fields):
        archive = self.directory / "odd.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            for name in names:
                information = tarfile.TarInfo(name)
                information.mtime, information.mode = EPOCH, 0o644
                for field, value in fields.items():
                    setattr(information, field, value)
                tar.addfile(information, io.BytesIO(b""))
        return " ".join(packing.irregularities(archive, "top", EPOCH))

    def test_irregularities(self):
        self.assertEqual(self.irregular("top/a", "top/b"), "")
        self.assertIn("not sorted", self.irregular("top/b", "top/a"))
        self.assertIn("not sorted", self.irregular("top/a", "top/a"))
        self.assertIn("outside of top", self.irregular("a"))
        self.assertIn("outside of top", self.irregular("top/../a"))
        self.assertIn("its owner", self.irregular("top/a", uid=1000))
        self.assertIn("its owner", self.irregular("top/a", uname="somebody"))
        self.assertIn("time of its own", self.irregular("top/a", mtime=1))
        self.assertIn("the mode 600", self.irregular("top/a", mode=0o600))


class Versions(InDirectory):
    def test_one_version_everywhere(self):
        self.assertEqual(versions.disagreements(self.repository()), [])

    def test_each_place_is_compared(self):
        for name in versions.STATEMENTS:
            if name == "Cargo.toml":
                continue
            with self.subTest(name):
                root = self.repository(**{name: FILES[name].replace("0.1.0", "0.1.1", 1)})
                self.assertIn(f"{name}:", versions.disagreements(root)[0])
                root = self.repository(**{name: "{}\n"})
                self.assertEqual(versions.disagreements(root), [f"{name} does not say the version"])
                self.repository()

    def test_documents_are_compared_too(self):
        root = self.repository(**{"docs/one.md": "One\nbedrock-cost-keeper:0.2.0\n"})
        self.assertEqual(versions.disagreements(root), ["docs/one.md:2 says 0.2.0, Cargo.toml 0.1.0"])

    def bumped(self, root, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = bumping.main([*arguments, "--root", str(root)])
        return status, out.getvalue(), err.getvalue()

    def test_a_bump_changes_ours_and_nothing_else(self):
        root = self.repository()
        status, out, err = self.bumped(root, "0.2.0-rc.1", "--date", "2026-01-02")
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(self.bumped(root, "--check")[0], 0)
        for name, text in FILES.items():
            kept = {"Cargo.toml": 1, "Cargo.lock": 1, "openapi/openapi.json": 1, "docs/one.md": 1, "src/one.rs": 1}
            present = (root / name).read_text(encoding="utf-8")
            self.assertEqual(present.count("0.1.0"), kept.get(name, 0), name)
            if name not in ("CHANGELOG.md", "src/one.rs"):
                self.assertEqual(len(present), len(text) + 5 * (text.count("0.1.0") - kept.get(name, 0)), name)
        self.assertIn("left as it is: docs/one.md:1", out)
        self.assertIn("## [Unreleased]\n\n## [0.2.0-rc.1] - 2026-01-02\n\n### Added", (root / "CHANGELOG.md").read_text())

    def test_what_is_no_version_is_refused(self):
        for version in ("1", "1.2", "v1.2.3", "01.2.3", "1.2.3-x86", "1.2.3 "):
            self.assertEqual(self.bumped(self.repository(), version)[0], 1, version)

    def test_a_tree_that_disagrees_is_refused(self):
        status, _, err = self.bumped(self.repository(Dockerfile="ARG VERSION=0.0.9\n"), "0.2.0")
        self.assertEqual(status, 1)
        self.assertIn("Dockerfile:1 says 0.0.9", err)

    def test_notes(self):
        def notes(text):
            return versions.notes(self.repository(**{"CHANGELOG.md": text}), "0.1.0")

        self.assertEqual(notes("## [0.1.0] - 2026-01-02\n\n- One.\n\n## [0.0.9] - 2026-01-01\n\n- Two.\n"), "- One.\n")
        for text in (CHANGELOG, "## [0.1.0]\n\n- One.\n", "## [0.1.0] - 2026-01-02\n\n## [0.0.9]\n\n- Two.\n"):
            with self.assertRaises(versions.Unusable):
                notes(text)

    def test_this_repository_can_be_bumped(self):
        copy = self.directory / "copy"
        for name in versions.tracked(SCRIPTS.parent):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SCRIPTS.parent / name, copy / name)
        subprocess.run(["git", "init", "--quiet", copy], check=True)
        status, _, err = self.bumped(copy, "98.7.6")
        self.assertEqual((status, err), (0, ""))
        # Cargo agrees: it would have to change the lock file otherwise.
        command = ["cargo", "metadata", "--locked", "--offline", "--format-version", "1", "--no-deps"]
        subprocess.run([*command], cwd=copy, check=True, stdout=subprocess.DEVNULL)
        tree = ["cargo", "tree", "--locked", "--offline", "--depth", "0"]
        self.assertIn("v98.7.6", subprocess.run(tree, cwd=copy, check=True, capture_output=True, text=True).stdout)
        schema = versions.openapi_version((copy / "openapi" / "openapi.json").read_bytes())
        self.assertEqual(schema, "98.7.6")


class Trees(InDirectory):
    def obstacles(self, root, tag=None):
        with mock.patch.object(script, "ROOT", root):
            return " ".join(script.obstacles("0.1.0", tag))

    def released(self):
        root = self.repository(**{"CHANGELOG.md": "## [0.1.0] - 2026-01-02\n\n- One.\n"})
        identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        for command in (["add", "."], [*identity, "commit", "--quiet", "--message", "one"]):
            subprocess.run(["git", "-C", root, *command], check=True)
        return root

    def test_one_that_can_be_released(self):
        self.assertEqual(self.obstacles(self.released(), "v0.1.0"), "")

    def test_what_stands_in_the_way(self):
        root = self.released()
        self.assertIn("the tag 0.1.0 is not v0.1.0", self.obstacles(root, "0.1.0"))
        (root / "new").write_text("one\n", encoding="utf-8")
        self.assertIn("1 files are not as committed", self.obstacles(root))
        self.assertIn("no heading ## [0.1.0]", self.obstacles(self.repository()))
        self.assertIn("says 0.0.9", self.obstacles(self.repository(Dockerfile="ARG VERSION=0.0.9\n")))

    def test_a_directory_with_something_else_is_not_emptied(self):
        (self.directory / "precious").touch()
        with self.assertRaises(versions.Unusable):
            script.clear(self.directory)
        self.assertTrue((self.directory / "precious").exists())

    def test_a_snapshot_is_not_for_a_tag(self):
        with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
            script.main(["--snapshot", "--tag", "v0.1.0"])


class Artifacts(InDirectory):
    def setUp(self):
        super().setUp()
        self.release = script.Release("0.1.0", "0.1.0", EPOCH, TARGET)

    def refused(self, reason, **options):
        wanted = {"binary": False, "shared": False, "runs": True, "portable": True, **options}
        with self.assertRaises(verifying.Broken) as raised:
            verifying.verify(self.directory, self.release, **wanted)
        self.assertIn(reason, str(raised.exception))

    def test_sums(self):
        (self.directory / "one").write_text("one", encoding="utf-8")
        script.write_sums(self.directory)
        line = f"{hashlib.sha256(b'one').hexdigest()}  one\n"
        self.assertEqual((self.directory / "SHA256SUMS").read_text(encoding="utf-8"), line)
        self.assertEqual(verifying.verify(self.directory, self.release, False, False, True, True), ["SHA256SUMS: 1 files"])
        (self.directory / "two").touch()
        self.refused("differ: two")
        (self.directory / "two").unlink()
        (self.directory / "one").write_text("two", encoding="utf-8")
        self.refused("one: FAILED")

    def archive(self, program, *, without=(), version="0.1.0"):
        """What would be released, with this as the program."""
        top = self.release.top()
        entries = {f"{top}/{name}": packing.Entry(b"text\n") for name in verifying.EXPECTED if name not in without}
        entries[f"{top}/bedrock-cost-keeper"] = packing.Entry(Path(program).read_bytes(), True)
        packing.pack(self.directory / f"{top}.tar.gz", entries, EPOCH)
        component = {"name": "bedrock-cost-keeper", "version": version}
        bill = json.dumps({"metadata": {"component": component}, "components": [{}]})
        (self.directory / f"{top}.cdx.json").write_text(bill, encoding="utf-8")
        (self.directory / "SHA256SUMS").unlink(missing_ok=True)
        script.write_sums(self.directory)

    def test_an_archive(self):
        self.archive("/bin/true", without=("LICENSE",))
        self.refused("lacks LICENSE", binary=True)
        self.archive(__file__)
        self.refused(f"not one for {TARGET}", binary=True)
        self.archive("/bin/true", version="0.0.9")
        self.refused("bill of materials is not of", binary=True)
        self.archive("/bin/true")
        self.refused("the binary says that it is true (GNU coreutils)", binary=True)

    def test_a_program_for_another_machine(self):
        other = {"x86_64": "aarch64", "aarch64": "x86_64"}[platform.machine()]
        with self.assertRaises(verifying.Broken):
            verifying.check_program(Path("/bin/true"), f"{other}-unknown-linux-gnu", False)
        with self.assertRaises(verifying.Broken):
            verifying.check_program(Path("/bin/true"), "riscv64-unknown-linux-gnu", False)

    def needs(self, *versions, portable):
        """What is said of a program with symbols of these versions, as objdump shows them."""
        lines = [f"0000000000000000  w   DF *UND*\t0000000000000000 ({version}) pidfd_getpid" for version in versions]
        with mock.patch.object(verifying, "said", return_value="\n".join(["", "DYNAMIC SYMBOL TABLE:", *lines])):
            return verifying.check_program(Path("/bin/true"), TARGET, portable)

    def test_a_program_for_newer_systems(self):
        newer = ("GLIBC_2.2.5", "GLIBC_2.39", "GLIBC_2.4")
        with self.assertRaises(verifying.Broken) as raised:
            self.needs(*newer, portable=True)
        self.assertIn("needs glibc 2.39; 2.34 is promised", str(raised.exception))
        # What a machine builds for its own tests need not run anywhere else.
        self.assertEqual(self.needs(*newer, portable=False), "needs glibc 2.39, which is newer than the 2.34 of a release")
        self.assertEqual(self.needs("GLIBC_2.2.5", "GLIBC_2.34", portable=True), "needs glibc 2.34")
        with self.assertRaises(verifying.Broken):
            self.needs("GCC_3.0", portable=False)

    def test_what_is_published_has_to_run_on_older_systems(self):
        for arguments, expected in (
            (["--binary", "/bin/true"], True),
            (["--snapshot", "--binary", "/bin/true"], False),
            (["--snapshot", "--portable", "--binary", "/bin/true"], True),
        ):
            verify = mock.Mock(return_value=[])
            replaced = {"obstacles": lambda *_: [], "write": mock.Mock(), "host": lambda: TARGET, "epoch": lambda: EPOCH}
            with mock.patch.multiple(script, **replaced), mock.patch.object(verifying, "verify", verify):
                with contextlib.redirect_stdout(io.StringIO()):
                    self.assertEqual(script.main([*arguments, "--output", str(self.directory)]), 0)
            self.assertEqual(verify.call_args[0][-1], expected, arguments)

    def test_a_built_binary_that_names_this_machine(self):
        program = self.directory / TARGET / "dist" / "bedrock-cost-keeper"
        program.parent.mkdir(parents=True)
        cargo = mock.Mock(return_value=mock.Mock(returncode=0))
        with mock.patch.object(script, "TARGET", self.directory), mock.patch.object(script.subprocess, "run", cargo):
            program.write_bytes(b"/cargo/registry/one.rs")
            self.assertEqual(script.build(TARGET), program)
            self.assertIn(f"--remap-path-prefix={script.ROOT}=/source", cargo.call_args[1]["env"]["RUSTFLAGS"])
            program.write_bytes(f"{script.ROOT}/src/one.rs".encode())
            with self.assertRaises(verifying.Broken):
                script.build(TARGET)

    def test_a_second_pack_that_differs(self):
        (self.directory / "openapi.json").write_text("other", encoding="utf-8")

        def written(release, binary, shared, directory):
            (directory / "openapi.json").write_text("{}", encoding="utf-8")

        with mock.patch.object(script, "write", written), self.assertRaises(verifying.Broken) as raised:
            script.check_again(self.release, None, True, self.directory)
        self.assertIn("these differ: openapi.json", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
