"""Applications that report usage from several threads, and everything the checks ask the service."""

import http.client
import json
import random
import subprocess
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from backups.judging import Sent, Wrong
from soaking.ledger import PRICES, Key, Sums, differences, submission
from tooling.service import Service, binary, environment

# Longest wait for one answer.
ANSWER_SECS = 30
# Longest wait for the threads: each ends after its answer.
STOP_SECS = ANSWER_SECS + 5
# At most so many submissions a second of each thread: a bounded load, whatever the machine.
PER_SECOND = 200
# What another process added up (`export` does, on DynamoDB) is seen within a second: `storage.cache`.
SEEN_SECS = 5
# Longest wait for a command of the service.
COMMAND_SECS = 60
MODELS = {"premium": "amazon.nova-pro-v1:0", "standard": "amazon.nova-2-lite-v1:0", "economy": "amazon.nova-micro-v1:0"}
LABELS = list(PRICES)
BATCH = 100


def configuration() -> str:
    """JSON is YAML. Prices are whole micro-dollars a token, so that sums here are exact too."""
    labels = {}
    for label, (of_input, of_output) in PRICES.items():
        prices = {"input_usd_micros_per_1m": of_input * 10**6, "output_usd_micros_per_1m": of_output * 10**6}
        labels[label] = {"bedrock_model_id": MODELS[label], "prices": prices}
    limits = {f"{group}_per_minute": 1_000_000 for group in ("token", "usage", "batches", "rotation", "aggregates")}
    return json.dumps({"labels": labels, "rate_limits": limits})


class Api:
    """One connection to a service, made again where it was lost."""

    def __init__(self, url: str):
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=ANSWER_SECS)

    def call(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> tuple[int, dict]:
        sent = dict(headers or {})
        data = None
        if isinstance(body, str):
            data, sent["Content-Type"] = body.encode(), "application/x-www-form-urlencoded"
        elif body is not None:
            data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        try:
            self.connection.request(method, path, data, sent)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            raise Wrong(f"{method} {path} got no answer: {error}") from error
        return answer.status, json.loads(text) if text.startswith(b"{") else {}

    def expect(self, status: int, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> dict:
        found, answer = self.call(method, path, body, headers)
        if found != status:
            raise Wrong(f"{method} {path} was answered with {found} {answer}, expected {status}")
        return answer


@dataclass
class App:
    org_id: str
    app_id: str
    timezone: str
    secret: str = ""
    token: str = ""

    @property
    def path(self) -> str:
        return f"/api/v1/orgs/{self.org_id}/apps/{self.app_id}"

    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def log_in(self, url: str, secret: str | None = None) -> int:
        """Status of a login, whose token is kept where it is good."""
        form = {"grant_type": "client_credentials", "client_id": f"org-{self.org_id}-app-{self.app_id}"}
        status, answer = Api(url).call("POST", "/auth/token", urlencode({**form, "client_secret": secret or self.secret}))
        self.token = answer.get("access_token", self.token)
        return status

    def token_works(self, url: str, token: str) -> int:
        return Api(url).call("GET", f"{self.path}/model-selection", None, {"Authorization": f"Bearer {token}"})[0]


class Traffic:
    """Two applications in two time zones, the threads that submit for them, and what was acknowledged."""

    def __init__(self, service: Service):
        self.service = service
        self.apps = []
        self.sent: list[Sent] = []
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        key = {"X-API-Key": service.key}
        api = Api(service.url)
        for number, zone in enumerate(("UTC", "Pacific/Auckland")):
            app = App(str(uuid.uuid4()), f"app-{number}", zone)
            org = {
                "org_name": "Backed up", "timezone": zone, "quota_scope": "APP", "model_ordering": LABELS,
                "quotas": {label: 10**15 for label in LABELS},
            }  # fmt: skip
            api.expect(201, "PUT", f"/api/v1/orgs/{app.org_id}", {**org, "secret_delivery": "inline"}, key)
            made = api.expect(201, "PUT", app.path, {"app_name": "Backed up", "secret_delivery": "inline"}, key)
            app.secret = made["credentials"]["client_secret"]
            if app.log_in(service.url) != 200:
                raise Wrong("an application cannot log in")
            self.apps.append(app)

    def start(self) -> None:
        self._stop.clear()
        numbered = enumerate(self.apps * 2)
        self._threads = [threading.Thread(target=self._submit, args=(app, seed), daemon=True) for seed, app in numbered]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        deadline = time.monotonic() + STOP_SECS
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
        if self.failures:
            raise Wrong(self.failures[0])
        if left := sum(thread.is_alive() for thread in self._threads):
            raise Wrong(f"{left} threads that submit did not end within {STOP_SECS} s")

    def run_for(self, seconds: float) -> None:
        self.start()
        time.sleep(seconds)
        self.stop()

    def _submit(self, app: App, seed: int) -> None:
        try:
            self._submit_until_stopped(app, seed)
        except Wrong as wrong:
            self.failures.append(str(wrong))
        except Exception as error:
            # A thread that ended without a word would leave a check in which nothing happened.
            self.failures.append(f"a thread that submits ended with {type(error).__name__}: {error}")

    def _submit_until_stopped(self, app: App, seed: int) -> None:
        draw = random.Random((seed, len(self.sent)).__repr__())
        api = Api(self.service.url)
        while not self._stop.wait(1 / PER_SECOND):
            tokens = (draw.randrange(20_000), draw.randrange(4_000))
            at = datetime.now(timezone.utc)
            made = submission(app, app, str(uuid.uuid4()), draw.choice(LABELS), at, tokens, None, draw.random() < 0.9)
            sent_at = time.monotonic()
            answer = api.expect(202, "POST", f"{app.path}/usage", made.body, app.bearer())
            if answer["duplicate"]:
                raise Wrong(f"{made.request_id} was sent once and is called a duplicate")
            self.sent.append(Sent(made, sent_at, time.monotonic()))

    def send_again(self, url: str) -> set[str]:
        """Sends everything once more, as clients do that got no answer; which ids the service knew."""
        held: set[str] = set()
        for app in self.apps:
            api = Api(url)
            mine = [one.made for one in self.sent if one.made.key[:2] == (app.org_id, app.app_id)]
            for start in range(0, len(mine), BATCH):
                bodies = [made.body for made in mine[start : start + BATCH]]
                answer = api.expect(207, "POST", f"{app.path}/usage/batch", {"requests": bodies}, app.bearer())
                for result in answer["results"]:
                    if result["status"] != "accepted":
                        raise Wrong(f"a repeat failed: {result}")
                    if result["duplicate"]:
                        held.add(result["request_id"])
        return held


def command(service: Service, *arguments: str) -> str:
    """A command of the service on the same store, with its configuration; standard output."""
    whole = [str(binary()), *arguments]
    whole += [part for setting in service.settings for part in ("--set", setting)]
    done = subprocess.run(
        whole, cwd=service.directory, env=environment(service.variables), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=COMMAND_SECS, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise Wrong(f"`{' '.join(arguments)}` ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def totals(service: Service) -> dict[Key, Sums]:
    """Daily totals as `export` writes them, to the pico-dollar, and compared with what the API says."""
    found: dict[Key, Sums] = {}
    for line in command(service, "export").splitlines():
        total = json.loads(line)
        if total["kind"] == "total":
            counters = total["counters"]
            cost, rest = divmod(int(counters["cost_usd_picos"]), 10**6)
            if rest:
                raise Wrong(f"a total has a cost that nobody submitted: {line}")
            names = ("requests", "errors", "input_tokens", "output_tokens")
            sums = Sums(cost, *(counters[name] for name in names))
            found[(total["org_id"], total["app_id"], total["day"], total["model_label"])] = sums
    deadline = time.monotonic() + SEEN_SECS
    while lines := differences(found, told(service, found)):
        if time.monotonic() > deadline:
            raise Wrong("the API tells other totals than the export:\n  " + "\n  ".join(lines))
        time.sleep(0.2)
    return found


def told(service: Service, keys: Iterable[Key]) -> dict[Key, Sums]:
    """The same totals as the API tells them."""
    sums: dict[Key, Sums] = {}
    api = Api(service.url)
    for org_id, app_id, day in sorted({key[:3] for key in keys}):
        path = f"/api/v1/orgs/{org_id}/apps/{app_id}/aggregates/{day}?force_check=true"
        for label, counted in api.expect(200, "GET", path, None, {"X-API-Key": service.key})["models"].items():
            if counted["requests"]:
                names = ("cost_usd_micros", "requests", "errors", "input_tokens", "output_tokens")
                sums[(org_id, app_id, day, label)] = Sums(*(counted[name] for name in names))
    return sums


def prepared(directory: Path) -> Path:
    """A working directory for the service, with the configuration of these checks."""
    directory.mkdir(mode=0o700)
    (directory / "cost-keeper.yaml").write_text(configuration(), encoding="utf-8")
    return directory
