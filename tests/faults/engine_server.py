"""An OpenAI-compatible server that echoes, as well or as badly as a word of the prompt asks for:

    [[gate]]           answers when the test opens the gate
    [[hang]]           never answers
    [[cut]]            hangs up in the middle of its first answer, and answers the second time
    [[page]]           a proxy's error page, under status 200
    [[half]]           the first half of an answer, as if it were all of it
    [[tokens=-5]]      says that it took so many tokens
    [[flood]]          an answer without an end
    [[kill]]           whoever asks is killed, there and then

What the echo engine knows it does too ([[status=429]], [[sleep=1]]). `starts` can be held back: until then it has no
models, as a server that is loading them.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import threading
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from benchmarks.threaded_server import ThreadedServer
from offpeak.worker.engines.echo import EchoEngine
from tests.faults.sockets import pid_of_client

SECONDS_MAX = 600.0
_TOKENS = re.compile(r"\[\[tokens=(-?[0-9]+)\]\]")
_PAGE = "<html><h1>502 Bad Gateway</h1></html>"
_MIB = b" " * 2**20


class EngineServer(ThreadedServer):
    def __init__(self, model: str) -> None:
        self._echo = EchoEngine(model)
        self._model = model
        self._cut: set[str] = set()
        self._gate = threading.Event()
        self._loaded = threading.Event()
        self._loaded.set()
        self._asked: list[str] = []
        super().__init__(self._app(), log_level="critical", drain_seconds=1)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.open_gate()
        super().__exit__(kind, error, trace)

    def close_gate(self) -> None:
        self._gate.clear()

    def open_gate(self) -> None:
        self._gate.set()

    def unload(self) -> None:
        """From now on it is loading its models."""
        self._loaded.clear()

    def load(self) -> None:
        self._loaded.set()

    def asked(self, text: str) -> int:
        """How often it was asked exactly this."""
        return self._asked.count(text)

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/models", self._models, methods=["GET"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
            ]
        )

    async def _models(self, _: Request) -> Response:
        if not self._loaded.is_set():
            return Response(status_code=503)
        return JSONResponse({"object": "list", "data": [{"id": self._model, "object": "model"}]})

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        text = str(body["messages"][-1]["content"])
        self._asked.append(text)
        if "[[kill]]" in text:
            assert request.client is not None
            pid = await asyncio.to_thread(pid_of_client, request.client.port, self.port)
            os.kill(pid, signal.SIGKILL)
            return Response(status_code=503)  # to nobody
        if "[[gate]]" in text:
            await self._until(request, self._gate)
        if "[[hang]]" in text:
            await self._until(request, threading.Event())
        if "[[flood]]" in text:
            return StreamingResponse(_flood(), media_type="application/json")
        if "[[page]]" in text:
            return Response(_PAGE, media_type="text/html")
        answer = await self._echo.run("/v1/chat/completions", body, priority=0)
        content = _with_tokens(answer.body, text)
        if "[[half]]" in text:
            content = content[: len(content) // 2]
        if "[[cut]]" in text and text not in self._cut:
            self._cut.add(text)
            return StreamingResponse(_cut(content), headers={"Content-Length": str(len(content))})
        return Response(content, status_code=answer.status_code, media_type="application/json")

    async def _until(self, request: Request, event: threading.Event) -> None:
        """Until it is set, or nobody waits for the answer any more."""
        give_up_at = time.monotonic() + SECONDS_MAX
        while not (event.is_set() or self._server.should_exit or time.monotonic() > give_up_at):
            if await request.is_disconnected():
                return
            await asyncio.sleep(0.02)


def _with_tokens(content: bytes, text: str) -> bytes:
    asked = _TOKENS.search(text)
    if asked is None:
        return content
    answer: dict[str, Any] = json.loads(content)
    answer["usage"] = {"prompt_tokens": int(asked[1]), "completion_tokens": int(asked[1])}
    return json.dumps(answer).encode()


async def _cut(content: bytes) -> AsyncIterator[bytes]:
    yield content[: len(content) // 2]


async def _flood() -> AsyncIterator[bytes]:
    while True:
        yield _MIB
        await asyncio.sleep(0)
