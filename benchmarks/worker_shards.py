"""Shards of a file on an engine, through the real worker: rows in memory, objects in a folder, so that what a process
holds is the worker's and not its store's."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from offpeak.core.invocation import Outcome, ShardOrder, ShardReport
from offpeak.core.layout import shard_prefix
from offpeak.core.ports import Add
from offpeak.core.run import Run
from offpeak.core.shard import Segment, Shard, ShardStatus
from offpeak.memory.bucket_on_files import BucketOnFiles
from offpeak.memory.memory import Memory
from offpeak.memory.objects_on_files import FilesReader, FilesWriter
from offpeak.worker.engine import Engine, EngineAnswer, EngineLimits
from offpeak.worker.instance import Instance
from offpeak.worker.ports import WorkerPorts
from offpeak.worker.settings import WorkerSettings

MODEL, ACCOUNT = "bench", "acct_bench"
SHARDS_AT_ONCE = 2
_BATCHES = count()


class Warm:
    """An engine that has started already, and outlives the instances on it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def limits(self) -> EngineLimits:
        return self._engine.limits

    async def start(self) -> None: ...

    async def ready(self) -> bool:
        return await self._engine.ready()

    async def run(self, endpoint: str, body: Mapping[str, Any], *, priority: int) -> EngineAnswer:
        return await self._engine.run(endpoint, body, priority=priority)

    async def stop(self) -> None: ...

    def stats(self) -> Mapping[str, int]:
        return self._engine.stats()


async def run_shards(
    engine: Engine, shards: Sequence[Sequence[bytes]], folder: Path, endpoint: str
) -> list[ShardReport]:  # fmt: skip
    """The reports of these shards' lines, two shards at once as SageMaker would send them. Every line must have its
    answer, in input order."""
    memory, bucket = Memory(), BucketOnFiles(folder)
    reader, writer = FilesReader(bucket), FilesWriter(bucket)
    batch_id = f"batch_bench{next(_BATCHES)}"
    lines = sum(map(len, shards))
    memory.changes.commit(Add(run_of(batch_id, endpoint, len(shards), lines)))
    orders = [
        order_of(batch_id, number, each, endpoint, writer) for number, each in enumerate(shards)
    ]
    for order in orders:
        memory.changes.commit(Add(row_of(order)))
    ports = WorkerPorts(
        clock=memory.clock, reader=reader, writer=writer, changes=memory.changes,
        runs=memory.runs, shards=memory.shards,
    )  # fmt: skip
    instance = Instance(
        model=MODEL, name="bench", load=lambda: Warm(engine), ports=ports, settings=WorkerSettings()
    )
    await instance.start()
    places = asyncio.Semaphore(SHARDS_AT_ONCE)

    async def work(order: ShardOrder) -> ShardReport:
        async with places:
            return await instance.work(order)

    reports = list(await asyncio.gather(*map(work, orders)))
    await instance.close()
    for order, report, given in zip(orders, reports, shards, strict=True):
        check(order, report, given, reader)
    return reports


def check(
    order: ShardOrder, report: ShardReport, given: Sequence[bytes], reader: FilesReader
) -> None:
    """Raises when a line has no answer, or lies elsewhere than its request."""
    if report.outcome is not Outcome.DONE or report.output is None or report.errors is not None:
        raise SystemExit(f"{order.shard_id} ended {report.outcome} with {report.counts}.")
    ids = hashlib.sha256()
    for line in reader.read(report.output.key).splitlines():
        ids.update(line.split(b'"custom_id":', 1)[1].split(b",", 1)[0].strip())
    wanted = hashlib.sha256()
    for line in given:
        wanted.update(line.split(b'"custom_id":', 1)[1].split(b",", 1)[0].strip())
    if ids.digest() != wanted.digest():
        raise SystemExit(f"The output of {order.shard_id} is not its input's, in its order.")


def order_of(
    batch_id: str, number: int, lines: Sequence[bytes], endpoint: str, writer: FilesWriter
) -> ShardOrder:
    """The first attempt's, its lines written."""
    content = b"".join(lines)
    key = f"files/{ACCOUNT}/{batch_id}-{number}.jsonl"
    writer.put(key, content)
    segment = Segment(key=key, start=0, stop=len(content), first_line=1, lines=len(lines))
    return ShardOrder(
        batch_id=batch_id, account_id=ACCOUNT, run=0, number=number, attempt=1, model=MODEL,
        endpoint=endpoint, segments=(segment,), work_prefix=shard_prefix(batch_id, 0, number),
    )  # fmt: skip


def row_of(order: ShardOrder) -> Shard:
    lines = order.segments[0].lines
    return Shard(
        batch_id=order.batch_id, account_id=ACCOUNT, run=0, number=order.number, pool="bench",
        manifest_start=0, manifest_stop=1, first_line=1, last_line=lines, lines=lines,
        status=ShardStatus.DISPATCHED, attempt=order.attempt, due_at=0,
    )  # fmt: skip


def run_of(batch_id: str, endpoint: str, shards: int, lines: int) -> Run:
    return Run(
        batch_id=batch_id, account_id=ACCOUNT, number=0, model=MODEL, pool="bench",
        endpoint=endpoint, manifest_key="work/m", manifest_bytes=1, shards=shards, lines=lines,
        deadline=2**31, created_at=0,
    ).released()  # fmt: skip
