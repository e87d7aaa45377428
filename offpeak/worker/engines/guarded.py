"""Connections to one server by its URL, under the rules of `core/destination`: the name is resolved by the port
`Destinations`, every address checked, and the connection goes to one of them, with TLS still verifying the name."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx

from offpeak.core.destination import Destination
from offpeak.core.errors import InvalidRequest, Unavailable
from offpeak.core.ports import Destinations, Resolved

ADDRESSES_TRIED_MAX = 3
RESOLVED_SECONDS = 30.0
"""How long an answer of the name servers is good for new connections; those that are open stay where they are."""


class GuardedTransport(httpx.AsyncBaseTransport):
    """Everything goes to the host of `url`, whatever a request says. No proxies, nothing of the environment."""

    def __init__(self, url: str, destinations: Destinations, *, limits: httpx.Limits) -> None:
        self._url = url
        self._destinations = destinations
        self._inner = httpx.AsyncHTTPTransport(limits=limits, trust_env=False)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="resolve")
        self._resolving = asyncio.Lock()
        self._known: tuple[float, Resolved] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        resolved = await self._resolved(request)
        destination = resolved.destination
        request.headers["Host"] = destination.authority
        request.extensions = {**request.extensions, "sni_hostname": destination.host}
        *others, last = resolved.addresses[:ADDRESSES_TRIED_MAX]
        for address in others:
            with suppress(httpx.ConnectError):
                return await self._send(request, destination, address)
        return await self._send(request, destination, last)

    async def _send(
        self, request: httpx.Request, destination: Destination, address: str
    ) -> httpx.Response:
        request.url = request.url.copy_with(
            scheme=destination.scheme, host=address, port=destination.port
        )
        return await self._inner.handle_async_request(request)

    async def _resolved(self, request: httpx.Request) -> Resolved:
        async with self._resolving:
            now = time.monotonic()
            if self._known is None or now - self._known[0] > RESOLVED_SECONDS:
                look = asyncio.get_running_loop().run_in_executor(
                    self._thread, self._destinations.resolve, self._url
                )
                try:
                    self._known = (now, await look)
                except (InvalidRequest, Unavailable) as error:
                    self._known = None
                    raise httpx.ConnectError(error.message, request=request) from error
            return self._known[1]

    async def aclose(self) -> None:
        self._thread.shutdown(wait=False)
        await self._inner.aclose()
