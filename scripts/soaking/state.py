"""What everybody in the soak shares: the service, the clock of the run, the counts, and what went wrong."""

import random
import time
from collections import Counter, defaultdict

from .http import Connection, Lost, Reply
from .ledger import Ledger

# More say the same again.
MAX_VIOLATIONS_KEPT = 40


class Soak:
    def __init__(self, service, admin_key: str, seed: int):
        self.service = service
        self.admin_key = admin_key
        self.random = random.Random(seed)
        self.ledger = Ledger()
        self.counts: dict[str, Counter] = defaultdict(Counter)
        self.violations: list[str] = []
        self.violation_count = 0
        # Secrets the service has given out; none may be in its log.
        self.secrets: set[str] = set()
        # While the service goes down and comes up nobody can expect answers.
        self.disturbed = False
        self.disturbances = 0
        self.ends_at = 0.0

    def running(self) -> bool:
        return time.monotonic() < self.ends_at

    def connection(self) -> Connection:
        return Connection(self.service.address)

    def count(self, actor: str, what) -> None:
        self.counts[actor][what] += 1

    def violate(self, text: str) -> None:
        self.violation_count += 1
        if len(self.violations) < MAX_VIOLATIONS_KEPT:
            self.violations.append(text)

    def judge(self, actor: str, what: str, reply: Reply, expected: tuple[int, ...]) -> bool:
        """Counts an answer; whether it is one of those expected. 503 asks to come again, and never is a mistake."""
        self.count(actor, reply.status)
        if reply.status in expected:
            return True
        if reply.status != 503:
            self.violate(f"{actor}: {what} was answered with {reply}, expected {expected}")
        return False

    async def call(self, actor: str, connection: Connection, method: str, path: str, headers: dict, body: bytes = b"") -> Reply | None:
        """A call whose answer must come, unless the service was disturbed meanwhile; None where it did not."""
        before = self.disturbances
        if connection.era != before:
            # Made before the service went down: nobody would send on it.
            connection.close()
            connection.era = before
        try:
            return await connection.call(method, path, headers, body)
        except Lost as lost:
            self.count(actor, "lost")
            if not self.disturbed and before == self.disturbances:
                self.violate(f"{actor}: {method} {path} got no answer: {lost}")
            return None
