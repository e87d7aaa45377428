"""A server in a thread of this process, for those who stand between a program and what it calls."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette

from offpeak.local.processes import free_port

START_SECONDS_MAX = 600.0


class ThreadedServer:
    """Serves `app` on a free port of 127.0.0.1 while it is entered. Raises RuntimeError when it doesn't start."""

    def __init__(
        self, app: Starlette, *, log_level: str = "warning", drain_seconds: int = 2
    ) -> None:
        self.port = free_port()
        config = uvicorn.Config(
            app, host="127.0.0.1", port=self.port, log_level=log_level, server_header=False,
            date_header=False, timeout_graceful_shutdown=drain_seconds,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        give_up_at = time.monotonic() + START_SECONDS_MAX
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > give_up_at:
                raise RuntimeError(f"The server on port {self.port} did not start.")
            time.sleep(0.01)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
