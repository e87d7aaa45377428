"""Many callers of the ports, one of them running at a time: at every port call a seed chooses who goes on, who dies
there, whose call fails before or after its effect, and who falls asleep for a while."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from greenlet import getcurrent

from offpeak.core.errors import OffpeakError, StateConflict, Unavailable
from offpeak.memory.memory import Memory
from offpeak.memory.rows import _key
from tests.steps.simulated_threads import Stack

PORTS = (
    "clock", "reader", "writer", "multipart", "presigner", "changes", "accounts", "files",
    "batches", "runs", "shards", "ledger", "idempotency", "workflows", "dispatches", "endpoints",
    "announcements", "drops", "requests", "groups", "gatherings", "request_queue", "group_checks",
    "callbacks",
)  # fmt: skip
LAGGING = {
    ("shards", "open"), ("runs", "queued"), ("batches", "open"), ("groups", "open"),
    ("gatherings", "open"), ("workflows", "failed"), ("batches", "open_of"),
}  # fmt: skip


EFFECTS = frozenset({
    "writer", "multipart", "changes", "idempotency", "workflows", "dispatches", "endpoints",
    "announcements", "drops", "requests", "request_queue", "group_checks", "callbacks",
    "destinations",
})  # fmt: skip
"""Ports that change something: what was sent twice, or arrives after its sender gave up, is seen."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Chances, per port call or per delivery. `unavailable` fails a call before its effect or after it; `late`: the
    caller gives up, and the effect comes all the same, some time later; `echo`: the call arrives twice."""

    death: float = 0.0
    unavailable: float = 0.0
    lost: float = 0.0
    doubled: float = 0.0
    lag: float = 0.0
    freeze: float = 0.0
    late: float = 0.0
    echo: float = 0.0


CALM = Faults()
STORM = Faults(
    death=0.004, unavailable=0.004, lost=0.08, doubled=0.1, lag=0.2, freeze=0.005, late=0.003,
    echo=0.005,
)  # fmt: skip


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
    """A port whose every call is two moments, before its effect and after it, at which somebody else may run and
    something go wrong."""

    def __init__(self, name: str, target: Any, world: Interleaving) -> None:
        self._name = name
        self._target = target
        self._world = world
        self._before: dict[tuple[Any, ...], Any] = {}

    def __getattr__(self, method: str) -> Callable[..., Any]:
        target = getattr(self._target, method)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._world.moment(self._name)
            result = self._reach(method, target, args, kwargs)
            if isinstance(result, Iterator):
                result = iter(list(result))
            if (self._name, method) in LAGGING:
                result = self._lagging((method, *args, *sorted(kwargs.items())), list(result))
            self._world.moment(self._name, done=True)
            return result

        return call

    def _reach(
        self, method: str, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The effect: once, twice, or when nobody waits for it any more."""
        world, faults = self._world, self._world.faults
        if self._name not in EFFECTS:
            return target(*args, **kwargs)
        if world.happens(faults.late):
            world.come_late(f"late {self._name}.{method}", lambda: target(*args, **kwargs))
            raise Unavailable("No answer in time.")
        result = target(*args, **kwargs)
        if world.happens(faults.echo):
            world.moment(self._name, done=True)
            result = self.echo(method, target, result, args, kwargs)
        return result

    def echo(
        self, method: str, target: Callable[..., Any], result: Any, args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:  # fmt: skip
        """The call arrives a second time, for its first answer was lost on the way: the second's is what is seen."""
        return target(*args, **kwargs)

    def _lagging(self, asked: tuple[Any, ...], now: list[Any]) -> Any:
        before = self._before.get(asked, [])
        self._before[asked] = now
        shown = before if self._world.happens(self._world.faults.lag) else now
        return iter(shown) if asked == ("open",) else shown


class ChangesPort(Port):
    """Its echo is recognised as far as `offpeak.aws.changes` can: a transaction by its token, a put by its `write_id`
    while nobody has changed the row since. Afterwards it is a conflict, though the write was made."""

    def echo(
        self, method: str, target: Callable[..., Any], result: Any, args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:  # fmt: skip
        row = args[0].row
        stored = self._target._tables.rows[type(row)].get(_key(row))
        if len(args) > 1 or stored is None or stored.version == row.version + 1:
            return result
        raise StateConflict("Somebody else has changed it since.", code="write_conflict")


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
        self.ports["changes"] = ChangesPort("changes", self.memory.changes, self)
        self.tasks: list[Task] = []
        self._current: Task | None = None
        self._home = getcurrent()

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

    def come_late(self, name: str, effect: Callable[[], Any]) -> None:
        """What was given up on its way arrives nevertheless, when others have changed what was there: within the minute
        after which the SDK's connection is gone."""

        def arrive() -> None:
            self.sleep(self.random.choice([1, 40, 60]))
            with suppress(OffpeakError):
                effect()

        self.spawn(name, arrive, mortal=False)

    def moment(self, port: str, *, done: bool = False) -> None:
        """Inside a task, before a call of this port has its effect or after it is `done`: others may run now; then this
        one may die, or its call fail."""
        if self.happens(self.faults.freeze):
            self.sleep(self.random.choice([30, 200, 500]))
        task = self._pause()
        if task.process.dead or (task.mortal and self.is_fatal(task)):
            task.process.dead = True
            raise Death
        if task.mortal and port != "clock" and self.fails(port, done):
            raise Unavailable("No answer.")

    def is_fatal(self, task: Task) -> bool:
        return self.happens(self.faults.death)

    def fails(self, port: str, done: bool) -> bool:
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
            self._home.switch()
            return task
        hooks = sys.get_asyncgen_hooks()
        asyncio._set_running_loop(None)
        sys.set_asyncgen_hooks(None, None)
        try:
            self._home.switch()
        finally:
            asyncio._set_running_loop(loop)
            sys.set_asyncgen_hooks(*hooks)
        return task

    def resume(self, task: Task) -> None:
        self._current = task
        self._home = task.stack.parent = getcurrent()
        task.stack.switch()
        if task.finished:
            self.tasks.remove(task)
            if isinstance(task.error, Exception) and not isinstance(task.error, OffpeakError):
                raise AssertionError(f"{task.name} broke") from task.error

    def end(self) -> None:
        """Lets every task go. What breaks as it dies is no finding."""
        for task in list(self.tasks):
            task.dead = True
            while not task.finished:
                with suppress(AssertionError):
                    self.resume(task)

    def sleep(self, seconds: float) -> None:
        until = self.memory.clock.now() + seconds
        self.wait(lambda: self.memory.clock.now() >= until)
