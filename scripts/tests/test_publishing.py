"""Tests of .github/publish-image and .github/publish-chart: what is published is never changed."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from loading import SCRIPTS

GITHUB = SCRIPTS.parent / ".github"
DIGESTS = ("sha256:" + "1" * 64, "sha256:" + "2" * 64)
# In place of docker and helm: says what is published, if anything is, and writes down how it is called.
PROGRAM = """\
#!/usr/bin/env python3
import json, os, pathlib, sys
state = json.loads(pathlib.Path(os.environ["STATE"]).read_text())
with open(os.environ["STATE"] + ".calls", "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
called = " ".join(sys.argv[1:])
digest = "sha256:" + "3" * 64
if "inspect --raw" in called or sys.argv[1] == "pull":
    if state["published"] is None:
        sys.exit("ERROR: " + state["says"])
    if sys.argv[1] == "pull":
        place = pathlib.Path(sys.argv[sys.argv.index("--destination") + 1])
        (place / "bedrock-cost-keeper-1.2.3.tgz").write_text(state["published"])
        print("Pulled: one\\nDigest: " + digest, file=sys.stderr)
    else:
        print(state["published"], end="")
elif "--dry-run" in called:
    print("good")
elif "inspect" in called:
    print(digest)
elif sys.argv[1] == "push":
    print("Pushed: one\\nDigest: " + digest, file=sys.stderr)
"""
MISSING = ("registry/team/keeper:1.2.3: not found", "HEAD …: response status code 404: name unknown: no repository")
FAILURES = ("dial tcp: lookup registry: no such host", "certificate signed by unknown authority", "403 Forbidden")


class Publishing(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        for name in ("docker", "helm"):
            (self.directory / name).write_text(PROGRAM, encoding="utf-8")
            (self.directory / name).chmod(0o755)
        self.archive = self.directory / "chart.tgz"
        self.archive.write_text("good", encoding="utf-8")

    def run_script(self, script, *arguments, published=None, says=MISSING[0]):
        """How it ended, what it printed, what it said, and whether it pushed."""
        state = self.directory / "state"
        state.write_text(json.dumps({"published": published, "says": says}), encoding="utf-8")
        calls = self.directory / "state.calls"
        calls.unlink(missing_ok=True)
        environment = {**os.environ, "PATH": f"{self.directory}:{os.environ['PATH']}", "STATE": str(state), "HOME": str(self.directory)}
        ended = subprocess.run(
            [GITHUB / script, *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        called = [json.loads(line) for line in calls.read_text(encoding="utf-8").splitlines()] if calls.exists() else []
        pushes = [call for call in called if call[0] == "push" or ("create" in call and "--dry-run" not in call)]
        return ended.returncode, ended.stdout.strip(), ended.stderr, len(pushes)

    def each(self, **state):
        yield self.run_script("publish-image", "registry/team/keeper", "1.2.3", *DIGESTS, **state)
        yield self.run_script("publish-chart", str(self.archive), "registry/team", "1.2.3", **state)

    def test_what_is_not_there_is_published(self):
        for says in MISSING:
            for code, printed, said, pushes in self.each(says=says):
                self.assertEqual((code, printed, pushes), (0, "sha256:" + "3" * 64, 1), said)

    def test_what_is_there_is_left_alone(self):
        for code, printed, said, pushes in self.each(published="good"):
            self.assertEqual((code, printed, pushes), (0, "sha256:" + "3" * 64, 0), said)

    def test_other_contents_are_refused(self):
        for code, printed, said, pushes in self.each(published="other"):
            self.assertEqual((code, printed, pushes), (1, "", 0))
            self.assertIn("published with other contents", said)

    def test_without_an_answer_nothing_is_published(self):
        for says in FAILURES:
            for code, printed, said, pushes in self.each(says=says):
                self.assertEqual((code, printed, pushes), (1, "", 0), says)
                self.assertIn(says, said)

    def test_before_a_build_nothing_may_be_there(self):
        arguments = ("publish-image", "registry/team/keeper", "1.2.3", "--absent")
        self.assertEqual(self.run_script(*arguments)[0::3], (0, 0))
        self.assertEqual(self.run_script(*arguments, published="good")[0::3], (1, 0))
        self.assertEqual(self.run_script(*arguments, says=FAILURES[0])[0::3], (1, 0))

    def test_one_image_is_too_few(self):
        code, _, said, pushes = self.run_script("publish-image", "registry/team/keeper", "1.2.3", DIGESTS[0])
        self.assertEqual((code, pushes), (1, 0))
        self.assertIn("there are 1 images to join, not 2", said)


if __name__ == "__main__":
    unittest.main()
