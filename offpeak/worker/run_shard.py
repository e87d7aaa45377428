"""One attempt at a shard, from its claim to its report.

    claim ─► load checkpoints ─► admit lines ─► flush ─► result objects ─► report: done
      │                            │  ├─ the time limit came, or ► flush ─► report: partial
      │                            │  │  the probe is worked
      │ stale                      │  ├─ SIGTERM, or run closing ─► flush ─► report: stopped
      ▼                            │  └─ engine dead, port lost ──► flush ─► the exception: the invocation has failed,
    superseded ◄──── lease lost ───┘                                         and the shard is tried elsewhere

Beside the lines run the renewal of the lease and the checkpoints. Whoever lost the lease writes nothing more.
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import suppress
from dataclasses import replace
from enum import Enum, auto
from typing import Any
from uuid import uuid4

from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.invocation import Outcome, ShardOrder, ShardReport
from offpeak.core.layout import JSON_LINES
from offpeak.worker.cancellations import Cancellations
from offpeak.worker.checkpoints import Checkpoints
from offpeak.worker.engine import Engine, EngineDead
from offpeak.worker.images import Images
from offpeak.worker.lease import Lease
from offpeak.worker.line_tokens import LineTokens
from offpeak.worker.meter import Meter
from offpeak.worker.ports import WorkerPorts
from offpeak.worker.settings import WorkerSettings
from offpeak.worker.shard_lines import ShardLines
from offpeak.worker.share import ShardShare
from offpeak.worker.window import AdmissionWindow
from offpeak.worker.work_line import LineWork

logger = logging.getLogger(__name__)


class Halt(Enum):
    """Why a shard stops at once, its lines in flight aborted."""

    DRAINED = auto()
    STOPPED = auto()
    SUPERSEDED = auto()


class ShardRun:
    """`age` orders the shards on the instance: an older one's lines are admitted first and run with priority."""

    def __init__(
        self, order: ShardOrder, *, age: int, worker: str, engine: Engine, window: AdmissionWindow,
        tokens: LineTokens, ports: WorkerPorts, settings: WorkerSettings,
        cancellations: Cancellations | None = None, share: ShardShare | None = None,
    ) -> None:  # fmt: skip
        self._share = share
        self.cancellations = cancellations
        self._order = order
        self._ports = ports
        self._settings = settings
        self._call = settings.port_calls
        images = ports.images or Images(takes_images=False, bucket="", reader=ports.reader)
        self._lease = Lease(
            order, f"{worker}/{uuid4().hex[:12]}", settings.lease_seconds,
            clock=ports.clock, changes=ports.changes, shards=ports.shards,
        )  # fmt: skip
        self._checkpoints = Checkpoints(order, reader=ports.reader, writer=ports.writer)
        self._line_work = LineWork(order, engine, settings, priority=age, images=images)
        self._lines = ShardLines(
            order, self._line_work, self._checkpoints, age=age, window=window, tokens=tokens,
            ports=ports, settings=settings, cancellations=cancellations, share=share,
        )  # fmt: skip
        self._flushing = asyncio.Lock()
        self._halt: asyncio.Future[Halt] = asyncio.get_running_loop().create_future()
        self._resumed = 0
        self._meter = Meter(engine, asyncio.get_running_loop().time())
        self._started = asyncio.get_running_loop().time()

    @property
    def run_of(self) -> tuple[str, int]:
        """The run that this shard is of: the batch's id, the run's number."""
        return self._order.batch_id, self._order.run

    def stop(self) -> None:
        """Ends the attempt now: lines in flight are aborted, finished ones flushed."""
        self._halt_by(Halt.STOPPED)

    def abort_cancelled(self) -> None:
        """Lets go of lines that are known to be cancelled by themselves."""
        self._lines.abort_cancelled()

    async def run(self) -> ShardReport:
        """Raises EngineDead, or what a port raised in the end."""
        try:
            await self._call(self._lease.claim)
        except StateConflict as conflict:
            logger.info("superseded at its claim: %s", conflict.message)
            return self._report(Outcome.SUPERSEDED)
        work = asyncio.create_task(self._work())
        beside = [
            asyncio.create_task(each)
            for each in (self._renew(), self._checkpoint(), self._lines.abort_overdue())
        ]
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

    async def _work(self) -> None:
        await self._call(self._lines.load)
        self._resumed = len(self._checkpoints)
        await self._lines.run(self._settings.shard_seconds_max - self._seconds())

    # ── beside the lines ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._settings.renew_seconds)
            try:
                counts = self._checkpoints.counts
                tokens = self._meter.generated_tokens(
                    counts.finished, self._lines.worked_lines, self._lines.worked
                )
                await self._call(self._lease.renew, counts, tokens)
            except StateConflict:
                self._halt_by(Halt.SUPERSEDED)
                return
            except Unavailable as error:
                logger.warning("shard %s: lease not renewed: %s", self._order.shard_id, error)

    async def _checkpoint(self) -> None:
        skipped = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.checkpoint_seconds):
                    await self._lines.much_to_flush.wait()
            # Once: a last line may take longer than all others gave reason to think.
            skipped = (
                not skipped and not self._lines.much_to_flush.is_set() and self._is_nearly_done()
            )
            if skipped:
                continue
            self._lines.much_to_flush.clear()
            try:
                await self._flush()
            except Unavailable as error:
                logger.warning("shard %s: no checkpoint now: %s", self._order.shard_id, error)

    def _is_nearly_done(self) -> bool:
        """Whether, at its pace so far, the results themselves are written before the next checkpoint would be."""
        worked, left = len(self._checkpoints) - self._resumed, self._checkpoints.left
        seconds_left = left * self._seconds() / worked if worked else math.inf
        return seconds_left <= self._settings.checkpoint_seconds

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
        if not self._is_fenced and not self._is_complete:
            await self._flush()  # of a complete shard the results follow at once
        if self._is_fenced:
            logger.warning("shard %s: the lease is lost", self._order.shard_id)
            return self._report(Outcome.SUPERSEDED)
        for each in (work, *beside):
            if each.done() and not each.cancelled():
                await self._raise(each)
        if self._is_complete:
            return await self._done()
        stopped = self._halt.done() and self._halt.result() is Halt.STOPPED
        return self._report(Outcome.STOPPED if stopped else Outcome.PARTIAL)

    async def _raise(self, ended: asyncio.Task[None]) -> None:
        """What it has ended with, if that was an exception."""
        try:
            ended.result()
        except EngineDead:
            await self._lines.accuse()
            raise

    async def _done(self) -> ShardReport:
        try:
            return await self._write_results()
        except Exception:
            with suppress(Unavailable):
                await self._flush()
            raise

    async def _write_results(self) -> ShardReport:
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
            instance_seconds=self._instance_seconds(),
            probed=order.probe is not None and self._lines.is_through,
            work=replace(
                self._meter.read(
                    asyncio.get_running_loop().time(), self._lines.worked,
                    self._lines.first_admitted_at, self._lines.last_admitted_at,
                ),
                lengths=self._line_work.lengths,
            ),
        )  # fmt: skip

    @property
    def _is_complete(self) -> bool:
        return self._checkpoints.left == 0

    @property
    def _is_fenced(self) -> bool:
        return self._halt.done() and self._halt.result() is Halt.SUPERSEDED

    def _halt_by(self, halt: Halt) -> None:
        """The first reason stands, but for a lost lease, which overrules any."""
        if self._halt.done() and halt is Halt.SUPERSEDED:
            self._halt = asyncio.get_running_loop().create_future()
        if not self._halt.done():
            self._halt.set_result(halt)

    def _instance_seconds(self) -> float | None:
        if self._share is None:
            return None
        return round(self._share.seconds(asyncio.get_running_loop().time()), 3)

    def _seconds(self) -> float:
        return asyncio.get_running_loop().time() - self._started


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    """Cancels those that still run, and waits until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
