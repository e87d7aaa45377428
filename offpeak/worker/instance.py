"""An instance: one engine, the shards that it works on now, and the admission window that they share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from itertools import count

from offpeak.core.errors import InvalidRequest, NotFound, Unavailable
from offpeak.core.invocation import ShardOrder, ShardReport
from offpeak.core.run import RunStatus
from offpeak.worker.cancellations import Cancellations
from offpeak.worker.engine import Engine
from offpeak.worker.line_tokens import CONTEXT_TOKENS_MAX, LineTokens
from offpeak.worker.ports import WorkerPorts
from offpeak.worker.run_shard import ShardRun
from offpeak.worker.settings import WorkerSettings
from offpeak.worker.share import InstanceShares, ShardShare
from offpeak.worker.window import AdmissionWindow

logger = logging.getLogger(__name__)
EXPRESS_HEAD_START = 1_000_000_000
"""Which shards an express one is older than: all that an instance ever sees."""


class Instance:
    """`model` is the catalogue's id of what the engine serves; `name` is how rows name this worker. `load` makes the
    engine: on a thread and at the start, for importing vLLM alone takes ten seconds, and pings want an answer."""

    def __init__(
        self, *, model: str, name: str, load: Callable[[], Engine], ports: WorkerPorts,
        settings: WorkerSettings,
    ) -> None:  # fmt: skip
        self._model = model
        self._name = name
        self._load = load
        self._engine: Engine | None = None
        self._ports = ports
        self._settings = settings
        self._window: AdmissionWindow | None = None
        self._tokens = LineTokens()
        self._watching: asyncio.Task[None] | None = None
        self._working: set[ShardRun] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._ages = count()
        self._shares = InstanceShares()
        self._stopping = False

    async def start(self) -> None:
        """Returns when the engine can answer. Raises EngineDead when it never will."""
        self._engine = await asyncio.to_thread(self._load)
        await self._engine.start()
        limits = self._engine.limits
        self._tokens = LineTokens(limits.context_tokens or CONTEXT_TOKENS_MAX)
        self._window = AdmissionWindow.of(limits, self._settings.window_max)
        self._watching = asyncio.create_task(self._watch())

    @property
    def started(self) -> bool:
        return self._window is not None

    async def alive(self) -> bool:
        """Whether the engine has started and can still answer."""
        return self.started and self._engine is not None and await self._engine.ready()

    async def ready(self) -> bool:
        """Whether it takes work."""
        return not self._stopping and await self.alive()

    async def work(self, order: ShardOrder) -> ShardReport:
        """Runs the order's shard to its report.

        Raises Unavailable when the instance takes no work, InvalidRequest for another model's order, and EngineDead.
        """
        if order.model != self._model:
            raise InvalidRequest(
                f"This instance serves {self._model}, not {order.model}.", param="model"
            )
        if self._engine is None or self._window is None or not await self.ready():
            raise Unavailable("The instance is not ready.", code="not_ready")
        share = ShardShare(self._shares)
        shard = ShardRun(
            order, age=self._age(order), worker=self._name, engine=self._engine,
            window=self._window, tokens=self._tokens, ports=self._ports, settings=self._settings,
            cancellations=self._cancellations_of(order), share=share,
        )  # fmt: skip
        self._working.add(shard)
        self._idle.clear()
        loop = asyncio.get_running_loop()
        share.begin(loop.time())
        try:
            return await shard.run()
        finally:
            share.end(loop.time())
            self._working.discard(shard)
            if not self._working:
                self._idle.set()

    def _cancellations_of(self, order: ShardOrder) -> Cancellations | None:
        """What the shards here that know of the same cancellations share; forgotten with the last of them."""
        prefix = order.cancelled_prefix
        if prefix is None:
            return None
        shared = (each for each in self._cancellations if each.prefix == prefix)
        return next(shared, None) or Cancellations(prefix, self._ports.reader)

    @property
    def _cancellations(self) -> set[Cancellations]:
        return {shard.cancellations for shard in self._working if shard.cancellations is not None}

    def _age(self, order: ShardOrder) -> int:
        return next(self._ages) - (EXPRESS_HEAD_START if order.express else 0)

    def stop(self) -> None:
        """Takes no more work and ends what it has; `idle` tells when that is done."""
        self._stopping = True
        for shard in self._working:
            shard.stop()

    async def idle(self) -> None:
        await self._idle.wait()

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if self._engine is not None:
            await self._engine.stop()

    def stats(self) -> Mapping[str, int]:
        engine = self._engine.stats() if self._engine is not None else {}
        return {"shards_working": len(self._working), **engine}

    async def _watch(self) -> None:
        """Asks once per run, however many of its shards are here, and ends those of a run that is closing; lets go of
        requests that were cancelled by themselves."""
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            await self._abort_cancelled()
            for run in {shard.run_of for shard in self._working}:
                if await self._is_closing(run):
                    logger.info("run %s.%d is closing", *run)
                    for shard in self._working:
                        if shard.run_of == run:
                            shard.stop()

    async def _abort_cancelled(self) -> None:
        """Requests of gatherings that are cancelled by themselves: asked once, however many shards are here."""
        for cancellations in self._cancellations:
            try:
                await self._settings.port_calls(cancellations.look)
            except Unavailable as error:
                logger.warning("who is cancelled under %s? %s", cancellations.prefix, error)
        for shard in tuple(self._working):
            shard.abort_cancelled()

    async def _is_closing(self, run: tuple[str, int]) -> bool:
        try:
            row = await asyncio.to_thread(self._ports.runs.glance, *run)
        except (Unavailable, NotFound) as error:
            logger.warning("run %s.%d can't be read: %s", *run, error)
            return False
        return row.status is RunStatus.CLOSING
