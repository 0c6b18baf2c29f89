"""Tests of what scripts/soak judges by: a soak that could not fail would show nothing."""

import asyncio
import contextlib
import importlib
import sys
import unittest
from datetime import datetime, timezone
from types import SimpleNamespace

from loading import SCRIPTS, load_script

sys.path.insert(0, str(SCRIPTS))
ledger = importlib.import_module("soaking.ledger")
http = importlib.import_module("soaking.http")
watch = importlib.import_module("soaking.watch")
state = importlib.import_module("soaking.state")
script = load_script("soak")


def samples(*rss_mib):
    """A sample a second: the warm-up, and then a minute for each figure."""
    rss = [20] * watch.WARM_UP_SECS + [mib for mib in rss_mib for _ in range(60)]
    return [watch.Sample(1_000.0 + second, mib * 1024, 4, 10) for second, mib in enumerate(rss)]


class Memory(unittest.TestCase):
    def test_flat_memory_passes_however_it_began(self):
        self.assertIsNone(watch.memory_grew(samples(100, 101, 100)))

    def test_a_burst_does_not_count(self):
        taken = samples(100, 100)
        taken[-20:] = [watch.Sample(one.at, 10**9, 4, 10) for one in taken[-20:]]
        self.assertIsNone(watch.memory_grew(taken))

    def test_growth_is_found(self):
        self.assertIn("grew", watch.memory_grew(samples(100, 132)))
        self.assertIsNone(watch.memory_grew(samples(100, 130)))

    def test_too_few_samples_prove_nothing(self):
        self.assertIn("too short", watch.memory_grew(samples(100)[:-1]))

    def test_minutes_are_told_one_by_one(self):
        self.assertEqual(watch.by_minute(samples(100, 101)), "20 20 100 101 101")


class Descriptors(unittest.TestCase):
    def left(self, sockets, others):
        return watch.descriptors_left(watch.Sample(0, 0, 4, 10), watch.Sample(0, 0, sockets, others), 0)

    def test_where_it_began_is_where_it_ends(self):
        self.assertIsNone(self.left(4, 10))
        # The embedded store's reading connections.
        self.assertIsNone(self.left(4, 22))

    def test_what_stays_open_is_found(self):
        self.assertIn("sockets", self.left(5, 10))
        self.assertIn("files", self.left(4, 23))

    def test_a_process_that_is_gone_has_none(self):
        self.assertIsNone(watch.sample(2**22 + 1))


def made(request_id="r", label="premium", at=datetime(2026, 1, 1, 2, tzinfo=timezone.utc), cost=None, ok=True):
    tenant = SimpleNamespace(org_id="o", app_id="a", timezone="America/New_York")
    return ledger.submission(tenant, tenant, request_id, label, at, (100, 10), cost, ok)


class TheLedger(unittest.TestCase):
    def test_a_submission_costs_what_its_label_does_or_what_it_says(self):
        self.assertEqual(made().sums, ledger.Sums(100 * 3 + 10 * 15, 1, 0, 100, 10))
        self.assertEqual(made(cost=7, ok=False).sums, ledger.Sums(7, 1, 1, 100, 10))
        self.assertEqual((made().kind, made(cost=7).kind), ("usage", "costs"))

    def test_its_day_is_the_organizations(self):
        self.assertEqual(made().key, ("o", "a", "2025-12-31", "premium"))
        self.assertEqual(made().body["timestamp"], "2026-01-01T02:00:00.000Z")

    def test_what_is_acknowledged_twice_counts_once(self):
        book, one = ledger.Ledger(), made()
        self.assertIsNone(book.acknowledge(one, duplicate=False))
        self.assertIsNone(book.acknowledge(one, duplicate=True))
        self.assertEqual((book.count, book.sums[one.key].requests), (1, 1))

    def test_what_was_in_doubt_may_be_new_or_not(self):
        for duplicate in (False, True):
            book, one = ledger.Ledger(), made()
            one.in_doubt = True
            self.assertIsNone(book.acknowledge(one, duplicate))
            self.assertEqual(book.count, 1)

    def test_a_wrong_answer_is_found(self):
        book, one = ledger.Ledger(), made()
        self.assertIn("called a duplicate", book.acknowledge(one, duplicate=True))
        book.acknowledge(one := made(), duplicate=False)
        self.assertIn("twice as new", book.acknowledge(one, duplicate=False))

    def test_any_difference_is_found(self):
        key, other = ("o", "a", "d", "l"), ("o", "a", "d", "m")
        expected = {key: ledger.Sums(1, 1, 0, 1, 1)}
        self.assertEqual(ledger.differences(expected, {key: ledger.Sums(1, 1, 0, 1, 1)}), [])
        for found in ({}, {key: ledger.Sums(2, 1, 0, 1, 1)}, {**expected, other: ledger.Sums(0, 1, 0, 0, 0)}):
            self.assertEqual(len(ledger.differences(expected, found)), 1, found)


class Judging(unittest.TestCase):
    def setUp(self):
        self.soak = state.Soak(SimpleNamespace(address=lambda: ("127.0.0.1", 1)), "key", 1)

    def judge(self, status, expected=(200,)):
        return self.soak.judge("somebody", "a call", http.Reply(status, {}, b""), expected)

    def test_what_is_expected_passes_and_anything_else_does_not(self):
        self.assertTrue(self.judge(200))
        self.assertFalse(self.judge(500))
        self.assertFalse(self.judge(429))
        self.assertEqual(self.soak.violation_count, 2)

    def test_503_is_neither(self):
        self.assertFalse(self.judge(503))
        self.assertEqual(self.soak.violation_count, 0)
        self.assertEqual(self.soak.counts["somebody"][503], 1)

    def test_a_lost_answer_counts_unless_the_service_was_disturbed(self):
        class Gone:
            era = 0

            async def call(self, *_):
                raise http.Lost("gone")

        for disturbed, violations in ((True, 0), (False, 1)):
            self.soak.disturbed = disturbed
            self.assertIsNone(asyncio.run(self.soak.call("somebody", Gone(), "GET", "/", {})))
            self.assertEqual(self.soak.violation_count, violations)


class OverTheWire(unittest.TestCase):
    def talk(self, answer, *requests):
        """What a connection makes of these bytes, and what the other side got."""

        async def run():
            got = bytearray()

            async def serve(reader, writer):
                got.extend(await reader.read(65_536))
                writer.write(answer)
                await writer.drain()
                writer.close()

            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            async with server:
                connection = http.Connection(lambda: server.sockets[0].getsockname())
                try:
                    return await connection.call(*requests), bytes(got)
                finally:
                    connection.close()

        return asyncio.run(run())

    def test_a_length_and_chunks_are_read(self):
        for answer in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"a\": 1}",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n4\r\n: 1}\r\n0\r\n\r\n",
        ):
            reply, got = self.talk(answer, "POST", "/x", {"y": "z"}, b"body")
            self.assertEqual((reply.status, reply.json()), (200, {"a": 1}))
            self.assertEqual(got, b"POST /x HTTP/1.1\r\nhost: localhost\r\ny: z\r\ncontent-length: 4\r\n\r\nbody")

    def test_an_answer_that_ends_early_is_lost(self):
        for answer in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{", b"nonsense\r\n\r\n"):
            with self.assertRaises(http.Lost):
                self.talk(answer, "GET", "/")


class TheLog(unittest.TestCase):
    def test_a_secret_and_a_panic_are_found(self):
        run = script.Run.__new__(script.Run)
        run.soak = state.Soak(None, "key", 1)
        run.soak.secrets.update(("s3cret+/=", ""))
        lines = ["all is well", 'told "s3cret+/="', '{"message":"a panic"}', "thread panicked at src"]
        log = SimpleNamespace(open=lambda **_: contextlib.nullcontext(lines))
        run.service = SimpleNamespace(log=log)
        run.judge_log()
        self.assertEqual(run.soak.violation_count, 3)


if __name__ == "__main__":
    unittest.main()
