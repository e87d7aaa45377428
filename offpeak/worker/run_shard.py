"""One attempt at a shard, from its claim to its report.

    claim ─► load checkpoints ─► admit lines ─► flush ─► result objects ─► report: done
      │                            │  ├─ the time limit came ────► flush ─► report: partial
      │ stale                      │  ├─ SIGTERM, or run closing ─► flush ─► report: stopped
      ▼                            │  └─ engine dead, port lost ──► flush ─► the exception: the invocation has failed,
    superseded ◄──── lease lost ───┘                                         and the shard is tried elsewhere

Beside the lines run the renewal of the lease and the checkpoints. Whoever lost the lease writes nothing more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from enum import Enum, auto
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.invocation import Outcome, ShardOrder, ShardReport
from offpeak.core.request_line import FinishedLine
from offpeak.wire.request_lines import read_custom_id
from offpeak.worker import port_calls
from offpeak.worker.cancellations import Cancellations
from offpeak.worker.checkpoints import JSON_LINES, Checkpoints
from offpeak.worker.engine import Engine
from offpeak.worker.images import Images
from offpeak.worker.lease import Lease
from offpeak.worker.ports import WorkerPorts
from offpeak.worker.read_ahead import LineSource, read_ahead
from offpeak.worker.settings import WorkerSettings
from offpeak.worker.window import AdmissionWindow
from offpeak.worker.work_line import cancelled_line, work_line

logger = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")


class Halt(Enum):
    """Why a shard stops at once, its lines in flight aborted."""

    DRAINED = auto()
    STOPPED = auto()
    SUPERSEDED = auto()


class ShardRun:
    """`age` orders the shards on the instance: an older one's lines are admitted first and run with priority."""

    def __init__(
        self, order: ShardOrder, *, age: int, worker: str, engine: Engine, window: AdmissionWindow,
        ports: WorkerPorts, settings: WorkerSettings,
    ) -> None:  # fmt: skip
        self._order = order
        self._age = age
        self._engine = engine
        self._window = window
        self._ports = ports
        self._settings = settings
        self._images = ports.images or Images(takes_images=False, bucket="", reader=ports.reader)
        self._lease = Lease(
            order, f"{worker}/{uuid4().hex[:12]}", settings.lease_seconds,
            clock=ports.clock, changes=ports.changes, shards=ports.shards,
        )  # fmt: skip
        self._checkpoints = Checkpoints(order, reader=ports.reader, writer=ports.writer)
        self._cancellations = (
            Cancellations(order.cancelled_prefix, ports.reader) if order.cancelled_prefix else None
        )
        self._in_flight: dict[str, asyncio.Future[FinishedLine]] = {}
        self._flushing = asyncio.Lock()
        self._much_to_flush = asyncio.Event()
        self._halt: asyncio.Future[Halt] = asyncio.get_running_loop().create_future()
        self._resumed = 0
        self._started = time.monotonic()

    @property
    def run_of(self) -> tuple[str, int]:
        """The run that this shard is of: the batch's id, the run's number."""
        return self._order.batch_id, self._order.run

    def stop(self) -> None:
        """Ends the attempt now: lines in flight are aborted, finished ones flushed."""
        self._halt_by(Halt.STOPPED)

    async def run(self) -> ShardReport:
        """Raises EngineDead, or what a port raised in the end."""
        try:
            await self._call(self._lease.claim)
        except StateConflict as conflict:
            logger.info("superseded at its claim: %s", conflict.message)
            return self._report(Outcome.SUPERSEDED)
        work = asyncio.create_task(self._work())
        beside = [asyncio.create_task(self._renew()), asyncio.create_task(self._checkpoint())]
        if self._cancellations is not None:
            beside.append(asyncio.create_task(self._watch_cancelled(self._cancellations)))
        drained = asyncio.get_running_loop().call_later(
            self._settings.shard_seconds_max + self._settings.drain_seconds,
            self._halt_by, Halt.DRAINED,
        )  # fmt: skip
        try:
            reasons: set[asyncio.Future[Any]] = {work, self._halt, *beside}
            await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
            return await self._end(work, beside)
        finally:
            drained.cancel()
            await _cancel(work, *beside)

    # ── the lines ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _work(self) -> None:
        """Every line that no checkpoint holds, until the time limit. One exception ends them all."""
        await self._call(self._checkpoints.load)
        self._resumed = len(self._checkpoints)
        try:
            async with asyncio.TaskGroup() as lines:
                admission = lines.create_task(self._admit(lines))
                seconds_left = self._settings.shard_seconds_max - self._seconds()
                closing = asyncio.get_running_loop().call_later(seconds_left, admission.cancel)
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            closing.cancel()

    async def _admit(self, lines: asyncio.TaskGroup) -> None:
        source = LineSource(self._ports.reader, self._order.segments)
        async with aclosing(read_ahead(source, self._call)) as numbered_lines:
            async for number, raw in numbered_lines:
                if number in self._checkpoints:
                    continue
                if self._cancellations is not None:
                    request_id = read_custom_id(raw)
                    if self._cancellations.is_new(request_id):
                        await self._call(self._cancellations.learn, request_id)
                await self._window.acquire(self._age)
                line = lines.create_task(self._work_line(number, raw))
                # Not in the task itself: one that is cancelled before its first step never runs a `finally`.
                line.add_done_callback(lambda _: self._window.release())

    async def _work_line(self, number: int, raw: bytes) -> None:
        if self._cancellations is None:
            line = await self._answer(number, raw)
        else:
            line = await self._answer_unless_cancelled(number, raw, self._cancellations)
        self._checkpoints.add(line)
        if self._checkpoints.pending_bytes >= self._settings.checkpoint_bytes_max:
            self._much_to_flush.set()

    async def _answer(self, number: int, raw: bytes) -> FinishedLine:
        return await work_line(
            number, raw, self._order, self._engine, self._settings, priority=self._age,
            images=self._images,
        )  # fmt: skip

    async def _answer_unless_cancelled(
        self, number: int, raw: bytes, cancellations: Cancellations
    ) -> FinishedLine:
        """Its result, or, as soon as that is known, that it was cancelled: its place on the engine is free then."""
        request_id = read_custom_id(raw)
        if request_id in cancellations:
            return cancelled_line(number, request_id, self._order)
        self._in_flight[request_id] = answering = asyncio.ensure_future(self._answer(number, raw))
        try:
            return await answering
        except asyncio.CancelledError:
            # Of the two that may be cancelled: the answer alone, or this task with it, because the shard ends.
            if request_id not in cancellations or self._is_being_cancelled():
                raise
            return cancelled_line(number, request_id, self._order)
        finally:
            answering.cancel()
            del self._in_flight[request_id]

    @staticmethod
    def _is_being_cancelled() -> bool:
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

    # ── beside the lines ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._settings.renew_seconds)
            try:
                await self._call(self._lease.renew, self._checkpoints.counts)
            except StateConflict:
                self._halt_by(Halt.SUPERSEDED)
                return
            except Unavailable as error:
                logger.warning("shard %s: lease not renewed: %s", self._order.shard_id, error)

    async def _watch_cancelled(self, cancellations: Cancellations) -> None:
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            try:
                await self._call(cancellations.look)
            except Unavailable as error:
                logger.warning("shard %s: who is cancelled? %s", self._order.shard_id, error)
            for request_id in [each for each in self._in_flight if each in cancellations]:
                self._in_flight[request_id].cancel()

    async def _checkpoint(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.checkpoint_seconds):
                    await self._much_to_flush.wait()
            self._much_to_flush.clear()
            try:
                await self._flush()
            except Unavailable as error:
                logger.warning("shard %s: no checkpoint now: %s", self._order.shard_id, error)

    async def _flush(self) -> None:
        async with self._flushing:
            part = self._checkpoints.next_part()
            if part is None or self._is_fenced:
                return
            await self._call(self._ports.writer.put, part.key, part.body, JSON_LINES)
            self._checkpoints.flushed(part)
            logger.info("%s: %d lines, %d bytes", part.key, part.lines, len(part.body))

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _end(self, work: asyncio.Task[None], beside: list[asyncio.Task[None]]) -> ShardReport:
        await _cancel(work)
        if not self._is_fenced:
            await self._flush()
        if self._is_fenced:
            logger.warning("shard %s: the lease is lost", self._order.shard_id)
            return self._report(Outcome.SUPERSEDED)
        for each in (work, *beside):
            if each.done() and not each.cancelled():
                each.result()
        if self._is_complete:
            return await self._done()
        stopped = self._halt.done() and self._halt.result() is Halt.STOPPED
        return self._report(Outcome.STOPPED if stopped else Outcome.PARTIAL)

    async def _done(self) -> ShardReport:
        output = await self._call(self._checkpoints.write_results, "output", "output.jsonl")
        errors = await self._call(self._checkpoints.write_results, "error", "errors.jsonl")
        return replace(self._report(Outcome.DONE), output=output, errors=errors)

    def _report(self, outcome: Outcome) -> ShardReport:
        order = self._order
        logger.info("shard %s, attempt %d: %s", order.shard_id, order.attempt, outcome)
        return ShardReport(
            batch_id=order.batch_id, account_id=order.account_id, run=order.run,
            number=order.number, attempt=order.attempt, outcome=outcome,
            counts=self._checkpoints.counts, usage=self._checkpoints.usage,
            resumed_lines=self._resumed, seconds=round(self._seconds(), 3),
        )  # fmt: skip

    @property
    def _is_complete(self) -> bool:
        return len(self._checkpoints) == self._checkpoints.counts.total

    @property
    def _is_fenced(self) -> bool:
        return self._halt.done() and self._halt.result() is Halt.SUPERSEDED

    def _halt_by(self, halt: Halt) -> None:
        """The first reason stands, but for a lost lease, which overrules any."""
        if self._halt.done() and halt is Halt.SUPERSEDED:
            self._halt = asyncio.get_running_loop().create_future()
        if not self._halt.done():
            self._halt.set_result(halt)

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    async def _call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await port_calls.call(
            self._settings.port_attempts_max,
            self._settings.retry_seconds,
            function,
            *args,
            **kwargs,
        )


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    """Cancels those that still run, and waits until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
