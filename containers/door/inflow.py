"""A request's body as a thread reads it.

The body is pulled: nobody reads ahead of what S3 has taken, so a quick caller waits and memory stays flat. uvicorn
itself holds 64 KiB of a request and then stops reading its socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

from starlette.requests import ClientDisconnect, Request

from offpeak.core.errors import InvalidRequest, OffpeakError

BLOCK_BYTES = 256 * 1_024
"""What is handed over to the thread at once; each time costs some 50 µs."""


class Gone(Exception):
    """The caller has hung up, or we must stop: there is nobody to answer."""


class Inflow:
    """`for block in inflow` in a thread, while the request's own event loop runs. Raises Gone, and InvalidRequest where
    the caller sends nothing for `stall_seconds`."""

    def __init__(self, request: Request, *, stall_seconds: float) -> None:
        self._chunks: AsyncIterator[bytes] = request.stream()
        self._loop = asyncio.get_running_loop()
        self._stall_seconds = stall_seconds
        self._waiting: asyncio.Task[bytes] | None = None
        self._closed = False
        self.at_end = False
        """Whether the whole body was read."""

    def __iter__(self) -> Iterator[bytes]:
        while not self._closed:
            block = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            if not block:
                return
            yield block
        raise Gone

    def close(self) -> None:
        """Whoever reads, or wants to, gets Gone. In the event loop only."""
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def discard(self, bytes_max: int, seconds_max: float) -> None:
        """Reads on for nobody, for a while."""
        with suppress(TimeoutError, ClientDisconnect, Gone, OffpeakError):
            async with asyncio.timeout(seconds_max):
                while bytes_max > 0 and (block := await self._block()):
                    bytes_max -= len(block)

    async def _next(self) -> bytes:
        if self._closed:
            raise Gone
        self._waiting = asyncio.ensure_future(self._block())
        try:
            return await self._waiting
        except (asyncio.CancelledError, ClientDisconnect):
            raise Gone from None
        finally:
            self._waiting = None

    async def _block(self) -> bytes:
        """The next bytes, gathered to a block; none at the end."""
        block = bytearray()
        while len(block) < BLOCK_BYTES and not self.at_end:
            try:
                async with asyncio.timeout(self._stall_seconds):
                    block += await anext(self._chunks)
            except StopAsyncIteration:
                self.at_end = True
            except TimeoutError:
                raise InvalidRequest(
                    f"No byte of the body has come for {self._stall_seconds:g} seconds.",
                    code="request_timeout",
                ) from None
        return bytes(block)
