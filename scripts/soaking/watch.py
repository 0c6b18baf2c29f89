"""Memory and file descriptors of the service, sampled, and the judgement on them."""

import asyncio
import os
import re
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

# What the limits of requests and logins know of a caller is forgotten after two minutes without it; until then their tables
# fill, and nothing can be said of memory.
WARM_UP_SECS = 130
# Allocators keep what they freed in no order. A leak of a hundred bytes for each of a soak's requests is far beyond this.
GROWTH_FACTOR = 1.15
GROWTH_KIB = 16 * 1024
# Less proves nothing.
MIN_SAMPLES = 60
# The embedded store opens its reading connections when it first needs them: four, with up to three files each.
STORE_FILES = 12


@dataclass(frozen=True)
class Sample:
    at: float
    rss_kib: int
    sockets: int
    others: int


def sample(pid: int) -> Sample | None:
    """None where the process is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return None
    rss = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    if rss is None:
        return None
    sockets = 0
    for name in names:
        try:
            sockets += os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
        except OSError:
            continue
    return Sample(time.monotonic(), int(rss[1]), sockets, len(names) - sockets)


async def watch(pid: int, samples: list[Sample]) -> None:
    """Samples once a second until the process is gone."""
    while (taken := sample(pid)) is not None:
        samples.append(taken)
        await asyncio.sleep(1)


def median_kib(samples: list[Sample]) -> int:
    return int(statistics.median(one.rss_kib for one in samples))


def memory_grew(samples: list[Sample]) -> str | None:
    """Why memory is not flat: of the time after the warm-up, the second half against the first.

    Medians, because a single sample may catch a burst.
    """
    judged = [one for one in samples if one.at >= samples[0].at + WARM_UP_SECS]
    if len(judged) < MIN_SAMPLES:
        return f"only {len(judged)} samples of memory after the warm-up: too short a time to judge"
    half = len(judged) // 2
    before, after = median_kib(judged[:half]), median_kib(judged[half:])
    limit = int(before * GROWTH_FACTOR) + GROWTH_KIB
    if after > limit:
        return f"memory grew from {before} KiB to {after} KiB (medians of the halves after the warm-up), more than {limit} KiB"
    return None


def by_minute(samples: list[Sample]) -> str:
    """The median of each minute, in MiB."""
    minutes: dict[int, list[Sample]] = {}
    for one in samples:
        minutes.setdefault(int((one.at - samples[0].at) // 60), []).append(one)
    return " ".join(f"{median_kib(minutes[minute]) / 1024:.0f}" for minute in sorted(minutes))


def descriptors_left(before: Sample, after: Sample, store_sockets: int) -> str | None:
    """Why file descriptors are not back where they were before the first client came."""
    if after.sockets > before.sockets + store_sockets:
        return f"{after.sockets} sockets are open, {before.sockets} before the first client"
    if after.others > before.others + STORE_FILES:
        return f"{after.others} files are open, {before.others} before the first client"
    return None
