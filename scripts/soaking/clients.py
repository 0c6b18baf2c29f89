"""Clients that keep to the rules, and an administrator. What they are answered is checked, always."""

import asyncio
import json
import uuid
from datetime import datetime, timedelta, timezone

from .ledger import PRICES, Submission, submission
from .state import Soak

LABELS = list(PRICES)
# High enough that no soak gets there: which label is recommended is not what this is about.
QUOTA = 10**15


class Tenant:
    """An organization or application with its credentials."""

    def __init__(self, path: str, org_id: str, app_id: str | None, timezone_name: str):
        self.path = path
        self.org_id = org_id
        self.app_id = app_id
        self.timezone = timezone_name
        self.client_id = f"org-{org_id}" + (f"-app-{app_id}" if app_id else "")
        self.secret = ""
        self.access = ""
        self.refresh = ""
        # Who uses the credentials and who replaces them do not do so at once.
        self.lock = asyncio.Lock()


def org_body(name: str, timezone_name: str) -> dict:
    quotas = {label: QUOTA for label in LABELS}
    return {
        "org_name": name, "timezone": timezone_name, "quota_scope": "APP", "model_ordering": LABELS,
        "quotas": quotas, "secret_delivery": "inline",
    }  # fmt: skip


class Admin:
    """Provisions, then rotates, revokes, reads, creates and deletes."""

    def __init__(self, soak: Soak, name: str = "administrator"):
        self.soak = soak
        self.name = name
        self.connection = soak.connection()

    async def call(self, method: str, path: str, body: dict | None, expected: tuple[int, ...]):
        """The answer's JSON; None where it is not one that was expected."""
        headers = {"x-api-key": self.soak.admin_key}
        data = b""
        if body is not None:
            headers["content-type"] = "application/json"
            data = json.dumps(body).encode()
        reply = await self.soak.call(self.name, self.connection, method, path, headers, data)
        if reply is None or not self.soak.judge(self.name, f"{method} {path}", reply, expected):
            return None
        return reply.json() or {}

    async def create(self, tenant: Tenant, body: dict) -> bool:
        made = await self.call("PUT", tenant.path, body, (201,))
        if made is None:
            return False
        tenant.secret = made["credentials"]["client_secret"]
        self.soak.secrets.add(tenant.secret)
        return True

    async def rotate(self, tenant: Tenant) -> None:
        async with tenant.lock:
            body = {"grace_period_hours": self.soak.random.choice((0, 24)), "secret_delivery": "inline"}
            made = await self.call("POST", f"{tenant.path}/credentials/rotate", body, (200,))
            # Without an answer nobody knows which secret is good, and it has to be rotated again.
            tenant.secret = made["client_secret"] if made is not None else ""
            self.soak.secrets.add(tenant.secret)

    async def revoke_tokens(self, tenant: Tenant) -> None:
        async with tenant.lock:
            if await self.call("POST", f"{tenant.path}/credentials/revoke-tokens", None, (204,)) is None:
                tenant.access = ""
                return
            old, tenant.access = tenant.access, ""
            headers = {"authorization": f"Bearer {old}"}
            reply = await self.soak.call(self.name, self.connection, "GET", "/api/v1/models", headers)
            if reply is not None and old:
                self.soak.judge(self.name, "a token after all were revoked", reply, (401,))

    async def come_and_go(self, org: Tenant) -> None:
        """An application that lives for a moment."""
        passing = Tenant(f"{org.path}/apps/passing-{uuid.UUID(int=self.soak.random.getrandbits(128)).hex[:12]}", "", "", "UTC")
        if await self.create(passing, {"app_name": "Passing", "secret_delivery": "inline"}):
            await self.call("DELETE", passing.path, None, (204,))

    async def run(self, orgs: list[Tenant], apps: list[Tenant]) -> None:
        pick = self.soak.random.choice
        while self.soak.running():
            org, app = pick(orgs), pick(apps)
            chance = self.soak.random.random()
            unknown = [one for one in apps if not one.secret]
            if self.soak.disturbed:
                pass
            elif unknown or chance < 0.15:
                await self.rotate(unknown[0] if unknown else app)
            elif chance < 0.3:
                await self.revoke_tokens(app)
            elif chance < 0.45:
                await self.come_and_go(org)
            elif chance < 0.6:
                await self.call("PUT", org.path, org_body("Soaked", org.timezone), (200,))
            elif chance < 0.7:
                await self.call("PUT", f"{app.path}/fallback", {"model_label": pick(LABELS)}, (200,))
            elif chance < 0.8:
                await self.call("DELETE", f"{app.path}/fallback", None, (204, 404))
            elif chance < 0.9:
                await self.call("GET", f"{org.path}/apps?limit=3", None, (200,))
            else:
                await self.call("GET", f"{app.path}/config", None, (200,))
            await asyncio.sleep(self.soak.random.uniform(0.05, 0.3))
        self.connection.close()


class Client:
    """An application that submits, repeats what got no answer, asks and reads; or an organization that reads."""

    def __init__(self, soak: Soak, tenant: Tenant):
        self.soak = soak
        self.tenant = tenant
        self.name = "applications" if tenant.app_id else "organizations"
        self.connection = soak.connection()
        self.in_doubt: list[Submission] = []
        self.acknowledged: list[Submission] = []
        self.etag = ""

    async def call(self, method: str, path: str, body: dict | None, expected: tuple[int, ...], headers: dict | None = None):
        """The answer, where it is one of those expected."""
        sent = {"authorization": f"Bearer {self.tenant.access}", **(headers or {})}
        data = b""
        if body is not None:
            sent["content-type"] = "application/json"
            data = json.dumps(body).encode()
        reply = await self.soak.call(self.name, self.connection, method, path, sent, data)
        if reply is None or not self.soak.judge(self.name, f"{method} {path}", reply, expected):
            return None
        return reply

    async def log_in(self) -> bool:
        form = {"grant_type": "client_credentials", "client_id": self.tenant.client_id, "client_secret": self.tenant.secret}
        reply = await self.call("POST", "/auth/token", form, (200,))
        if reply is None:
            return False
        tokens = reply.json()
        self.tenant.access, self.tenant.refresh = tokens["access_token"], tokens["refresh_token"]
        return True

    async def refresh(self) -> None:
        reply = await self.call("POST", "/auth/refresh", {"grant_type": "refresh_token", "refresh_token": self.tenant.refresh}, (200,))
        if reply is not None:
            self.tenant.access = reply.json()["access_token"]

    async def revoke(self) -> None:
        """Ends the session, and sees that it has ended."""
        if await self.call("POST", "/auth/revoke", {"token": self.tenant.refresh}, (204,)) is not None:
            await self.call("GET", "/api/v1/models", None, (401,))
        self.tenant.access = ""

    def make(self) -> Submission:
        pick = self.soak.random
        at = datetime.now(timezone.utc) - timedelta(seconds=pick.uniform(0, 20 * 3600))
        cost = pick.randrange(10**6) if pick.random() < 0.4 else None
        request_id = str(uuid.UUID(int=pick.getrandbits(128), version=4))
        tokens = (pick.randrange(20_000), pick.randrange(4_000))
        return submission(self.tenant, self.tenant, request_id, pick.choice(LABELS), at, tokens, cost, pick.random() < 0.95)

    def settle(self, made: Submission, duplicate: bool) -> None:
        wrong = self.soak.ledger.acknowledge(made, duplicate)
        if wrong:
            self.soak.violate(f"{self.name}: {wrong}")
        self.acknowledged.append(made)
        # Enough to repeat something of; all of them would only need memory here.
        del self.acknowledged[:-200]

    async def submit(self, made: Submission) -> bool:
        """Whether it was acknowledged. Where nothing is known it stays in doubt, and is sent again later, the same."""
        reply = await self.call("POST", f"{self.tenant.path}/{made.kind}", made.body, (202,))
        if reply is None:
            if not made.acknowledged and not made.in_doubt:
                made.in_doubt = True
                self.in_doubt.append(made)
            return False
        receipt = reply.json()
        cost = receipt["processing"]["cost_usd_micros"]
        if cost != made.sums.cost_usd_micros:
            self.soak.violate(f"{self.name}: {made.body} was charged {cost}, expected {made.sums.cost_usd_micros}")
        self.settle(made, receipt["duplicate"])
        return True

    async def submit_batch(self) -> None:
        kind = self.soak.random.choice(("usage", "costs"))
        batch = [made for made in (self.make() for _ in range(self.soak.random.randint(1, 20))) if made.kind == kind]
        if not batch:
            return
        # One that fails alone, and does not count.
        bad = {**batch[0].body, "request_id": str(uuid.UUID(int=self.soak.random.getrandbits(128), version=4)), "model_label": "unknown"}
        bodies = [made.body for made in batch] + [bad]
        reply = await self.call("POST", f"{self.tenant.path}/{kind}/batch", {"requests": bodies}, (207,))
        if reply is None:
            for made in batch:
                made.in_doubt = True
                self.in_doubt.append(made)
            return
        *results, last = reply.json()["results"]
        if last["status"] != "failed":
            self.soak.violate(f"{self.name}: an unknown label was accepted in a batch: {last}")
        for made, result in zip(batch, results, strict=True):
            if result["request_id"] != made.request_id:
                self.soak.violate(f"{self.name}: a batch was answered in another order")
            elif result["status"] == "accepted":
                self.settle(made, result["duplicate"])
            elif result["error"] == "SERVICE_UNAVAILABLE":
                made.in_doubt = True
                self.in_doubt.append(made)
            else:
                self.soak.violate(f"{self.name}: {made.body} failed in a batch: {result}")

    async def repeat(self) -> None:
        """What was acknowledged is a duplicate; under the same id something else is a conflict."""
        if not self.acknowledged:
            return
        made = self.soak.random.choice(self.acknowledged)
        if self.soak.random.random() < 0.7:
            await self.submit(made)
        else:
            other = {**made.body, "output_tokens": made.body["output_tokens"] + 1}
            await self.call("POST", f"{self.tenant.path}/{made.kind}", other, (409,))

    async def reconcile(self) -> None:
        """Repeats what is in doubt until nothing is."""
        while self.in_doubt:
            if await self.submit(self.in_doubt[-1]):
                self.in_doubt.pop()
            else:
                return

    async def select(self) -> None:
        headers = {"if-none-match": self.etag} if self.etag and self.soak.random.random() < 0.5 else {}
        reply = await self.call("GET", f"{self.tenant.path}/model-selection", None, (200, 304) if headers else (200,), headers)
        if reply is not None and reply.status == 200:
            self.etag = reply.headers.get("etag", "")

    async def read(self) -> None:
        chance = self.soak.random.random()
        if chance < 0.4:
            # A tenant that has nothing today yet is answered with zeros.
            await self.call("GET", f"{self.tenant.path}/aggregates/today", None, (200,))
        elif chance < 0.6:
            today = datetime.now(timezone.utc).date()
            query = f"from={today - timedelta(days=3)}&to={today - timedelta(days=1)}&group_by=day,model&format={self.soak.random.choice(('json', 'csv'))}"
            await self.call("GET", f"{self.tenant.path}/aggregates?{query}", None, (200,))
        else:
            await self.call("GET", "/api/v1/models", None, (200,))

    async def act(self) -> None:
        if self.soak.disturbed:
            await asyncio.sleep(0.1)
            return
        if not self.tenant.access and (not self.tenant.secret or not await self.log_in()):
            await asyncio.sleep(0.2)
            return
        chance = self.soak.random.random()
        if not self.tenant.app_id:
            await (self.read() if chance < 0.95 else self.refresh())
        elif self.in_doubt and chance < 0.2:
            await self.reconcile()
        elif chance < 0.55:
            await self.submit(self.make())
        elif chance < 0.7:
            await self.submit_batch()
        elif chance < 0.8:
            await self.repeat()
        elif chance < 0.92:
            await self.select()
        elif chance < 0.97:
            await self.read()
        elif chance < 0.985:
            await self.refresh()
        elif chance < 0.993:
            await self.revoke()
        elif self.tenant.secret:
            await self.log_in()

    async def run(self) -> None:
        while self.soak.running():
            async with self.tenant.lock:
                await self.act()
            # An organization's own client reads now and then; applications are busy.
            await asyncio.sleep(self.soak.random.uniform(0, 0.02 if self.tenant.app_id else 0.3))
        self.connection.close()
