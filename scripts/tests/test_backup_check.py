"""Tests of what scripts/backup-check judges by: each way a backup can be wrong is found."""

import importlib
import sys
import unittest
from datetime import datetime, timezone
from types import SimpleNamespace

from loading import SCRIPTS

sys.path.insert(0, str(SCRIPTS))
judging = importlib.import_module("backups.judging")
ledger = importlib.import_module("soaking.ledger")

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


if __name__ == "__main__":
    unittest.main()
