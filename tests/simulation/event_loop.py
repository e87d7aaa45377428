"""An asyncio loop that runs on a world's clock and takes its turn among the world's tasks.

The worker is asyncio and calls its ports on threads. Here a timer is due by the simulated clock, and a call on a thread
is a task of the world's own, so that the seed chooses what happens between the two, and where either dies.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.steps.interleaving import Death, Interleaving

_Post = Callable[[], None]


class SimulatedLoop(asyncio.BaseEventLoop):
    """Made and run inside a task of the world: the process. Its death ends the loop wherever it is."""

    def __init__(self, world: Interleaving) -> None:
        super().__init__()
        self._world = world
        self._process = world.running()
        self._born = world.memory.clock.now()
        self._posts: deque[_Post] = deque()
        self._selector = _Turns(self)
        self.set_exception_handler(lambda *_: None)  # what a death leaves pending is meant to be

    def post(self, callback: _Post) -> None:
        """From another task of the world: the loop calls it when it next has its turn. A signal, for instance."""
        self._posts.append(callback)

    def time(self) -> float:
        return self._world.memory.clock.now() - self._born

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.create_future()

        def call() -> None:
            try:
                result = func(*args)
            except Death:
                self._process.dead = True
            except BaseException as error:  # noqa: BLE001 - the future's to raise
                self.post(_unless_done(future, future.set_exception, error))
            else:
                self.post(_unless_done(future, future.set_result, result))

        self._world.spawn(f"{self._process.name}: port", call, owner=self._process)
        return future

    def take_turn(self, timeout: float | None) -> None:
        """Lets the others go on until something is due here. Raises Death."""
        if timeout is None or timeout > 0:
            until = None if timeout is None else self.time() + timeout
            self._world.wait(
                lambda: bool(self._posts) or (until is not None and self.time() >= until)
            )
        elif self._process.dead:
            raise Death
        while self._posts:
            self._posts.popleft()()

    def _process_events(self, event_list: Any) -> None: ...

    def _write_to_self(self) -> None: ...

    def _check_closed(self) -> None:
        """What a death left pending is collected some time later, and may then still ask for a turn. It gets none."""


class _Turns:
    """Stands where asyncio has its selector: waiting for sockets is waiting for one's turn."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self._loop.take_turn(timeout)
        return []


def _unless_done(future: asyncio.Future[Any], settle: Callable[[Any], None], value: Any) -> _Post:
    def post() -> None:
        if not future.done():
            settle(value)

    return post
