"""Many callers of the ports, one of them running at a time: at every port call a seed chooses who goes on, who dies
there, whose call fails before or after its effect, and who falls asleep for a while."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from greenlet import getcurrent

from offpeak.core.errors import OffpeakError, Unavailable
from offpeak.memory.memory import Memory
from tests.steps.simulated_threads import Stack

PORTS = (
    "clock", "reader", "writer", "multipart", "presigner", "changes", "accounts", "files",
    "batches", "runs", "shards", "ledger", "idempotency", "workflows", "dispatches", "endpoints",
    "announcements", "drops", "requests", "groups", "gatherings", "request_queue", "group_checks",
    "callbacks",
)  # fmt: skip
LAGGING = {
    ("shards", "open"), ("runs", "queued"), ("batches", "open"), ("groups", "open"),
    ("gatherings", "open"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Chances, per port call or per delivery."""

    death: float = 0.0
    unavailable: float = 0.0
    lost: float = 0.0
    doubled: float = 0.0
    lag: float = 0.0
    freeze: float = 0.0


CALM = Faults()
STORM = Faults(death=0.004, unavailable=0.004, lost=0.08, doubled=0.1, lag=0.2, freeze=0.005)


class Death(BaseException):
    """The process is gone: it makes no further call."""


@dataclass(eq=False)
class Task:
    name: str
    body: Callable[[], Any]
    mortal: bool = True
    owner: Task | None = None
    """The process that this is a thread of: the two live and die together."""
    started: float = 0.0
    frozen_until: float = 0.0
    """None of a process's threads has a turn before."""
    stack: Stack = field(default_factory=Stack)
    until: Callable[[], bool] | None = None
    dead: bool = False
    finished: bool = False
    result: Any = None
    error: BaseException | None = None

    @property
    def process(self) -> Task:
        return self.owner or self

    @property
    def is_able(self) -> bool:
        """Whether it has anything to do when it gets its turn; the dead have to die."""
        return self.until is None or self.process.dead or self.until()


class Port:
    """A port whose every call is a moment at which somebody else may run, and something go wrong."""

    def __init__(self, name: str, target: Any, world: Interleaving) -> None:
        self._name = name
        self._target = target
        self._world = world
        self._before: dict[tuple[Any, ...], Any] = {}

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._world.moment(self._name)
            result = getattr(self._target, method)(*args, **kwargs)
            if isinstance(result, Iterator):
                result = iter(list(result))
            if (self._name, method) in LAGGING:
                result = self._lagging((method, *args, *sorted(kwargs.items())), list(result))
            self._world.moment(self._name)
            return result

        return call

    def _lagging(self, asked: tuple[Any, ...], now: list[Any]) -> Any:
        before = self._before.get(asked, [])
        self._before[asked] = now
        shown = before if self._world.happens(self._world.faults.lag) else now
        return iter(shown) if asked == ("open",) else shown


class Interleaving:
    """Each task has a stack of its own, a greenlet, and waits there for its turn. No thread is involved: who goes on is
    nobody's choice but the seed's, and a turn costs a microsecond."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.random = Random(seed)
        self.faults = faults
        self.memory = Memory()
        self.ports: dict[str, Any] = {
            name: Port(name, getattr(self.memory, name), self) for name in PORTS
        }
        self.tasks: list[Task] = []
        self._current: Task | None = None

    def spawn(
        self, name: str, body: Callable[[], Any], *, mortal: bool = True, owner: Task | None = None
    ) -> Task:
        task = Task(name, body, mortal, owner, started=self.memory.clock.now())

        def run() -> None:
            try:
                task.result = task.body()
            except BaseException as error:  # noqa: BLE001  # kept for whoever waits for the task
                task.error = error
            task.finished = True

        task.stack = Stack(run)
        task.stack.world = self
        self.tasks.append(task)
        return task

    def moment(self, port: str) -> None:
        """Inside a task, before a call of this port or after it: others may run now; then this one may die, or its call
        fail."""
        if self.happens(self.faults.freeze):
            self.sleep(self.random.choice([30, 200, 500]))
        task = self._pause()
        if task.process.dead or (task.mortal and self.is_fatal(task)):
            task.process.dead = True
            raise Death
        if task.mortal and port != "clock" and self.fails(port):
            raise Unavailable("No answer.")

    def is_fatal(self, task: Task) -> bool:
        return self.happens(self.faults.death)

    def fails(self, port: str) -> bool:
        return self.happens(self.faults.unavailable)

    def wait(self, until: Callable[[], bool]) -> None:
        task = self.running()
        task.until = until
        self._pause()
        task.until = None
        if task.process.dead:
            raise Death

    def happens(self, chance: float) -> bool:
        return self.random.random() < chance

    def running(self) -> Task:
        assert self._current is not None
        return self._current

    def _pause(self) -> Task:
        """What asyncio keeps per thread is a task's own here: several loops run in one thread, each on its stack."""
        task = self.running()
        loop = asyncio._get_running_loop()
        if loop is None:
            task.stack.parent.switch()
            return task
        hooks = sys.get_asyncgen_hooks()
        asyncio._set_running_loop(None)
        sys.set_asyncgen_hooks(None, None)
        try:
            task.stack.parent.switch()
        finally:
            asyncio._set_running_loop(loop)
            sys.set_asyncgen_hooks(*hooks)
        return task

    def resume(self, task: Task) -> None:
        self._current = task
        task.stack.parent = getcurrent()
        task.stack.switch()
        if task.finished:
            self.tasks.remove(task)
            if isinstance(task.error, Exception) and not isinstance(task.error, OffpeakError):
                raise AssertionError(f"{task.name} broke") from task.error

    def end(self) -> None:
        """Lets every thread go."""
        for task in list(self.tasks):
            task.dead = True
            while not task.finished:
                self.resume(task)

    def sleep(self, seconds: float) -> None:
        until = self.memory.clock.now() + seconds
        self.wait(lambda: self.memory.clock.now() >= until)

