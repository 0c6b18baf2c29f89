"""Everybody else: those who guess, send nonsense, too much, too slowly, or only half.

Whatever they send, they get a refusal or a closed connection. None of it may be answered with a failure of the service,
and none of it may disturb those who keep to the rules.
"""

import asyncio
import ipaddress
import json
import os
import random
import time
import uuid

from .http import Connection, Lost, Reply, request_bytes
from .state import Soak

# Requests of a flood that are sent in one go. A server that reads ahead without bound would show it in its memory.
PIPELINE = 32
# The service waits ten seconds for a header or body; the rest is for a machine that does other things too.
PATIENCE_SECS = 45
# The service is told to believe what loopback forwards. This one is from a range for documentation.
ONE_ADDRESS = "203.0.113.7"
ENVELOPE = ("error", "message", "details", "timestamp", "request_id")


def some_address(pick: random.Random) -> str:
    return str(ipaddress.IPv6Address(pick.getrandbits(128)) if pick.random() < 0.5 else ipaddress.IPv4Address(pick.getrandbits(32)))


def refused(soak: Soak, actor: str, what: str, reply: Reply, expected: tuple[int, ...]) -> None:
    """A refusal as documented: one of these statuses, in the form every error has."""
    if soak.judge(actor, what, reply, expected) and reply.status >= 400:
        body = reply.json()
        if not isinstance(body, dict) or not all(member in body for member in ENVELOPE):
            soak.violate(f"{actor}: {what} was refused in another form: {reply}")


class Intruders:
    def __init__(self, soak: Soak, abused, flood_limit: int):
        """`abused` is a registered application whose token they have; `flood_limit` bounds the floods in number."""
        self.soak = soak
        self.abused = abused
        self.flood_limit = flood_limit

    def tasks(self):
        """Every kind, as coroutines that end with the soak."""
        return [
            *(self.guess(addresses=True, limit=self.flood_limit * 3 // 8) for _ in range(2)),
            self.guess(addresses=False, limit=self.flood_limit // 4),
            self.guess_keys(),
            self.nonsense(),
            self.forged_tokens(),
            self.unknown_routes(),
            self.too_much(),
            self.header_floods(),
            self.half_closed(),
            *(self.slow() for _ in range(16)),
            *(self.idle() for _ in range(64)),
        ]

    async def over(self, actor: str, connection: Connection, method: str, path: str, headers: dict, body: bytes = b"") -> Reply | None:
        """A call that may also end in a closed connection."""
        try:
            return await connection.call(method, path, headers, body)
        except Lost:
            self.soak.count(actor, "closed")
            return None

    async def guess(self, addresses: bool, limit: int) -> None:
        """Logs in with a wrong secret, each time as another client, and as if from another address."""
        actor = "guesses, many addresses" if addresses else "guesses, one address"
        # 401 until an address has failed too often.
        expected = (401,) if addresses else (401, 429)
        connection = self.soak.connection()
        pick = self.soak.random
        while self.soak.running() and limit > 0:
            requests = []
            for _ in range(PIPELINE):
                body = {
                    "grant_type": "client_credentials",
                    "client_id": f"org-{uuid.UUID(bytes=os.urandom(16), version=4)}-app-{os.urandom(4).hex()}",
                    "client_secret": os.urandom(32).hex(),
                }
                headers = {"content-type": "application/json"}
                headers["x-forwarded-for"] = some_address(pick) if addresses else ONE_ADDRESS
                requests.append(request_bytes("POST", "/auth/token", headers, json.dumps(body).encode()))
            limit -= PIPELINE
            try:
                await connection.send(b"".join(requests))
                for _ in requests:
                    refused(self.soak, actor, "a wrong secret", await connection.receive(), expected)
            except Lost:
                self.soak.count(actor, "closed")
                await asyncio.sleep(0.2)
            await asyncio.sleep(0.02)
        connection.close()

    async def guess_keys(self) -> None:
        """Wrong provisioning keys, each from another address, and known ids with wrong secrets."""
        actor = "wrong keys"
        connection = self.soak.connection()
        while self.soak.running():
            forwarded = {"x-forwarded-for": some_address(self.soak.random)}
            reply = await self.over(actor, connection, "GET", "/api/v1/orgs", {"x-api-key": os.urandom(16).hex(), **forwarded})
            if reply is not None:
                refused(self.soak, actor, "a wrong key", reply, (401, 429))
            # The abused application's own id: after ten failures a minute it is locked out, and nobody else is.
            body = {"grant_type": "client_credentials", "client_id": self.abused.client_id, "client_secret": "wrong"}
            headers = {"content-type": "application/json", **forwarded}
            reply = await self.over(actor, connection, "POST", "/auth/token", headers, json.dumps(body).encode())
            if reply is not None:
                refused(self.soak, actor, "a wrong secret of a known id", reply, (401, 429))
            await asyncio.sleep(0.05)
        connection.close()

    def nonsense_body(self) -> bytes:
        pick = self.soak.random
        return pick.choice(
            (
                b"",
                b"{",
                b"null",
                b"[" * 20_000,
                b'{"a":' * 5_000,
                b'{"request_id":"\xff\xfe"}',
                b'{"request_id":1e999}',
                b'{"request_id":"x","request_id":"y"}',
                b'{"input_tokens":' + b"9" * 5_000 + b"}",
                b'{"request_id":"00000000-0000-4000-8000-000000000000","model_label":"premium","status":"OK","input_tokens":-1,"output_tokens":0}',
                b'{"requests":[' + b"{}," * 200 + b"{}]}",
                b"\x00" * 100,
                os.urandom(pick.randrange(1, 4_000)),
            )
        )

    async def nonsense(self) -> None:
        actor = "malformed bodies"
        connection = self.soak.connection()
        pick = self.soak.random
        while self.soak.running():
            path = pick.choice(("usage", "costs", "usage/batch", "costs/batch", "inference-profiles"))
            kind = pick.choice(("application/json", "application/json", "text/plain", "application/json; charset=utf-16"))
            headers = {"authorization": f"Bearer {self.abused.access}", "content-type": kind}
            reply = await self.over(actor, connection, "POST", f"{self.abused.path}/{path}", headers, self.nonsense_body())
            if reply is not None:
                refused(self.soak, actor, f"nonsense to {path}", reply, (400, 415))
            await asyncio.sleep(0.01)
        connection.close()

    async def forged_tokens(self) -> None:
        actor = "bad tokens"
        connection = self.soak.connection()
        pick = self.soak.random
        while self.soak.running():
            header, payload, signature = self.abused.access.split(".")
            token = pick.choice(
                (
                    "",
                    "x",
                    "a.b.c",
                    f"{header}.{payload}.",
                    f"{header}.{payload}.{signature[:-6]}AAAAAA",
                    f"eyJhbGciOiJub25lIn0.{payload}.",
                    f"{header}.{payload[:-8]}.{signature}",
                    os.urandom(3_000).hex(),
                )
            )
            reply = await self.over(actor, connection, "GET", f"{self.abused.path}/aggregates/today", {"authorization": f"Bearer {token}"})
            if reply is not None:
                refused(self.soak, actor, "a bad token", reply, (401,))
            other = f"/api/v1/orgs/{uuid.UUID(bytes=os.urandom(16), version=4)}/aggregates/today"
            reply = await self.over(actor, connection, "GET", other, {"authorization": f"Bearer {self.abused.access}"})
            if reply is not None:
                refused(self.soak, actor, "another tenant's path", reply, (403,))
            await asyncio.sleep(0.01)
        connection.close()

    async def unknown_routes(self) -> None:
        actor = "unknown routes"
        connection = self.soak.connection()
        pick = self.soak.random
        while self.soak.running():
            method = pick.choice(("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", f"M{os.urandom(3).hex().upper()}"))
            path = pick.choice(
                (
                    f"/{os.urandom(8).hex()}",
                    f"/api/v1/{os.urandom(500).hex()}",
                    "/api/v1/../../etc/passwd",
                    "/%00%ff%2e%2e%2f",
                    "//",
                    f"/?{'a=b&' * 500}",
                    f"/health/{pick.random()}",
                )
            )
            reply = await self.over(actor, connection, method, path, {"x-request-id": os.urandom(40).hex()})
            if reply is not None:
                # `/` itself answers, or does not take a query.
                refused(self.soak, actor, f"{method} {path[:60]}", reply, (200, 400, 404, 405))
            await asyncio.sleep(0.01)
        connection.close()

    async def too_much(self) -> None:
        """Bodies over the limit: announced, and in chunks without an end."""
        actor = "oversized bodies"
        pick = self.soak.random
        while self.soak.running():
            connection = self.soak.connection()
            lines = [f"POST {self.abused.path}/usage HTTP/1.1", "host: localhost", f"authorization: Bearer {self.abused.access}"]
            lines.append("content-type: application/json")
            try:
                if pick.random() < 0.5:
                    announced = "\r\n".join([*lines, f"content-length: {pick.choice((2**21, 2**40, 2**63))}", "", ""]).encode()
                    await connection.send(announced + b"{" * 1000)
                else:
                    await connection.send("\r\n".join([*lines, "transfer-encoding: chunked", "", ""]).encode())
                    for _ in range(40):
                        await connection.send(b"10000\r\n" + b" " * 65_536 + b"\r\n")
                refused(self.soak, actor, "too long a body", await connection.receive(), (413,))
            except Lost:
                # It need not read on to say so: the connection may be gone before the refusal was read.
                self.soak.count(actor, "closed")
            connection.close()
            await asyncio.sleep(0.1)

    async def header_floods(self) -> None:
        """Too many headers, too long ones, and lines that are none."""
        actor = "header floods"
        pick = self.soak.random
        while self.soak.running():
            connection = self.soak.connection()
            many = b"".join(b"x-%d: y\r\n" % number for number in range(pick.choice((150, 3_000))))
            flood = pick.choice((many, b"x: " + b"y" * 600_000 + b"\r\n", b"no header\r\n", b"content-length: -1\r\n", b": \r\n", b"\x00\r\n"))
            try:
                await connection.send(b"GET /health HTTP/1.1\r\nhost: localhost\r\n" + flood + b"\r\n")
                reply = await connection.receive()
                self.soak.judge(actor, f"a flood of {len(flood)} bytes", reply, (400, 413, 431))
            except Lost:
                self.soak.count(actor, "closed")
            connection.close()
            await asyncio.sleep(0.1)

    async def half_closed(self) -> None:
        """Clients that stop sending, in the middle or at the end, or go away without a word."""
        actor = "half-closed"
        pick = self.soak.random
        while self.soak.running():
            connection = self.soak.connection()
            whole = request_bytes("GET", "/livez")
            try:
                chance = pick.random()
                if chance < 0.4:
                    await connection.send(whole)
                    await connection.end_sending()
                    self.soak.judge(actor, "a request after which nothing comes", await connection.receive(), (200,))
                elif chance < 0.7:
                    await connection.send(whole[: pick.randrange(1, len(whole) - 2)])
                    await connection.end_sending()
                    ended = await connection.wait_for_end(PATIENCE_SECS)
                    self.soak.count(actor, "closed" if ended else "left open")
                    if not ended and self.soak.running():
                        self.soak.violate(f"{actor}: half a request keeps its connection")
                else:
                    await connection.send(whole * 20)
                    connection.reset()
                    self.soak.count(actor, "reset")
            except Lost:
                self.soak.count(actor, "closed")
            connection.close()
            await asyncio.sleep(0.05)

    async def slow(self) -> None:
        """Byte by byte: first the header, then the body. The service has to lose patience."""
        actor = "slow clients"
        while self.soak.running():
            connection = self.soak.connection()
            body = b'{"request_id":"' + b"x" * 5_000
            headers = {"authorization": f"Bearer {self.abused.access}", "content-type": "application/json"}
            whole = request_bytes("POST", f"{self.abused.path}/usage", headers, body)
            # Half of them send the header at once.
            quick = len(whole) - len(body) if self.soak.random.random() < 0.5 else 1
            started = time.monotonic()
            ending = None
            try:
                await connection.send(whole[:quick])
                ending = asyncio.create_task(connection.wait_for_end(PATIENCE_SECS))
                for position in range(quick, len(whole)):
                    if ending.done() or not self.soak.running():
                        break
                    await connection.send(whole[position : position + 1])
                    await asyncio.sleep(0.5)
                if self.soak.running():
                    if await ending:
                        self.soak.count(actor, "closed")
                    else:
                        self.soak.violate(f"{actor}: still served after {time.monotonic() - started:.0f} s")
            except Lost:
                self.soak.count(actor, "closed")
            finally:
                if ending is not None:
                    ending.cancel()
            connection.close()
            await asyncio.sleep(0.2)

    async def idle(self) -> None:
        """Connects and says nothing."""
        actor = "idle connections"
        while self.soak.running():
            connection = self.soak.connection()
            try:
                await connection.open()
                left = max(0.0, self.soak.ends_at - time.monotonic())
                if await connection.wait_for_end(min(PATIENCE_SECS, left)):
                    self.soak.count(actor, "closed")
                elif self.soak.running():
                    self.soak.violate(f"{actor}: left open for {PATIENCE_SECS} s")
            except Lost:
                self.soak.count(actor, "closed")
            connection.close()
            await asyncio.sleep(0.2)
