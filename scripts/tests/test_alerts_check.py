"""Tests of what scripts/alerts-check judges by: each fault that it is there for is found."""

import importlib
import sys
import unittest

from loading import SCRIPTS

sys.path.insert(0, str(SCRIPTS))
judging = importlib.import_module("alerting.judging")

KINDS = {"requests_seconds": "Histogram", "refused_total": "LabelledCounter", "failures_total": "Counter"}
PAGE = judging.metrics_of_page('refused_total{group="usage"} 3\nrequests_seconds_count{route="/x",status="200"} 1\nfailures_total 0\n')
SOURCE = 'the words "usage" and "token"'


def judged(expression):
    return judging.judge_expression("here", expression, KINDS, PAGE, SOURCE)


class Expressions(unittest.TestCase):
    def test_what_the_service_has_is_good(self):
        self.assertEqual(judged('sum by (le) (rate(requests_seconds_count{job="x", status=~"5.."}[5m])) > 0'), [])
        self.assertEqual(judged('failures_total{job="x"} / on (job) up{job="x"} > 0'), [])
        self.assertEqual(judged('rate(refused_total{group=~"usage|token"}[5m])'), [])

    def test_a_metric_that_is_not_there_is_found(self):
        self.assertIn("no metric failure_total", judged('failure_total{job="x"}')[0])

    def test_a_label_that_is_not_there_is_found(self):
        self.assertIn("has no label code", judged('requests_seconds_count{code="200"}')[0])
        self.assertIn("it has none", judged('failures_total{status="200"}')[0])

    def test_a_word_that_no_label_has_is_found(self):
        self.assertIn("group tokens", judged('refused_total{group=~"usage|tokens"}')[0])

    def test_a_histogram_without_suffix_is_found(self):
        self.assertIn("is a histogram", judged('rate(requests_seconds{job="x"}[5m])')[0])

    def test_selectors_may_go_over_lines_and_have_braces_in_values(self):
        found = judging.selectors('rate(a_total{\n  job=~"x", route="/orgs/{org_id}"\n}[5m])')
        self.assertEqual([(one.metric, one.labels) for one in found], [("a_total", {"job": "x", "route": "/orgs/{org_id}"})])


class Rules(unittest.TestCase):
    RULE = {
        "alert": "Bad",
        "labels": {"severity": "warning"},
        "annotations": {"summary": "s", "description": "d", "runbook": "docs/r.md#a-section"},
    }
    DOCUMENTS = {"docs/r.md": judging.anchors("# Title\n\n## A section\n\n```sh\n# no heading\n```\n")}

    def judged(self, tested=("Bad",), **changed):
        return judging.judge_rule({**self.RULE, **changed}, set(tested), self.DOCUMENTS)

    def test_a_whole_rule_is_good(self):
        self.assertEqual(self.judged(), [])

    def test_each_lack_is_found(self):
        self.assertIn("no test", self.judged(tested=())[0])
        self.assertIn("severity", self.judged(labels={})[0])
        self.assertEqual(len(self.judged(annotations={})), 3)
        elsewhere = {**self.RULE["annotations"], "runbook": "docs/r.md#no-heading"}
        self.assertIn("no section docs/r.md#no-heading", self.judged(annotations=elsewhere)[0])


class Documents(unittest.TestCase):
    def test_what_is_not_described_is_found(self):
        self.assertEqual(judging.undocumented(["a_total", "b_total"], "| `a_total` | x |", "the metric"), ["the metric b_total is not described"])

    def test_the_table_of_the_source_is_read(self):
        table = '    ("a_total", Kind::Counter, "A"),\n    ("b_seconds", Kind::Histogram(SECONDS), "B"),\n'
        self.assertEqual(judging.metrics_of_source(table), {"a_total": "Counter", "b_seconds": "Histogram"})


if __name__ == "__main__":
    unittest.main()
