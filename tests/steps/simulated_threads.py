"""The thread pools of steps, inside a world: their threads are tasks of the world, and the seed chooses among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from greenlet import getcurrent, greenlet

from offpeak.steps import deliver_callbacks, join_objects

if TYPE_CHECKING:
    from tests.steps.interleaving import Interleaving, Task


class Stack(greenlet):
    """What a task of a world runs on."""

    world: Interleaving


class SimulatedThreads:
    """As much of a ThreadPoolExecutor as steps use."""

    def __init__(self, world: Interleaving) -> None:
        self._world = world
        self._process = world.running().process
        self._begun: list[_Future] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.shutdown()

    def submit(self, function: Callable[..., Any], *args: Any) -> _Future:
        future = _Future(self._world)
        future.task = self._world.spawn(
            f"{self._process.name}: thread", lambda: future.settle(function, args),
            mortal=self._process.mortal, owner=self._process,
        )  # fmt: skip
        self._begun.append(future)
        return future

    def map(self, function: Callable[..., Any], *given: Iterable[Any]) -> Iterator[Any]:
        futures = [self.submit(function, *args) for args in zip(*given, strict=False)]
        return (future.result() for future in futures)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            for future in self._begun:
                future.is_cancelled = True
        if wait:
            self._world.wait(lambda: all(future.task.finished for future in self._begun))


class _Future:
    task: Task

    def __init__(self, world: Interleaving) -> None:
        self._world = world
        self._result: Any = None
        self._error: Exception | None = None
        self.is_cancelled = False

    def settle(self, function: Callable[..., Any], args: Iterable[Any]) -> None:
        """On the thread. One that was cancelled before its first turn does nothing."""
        if self.is_cancelled:
            return
        try:
            self._result = function(*args)
        except Exception as error:  # noqa: BLE001 - whoever asks for the result gets it
            self._error = error

    def result(self) -> Any:
        self._world.wait(lambda: self.task.finished)
        if self._error is not None:
            raise self._error
        return self._result


def _threads(workers: int) -> SimulatedThreads | ThreadPoolExecutor:
    stack = getcurrent()
    return (
        SimulatedThreads(stack.world) if isinstance(stack, Stack) else ThreadPoolExecutor(workers)
    )


for module in (deliver_callbacks, join_objects):
    module.ThreadPoolExecutor = _threads  # type: ignore[attr-defined]  # real ones outside of worlds
