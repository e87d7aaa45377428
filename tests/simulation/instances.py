"""The real worker in a simulated world: each invocation is an instance of its own, on the world's clock."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from offpeak.core.errors import Unavailable
from offpeak.core.invocation import ShardReport
from offpeak.core.usage import Usage
from offpeak.wire.invocation import decode_order
from offpeak.wire.usage import read_usage
from offpeak.worker.engine import EngineAnswer, EngineDead, EngineLimits, error_answer
from offpeak.worker.instance import Instance
from offpeak.worker.ports import WorkerPorts
from offpeak.worker.settings import WorkerSettings
from tests.simulation.event_loop import SimulatedLoop
from tests.steps.interleaving import Death, Interleaving

SETTINGS = WorkerSettings(
    lease_seconds=180, renew_seconds=60, poll_seconds=45, checkpoint_seconds=30,
    shard_seconds_max=400, drain_seconds=100, line_seconds_max=150, retry_seconds=1,
)  # fmt: skip


def usage_of(prompt: str) -> Usage:
    """What a request takes, so that what a batch must cost is known from its results alone."""
    return Usage(input_tokens=len(prompt), cached_tokens=len(prompt) // 3, output_tokens=7)


class Instances:
    """Works orders as endpoints do. `asked` counts how often each prompt was put to an engine."""

    def __init__(self, world: Interleaving, *, is_slow: bool = False) -> None:
        self._world = world
        # Slow ones take longer for a shard than a lease lasts.
        self._answer_seconds = [20, 60, 120] if is_slow else [0.5, 2, 20, 60, 120]
        self.at_once = 2 if is_slow else 3
        self._running: dict[SimulatedLoop, Instance] = {}
        self.asked: Counter[str] = Counter()
        self.last_asked: dict[str, float] = {}
        """By the prompt's first word up to its dash: a batch's number."""

    def work(self, body: bytes) -> ShardReport:
        """Inside a task of the world, which is the process. Raises Unavailable where the container answers 5xx."""
        loop = SimulatedLoop(self._world)
        try:
            return loop.run_until_complete(self._serve(loop, body))
        except EngineDead as error:
            raise Unavailable(str(error)) from error
        finally:
            self._running.pop(loop, None)
            loop.close()

    def terminate(self) -> None:
        """SIGTERM to all that run."""
        for loop, instance in list(self._running.items()):
            loop.post(instance.stop)

    async def _serve(self, loop: SimulatedLoop, body: bytes) -> ShardReport:
        order = decode_order(body)
        instance = Instance(
            model=order.model, name="instance", load=lambda: _Engine(self),
            ports=self._ports(), settings=SETTINGS,
        )  # fmt: skip
        await instance.start()
        self._running[loop] = instance
        try:
            return await instance.work(order)
        finally:
            await instance.close()

    def _ports(self) -> WorkerPorts:
        ports = self._world.ports
        return WorkerPorts(
            clock=ports["clock"], reader=ports["reader"], writer=ports["writer"],
            changes=ports["changes"], runs=ports["runs"], shards=ports["shards"],
        )  # fmt: skip

    def note(self, prompt: str) -> None:
        self.asked[prompt] += 1
        self.last_asked[prompt.partition("-")[0]] = self._world.memory.clock.now()

    def answer_after(self) -> float:
        return self._world.random.choice(self._answer_seconds)

    def may_die(self) -> None:
        """Killed between two request lines. Between two lines of its code is where its port calls are: nothing that
        outlives a process changes anywhere else."""
        if self._world.happens(self._world.faults.death):
            self.die()

    def die(self) -> None:
        self._world.running().process.dead = True
        raise Death

    def sample(self) -> str:
        """No two generations are the same."""
        return "x" * self._world.random.randint(1, 50)


class _Engine:
    """A word of the prompt says what becomes of it: poison, murder, unlucky, slow."""

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
        self._dead = False

    @property
    def limits(self) -> EngineLimits:
        return EngineLimits(requests=self._instances.at_once)

    async def start(self) -> None: ...

    async def ready(self) -> bool:
        return not self._dead

    async def stop(self) -> None: ...

    def stats(self) -> Mapping[str, int]:
        return {}

    async def run(self, endpoint: str, body: Mapping[str, Any], *, priority: int) -> EngineAnswer:
        prompt = str(body["prompt"])
        self._instances.note(prompt)
        await asyncio.sleep(self._instances.answer_after() + 1_000 * ("slow" in prompt))
        self._instances.may_die()
        if "murder" in prompt:
            self._instances.die()
        if self._dead or "poison" in prompt:
            self._dead = True
            raise EngineDead("The engine is gone.")
        if "unlucky" in prompt:
            return replace(error_answer(400, self._instances.sample()), usage=usage_of(prompt))
        used = usage_of(prompt)
        told = {
            "prompt_tokens": used.input_tokens,
            "completion_tokens": used.output_tokens,
            "prompt_tokens_details": {"cached_tokens": used.cached_tokens},
        }
        answer = json.dumps(
            {"text": self._instances.sample(), "of": prompt, "usage": told}
        ).encode()
        return EngineAnswer(status_code=200, body=answer, usage=read_usage(answer))
