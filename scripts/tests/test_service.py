"""Tests of how the checks start the service: its greeting is recognized in every form, and it never stays behind."""

import asyncio
import importlib
import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from loading import SCRIPTS

sys.path.insert(0, str(SCRIPTS))
service = importlib.import_module("tooling.service")
process = importlib.import_module("soaking.process")

URL = "http://127.0.0.1:4321/api/v1"


class Greeting(unittest.TestCase):
    def test_it_is_recognized_in_both_forms(self):
        for line in (f"API        {URL}", f'{{"api":"{URL}","docs":"x"}}', f'{{"version": "1", "api": "{URL}"}}'):
            self.assertEqual(service.address_in(line), URL, line)

    def test_other_lines_are_not(self):
        for line in ("", "API", f"see {URL}", '{"message":"started"}', '{"api":"http://127', "{", "[1]", '{"api":1}'):
            self.assertIsNone(service.address_in(line), line)


class Started(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def program(self, *lines):
        """A program in place of the service."""
        path = self.directory / "program"
        path.write_text("\n".join(("#!/bin/sh", *lines, "exec sleep 60", "")), encoding="utf-8")
        path.chmod(0o755)
        replaced = mock.patch.dict(os.environ, COST_KEEPER_BIN=str(path))
        replaced.start()
        self.addCleanup(replaced.stop)
        return path

    # A line that is half written, and one that is no JSON, come first.
    LINES = ("printf '{\"api\":\"http://127'", "sleep 0.3", "echo", "echo '{no json'", f"echo '{{\"a\":1,\"api\":\"{URL}\"}}'")

    def test_half_a_line_is_waited_for(self):
        self.program(*self.LINES)
        with service.Service(self.directory) as started:
            self.assertEqual(started.url, "http://127.0.0.1:4321")
        self.assertIsNotNone(started.process.returncode)

    def test_an_address_in_halves_is_not_cut(self):
        self.program("printf 'API http://127.0.0.1:43'", "sleep 0.3", "echo 21/api/v1")
        with service.Service(self.directory) as started:
            self.assertEqual(started.url, "http://127.0.0.1:4321")

    def test_it_does_not_stay_if_the_block_is_not_entered(self):
        self.program()
        for error in (OSError("no log"), KeyboardInterrupt()):
            never = service.Service(self.directory)
            with mock.patch.object(never, "said", side_effect=error), self.assertRaises(type(error)):
                never.__enter__()
            self.assertIsNotNone(never.process.returncode)
        with mock.patch.object(service, "START_SECONDS", 0.1), self.assertRaises(service.Unavailable):
            never.__enter__()
        self.assertIsNotNone(never.process.returncode)

    def test_the_soak_recognizes_it_too(self):
        started = process.Service(str(self.program(*self.LINES)), self.directory, "{}", {})

        async def run():
            try:
                await started.start()
            finally:
                await started.end()

        asyncio.run(run())
        self.assertEqual(started.port, 4321)


if __name__ == "__main__":
    unittest.main()
