"""However often a worker or its engine dies, and wherever, whatever the order of the lines and the window: in the end
each line has one result, in input order, and no line that a checkpoint holds is generated again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.core.invocation import Outcome, ShardReport
from offpeak.worker.engine import EngineAnswer, EngineDead, EngineLimits
from offpeak.worker.engines.echo import EchoEngine
from offpeak.worker.settings import WorkerSettings
from tests.worker.world import MODEL, QUICK, World

DEATHS_MAX = 3  # of the engine, by one line: then it is known


class PowerCut(BaseException):
    """The process is gone: nothing that would still run has an effect."""


class Power:
    """Is cut after so many of the worker's effects: port calls and answers of the engine."""

    def __init__(self, effects: int | None) -> None:
        self._left = effects
        self.cut: Callable[[], object] = lambda: None

    def use(self) -> None:
        if self._left == 0:
            self.cut()
            raise PowerCut
        if self._left is not None:
            self._left -= 1


class PoweredPort:
    def __init__(self, port: Any, power: Power) -> None:
        self._port = port
        self._power = power

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._power.use()
            return method(*args, **kwargs)

        return call


class PoweredEcho(EchoEngine):
    def __init__(self, power: Power, limits: EngineLimits, yields: Iterator[int]) -> None:
        super().__init__(MODEL)
        self._limits = limits
        self._power = power
        self._yields = yields
        self.asked: list[str] = []

    @property
    def limits(self) -> EngineLimits:
        return self._limits

    async def run(self, endpoint: str, body: Mapping[str, Any], *, priority: int) -> EngineAnswer:
        self.asked.append(body["messages"][-1]["content"])
        for _ in range(next(self._yields)):
            await asyncio.sleep(0)
        answer = await super().run(endpoint, body, priority=priority)
        self._power.use()
        return answer


def attempt(
    world: World, engine: PoweredEcho, power: Power, worker: WorkerSettings
) -> ShardReport | None:
    """The attempt's report; None when it died before."""
    names = ("reader", "writer", "changes", "shards", "runs")
    ports = world.ports(**{name: PoweredPort(getattr(world.memory, name), power) for name in names})

    async def live() -> ShardReport | None:
        instance = world.instance(engine, worker, ports)
        await instance.start()
        working = asyncio.create_task(instance.work(world.order))
        loop = asyncio.get_running_loop()
        died = asyncio.Event()
        power.cut = lambda: loop.call_soon_threadsafe(died.set)
        dying = asyncio.create_task(died.wait())
        await asyncio.wait({working, dying}, return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if died.is_set():
            working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await instance.close()
        if died.is_set() or isinstance(working.exception(), EngineDead):
            return None
        return working.result()

    return asyncio.run(live())


@settings(max_examples=60, deadline=None)
@given(
    lines=st.integers(1, 40),
    window=st.integers(1, 12),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    checkpoint_bytes=st.integers(1, 4_000),
    bad=st.sets(st.integers(0, 39)),
    yields=st.lists(st.integers(0, 5), min_size=1, max_size=20),
    tokens=st.one_of(st.none(), st.integers(1, 5_000)),
    order=st.integers(0, 2**32),
    poison=st.one_of(st.none(), st.integers(0, 39)),
)
def test_a_shard_is_finished_exactly_once_wherever_its_workers_die(
    lines: int, window: int, cuts: list[int], checkpoint_bytes: int, bad: set[int], yields: list[int],
    tokens: int | None, order: int, poison: int | None,
) -> None:  # fmt: skip
    faults = {
        **dict.fromkeys(bad, " [[status=400]]"),
        **({poison: " [[die]]"} if poison is not None else {}),
    }
    texts = [f"text {n}" + faults.get(n, "") for n in range(lines)]
    world = World.of(*texts)
    worker = replace(QUICK, checkpoint_bytes_max=checkpoint_bytes)
    turns = _cycle(yields)
    report = None
    limits = EngineLimits(requests=window, tokens=tokens)
    for effects in [*cuts, *[None] * (DEATHS_MAX + 1)]:
        power = Power(effects)
        engine = PoweredEcho(power, limits, turns)
        saved = set(world.checkpointed())
        with patch("offpeak.worker.shard_lines.order_lines", _in_any_order(Random(order))):
            report = attempt(world, engine, power, worker)
        assert not {texts.index(text) + 1 for text in engine.asked} & saved
        if report is not None:
            break
        world = world.dispatch_again()
    assert report is not None
    assert report.outcome is Outcome.DONE
    assert len(set(world.checkpointed())) == len(world.checkpointed())
    output, errors = world.results(report)
    failed = [n for n in range(lines) if n in faults]
    assert [each["custom_id"] for each in errors] == [f"line-{n + 1}" for n in failed]
    assert [each["custom_id"] for each in output] == [
        f"line-{n + 1}" for n in range(lines) if n not in faults
    ]
    answers = [each["response"]["body"]["choices"][0]["message"]["content"] for each in output]
    assert answers == [text for n, text in enumerate(texts) if n not in faults]
    assert (report.counts.completed, report.counts.failed) == (len(output), len(errors))
    assert report.usage.input_tokens == 2 * len(output)


def _in_any_order(order: Random) -> Callable[..., list[Any]]:
    return lambda lines, *_, **__: order.sample(lines, len(lines))


def _cycle(values: list[int]) -> Iterator[int]:
    while True:
        yield from values
