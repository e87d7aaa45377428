"""A worker process of benchmarks/scale_in.py: one attempt at one shard, through the real worker, on an engine that
writes down when it begins and ends each line.

    python -m benchmarks.scale_in_worker '{"folder": …}'

Rows are in this process's memory; lines, checkpoints and results in the folder, which the attempts share.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.worker_lines import CHAT
from benchmarks.worker_shards import ACCOUNT, MODEL, check, order_of, row_of, run_of
from offpeak.core.invocation import Outcome, ShardReport
from offpeak.core.ports import Add
from offpeak.memory.bucket_on_files import BucketOnFiles
from offpeak.memory.memory import Memory
from offpeak.memory.objects_on_files import FilesReader, FilesWriter
from offpeak.worker.engine import EngineAnswer, EngineLimits
from offpeak.worker.instance import Instance
from offpeak.worker.ports import WorkerPorts
from offpeak.worker.settings import WorkerSettings

BATCH = "batch_scale_in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Of a shard of `lines`, of which an instance works `window` at once, each for `line_seconds` on average. What the
    engine did is added to `record`."""

    folder: str
    record: str
    number: int
    attempt: int
    lines: int
    window: int
    line_seconds: float
    checkpoint_seconds: float

    def encode(self) -> str:
        return json.dumps(asdict(self))


class WatchedEngine:
    """Answers after a time that depends on the line alone: a fifth of the mean to nine fifths."""

    def __init__(self, asked: Attempt) -> None:
        self._asked = asked
        self._record = os.open(asked.record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    @property
    def limits(self) -> EngineLimits:
        return EngineLimits(requests=self._asked.window)

    async def start(self) -> None: ...

    async def ready(self) -> bool:
        return True

    async def run(self, endpoint: str, body: Mapping[str, Any], *, priority: int) -> EngineAnswer:  # noqa: ARG002 - all at once
        line = int(body["messages"][0]["content"])
        chance = random.Random(f"{self._asked.number} {line}")
        with self._noted(line):
            await asyncio.sleep(self._asked.line_seconds * chance.uniform(0.2, 1.8))
        return EngineAnswer(status_code=200, body=b'{"choices": []}')

    @contextmanager
    def _noted(self, line: int) -> Iterator[None]:
        self._note(line, "begins")
        try:
            yield
        finally:
            self._note(line, "ends")  # with its answer, or aborted

    def _note(self, line: int, what: str) -> None:
        """At once, so that it is there when the process isn't any more."""
        row = f"{self._asked.attempt} {line} {what} {time.monotonic()}\n"
        os.write(self._record, row.encode())

    async def stop(self) -> None:
        os.close(self._record)

    def stats(self) -> Mapping[str, int]:
        return {}


def input_lines(count: int) -> list[bytes]:
    return [
        json.dumps({
            "custom_id": f"line-{n:06}", "method": "POST", "url": CHAT,
            "body": {"model": MODEL, "messages": [{"role": "user", "content": str(n)}]},
        }).encode() + b"\n"
        for n in range(count)
    ]  # fmt: skip


async def work(asked: Attempt) -> ShardReport:
    """Told to stop by SIGTERM, as the container is (containers/vllm/main.py)."""
    memory, bucket = Memory(), BucketOnFiles(Path(asked.folder))
    reader, writer = FilesReader(bucket), FilesWriter(bucket)
    given = input_lines(asked.lines)
    first = order_of(BATCH, asked.number, given, CHAT, writer)
    order = replace(first, attempt=asked.attempt)
    memory.changes.commit(Add(run_of(BATCH, CHAT, 1, asked.lines)), Add(row_of(order)))
    instance = Instance(
        model=MODEL, name=f"{ACCOUNT}-{asked.attempt}", load=lambda: WatchedEngine(asked),
        settings=WorkerSettings(checkpoint_seconds=asked.checkpoint_seconds),
        ports=WorkerPorts(
            clock=memory.clock, reader=reader, writer=writer, changes=memory.changes,
            runs=memory.runs, shards=memory.shards,
        ),
    )  # fmt: skip
    await instance.start()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, instance.stop)
    report = await instance.work(order)
    await instance.close()
    if report.outcome is Outcome.DONE:
        check(order, report, given, reader)
    return report


def main() -> None:
    report = asyncio.run(work(Attempt(**json.loads(sys.argv[1]))))
    print(report.outcome)


if __name__ == "__main__":
    main()
