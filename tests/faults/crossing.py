"""What stands between AWS and its callers in the tests of faults: passes every call on, and halts those it is asked to.

A process that is to die "in the middle" has to be met there. Its calls to AWS are the places where a death makes a
difference: before a call nothing of it has happened, after it everything has, and only the caller doesn't know.

    with Crossing(emulator.url) as crossing:
        halt = crossing.halt(At(caller="worker", operation="PutObject", resource="checkpoints/"))
        halt.wait()                          # the call is here, its caller waits
        halt.send(signal.SIGTERM); halt.release()
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.aws_calls import describe
from benchmarks.threaded_server import ThreadedServer
from tests.faults.sockets import pid_of_client

SECONDS_MAX = 120.0
_HOP_BY_HOP = frozenset({"connection", "content-length", "transfer-encoding", "keep-alive"})
_METHODS = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"]


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """A call of `caller` (a function's folder, or `worker`) whose operation matches one regular expression and whose
    resource holds another. `answered`: when it has had its effect, before its caller hears of it."""

    caller: str
    operation: str = ".*"
    resource: str = ""
    answered: bool = False

    def matches(self, caller: str, operation: str, resource: str) -> bool:
        found = re.fullmatch(self.operation, operation) and re.search(self.resource, resource)
        return caller == self.caller and found is not None

    def __str__(self) -> str:
        when = "after" if self.answered else "before"
        return f"{self.caller}, {when} {self.operation} {self.resource}".rstrip()


class Halt:
    """The first call that comes to `at`, or with `every` all of them: whoever gets no answer asks again. With `deadly`
    its caller is killed there and then."""

    def __init__(self, at: At, *, deadly: bool, every: bool) -> None:
        self.at = at
        self.deadly = deadly
        self.every = every
        self.pid = 0
        self._reached = threading.Event()
        self._released = threading.Event()

    @property
    def is_reached(self) -> bool:
        return self._reached.is_set()

    @property
    def is_released(self) -> bool:
        return self._released.is_set()

    def wait(self, seconds: float = SECONDS_MAX) -> int:
        """The caller's process id, once it is here."""
        assert self._reached.wait(seconds), f"nobody came in {seconds} s: {self.at}"
        return self.pid

    def send(self, number: signal.Signals) -> None:
        os.kill(self.wait(), number)

    def release(self) -> None:
        self._released.set()

    async def reach(self, pid: int) -> bool:
        """Whether the call goes on from here."""
        self.pid = pid
        if self.deadly:
            os.kill(pid, signal.SIGKILL)
            self._reached.set()
            return False
        self._reached.set()
        give_up_at = time.monotonic() + SECONDS_MAX
        while not self.is_released and time.monotonic() < give_up_at:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # it is released from another thread
        return self.is_released


class Crossing(ThreadedServer):
    """Listens on 127.0.0.1 and speaks to `target`."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._halts: list[Halt] = []
        self._reached: list[Halt] = []
        super().__init__(self._app())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()
        super().__exit__(kind, error, trace)

    def halt(self, at: At, *, deadly: bool = False, every: bool = False) -> Halt:
        halt = Halt(at, deadly=deadly, every=every)
        with self._lock:
            self._halts.append(halt)
        return halt

    def clear(self) -> None:
        """Releases whoever waits here, and halts nobody any more."""
        with self._lock:
            for halt in (*self._halts, *self._reached):
                halt.release()
            self._halts, self._reached = [], []

    def _due(self, caller: str, operation: str, resource: str, *, answered: bool) -> Halt | None:
        """Each halts one call, unless it is for every one."""
        with self._lock:
            for halt in self._halts:
                at = halt.at
                if at.answered is not answered or halt.is_released:
                    continue
                if at.matches(caller, operation, resource):
                    if not halt.every:
                        self._halts.remove(halt)
                        self._reached.append(halt)
                    return halt
        return None

    async def _goes_on(self, request: Request, body: bytes, *, answered: bool) -> bool:
        caller, _, operation, resource = describe(request, body)
        halt = self._due(caller, operation, resource, answered=answered)
        if halt is None:
            return True
        assert request.client is not None
        try:
            pid = await asyncio.to_thread(pid_of_client, request.client.port, self.port)
        except LookupError:  # its caller gave up meanwhile: the next call will do
            self._rearm(halt)
            return False
        return await halt.reach(pid)

    def _rearm(self, halt: Halt) -> None:
        with self._lock:
            if halt in self._reached:
                self._reached.remove(halt)
                self._halts.insert(0, halt)

    def _app(self) -> Starlette:
        client = httpx.AsyncClient(
            timeout=SECONDS_MAX, trust_env=False, limits=httpx.Limits(max_connections=None)
        )

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            async with client:
                yield

        async def forward(request: Request) -> Response:
            body = await request.body()
            if not await self._goes_on(request, body, answered=False):
                return Response(status_code=503)  # to nobody: its caller is dead
            answer = await client.send(_asked(request, body, self._target))
            await self._goes_on(request, body, answered=True)
            return _answer(request, answer)

        return Starlette(
            lifespan=lifespan, routes=[Route("/{path:path}", forward, methods=_METHODS)]
        )


def _asked(request: Request, body: bytes, target: str) -> httpx.Request:
    path = request.scope["raw_path"].decode("ascii")
    query = request.scope["query_string"].decode("ascii")
    headers = [(k, v) for k, v in request.headers.items() if k not in _HOP_BY_HOP]
    url = target + path + (f"?{query}" if query else "")
    return httpx.Request(request.method, url, headers=headers, content=body)


def _answer(request: Request, answer: httpx.Response) -> Response:
    response = Response(answer.content, status_code=answer.status_code)
    kept = [(k.lower(), v) for k, v in answer.headers.raw if k.decode().lower() not in _HOP_BY_HOP]
    length = answer.headers.get("content-length", "0").encode()
    own = length if request.method == "HEAD" else str(len(answer.content)).encode()
    response.raw_headers = [(b"content-length", own), *kept]
    return response
