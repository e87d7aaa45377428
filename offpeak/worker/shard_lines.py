"""The lines of one shard on their way through the engine: read, put in order, admitted, answered or aborted.

read ahead ─► care? ─► window ─► in flight ─► finished: into the checkpoints
               │ the engine died with it        ├─ over its time limit: aborted, request_timeout
               ▼                                ├─ cancelled by itself: aborted, request_cancelled
             held back to the end               └─ the engine dies: all that is in flight is under suspicion
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from offpeak.core.invocation import ShardOrder
from offpeak.core.request_line import FinishedLine
from offpeak.core.usage import Usage
from offpeak.wire.request_lines import read_custom_id
from offpeak.worker.cancellations import Cancellations
from offpeak.worker.checkpoints import Checkpoints
from offpeak.worker.engine import EngineDead
from offpeak.worker.line_tokens import LineTokens
from offpeak.worker.order import order_lines
from offpeak.worker.ports import WorkerPorts
from offpeak.worker.read_ahead import LineSource, NumberedLine, read_ahead
from offpeak.worker.settings import WorkerSettings
from offpeak.worker.share import ShardShare
from offpeak.worker.suspects import FEW, Care, Suspects
from offpeak.worker.window import AdmissionWindow
from offpeak.worker.work_line import LineWork

logger = logging.getLogger(__name__)
_CANCELLED = "request_cancelled", "The request was cancelled before it was finished."
_BLAMED = (
    "engine_error",
    "The engine died each time it worked on this request, at last when it had no other. It is not tried again.",
)


@dataclass(slots=True, eq=False)
class _Flight:
    """A line in flight. `ending` is the code and message of the error that it gets when it is aborted by itself."""

    number: int
    raw: bytes
    care: Care
    tokens: int
    since: float
    ending: tuple[str, str] | None = None
    task: asyncio.Task[Any] | None = None


class ShardLines:
    """`age` orders the shards on the instance: an older one's lines are admitted first and run with priority."""

    def __init__(
        self, order: ShardOrder, work: LineWork, checkpoints: Checkpoints, *, age: int,
        window: AdmissionWindow, tokens: LineTokens, ports: WorkerPorts, settings: WorkerSettings,
        cancellations: Cancellations | None, share: ShardShare | None = None,
    ) -> None:  # fmt: skip
        self._share = share
        self._order = order
        self._work = work
        self._checkpoints = checkpoints
        self._age = age
        self._window = window
        self._tokens = tokens
        self._reader = ports.reader
        self._settings = settings
        self._call = settings.port_calls
        self._suspects = Suspects(
            order.work_prefix, order.attempt, reader=ports.reader, writer=ports.writer
        )
        self._cancellations = cancellations
        self._flights: dict[int, _Flight] = {}  # the oldest first
        self._few = asyncio.Semaphore(FEW)
        self._died_with: list[_Flight] = []
        self.much_to_flush = asyncio.Event()
        self.first_admitted_at: float | None = None
        self.last_admitted_at: float | None = None
        self._worked: list[Usage] = []
        self._all_admitted = False
        self.is_through = False
        """Whether every line that was to be worked has its result."""

    @property
    def worked(self) -> Usage:
        """What the engine took for the lines that it answered in this attempt."""
        return Usage.sum(self._worked)

    @property
    def worked_lines(self) -> int:
        return len(self._worked)

    def load(self) -> None:
        """What earlier attempts have left. Calls ports, and is meant for a thread."""
        if self._order.attempt > 1:
            self._checkpoints.load()
            self._suspects.load()

    async def run(self, seconds: float) -> None:
        """Every line that no checkpoint holds, of the order's probe if it has one; none is admitted after `seconds`.
        One exception ends all."""
        try:
            async with asyncio.TaskGroup() as lines:
                admission = lines.create_task(self._admit_all(lines))
                closing = asyncio.get_running_loop().call_later(seconds, admission.cancel)
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            closing.cancel()
        self.is_through = self._all_admitted

    # ── admission ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _admit_all(self, lines: asyncio.TaskGroup) -> None:
        """Those under suspicion come last, the most suspicious at the very end."""
        held: dict[Care, list[NumberedLine]] = {Care.FEW: [], Care.ALONE: []}
        source = LineSource(
            self._reader, self._order.segments, self._prepare, probe=self._order.probe
        )
        async with aclosing(read_ahead(source, self._call)) as stretches:
            async for stretch in stretches:
                for line in stretch:
                    care = self._suspects.care_for(line[0])
                    if care is Care.NONE:
                        await self._admit(lines, *line, care)
                    elif care is Care.NOT_AT_ALL:
                        self._fail(*line, *_BLAMED)
                    else:
                        held[care].append(line)
        for care, suspects in held.items():
            for line in suspects:
                await self._admit(lines, *line, care)
        self._all_admitted = True

    def _prepare(self, stretch: Sequence[NumberedLine]) -> Sequence[NumberedLine]:
        """What of a stretch is to be done, and in which order; on the thread that has read it."""
        order = self._order
        # A pilot is for estimates of the whole run: its first shard's, when nothing of it has been seen yet.
        is_first = order.number == 0 and not len(self._checkpoints)
        pilot = f"{order.batch_id}.{order.run}" if is_first else None
        left = [line for line in stretch if line[0] not in self._checkpoints]
        return order_lines(left, order.endpoint, pilot=pilot)

    async def _admit(self, lines: asyncio.TaskGroup, number: int, raw: bytes, care: Care) -> None:
        if self._cancellations is not None:
            await self._learn_of(raw, self._cancellations)
        if care is Care.FEW:
            # Not given back when the wait below is cancelled: then this was the shard's last admission.
            await self._few.acquire()
        alone = care is Care.ALONE
        wanted = self._window.tokens_max if alone else self._tokens.guess(len(raw))
        tokens = self._window.take(wanted) or await self._window.acquire(self._age, wanted)
        now = asyncio.get_running_loop().time()
        if self.first_admitted_at is None:
            self.first_admitted_at = now
        self.last_admitted_at = now
        if self._share is not None:
            self._share.admitted(now)
        flight = _Flight(number, raw, care, tokens, now)
        flight.task = lines.create_task(self._answer(flight))
        self._flights[number] = flight
        # Not in the task itself: one that is cancelled before its first step never runs a `finally`.
        flight.task.add_done_callback(partial(self._landed, flight))

    async def _learn_of(self, raw: bytes, cancellations: Cancellations) -> None:
        request_id = read_custom_id(raw)
        if cancellations.is_new(request_id):
            await self._call(cancellations.learn, request_id)

    def _landed(self, flight: _Flight, _: asyncio.Task[None]) -> None:
        del self._flights[flight.number]
        self._window.release(flight.tokens)
        if self._share is not None:
            self._share.landed(asyncio.get_running_loop().time())
        if flight.care is Care.FEW:
            self._few.release()

    # ── one line ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _answer(self, flight: _Flight) -> None:
        cancellations = self._cancellations
        if cancellations is not None and read_custom_id(flight.raw) in cancellations:
            self._fail(flight.number, flight.raw, *_CANCELLED)
            return
        try:
            line = await self._answered(flight)
        except asyncio.CancelledError:
            # Of two that may be cancelled: the line by itself, or it with all others, because the shard ends.
            task = flight.task
            if flight.ending is None or task is None or task.uncancel() > 0:
                raise
            self._fail(flight.number, flight.raw, *flight.ending)
            return
        except EngineDead:
            if not self._died_with:
                self._died_with = list(self._flights.values())
            raise
        self._tokens.learn(len(flight.raw), line.usage)
        self._worked.append(line.usage)
        self._checkpoints.add(line)
        if self._checkpoints.pending_bytes >= self._settings.checkpoint_bytes_max:
            self.much_to_flush.set()

    async def _answered(self, flight: _Flight) -> FinishedLine:
        """Raises EngineDead for an engine in this process that found no memory, too: what it has left is in no known
        state, and some line was to blame."""
        try:
            return await self._work.answer(flight.number, flight.raw)
        except MemoryError:
            raise EngineDead("The engine ran out of memory.") from None

    async def accuse(self) -> None:
        """After an EngineDead: leaves word of what was in flight, for the next attempt."""
        if self._died_with:
            alone = all(flight.care is Care.ALONE for flight in self._died_with)
            numbers = [flight.number for flight in self._died_with]
            logger.warning(
                "shard %s: %d lines were on the engine", self._order.shard_id, len(numbers)
            )
            await self._call(self._suspects.accuse, numbers, alone=alone)

    def _fail(self, number: int, raw: bytes, code: str, message: str) -> None:
        self._checkpoints.add(self._work.failed(number, read_custom_id(raw), code, message))

    # ── aborting one ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def abort_overdue(self) -> None:
        """Until cancelled: aborts lines that are over their own time limit. The oldest in flight is the next."""
        limit = self._settings.line_seconds_max
        message = f"No answer within {limit:g} seconds."
        while True:
            now = asyncio.get_running_loop().time()
            pause = limit
            for flight in list(self._flights.values()):
                if flight.since + limit > now:
                    pause = flight.since + limit - now
                    break
                self._abort(flight, "request_timeout", message)
            await asyncio.sleep(pause)

    def abort_cancelled(self) -> None:
        """Aborts lines in flight that are known to be cancelled by themselves."""
        for flight in list(self._flights.values()):
            if read_custom_id(flight.raw) in (self._cancellations or ()):
                self._abort(flight, *_CANCELLED)

    @staticmethod
    def _abort(flight: _Flight, code: str, message: str) -> None:
        if flight.ending is None and flight.task is not None:
            flight.ending = code, message
            flight.task.cancel()
