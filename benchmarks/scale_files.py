"""The benchmark of scale over an object store on files: the real steps, and the real worker in processes of its own.

The parent has the rows, and is the control plane: it does what the API, Step Functions, SQS and SageMaker would have
functions do. The children reach the rows by a socket, as functions reach DynamoDB, and the objects by the file system.
"""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.managers import BaseManager
from multiprocessing.queues import Queue
from pathlib import Path
from threading import Thread
from typing import Any

from benchmarks.scale_input import LINE_BYTES, in_parts, input_blocks
from offpeak.core.account import Account
from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.invocation import ShardReport
from offpeak.core.ports import Add
from offpeak.memory.bucket_on_files import BucketOnFiles
from offpeak.memory.clock import FrozenClock
from offpeak.memory.memory import Memory
from offpeak.planner.cut_results import LIMITS
from offpeak.steps.announce_batch import announce_batch
from offpeak.steps.assemble_results import assemble_results
from offpeak.steps.begin_file import begin_file
from offpeak.steps.close_batch import close_batch
from offpeak.steps.complete_file import complete_file
from offpeak.steps.complete_shard import complete_shard
from offpeak.steps.create_batch import NewBatch, create_batch
from offpeak.steps.create_file import NewFile
from offpeak.steps.dispatch_shards import dispatch_shards
from offpeak.steps.finalize_batch import finalize_batch
from offpeak.steps.harvest_shards import harvest_shards
from offpeak.steps.plan_shards import plan_shards
from offpeak.steps.release_runs import release_runs
from offpeak.steps.reorder_shards import reorder_shards
from offpeak.steps.validate_range import validate_range
from offpeak.wire.invocation import decode_order, encode_report
from offpeak.wire.notices import InvocationNotice
from offpeak.worker.engines.echo import EchoEngine
from offpeak.worker.instance import Instance
from offpeak.worker.ports import WorkerPorts
from offpeak.worker.settings import WorkerSettings

PROCESSES = 2
ACCOUNT, TOKEN = "acct_scale", "token"
MODEL = Model(
    id="echo-8b", pool="echo", source="none", endpoints=("/v1/chat/completions",),
    context_tokens=8_192, instances_max=PROCESSES,
)  # fmt: skip
CATALOGUE = Catalogue((MODEL,))
TELL_SECONDS = 10.0
STUCK_SECONDS = 600.0


class RunningClock(FrozenClock):
    def now(self) -> float:
        return time.time()


# ── the children ─────────────────────────────────────────────────────────────────────────────────────────────────────

ROWS = ("accounts", "batches", "runs", "shards", "changes")


class RowsServer(BaseManager):
    """Rows that live in one process, for the others."""


class RowsClient(BaseManager):
    """The same, from outside."""


for _name in ROWS:
    RowsClient.register(_name)


@dataclass(frozen=True)
class Place:
    """Where a child finds rows and objects."""

    address: Any
    authkey: bytes
    directory: Path


def child(place: Place, asked: Queue[Any], done: Queue[Any]) -> None:
    """Takes what is asked until it is None: shards to work, or what a function of `FUNCTIONS` is given."""
    multiprocessing.current_process().authkey = place.authkey
    client: Any = RowsClient(place.address, place.authkey)
    client.connect()
    world: Any = Memory(RunningClock(), directory=place.directory)
    for name in ROWS:
        setattr(world, name, getattr(client, name)())
    asyncio.run(_serve(world, asked, done))


async def _serve(world: Any, asked: Queue[Any], done: Queue[Any]) -> None:
    instance = Instance(
        model=MODEL.id, name=f"process-{multiprocessing.current_process().pid}",
        load=lambda: EchoEngine(MODEL.id, window=256),
        ports=WorkerPorts(
            clock=world.clock, reader=world.reader, writer=world.writer, changes=world.changes,
            runs=world.runs, shards=world.shards,
        ),
        settings=WorkerSettings(),
    )  # fmt: skip
    await instance.start()
    going: set[asyncio.Task[None]] = set()
    while (ask := await asyncio.to_thread(asked.get)) is not None:
        while len(going) >= MODEL.concurrency:
            _, going = await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(_do(world, instance, ask, done))
        going.add(task)
        if ask[0] != "work":  # a function has its process to itself
            await task
    await asyncio.gather(*going)
    await instance.close()


async def _do(world: Any, instance: Instance, ask: tuple[Any, ...], done: Queue[Any]) -> None:
    kind, *given = ask
    try:
        if kind == "work":
            order = decode_order(given[0])
            report = await instance.work(order)
            done.put((kind, report))
        else:
            await asyncio.to_thread(FUNCTIONS[kind], world, *given)
            done.put((kind, None))
    except BaseException as error:
        done.put(("failed", f"{kind}: {error!r}"))
        raise


def _validate(world: Any, batch_id: str, index: int, start: int, stop: int) -> None:
    validate_range(
        ACCOUNT, batch_id, index, start, stop, accounts=world.accounts, batches=world.batches,
        reader=world.reader, writer=world.writer, multipart=world.multipart, catalogue=CATALOGUE,
    )  # fmt: skip


def _assemble(world: Any, batch_id: str, chunk: dict[str, Any]) -> None:
    assemble_results(
        ACCOUNT, batch_id, **chunk, batches=world.batches, reader=world.reader,
        writer=world.writer, multipart=world.multipart, assembly_limits=LIMITS,
    )  # fmt: skip


def _reorder(world: Any, batch_id: str, run: int, chunk: int) -> None:
    reorder_shards(
        ACCOUNT, batch_id, run, chunk, batches=world.batches, reader=world.reader,
        writer=world.writer, multipart=world.multipart,
    )  # fmt: skip


FUNCTIONS: Mapping[str, Callable[..., None]] = {
    "validate": _validate,
    "reorder": _reorder,
    "assemble": _assemble,
}


# ── the parent ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Plane:
    """The control plane over rows in memory, and the children that work for it."""

    def __init__(self, directory: Path) -> None:
        self.bucket = BucketOnFiles(directory)
        self.world = Memory(RunningClock(), directory=directory)
        self._ports = {**vars(self.world), "catalogue": CATALOGUE}
        self.account = Account(id=ACCOUNT, name="scale", created_at=0)
        self.world.changes.commit(Add(self.account))
        context = multiprocessing.get_context("spawn")
        self.asked: Queue[Any] = context.Queue()
        self.done: Queue[Any] = context.Queue()
        self._place = self._serve_rows(directory)
        self._children = [
            context.Process(target=child, args=(self._place, self.asked, self.done), daemon=True)
            for _ in range(PROCESSES)
        ]

    def _serve_rows(self, directory: Path) -> Place:
        for name in ROWS:
            RowsServer.register(name, callable=_given(getattr(self.world, name)))
        key = b"rows of this benchmark"
        server: Any = RowsServer(("127.0.0.1", 0), key).get_server()
        Thread(target=server.serve_forever, daemon=True).start()
        return Place(server.address, key, directory)

    @contextmanager
    def children(self) -> Iterator[None]:
        for each in self._children:
            each.start()
        try:
            yield
            for _ in self._children:
                self.asked.put(None)
            for each in self._children:
                each.join(60)
        finally:
            for each in self._children:
                each.kill()
                each.join()

    def call(self, step: Callable[..., Any], *args: Any, **more: Any) -> Any:
        """The step with the ports that it asks for, by their names."""
        asked = inspect.signature(step).parameters.values()
        names = [each.name for each in asked if each.kind is each.KEYWORD_ONLY]
        ports = {name: self._ports[name] for name in names if name in self._ports}
        return step(*args, **{**ports, **more})

    def answer(self) -> tuple[str, Any]:
        """What a child has done; ends the program when one has failed, or none does anything."""
        kind, found = self.done.get(timeout=STUCK_SECONDS)
        if kind == "failed":
            raise SystemExit(f"A process failed at {found}")
        return kind, found

    def spread(self, kind: str, given: list[tuple[Any, ...]]) -> None:
        for each in given:
            self.asked.put((kind, *each))
        for _ in given:
            self.answer()

    def upload(self, lines: int, *, shared: bool) -> str:
        """As a client does: the file is begun, its parts are put at their URLs, and it is completed. Its id."""
        new = NewFile(filename="scale.jsonl", purpose="batch", expires_after=None)
        begun = self.call(begin_file, self.account, new, lines * LINE_BYTES, idempotency_key=None)
        parts = in_parts(input_blocks(lines, MODEL.id, shared=shared), begun.part_bytes)
        etags = {
            number: self.world.presigner.put(url, part)
            for number, (url, part) in enumerate(zip(begun.part_urls, parts, strict=True), 1)
        }
        self.call(complete_file, ACCOUNT, begun.file.id, etags)
        file_id: str = begun.file.id
        return file_id

    def create(self, file_id: str) -> Batch:
        new = NewBatch(
            input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        batch: Batch = self.call(create_batch, self.account, new, idempotency_key=None)
        return batch

    def work(self, batch: Batch, lines: int) -> None:
        """From the release of the runs to the answer of the task token."""
        self.call(release_runs, ACCOUNT, batch.id, TOKEN)
        sent = finished = 0
        told = time.monotonic()
        while TOKEN not in self.world.workflows.answers:
            self.call(dispatch_shards, MODEL.pool)
            orders = self.world.endpoints.invocations
            for invocation in orders[sent:]:
                self.asked.put(("work", invocation.order))
            sent = len(orders)
            _, report = self.answer()
            finished += self._complete(report)
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                print(f"  {finished:,} of {lines:,} lines", flush=True)

    def _complete(self, report: ShardReport) -> int:
        key = f"work/invocations/{report.run}.{report.number}.{report.attempt}.out"
        self.world.writer.put(key, encode_report(report))
        notice = InvocationNotice(
            batch_id=report.batch_id, run=report.run, number=report.number,
            attempt=report.attempt, outcome="completed", report_key=key,
        )  # fmt: skip
        self.call(complete_shard, notice)
        return report.counts.finished

    def finalize(self, batch: Batch) -> Batch:
        while True:
            finalized = self.call(finalize_batch, ACCOUNT, batch.id, assembly_limits=LIMITS)
            if not finalized.chunks:
                ended: Batch = finalized.batch
                return ended
            print(f"  {len(finalized.chunks)} chunks", flush=True)
            self.spread("assemble", [(batch.id, asdict(chunk)) for chunk in finalized.chunks])


def _given(port: Any) -> Callable[[], Any]:
    return lambda: port


def run(lines: int, folder: Path, stages: Any, *, shared: bool) -> tuple[Path, Path, Path | None]:
    """The input's, the output's and the error file's paths."""
    plane = Plane(folder)
    with plane.children():
        with stages.stage("upload"):
            file_id = plane.upload(lines, shared=shared)
        with stages.stage("create"):
            batch = plane.create(file_id)
        started = plane.world.workflows.started[batch.id]
        with stages.stage("validate"):
            ranges = [(batch.id, *each.values()) for each in started["ranges"]]
            plane.spread("validate", ranges)
        with stages.stage("plan"):
            planned = plane.call(plan_shards, ACCOUNT, batch.id, len(ranges))
        if planned.next == "reorder":
            with stages.stage("reorder"):
                chunks = [(batch.id, each.run, each.chunk) for each in planned.chunks]
                plane.spread("reorder", chunks)
            with stages.stage("plan_reordered"):
                planned = plane.call(plan_shards, ACCOUNT, batch.id, len(ranges), True)
        if planned.next != "run":
            raise SystemExit(f"The plan of {batch.id} leads to {planned}.")
        with stages.stage("run"):
            plane.work(batch, lines)
        with stages.stage("close"):
            for chunk in plane.call(close_batch, ACCOUNT, batch.id):
                plane.call(harvest_shards, ACCOUNT, batch.id, *asdict(chunk).values())
        with stages.stage("finalize"):
            ended = plane.finalize(batch)
        with stages.stage("announce"):
            plane.call(announce_batch, ACCOUNT, batch.id)
    if ended.status is not BatchStatus.COMPLETED or ended.counts.completed != lines:
        raise SystemExit(f"{batch.id} ended {ended.status}: {ended.counts}")
    paths = [
        plane.bucket.path_of(plane.world.files.get(ACCOUNT, each).key) if each else None
        for each in (file_id, ended.output_file_id, ended.error_file_id)
    ]
    given, output, errors = paths
    if given is None or output is None:
        raise SystemExit(f"{batch.id} has no output.")
    return given, output, errors
