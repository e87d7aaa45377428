"""How fast one core takes input in: validation, the search for duplicates and the plan, by the real steps.

    make bench-ingest GB=10

A file of GB × 500,000 chat requests of 2 kB lies in an object store on files, and is read in the byte ranges that
`process_batch` is started with. Each range is validated in a process of its own, which has imported what the function
has (boto3 too), and so is the plan made; one after the other, so that a core is what is measured. MB are 10⁶ bytes of
input. Rates are by CPU seconds, reading from the page cache or the disk included: a neighbour's work on this machine
doesn't count, nor would waiting for S3. The wall's seconds stand beside them.

Every file is taken in twice: without and with the statistics of how far its prompts begin alike, which the service
always makes. Lines iterated over, as `for line in file`, are the reference. A second file is of tiny lines, a third of
tiny lines of which half are duplicates that the batch skips. The last line is JSON:

    mb_per_s_core              validate + duplicates + plan of the 2 kB lines, without the statistics
    line_iteration_mb_per_s    the same file, its lines only counted
    peak_rss_mb                the largest of all these processes, MB resident
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.pool import Pool
from pathlib import Path

from offpeak.core.account import Account
from offpeak.core.batch import Batch, OnInvalid
from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.ports import Add
from offpeak.memory.bucket_on_files import BucketOnFiles
from offpeak.memory.memory import Memory
from offpeak.planner.byte_ranges import byte_ranges
from offpeak.steps.plan_shards import plan_shards
from offpeak.steps.streamed_object import StreamedObject
from offpeak.steps.validate_range import validate_range

LINES_A_GB = 500_000
LINE_BYTES = 2_000
MODEL = Model(
    id="bench-8b", pool="bench", source="none", context_tokens=8_192, shard_lines_max=1_000,
    endpoints=("/v1/chat/completions",),
)  # fmt: skip
CATALOGUE = Catalogue((MODEL,))
PRELOADED = ["offpeak.aws.connect", "offpeak.memory.memory", "offpeak.steps.plan_shards"]
PROSE = (
    r"A batch of requests waits for the night: summarise the following document in three sentences, please, and "
    r"list every name in it. \n\n The café opened in 1923 \u2013 so they say. \"Größer_als\" was the word; naïve. \n "
)
"""As it stands within a JSON string: with escapes. One body in four has characters beyond ASCII, and underscores."""


@dataclass(frozen=True)
class Input:
    """A batch's input, in a bucket on files that other processes may open."""

    name: str
    directory: Path
    lines: int
    bytes: int
    on_invalid: OnInvalid = "fail"
    counts_sharing: bool = False

    @property
    def path(self) -> Path:
        return BucketOnFiles(self.directory).path_of(self.key)

    @property
    def key(self) -> str:
        return f"files/{self.name}"

    @property
    def batch(self) -> Batch:
        return Batch(
            id=f"batch_{self.name}", account_id="acct", input_file_id="file", input_key=self.key,
            input_bytes=self.bytes, endpoint=MODEL.endpoints[0], completion_window="24h",
            created_at=0, expires_at=86_400, on_invalid=self.on_invalid,
        )  # fmt: skip


def world(given: Input) -> Memory:
    """What the steps see: rows in memory, objects on files."""
    made = Memory(directory=given.directory)
    made.changes.commit(Add(Account(id="acct", name="a", created_at=0)), Add(given.batch))
    return made


# ── what is taken in ─────────────────────────────────────────────────────────────────────────────────────────────────


def prose(rng: random.Random, size: int, number: int = 0) -> bytes:
    """Words of `PROSE` in any order, `size` bytes of them."""
    words = [word for word in PROSE.split() if word.isascii() or number % 4 == 0]
    text = " ".join(rng.choices(words, k=size)).encode()
    return text[: text.rindex(b" ", 0, size)].ljust(size)


def large_lines(lines: int) -> Iterator[bytes]:
    """Lines of `LINE_BYTES`, newlines included, about a megabyte at a time: a system prompt that all of them share, and
    a document each of its own, so that no order of theirs gains anything."""
    rng = random.Random(7)
    head = b'{"custom_id":"request-%09d","method":"POST","url":"/v1/chat/completions","body":{"model":"bench-8b",'
    begin = b'"max_tokens":512,"messages":[{"role":"system","content":"%b"},{"role":"user","content":"%%09d. '
    end = b'%b"}]}}\n'
    middle = begin % prose(rng, 400, 1)
    room = LINE_BYTES - len(head % 0 + middle % 0 + end % b"")
    ends = [end % prose(rng, room, number) for number in range(256)]
    line = head + middle + b"%b"
    for first in range(0, lines, 512):
        numbers = range(first, min(first + 512, lines))
        yield b"".join([line % (number, number, ends[number % 256]) for number in numbers])


def tiny_lines(lines: int, ids: int) -> Iterator[bytes]:
    """Lines of some 130 bytes, of which only the first `ids` have a custom_id of their own."""
    line = (
        b'{"custom_id":"%d","method":"POST","url":"/v1/chat/completions",'
        b'"body":{"model":"bench-8b","messages":[{"role":"user","content":"?"}]}}\n'
    )
    for first in range(0, lines, 8_192):
        numbers = range(first, min(first + 8_192, lines))
        yield b"".join([line % (number % ids) for number in numbers])


def write(
    directory: Path, name: str, lines: int, blocks: Iterator[bytes], on_invalid: OnInvalid = "fail"
) -> Input:
    given = Input(name, directory, lines, 0, on_invalid)
    objects = Memory(directory=directory)
    stored = StreamedObject(given.key, writer=objects.writer, multipart=objects.multipart)
    with stored:
        for block in blocks:
            stored.write(block)
        return replace(given, bytes=stored.close().bytes)


# ── how it is measured ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Cost:
    cpu_s: float = 0.0
    wall_s: float = 0.0
    rss_mb: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.cpu_s + other.cpu_s, self.wall_s + other.wall_s, max(self.rss_mb, other.rss_mb)
        )


def measured(function: Callable[[], object]) -> Cost:
    """What a call costs the process that makes it."""
    cpu, wall = time.process_time(), time.perf_counter()
    function()
    return Cost(time.process_time() - cpu, time.perf_counter() - wall, peak_rss_mb())


def peak_rss_mb() -> float:
    """Of this process. Linux's `ru_maxrss` may be inherited from the process that started it; its VmHWM is not."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (each for each in status.read_text().splitlines() if each.startswith("VmHWM"))
        return int(line.split()[1]) * 1_024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1_024) / 1e6


def validate(given: Input, index: int, start: int, stop: int) -> Cost:
    made = world(given)
    return measured(
        partial(
            validate_range, "acct", given.batch.id, index, start, stop, accounts=made.accounts,
            batches=made.batches, reader=made.reader, writer=made.writer,
            multipart=made.multipart, catalogue=CATALOGUE, counts_sharing=given.counts_sharing,
        )
    )  # fmt: skip


def plan(given: Input, ranges: int) -> Cost:
    made = world(given)
    cost = measured(
        partial(
            plan_shards, "acct", given.batch.id, ranges, clock=made.clock, accounts=made.accounts,
            batches=made.batches, runs=made.runs, changes=made.changes, reader=made.reader,
            writer=made.writer, multipart=made.multipart, catalogue=CATALOGUE, ledger=made.ledger,
        )
    )  # fmt: skip
    batch = made.batches.get("acct", given.batch.id)
    lines = sum(run.lines for run in made.runs.of_batch(batch.id)) + batch.invalid_lines
    if lines != given.lines:
        raise RuntimeError(f"{given.lines:,} lines went in, {lines:,} were planned: {batch}")
    return cost


def iterate(given: Input) -> Cost:
    return measured(partial(count_lines, given.path))


def count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


@dataclass(frozen=True)
class Taken:
    """An input's cost, stage by stage; of `validated`, the memory is the largest range's."""

    given: Input
    validated: Cost
    planned: Cost
    slowest_range_s: float

    @property
    def whole(self) -> Cost:
        return self.validated + self.planned

    @property
    def mb_per_s(self) -> float:
        return self.given.bytes / 1e6 / self.whole.cpu_s


def take_in(given: Input, pool: Pool) -> Taken:
    ranges = byte_ranges(given.bytes)
    costs = [
        pool.apply(validate, (given, each["index"], each["start"], each["stop"])) for each in ranges
    ]
    planned = pool.apply(plan, (given, len(ranges)))
    slowest = max(cost.wall_s for cost in costs)
    return Taken(given, sum(costs, Cost()), planned, slowest)


# ── what is said of it ───────────────────────────────────────────────────────────────────────────────────────────────


class Table:
    """What was asked of one input, row by row, each said as soon as it is known. Rates are a core's."""

    def __init__(self, given: Input, iterated: Cost) -> None:
        self._given = given
        self._iterated = iterated
        ranges = len(byte_ranges(given.bytes))
        print(
            f"{given.name}: {given.lines:,} lines, {given.bytes / 1e6:,.0f} MB in {ranges} ranges"
        )
        columns = ("CPU s", "wall s", "MB/s", "lines/s", "× iterating", "peak MB")
        print("  {:22}{:>9}{:>9}{:>8}{:>12}{:>13}{:>9}".format("", *columns))
        self._add("iterate lines", iterated)

    def add(self, taken: Taken) -> None:
        suffix = ", statistics" if taken.given.counts_sharing else ""
        self._add(f"validate{suffix}", taken.validated)
        self._add("plan", taken.planned)
        self._add(f"whole{suffix}", taken.whole)
        print(f"  The slowest range took {taken.slowest_range_s:.2f} s.", flush=True)

    def _add(self, name: str, cost: Cost) -> None:
        megabytes = self._given.bytes / 1e6 / cost.cpu_s
        lines = self._given.lines / cost.cpu_s
        ratio = cost.cpu_s / self._iterated.cpu_s
        print(
            f"  {name:22}{cost.cpu_s:9.2f}{cost.wall_s:9.2f}{megabytes:8,.0f}{lines:12,.0f}{ratio:13.1f}"
            f"{cost.rss_mb:9.0f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gb", type=float, default=2.0, help="of 2 kB lines")
    parser.add_argument("--tiny-lines", type=int, default=1_000_000)
    asked = parser.parse_args()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    large, tiny = int(asked.gb * LINES_A_GB), asked.tiny_lines
    wanted: list[tuple[str, int, Iterator[bytes], OnInvalid]] = [
        ("large", large, large_lines(large), "fail"),
        ("tiny", tiny, tiny_lines(tiny, tiny), "fail"),
        ("duplicates", tiny, tiny_lines(tiny, -(-tiny // 2)), "skip"),
    ]
    peaks: list[float] = []
    figures: dict[str, float] = {}
    with context.Pool(1, maxtasksperchild=1) as pool:
        for each in wanted:
            with tempfile.TemporaryDirectory(prefix="offpeak-") as directory:
                given = write(Path(directory), *each)
                iterated = pool.apply(iterate, (given,))
                table = Table(given, iterated)
                for counts_sharing in (False, True):
                    taken = take_in(replace(given, counts_sharing=counts_sharing), pool)
                    table.add(taken)
                    figures.setdefault("mb_per_s_core", round(taken.mb_per_s, 1))
                    peaks.append(taken.whole.rss_mb)
            iteration = given.bytes / 1e6 / iterated.cpu_s
            figures.setdefault("line_iteration_mb_per_s", round(iteration, 1))
    print(json.dumps({**figures, "peak_rss_mb": round(max(peaks), 1)}))


if __name__ == "__main__":
    main()
