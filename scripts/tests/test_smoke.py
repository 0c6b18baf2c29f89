"""Tests of scripts/smoke: it passes where the service is right, and says so where it is wrong by one micro-dollar."""

import argparse
import contextlib
import io
import json
import re
import threading
import unittest
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

from loading import load_script

smoke = load_script("smoke")

KEY = "a-provisioning-key-of-tests"
PRICES = {"cheap": (35_001, 140_003), "dear": (800_000, 3_200_000)}
TOKENS = {"access": "Bearer access", "refresh": "refresh"}


class Keeper(ThreadingHTTPServer):
    """As much of the service as the smoke test sees. `fault` is what it does wrong."""

    def __init__(self, fault=""):
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault = fault
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.org = None
        self.uses = {}
        self.revoked = self.sticky = self.busy = False
        self.looks = 0

    def spent(self, label):
        pico = [use["pico"] for use in self.uses.values() if use["model_label"] == label]
        if self.fault == "sum of rounded":
            return sum(smoke.micros(one) for one in pico)
        return smoke.micros(sum(pico)) + (self.fault == "one too much") - (self.fault == "one too little")

    def submit(self, use):
        duplicate = use["request_id"] in self.uses
        if duplicate and self.fault == "counts repeats":
            self.uses[use["request_id"] + "again"] = self.uses[use["request_id"]]
        prices = PRICES[use["model_label"]]
        pico = use["usage"]["inputTokens"] * prices[0] + use["usage"]["outputTokens"] * prices[1]
        known = self.uses.setdefault(use["request_id"], {**use, "pico": pico})
        if known["status"] != use["status"]:
            return None
        return {"status": "accepted", "duplicate": duplicate, "cost_usd_micros": smoke.micros(pico)}

    def label(self, label):
        uses = [use for use in self.uses.values() if use["model_label"] == label]
        return {
            "cost_usd_micros": self.spent(label),
            "requests": len(uses),
            "errors": sum(use["status"] == "ERROR" for use in uses),
            "input_tokens": sum(use["usage"]["inputTokens"] for use in uses),
            "output_tokens": sum(use["usage"]["outputTokens"] for use in uses),
        }

    def aggregates(self):
        self.looks += 1
        if self.fault == "totals lag" and self.looks % 3:
            return {"models": {}, "total_cost_usd_micros": 0}
        total = smoke.micros(sum(use["pico"] for use in self.uses.values()))
        return {"models": {label: self.label(label) for label in PRICES}, "total_cost_usd_micros": total}

    def selection(self):
        first, second = self.org["model_ordering"]
        if self.spent(first) < self.org["quotas"][first] or self.fault == "no fallback":
            return {"recommended_model": {"label": first, "reason": "NORMAL"}}
        reason = "STICKY_FALLBACK" if self.sticky else f"QUOTA_EXCEEDED_{first.upper()}"
        self.sticky = True
        return {"recommended_model": {"label": second, "reason": reason}}

    def answer(self, method, path, headers, body):
        if path in ("/readyz", "/health"):
            status = 503 if self.fault == "not ready" else 200
            return status, {"version": "1.2.3", "database": {"backend": "a dictionary"}}
        if path == "/auth/token":
            return 200, {"access_token": "access", "refresh_token": TOKENS["refresh"], "expires_in": 60}
        client = headers.get("Authorization") == TOKENS["access"] and not self.revoked
        if path == "/auth/revoke":
            self.revoked = self.fault != "revokes nothing" and body["token"] == [TOKENS["refresh"]]
            return 204, None
        if not client and headers.get("X-API-Key") != KEY:
            return 401, {"error": "UNAUTHORIZED", "message": "who are you?"}
        return self.authorized(method, path.rsplit("/", 1)[1], body)

    def authorized(self, method, last, body):
        if last == "models":
            names = ("input_price_usd_micros_per_1m", "output_price_usd_micros_per_1m")
            pricing = {label: dict(zip(names, prices, strict=True)) for label, prices in PRICES.items()}
            models = [{"label": label, "type": "model", "pricing": pricing[label]} for label in PRICES]
            return 200, {"models": [{"label": "free", "type": "model", "pricing": {"status": "UNPRICED"}}, *models]}
        if last == "smoke":
            return 201, {"credentials": {"client_id": "org-app-smoke", "client_secret": "secret"}}
        if last == "model-selection":
            return 200, self.selection()
        if last == "today":
            return 200, self.aggregates()
        if last == "usage":
            if self.fault == "busy once" and not self.busy:
                self.busy = True
                return 503, {"error": "SERVICE_UNAVAILABLE", "message": "later"}
            result = self.submit(body)
            if result is None:
                return 409, {"error": "CONFLICT", "message": "other body"}
            return 202, {**result, "processing": result}
        if last == "batch":
            return 207, {"results": [self.submit(use) for use in body["requests"]]}
        # What is left is the organization itself.
        if method == "PUT":
            self.org = body
            return 201, {}
        if method == "DELETE" and self.fault != "deletes nothing":
            self.org = None
        return (204, None) if method == "DELETE" else (200 if self.org else 404, {})


class Handler(BaseHTTPRequestHandler):
    def serve(self):
        raw = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        form = self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        body = parse_qs(raw) if form else json.loads(raw or "null")
        status, answer = self.server.answer(self.command, urlsplit(self.path).path, self.headers, body)
        data = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        if status == 503:
            self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = serve

    def log_message(self, *_):
        pass


class Elsewhere(BaseHTTPRequestHandler):
    """Sends its clients away, or answers with what is no HTTP; keeps the paths that were asked for."""

    def serve(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.asked.append(self.path)
        if self.path == "/cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
        elif self.path == "/cut-error":
            self.wfile.write(b"HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\nshort")
        elif self.path == "/nonsense":
            self.wfile.write(b"nonsense\r\n\r\n")
        else:
            self.send_response(int(self.path[1:]))
            self.send_header("Location", f"{self.server.other}/stolen?session=1234")
            self.end_headers()

    do_GET = do_POST = serve

    def log_message(self, *_):
        pass


def run(fault="", **options):
    """Runs the smoke test against a service with this fault; answers its lines, why it failed, and the service."""
    lines = []
    with Keeper(fault) as keeper, TemporaryDirectory() as directory:
        thread = threading.Thread(target=keeper.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        key_file = Path(directory) / "keys"
        key_file.write_text(f"{KEY}\nanother\n", encoding="utf-8")
        defaults = {"url": keeper.url, "key_file": str(key_file), "ca_file": None, "wait": 0.2}
        defaults |= {"labels": None, "keep": False}
        try:
            smoke.smoke(argparse.Namespace(**{**defaults, **options}), lines.append)
            why = None
        except smoke.Failed as failure:
            why = str(failure)
        finally:
            keeper.shutdown()
            thread.join()
    return lines, why, keeper


class Quick(unittest.TestCase):
    def setUp(self):
        self.poll, smoke.POLL_SECONDS = smoke.POLL_SECONDS, 0.01

    def tearDown(self):
        smoke.POLL_SECONDS = self.poll


class Right(Quick):
    def test_it_passes_and_leaves_nothing(self):
        lines, why, keeper = run()
        self.assertIsNone(why)
        self.assertRegex(lines[-1], r"^smoke: all 15 steps passed")
        self.assertTrue(all(line.startswith("ok ") for line in lines[:-1]), lines)
        self.assertIsNone(keeper.org)

    def test_no_line_tells_a_secret(self):
        lines, _, _ = run()
        for secret in (KEY, "client_secret", "Bearer"):
            self.assertNotIn(secret, "\n".join(lines))

    def test_totals_that_come_later_are_waited_for(self):
        self.assertIsNone(run("totals lag")[1])

    def test_a_service_that_is_busy_is_asked_again(self):
        self.assertIsNone(run("busy once")[1])

    def test_the_tenant_stays_if_it_shall(self):
        lines, why, keeper = run(keep=True)
        self.assertIsNone(why)
        self.assertRegex(lines[-2], r"^kept  /api/v1/orgs/[0-9a-f-]{36}$")
        self.assertIsNotNone(keeper.org)

    def test_labels_can_be_chosen(self):
        lines, why, _ = run(labels="dear,cheap")
        self.assertIsNone(why)
        self.assertIn("spends on dear, then cheap", "\n".join(lines))


class Wrong(Quick):
    """Each of these services looks right and is not."""

    def refused(self, fault, step, pattern, **options):
        lines, why, keeper = run(fault, **options)
        self.assertRegex(why or "passed", re.compile(pattern))
        self.assertIn(f"FAIL  {step}", "\n".join(lines))
        return keeper

    def test_one_micro_dollar_too_much(self):
        keeper = self.refused("one too much", "totals", r"cost_usd_micros of cheap is \d+, but only \d+ was submitted")
        self.assertIsNone(keeper.org, "the tenant is deleted after a failure, too")

    def test_one_micro_dollar_too_little(self):
        self.refused("one too little", "totals", "after 0.2 s still cost_usd_micros of cheap is")

    def test_costs_that_were_rounded_before_they_were_added(self):
        self.refused("sum of rounded", "totals", "cost_usd_micros of cheap")

    def test_repeats_that_count(self):
        self.refused("counts repeats", "totals", "was submitted")

    def test_totals_that_never_come(self):
        self.refused("totals lag", "totals", "after 0 s still", wait=0)

    def test_a_quota_that_is_not_kept(self):
        self.refused("no fallback", "fallback", "still cheap because NORMAL")

    def test_a_token_that_outlives_its_revocation(self):
        self.refused("revokes nothing", "revoked", "still answered with 200")

    def test_a_tenant_that_cannot_be_deleted(self):
        self.refused("deletes nothing", "deleted", "still answered with 200")

    def test_a_service_that_is_not_ready(self):
        self.refused("not ready", "ready", "/readyz: after 0.2 s still 503")

    def test_a_service_that_is_not_there(self):
        self.refused("", "ready", "no answer", url="http://127.0.0.1:1")

    def test_a_label_without_a_price(self):
        self.refused("", "catalog", "no label with a known price is named free", labels="free,dear")


class OtherAddresses(unittest.TestCase):
    def setUp(self):
        self.servers = []
        for _ in range(2):
            server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
            server.asked, server.url = [], f"http://127.0.0.1:{server.server_address[1]}"
            thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
            thread.start()
            for ending in (server.server_close, thread.join, server.shutdown):
                self.addCleanup(ending)
            self.servers.append(server)
        self.first, self.second = self.servers
        self.first.other = self.second.url

    def failure(self, method, path):
        client = smoke.Client(self.first.url, None)
        with self.assertRaises(smoke.Failed) as raised:
            client.ask(method, path, {"X-API-Key": KEY, "Authorization": "Bearer 1"}, json_body={} if method == "POST" else None)
        return str(raised.exception)

    def test_keys_do_not_follow_a_redirect(self):
        for method, status in (("GET", 301), ("GET", 302), ("POST", 303), ("GET", 307), ("POST", 307), ("GET", 308)):
            found = self.failure(method, f"/{status}")
            self.assertIn(f"{method} /{status} redirects to {self.second.url}/stolen:", found)
            self.assertNotIn("1234", found)
        self.assertEqual(self.second.asked, [])

    def test_an_answer_that_is_cut_off_or_no_http_is_a_failure(self):
        for path in ("/cut", "/cut-error", "/nonsense"):
            self.assertRegex(self.failure("GET", path), f"^GET {path}: no answer \\(.")


class Called(unittest.TestCase):
    def test_what_is_wrong_ends_with_1_and_one_line(self):
        for arguments, message in (
            (["keeper.example.com"], "not an address"),
            (["http://user:password@localhost"], "without user, password"),
            (["http://localhost", "--key-file", "/nonexistent"], "No such file"),
            (["http://localhost", "--ca-file", "/nonexistent"], "--ca-file /nonexistent"),
            (["http://localhost", "--labels", "one"], "two different labels"),
        ):
            errors = io.StringIO()
            with contextlib.redirect_stderr(errors):
                self.assertEqual(smoke.main(arguments), 1)
            self.assertRegex(errors.getvalue(), rf"^smoke: .*{message}")
            self.assertNotIn("user:password", errors.getvalue())

    def test_it_is_about_noon_wherever_it_runs(self):
        for hour in range(24):
            name = smoke.time_zone_at_noon(datetime(2026, 1, 23, hour, 59, tzinfo=timezone.utc))
            offset = 0 if name == "Etc/UTC" else -int(name.removeprefix("Etc/GMT"))
            self.assertEqual((hour + offset) % 24, 12)


if __name__ == "__main__":
    unittest.main()
