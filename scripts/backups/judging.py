"""The judgement on a restored store: what it has must be exactly what was recorded up to an instant."""

from collections.abc import Iterable
from dataclasses import dataclass

from soaking.ledger import Key, Submission, Sums, differences

# More say the same again.
SHOWN = 5


class Wrong(Exception):
    """What was restored is not what was backed up. The text is for a person."""


@dataclass
class Sent:
    """A submission, and when it was sent and acknowledged (monotonic seconds)."""

    made: Submission
    sent_at: float
    acknowledged_at: float


def sums_of(submissions: Iterable[Submission]) -> dict[Key, Sums]:
    sums: dict[Key, Sums] = {}
    for made in submissions:
        sums.setdefault(made.key, Sums()).add(made.sums)
    return sums


def judge_snapshot(sent: list[Sent], held: set[str], totals: dict[Key, Sums], began: float, ended: float) -> None:
    """`held`: ids that the restored store knew; `totals`: what it had counted; the backup ran from `began` to `ended`."""
    lost = [one for one in sent if one.acknowledged_at < began and one.made.request_id not in held]
    if lost:
        raise Wrong(f"{len(lost)} submissions were acknowledged before the backup began and are not in it")
    early = [one for one in sent if one.sent_at > ended and one.made.request_id in held]
    if early:
        raise Wrong(f"{len(early)} submissions were sent after the backup ended and are in it")
    expected = sums_of(one.made for one in sent if one.made.request_id in held)
    if lines := differences(expected, totals):
        raise Wrong("the totals are not the sum of the records:\n  " + "\n  ".join(lines[:SHOWN]))
    if len(held) == len(sent):
        raise Wrong("nothing was recorded after the backup, so that nothing was shown; is this machine too slow?")


def judge_repeats(sent: list[Sent], totals: dict[Key, Sums]) -> None:
    """After everything was sent again: each submission counts once."""
    if lines := differences(sums_of(one.made for one in sent), totals):
        raise Wrong("after all repeats the totals are not those of all submissions:\n  " + "\n  ".join(lines[:SHOWN]))
