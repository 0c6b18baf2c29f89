"""What was submitted, what the service acknowledged, and what it must have counted therefore."""

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

# Micro-USD for a token of input and of output. The labels of the soak have these prices, so every cost is whole.
PRICES = {"premium": (3, 15), "standard": (2, 6), "economy": (1, 4)}

# Organization, application, local day, label.
Key = tuple[str, str, str, str]


@dataclass
class Sums:
    cost_usd_micros: int = 0
    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, other: "Sums") -> None:
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


@dataclass
class Submission:
    key: Key
    body: dict
    sums: Sums
    # Sent without an answer, so it may have been counted.
    in_doubt: bool = False
    acknowledged: bool = False

    @property
    def request_id(self) -> str:
        return self.body["request_id"]

    @property
    def kind(self) -> str:
        return "costs" if "cost_usd_micros" in self.body else "usage"


def submission(org, app, request_id: str, label: str, at: datetime, tokens: tuple[int, int], cost: int | None, ok: bool) -> Submission:
    """One call of a model at this instant. With a cost it is charged as given, else at the label's prices."""
    input_tokens, output_tokens = tokens
    body = {
        "request_id": request_id,
        "model_label": label,
        "status": "OK" if ok else "ERROR",
        "timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z",
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
    }
    price = PRICES[label]
    charged = input_tokens * price[0] + output_tokens * price[1]
    if cost is not None:
        body["cost_usd_micros"] = charged = cost
    day = at.astimezone(ZoneInfo(org.timezone)).date().isoformat()
    key = (org.org_id, app.app_id, day, label)
    return Submission(key, body, Sums(charged, 1, 0 if ok else 1, input_tokens, output_tokens))


class Ledger:
    """The sums of what was acknowledged, each submission once, whatever was sent twice."""

    def __init__(self):
        self.sums: dict[Key, Sums] = {}
        self.count = 0

    def acknowledge(self, made: Submission, duplicate: bool) -> str | None:
        """Counts it if it was not yet; says what is wrong where the service takes it for another than it is."""
        if duplicate and not (made.acknowledged or made.in_doubt):
            return f"{made.request_id} was sent once and is called a duplicate"
        if not duplicate and made.acknowledged:
            return f"{made.request_id} was acknowledged twice as new"
        if not made.acknowledged:
            made.acknowledged = True
            made.in_doubt = False
            self.sums.setdefault(made.key, Sums()).add(made.sums)
            self.count += 1
        return None


def differences(expected: dict[Key, Sums], found: dict[Key, Sums]) -> list[str]:
    """What the service has and should not, and the other way round; none where both are the same."""
    lines = []
    for key in sorted(expected.keys() | found.keys()):
        ours, theirs = expected.get(key), found.get(key)
        if ours != theirs:
            lines.append(f"{' '.join(key)}: acknowledged {ours}, counted {theirs}")
    return lines
