"""What an instance that leaves costs the shard that it works: how much of it is done twice.

    make bench-scale-in        (SHARDS=24 CHECKPOINT=15)

Each shard is worked by a process of its own, the real worker with an engine that takes a given time for each line. At
a moment of the shard, spread evenly over all shards, the process is hit; another one takes the shard up and ends it.
Half of the shards are *told*, as a scale-in does it: SIGTERM, and time to write down what is finished. The others are
*lost*: SIGKILL. What is done twice is every second that the engine spent on a line whose answer wasn't kept, over the
lines that it works at once: seconds of the instance.

A line takes a fifth of a checkpoint interval on average (30 s of the product's 150), a shard four intervals.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Semaphore

from benchmarks.scale_in_worker import Attempt
from offpeak.core.invocation import Outcome
from offpeak.local.processes import leave_on_signals

WINDOW = 32
INTERVALS, LINES_IN_INTERVAL = 4, 5
SHARD_SECONDS_MAX = 600.0
POLL_SECONDS = 0.02
STARTS_AT_ONCE = 4
TOLD, LOST = signal.SIGTERM, signal.SIGKILL
say = partial(print, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One shard's: by which signal, how far into it, and the instance's seconds that were done twice."""

    by: signal.Signals
    after_seconds: float
    twice_seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """A line on the engine once: `ended` is None when nobody was left to note it."""

    line: int
    began: float
    ended: float | None


def read_record(text: str) -> list[list[Call]]:
    """What the engine did, attempt by attempt."""
    began: dict[tuple[int, int], float] = {}
    ended: dict[tuple[int, int], float] = {}
    for row in text.splitlines():
        attempt, line, what, at = row.split()
        (began if what == "begins" else ended)[int(attempt), int(line)] = float(at)
    attempts: dict[int, list[Call]] = defaultdict(list)
    for call, at_first in began.items():
        attempts[call[0]].append(Call(call[1], at_first, ended.get(call)))
    return [attempts[number] for number in sorted(attempts)]


def twice_seconds(attempts: Sequence[Iterable[Call]], hit_at: float) -> float:
    """The engine's seconds for calls whose line was called again. A call that nobody saw end ended when its process was
    hit."""
    last: dict[int, int] = {}
    for number, calls in enumerate(attempts):
        last.update(dict.fromkeys((call.line for call in calls), number))
    return sum(
        (hit_at if call.ended is None else call.ended) - call.began
        for number, calls in enumerate(attempts)
        for call in calls
        if last[call.line] != number
    )


class Shard:
    """One that is hit. `places` bounds how many processes start at once; waiting, they take no processor."""

    def __init__(self, asked: Attempt, by: signal.Signals, places: Semaphore) -> None:
        self._asked = asked
        self._by = by
        self._places = places
        self._record = Path(asked.record)

    def hit(self, after_seconds: float) -> Hit | None:
        """None for one that had ended before. Raises SystemExit when it doesn't go as it has to."""
        process = self._begin(1)
        time.sleep(after_seconds)
        hit_at = time.monotonic()
        process.send_signal(self._by)
        outcome = self._outcome(process)
        if outcome == Outcome.DONE:
            say(f"shard {self._asked.number} had ended before it was hit")
            return None
        if outcome != (Outcome.STOPPED if self._by is TOLD else ""):
            raise SystemExit(f"{self._by.name} to {self._asked.number}: it ended {outcome!r}.")
        if (outcome := self._outcome(self._begin(2))) != Outcome.DONE:
            raise SystemExit(f"Taken up again, {self._asked.number} ended {outcome!r}.")
        attempts = read_record(self._record.read_text())
        twice = twice_seconds(attempts, hit_at) / self._asked.window
        say(f"{self._by.name:7} after {after_seconds:5.1f} s: {twice:5.2f} s twice")
        return Hit(by=self._by, after_seconds=after_seconds, twice_seconds=twice)

    def _begin(self, attempt: int) -> subprocess.Popen[str]:
        """Returns when the engine has begun its first line, or the process has ended."""
        asked = replace(self._asked, attempt=attempt)
        seen = self._record.stat().st_size if self._record.exists() else 0
        with self._places:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.scale_in_worker", asked.encode()],
                stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            while process.poll() is None and not (
                self._record.exists() and self._record.stat().st_size > seen
            ):
                time.sleep(POLL_SECONDS)
        return process

    @staticmethod
    def _outcome(process: subprocess.Popen[str]) -> str:
        """What its report says; nothing of one that was lost."""
        out, _ = process.communicate(timeout=SHARD_SECONDS_MAX)
        return out.strip()


def measure(
    folder: Path, *, shards: int, checkpoint_seconds: float, window: int, within: float
) -> list[Hit]:
    """`shards` of each kind, all at once, hit within this part of a shard's time."""
    places = Semaphore(STARTS_AT_ONCE)
    asked = [
        (Shard(
            Attempt(
                folder=str(folder / f"{number}-{by.name}"),
                record=str(folder / f"{number}-{by.name}.txt"), number=number, attempt=1,
                lines=INTERVALS * LINES_IN_INTERVAL * window, window=window,
                line_seconds=checkpoint_seconds / LINES_IN_INTERVAL,
                checkpoint_seconds=checkpoint_seconds,
            ), by, places,
        ), (number + 0.5) / shards * within * INTERVALS * checkpoint_seconds)
        for number in range(shards)
        for by in (TOLD, LOST)
    ]  # fmt: skip
    with ThreadPoolExecutor(len(asked)) as pool:
        hits = [pool.submit(shard.hit, after_seconds) for shard, after_seconds in asked]
        return [found for each in hits if (found := each.result()) is not None]


def figures(hits: Sequence[Hit], checkpoint_seconds: float) -> Mapping[str, float]:
    found: dict[str, float] = {"shards": len(hits), "checkpoint_s": checkpoint_seconds}
    for name, by in (("told", TOLD), ("lost", LOST)):
        seconds = [each.twice_seconds for each in hits if each.by is by]
        if not seconds:
            raise SystemExit(f"Not one shard was {name} before it had ended.")
        found[f"{name}_mean_s"] = round(statistics.mean(seconds), 2)
        found[f"{name}_worst_s"] = round(max(seconds), 2)
        found[f"{name}_worst_of_interval"] = round(max(seconds) / checkpoint_seconds, 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-scale-in")
    parser.add_argument("--shards", type=int, default=24, help="of both kinds together")
    parser.add_argument("--checkpoint", type=float, default=15.0, help="the interval in seconds")
    parser.add_argument("--window", type=int, default=WINDOW, help="lines at once on an instance")
    parser.add_argument("--within", type=float, default=0.95, help="part of a shard's time")
    options = parser.parse_args()
    with leave_on_signals(), tempfile.TemporaryDirectory(prefix="offpeak-") as folder:
        hits = measure(
            Path(folder), shards=max(1, options.shards // 2),
            checkpoint_seconds=options.checkpoint, window=options.window, within=options.within,
        )  # fmt: skip
    print(json.dumps(figures(hits, options.checkpoint)))


if __name__ == "__main__":
    main()
