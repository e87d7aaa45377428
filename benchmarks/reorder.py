"""What it takes to put a file's lines in the order of their prompts' prefixes, and what that gains.

    make bench-reorder LINES=200000

A file of LINES chat requests of 2.1 kB, eight questions to each of LINES / 8 documents of 1.6 kB, shuffled, lies in an
object store on files. The real steps validate it, find that another order pays, rewrite it chunk by chunk and plan it
again, each call in a process of its own. MB are 10⁶ bytes of input, rates by CPU seconds. Then an exact LRU cache, of
the size that the estimate took, reads the prompts as a worker would admit them: shard by shard, each in order, before
and after. At last the plan of five million rewritten lines is made from indexes whose keys are made up, for its time
and memory. The last line is JSON:

    rewrite_mb_per_s      reading, sorting and writing a chunk: a core's
    recut_5m_seconds      planning 5,000,000 rewritten lines anew, CPU
    cached_before         the share of the prompts' bytes that are cached, each shard in order: by the LRU cache
    cached_after          the same, once lines were reordered across shards
    estimated_before, estimated_after    what the plan was decided by
    peak_rss_mb           the largest of the steps' processes, MB resident
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import tempfile
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from multiprocessing.pool import Pool
from pathlib import Path

from benchmarks.ingest import (  # fmt: skip
    CATALOGUE,
    MODEL,
    PRELOADED,
    Cost,
    Input,
    measured,
    validate,
    world,
    write,
)
from offpeak.core.draft import Chunk, ChunkIndex, Draft, DraftRun
from offpeak.core.layout import draft_key, reordered_index_key
from offpeak.core.run import Run
from offpeak.core.sharing import CachedShare
from offpeak.memory.memory import Memory
from offpeak.planner.byte_ranges import byte_ranges
from offpeak.planner.sharing import cache_bytes
from offpeak.steps.plan_shards import Planning, plan_shards
from offpeak.steps.recut_run import recut_run
from offpeak.steps.reorder_shards import reorder_shards
from offpeak.wire.draft import decode_draft, encode_index
from offpeak.wire.manifest import iterate_shards
from offpeak.wire.prompts import prompt_reader
from offpeak.wire.segments import read_lines
from offpeak.worker.order import order_lines

QUESTIONS = 8
DOCUMENT_BYTES = 1_600
QUESTION_BYTES = 300
BLOCK_BYTES = 256
LARGEST_LINES = 5_000_000
LARGEST_CHUNKS = 55  # of 192 MiB, in 10 GB
ENDPOINT = MODEL.endpoints[0]


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def shuffled_lines(lines: int) -> Iterator[bytes]:
    """Some hundred lines at a time."""
    order = list(range(lines))
    random.Random(11).shuffle(order)
    head = b'{"custom_id":"request-%09d","method":"POST","url":"/v1/chat/completions","body":{"model":"bench-8b",'
    body = b'"max_tokens":64,"messages":[{"role":"system","content":"%b"},{"role":"user","content":"%b"}]}}\n'
    for first in range(0, lines, 512):
        block: list[bytes] = []
        for number in range(first, min(first + 512, lines)):
            document = _text(order[number] // QUESTIONS, DOCUMENT_BYTES)
            question = _text(lines + number, QUESTION_BYTES)
            block.append(head % number + body % (document, question))
        yield b"".join(block)


def _text(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size // 2).hex().encode()


# ── the steps, each in a process of its own ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Planned:
    planning: Planning
    cost: Cost
    runs: tuple[Run, ...] = ()


def plan(given: Input, ranges: int, is_reordered: bool) -> Planned:
    made = world(given)
    answers: list[Planning] = []

    def call() -> None:
        answers.append(
            plan_shards(
                "acct", given.batch.id, ranges, is_reordered, clock=made.clock,
                accounts=made.accounts, batches=made.batches, runs=made.runs,
                changes=made.changes, reader=made.reader, writer=made.writer,
                multipart=made.multipart, catalogue=CATALOGUE, ledger=made.ledger,
            )
        )  # fmt: skip

    cost = measured(call)
    return Planned(answers[0], cost, tuple(made.runs.of_batch(given.batch.id)))


def reorder(given: Input, run: int, chunk: int) -> Cost:
    made = world(given)
    return measured(
        partial(
            reorder_shards, "acct", given.batch.id, run, chunk, batches=made.batches,
            reader=made.reader, writer=made.writer, multipart=made.multipart,
        )
    )  # fmt: skip


def draft_of(given: Input) -> Draft:
    return decode_draft(Memory(directory=given.directory).reader.read(draft_key(given.batch.id)))


def cached_share(given: Input, run: Run) -> float:
    """By an exact cache of blocks, the lines of each shard in the worker's order."""
    reader = Memory(directory=given.directory).reader
    read = prompt_reader(run.endpoint).read

    def prompts() -> Iterator[bytes]:
        manifest = reader.stream(run.manifest_key)
        for shard, _, _ in iterate_shards(manifest):
            lines = list(read_lines(reader, shard.segments))
            for _, raw in order_lines(lines, run.endpoint):
                yield read(raw)

    return lru_share(prompts(), cache_bytes(MODEL))


def lru_share(prompts: Iterable[bytes], cache: int) -> float:
    """Which share of the prompts' bytes is in the cache when they come. A block is known by all that leads to it."""
    blocks: OrderedDict[int, None] = OrderedDict()
    cached = everything = 0
    for prompt in prompts:
        everything += len(prompt)
        key, chain, hits = 0, [], True
        for start in range(0, len(prompt) - BLOCK_BYTES + 1, BLOCK_BYTES):
            key = hash((key, prompt[start : start + BLOCK_BYTES]))
            chain.append(key)
            hits = hits and key in blocks
            cached += BLOCK_BYTES if hits else 0
        for each in reversed(chain):  # the last block of a chain is the first to go
            blocks[each] = None
            blocks.move_to_end(each)
        while len(blocks) * BLOCK_BYTES > cache:
            blocks.popitem(last=False)
    return cached / everything


# ── five million lines, of which there are only indexes ──────────────────────────────────────────────────────────────


def write_indexes(directory: Path, lines: int) -> DraftRun:
    objects = Memory(directory=directory)
    chance = random.Random(5)
    groups = [chance.getrandbits(64) for _ in range(lines // QUESTIONS)]
    of_chunk = lines // LARGEST_CHUNKS
    for number in range(LARGEST_CHUNKS):
        keys = array("Q", sorted(chance.choices(groups, k=of_chunk)))
        stops = array("I", accumulate(chance.choices(range(1_800, 2_400), k=of_chunk)))
        first_line = number * of_chunk + 1
        index = ChunkIndex(
            keys=keys, stops=stops, first_line=first_line, last_line=first_line + of_chunk - 1
        )
        objects.writer.put(reordered_index_key("batch_5m", 0, number), encode_index(index))
    run = Run(
        batch_id="batch_5m", account_id="acct", number=0, model=MODEL.id, pool=MODEL.pool,
        endpoint=ENDPOINT, manifest_key="none", manifest_bytes=0, shards=1,
        lines=of_chunk * LARGEST_CHUNKS, deadline=1, created_at=0,
    )  # fmt: skip
    share = CachedShare(as_it_lies=0, in_shards=0, whole_file=1, levels=(1_024,))
    chunks = tuple(Chunk(start=0, stop=1) for _ in range(LARGEST_CHUNKS))
    return DraftRun(run=run, share=share, chunks=chunks)


def recut(directory: Path, draft: DraftRun) -> tuple[Cost, Run]:
    made = Memory(directory=directory)
    runs: list[DraftRun] = []
    cost = measured(
        lambda: runs.append(
            recut_run(draft, made.reader, made.writer, made.multipart, CATALOGUE)
        )
    )  # fmt: skip
    return cost, runs[0].run


# ── what is said of it ───────────────────────────────────────────────────────────────────────────────────────────────


def reordered(lines: int, pool: Pool) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="offpeak-") as directory:
        given = write(Path(directory), "shuffled", lines, shuffled_lines(lines))
        ranges = byte_ranges(given.bytes)
        counted = replace(given, counts_sharing=True)
        validated = [
            pool.apply(validate, (counted, each["index"], each["start"], each["stop"]))
            for each in ranges
        ]
        planned = pool.apply(plan, (given, len(ranges), False))
        if planned.planning.next != "reorder":
            raise RuntimeError(f"The plan found no gain: {planned.planning}")
        costs = [pool.apply(reorder, (given, each.run, each.chunk)) for each in planned.planning.chunks]  # fmt: skip
        again = pool.apply(plan, (given, len(ranges), True))
        [run] = again.runs
        plain = draft_of(given).runs[0].run
        before, after = (pool.apply(cached_share, (given, each)) for each in (plain, run))
    rewritten = sum(costs, Cost())
    share = planned.planning.shares[MODEL.id]
    mb = given.bytes / 1e6
    print(f"{lines:,} lines, {mb:,.0f} MB, {len(ranges)} ranges, {len(costs)} chunks")
    for name, cost in (
        ("validate, with statistics", sum(validated, Cost())), ("plan", planned.cost),
        ("reorder", rewritten), ("plan again", again.cost),
    ):  # fmt: skip
        print(
            f"  {name:26}{cost.cpu_s:8.2f} CPU s{cost.wall_s:8.2f} s{mb / cost.cpu_s:9,.0f} MB/s{cost.rss_mb:8.0f} MB"
        )
    print(f"  {plain.shards} shards before, {run.shards} after", flush=True)
    return {
        "rewrite_mb_per_s": round(mb / rewritten.cpu_s, 1),
        "cached_before": round(before, 4),
        "cached_after": round(after, 4),
        "estimated_before": round(share.in_shards, 4),
        "estimated_after": round(share.whole_file, 4),
        "peak_rss_mb": round(
            max(cost.rss_mb for cost in (*validated, *costs, planned.cost, again.cost)), 1
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--largest", type=int, default=LARGEST_LINES, help="of made-up indexes")
    asked = parser.parse_args()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with context.Pool(1, maxtasksperchild=1) as pool:
        figures = reordered(asked.lines, pool)
        with tempfile.TemporaryDirectory(prefix="offpeak-") as directory:
            draft = write_indexes(Path(directory), asked.largest)
            cost, run = pool.apply(recut, (Path(directory), draft))
    print(
        f"{run.lines:,} lines of {LARGEST_CHUNKS} chunks: {cost.cpu_s:.2f} CPU s, {cost.rss_mb:.0f} MB, "
        f"{run.shards:,} shards, a manifest of {run.manifest_bytes / 1e6:.1f} MB"
    )
    peak = max(figures["peak_rss_mb"], round(cost.rss_mb, 1))
    print(json.dumps({**figures, "recut_5m_seconds": round(cost.cpu_s, 2), "peak_rss_mb": peak}))


if __name__ == "__main__":
    main()
