"""Tests of what scripts/backup-check judges by: each way a backup can be wrong is found."""

import importlib
import sys
import tempfile
import threading
import unittest
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from loading import SCRIPTS

sys.path.insert(0, str(SCRIPTS))
judging = importlib.import_module("backups.judging")
ledger = importlib.import_module("soaking.ledger")
servers = importlib.import_module("backups.servers")
traffic = importlib.import_module("backups.traffic")

TENANT = SimpleNamespace(org_id="org", app_id="app", timezone="UTC")
# The backup ran from 20 to 30.
BEGAN, ENDED = 20.0, 30.0


def sent(request_id, sent_at, cost=5):
    at = datetime(2026, 1, 23, 12, tzinfo=timezone.utc)
    made = ledger.submission(TENANT, TENANT, request_id, "premium", at, (1, 1), cost, True)
    return judging.Sent(made, sent_at, sent_at + 1)


BEFORE, DURING, AFTER = sent("before", 10), sent("during", 25, 7), sent("after", 31, 9)
ALL = [BEFORE, DURING, AFTER]


def sums(*of):
    return judging.sums_of(one.made for one in of)


class Snapshot(unittest.TestCase):
    def judge(self, held, totals):
        judging.judge_snapshot(ALL, {one.made.request_id for one in held}, totals, BEGAN, ENDED)

    def test_what_came_during_the_backup_may_be_in_it_or_not(self):
        self.judge([BEFORE], sums(BEFORE))
        self.judge([BEFORE, DURING], sums(BEFORE, DURING))

    def test_what_was_acknowledged_before_must_be_in_it(self):
        with self.assertRaisesRegex(judging.Wrong, "1 submissions were acknowledged before"):
            self.judge([DURING], sums(DURING))

    def test_what_was_sent_after_cannot_be_in_it(self):
        with self.assertRaisesRegex(judging.Wrong, "sent after the backup ended"):
            self.judge(ALL, sums(*ALL))

    def test_a_record_without_its_share_of_the_totals_is_found(self):
        with self.assertRaisesRegex(judging.Wrong, "not the sum of the records"):
            self.judge([BEFORE, DURING], sums(BEFORE))

    def test_a_total_without_its_record_is_found(self):
        with self.assertRaisesRegex(judging.Wrong, "not the sum of the records"):
            self.judge([BEFORE], sums(BEFORE, DURING))

    def test_a_check_in_which_nothing_happened_shows_nothing(self):
        with self.assertRaisesRegex(judging.Wrong, "nothing was shown"):
            judging.judge_snapshot([BEFORE], {"before"}, sums(BEFORE), BEGAN, ENDED)


class Repeats(unittest.TestCase):
    def test_each_counts_once(self):
        judging.judge_repeats(ALL, sums(*ALL))
        with self.assertRaises(judging.Wrong):
            judging.judge_repeats(ALL, sums(*ALL, BEFORE))
        with self.assertRaises(judging.Wrong):
            judging.judge_repeats(ALL, sums(BEFORE, DURING))


class Threads(unittest.TestCase):
    def traffic(self, api):
        """Traffic of one application, whose calls are answered by this."""
        made = traffic.Traffic.__new__(traffic.Traffic)
        made.service, made.apps, made.sent, made.failures = SimpleNamespace(url=""), [traffic.App("o", "a", "UTC")], [], []
        made._stop, made._threads = threading.Event(), []
        replaced = mock.patch.object(traffic, "Api", lambda _: SimpleNamespace(expect=api))
        replaced.start()
        self.addCleanup(replaced.stop)
        return made

    def test_one_that_ends_in_any_way_is_found(self):
        for error in (KeyError("duplicate"), judging.Wrong("a wrong answer"), ValueError("not JSON")):
            found = self.traffic(mock.Mock(side_effect=error))
            with self.assertRaisesRegex(judging.Wrong, str(error)):
                found.run_for(0.05)

    def test_one_that_does_not_end_is_found(self):
        end = threading.Event()
        self.addCleanup(end.set)
        with mock.patch.object(traffic, "STOP_SECS", 0.1):
            with self.assertRaisesRegex(judging.Wrong, "2 threads that submit did not end"):
                self.traffic(lambda *_: end.wait(60)).run_for(0.05)

    def test_those_that_work_are_not(self):
        good = self.traffic(mock.Mock(return_value={"duplicate": False}))
        good.run_for(0.05)
        self.assertTrue(good.sent)


class Servers(unittest.TestCase):
    def test_one_that_does_not_start_does_not_stay(self):
        for error in (OSError("no answer"), KeyboardInterrupt()):
            with tempfile.TemporaryDirectory() as directory:
                server = servers.Server(Path(directory))
                with self.assertRaises(type(error)):
                    server.start(["sleep", "60"], mock.Mock(side_effect=error), "sleep")
                self.assertIsNotNone(server.process.returncode)


if __name__ == "__main__":
    unittest.main()
