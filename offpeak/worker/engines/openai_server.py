"""Any OpenAI-compatible server, by its URL: for models that run elsewhere, and for trying against one at hand.

The URL is an operator's, and passes the guard all the same (`guarded.py`): a private address must be named in
`OFFPEAK_ENGINE_ALLOWED`. Redirects are not followed, answers bounded in size and time.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from offpeak.core.errors import InvalidRequest, Unavailable
from offpeak.core.ports import Destinations
from offpeak.wire.usage import read_usage
from offpeak.worker.engine import EngineAnswer, EngineDead, EngineLimits, error_answer
from offpeak.worker.engines.guarded import GuardedTransport

logger = logging.getLogger(__name__)
_LIMITS = {
    "/v1/chat/completions": ("max_tokens", "max_completion_tokens"),
    "/v1/responses": ("max_output_tokens",),
}
"""The fields that limit an answer; the first is the one that every server knows."""
_CUT = "offpeak.cut"
"""Marks an answer that was longer than is taken."""
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """`attempts_max` tries of one request, pauses doubling from `retry_seconds` to `retry_seconds_max`; a server's own
    `Retry-After` goes before, up to that maximum. `answer_seconds_max` and `answer_bytes_max` are for one try."""

    window: int = 64
    attempts_max: int = 6
    retry_seconds: float = 0.5
    retry_seconds_max: float = 60.0
    connect_seconds_max: float = 10.0
    answer_seconds_max: float = 1_800.0
    answer_bytes_max: int = 256 << 20
    start_seconds_max: float = 300.0
    ready_seconds: float = 5.0


class OpenAIServerEngine:
    """`url` is the server's root or its `/v1`. `served_name` is the catalogue's id, which answers carry; the server may
    know the model by another name, `server_model`.

    A line that names no limit gets `completion_tokens_default`; if the server then refuses it, perhaps because prompt
    and limit together are over the context, it is asked again without. For completions OpenAI's own default stands."""

    def __init__(
        self, url: str, served_name: str, destinations: Destinations, *,
        server_model: str | None = None, api_key: str | None = None,
        completion_tokens_default: int | None = None, settings: ServerSettings = ServerSettings(),
    ) -> None:  # fmt: skip
        self._root = url.rstrip("/").removesuffix("/v1")
        self._name = served_name
        self._destinations = destinations
        self._server_model = server_model or served_name
        self._api_key = api_key
        self._completion_tokens_default = completion_tokens_default
        self._settings = settings
        self._http: httpx.AsyncClient | None = None
        self._counters: Counter[str] = Counter()
        self._seen_ready = (0.0, False)

    @property
    def limits(self) -> EngineLimits:
        return EngineLimits(requests=self._settings.window)

    async def start(self) -> None:
        limits = httpx.Limits(max_connections=self._settings.window + 2)
        timeout = httpx.Timeout(
            self._settings.answer_seconds_max, connect=self._settings.connect_seconds_max
        )
        headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        await self._check_url()
        self._http = httpx.AsyncClient(
            base_url=self._root, headers=headers, timeout=timeout, trust_env=False,
            transport=GuardedTransport(self._root, self._destinations, limits=limits),
        )  # fmt: skip
        give_up_at = time.monotonic() + self._settings.start_seconds_max
        while not await self._answers():
            if time.monotonic() > give_up_at:
                raise EngineDead(f"Nothing answers at {self._root}.")
            await asyncio.sleep(self._settings.retry_seconds)

    async def _check_url(self) -> None:
        """A URL that may not be reached won't be later; a name that isn't known may be."""
        try:
            await asyncio.to_thread(self._destinations.check, self._root)
        except InvalidRequest as error:
            if error.code != "destination_unknown":
                hint = "A private address must be named in OFFPEAK_ENGINE_ALLOWED."
                raise EngineDead(
                    f"{self._root} may not be reached: {error.message} {hint}"
                ) from None
        except Unavailable:
            logger.warning("%s: the name servers don't answer", self._root)

    async def ready(self) -> bool:
        """Asks the server, at most every `ready_seconds`."""
        asked_at, answered = self._seen_ready
        if time.monotonic() - asked_at > self._settings.ready_seconds:
            answered = await self._answers()
            self._seen_ready = (time.monotonic(), answered)
        return answered

    async def run(self, endpoint: str, body: Mapping[str, Any], *, priority: int) -> EngineAnswer:  # noqa: ARG002 - servers have no such field in common
        self._counters["requests"] += 1
        limit = self._limit_for(endpoint, body)
        answer = await self._ask(endpoint, {**body, **limit})
        return await self._ask(endpoint, body) if limit and answer.status_code == 400 else answer

    def _limit_for(self, endpoint: str, body: Mapping[str, Any]) -> Mapping[str, int]:
        names = _LIMITS.get(endpoint, ())
        if self._completion_tokens_default is None or any(body.get(n) is not None for n in names):
            return {}
        return dict.fromkeys(names[:1], self._completion_tokens_default)

    async def _ask(self, endpoint: str, body: Mapping[str, Any]) -> EngineAnswer:
        request = msgspec.json.encode({**body, "model": self._server_model})
        for attempt in range(1, self._settings.attempts_max + 1):
            response, failure = await self._post(endpoint, request)
            if response is not None and response.status_code not in _AGAIN:
                return self._answer(response)
            if attempt < self._settings.attempts_max:
                self._counters["retries"] += 1
                await asyncio.sleep(self._pause(attempt, response))
        if response is None:
            raise EngineDead(f"{self._root} can't be reached: {failure}")
        return self._answer(response)

    async def stop(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    def stats(self) -> Mapping[str, int]:
        return dict(self._counters)

    async def _post(self, endpoint: str, request: bytes) -> tuple[httpx.Response | None, str]:
        try:
            async with asyncio.timeout(self._settings.answer_seconds_max):
                return await self._exchange(endpoint, request), ""
        except TimeoutError:
            return None, f"no answer within {self._settings.answer_seconds_max:g} s"
        except (httpx.TransportError, httpx.DecodingError) as error:
            logger.warning("%s: %s", self._root, type(error).__name__)
            return None, f"{type(error).__name__} {error}"

    async def _exchange(self, endpoint: str, request: bytes) -> httpx.Response:
        """The answer, or one that is marked as cut."""
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        async with self._client.stream(
            "POST", endpoint, content=request, headers=headers
        ) as response:
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > self._settings.answer_bytes_max:
                    return httpx.Response(response.status_code, extensions={_CUT: True})
            kept = {"Retry-After"} & set(response.headers)
            return httpx.Response(
                response.status_code, content=bytes(content),
                headers={name: response.headers[name] for name in kept},
            )  # fmt: skip

    def _pause(self, attempt: int, response: httpx.Response | None) -> float:
        longest = self._settings.retry_seconds_max
        asked = _retry_after(response) if response is not None else None
        if asked is not None:
            return min(asked, longest)
        backed_off = min(self._settings.retry_seconds * 2.0 ** (attempt - 1), longest)
        return float(backed_off * random.uniform(0.5, 1.0))

    def _answer(self, response: httpx.Response) -> EngineAnswer:
        """A success is a JSON object, whatever the server says of it: a proxy's page under status 200 is none."""
        status, body = response.status_code, response.content
        if _CUT in response.extensions:
            return _garbage(f"has more than {self._settings.answer_bytes_max:,} bytes")
        if 300 <= status < 400:
            return _garbage("is a redirect, which is not followed")
        if status >= 400:
            return EngineAnswer(status_code=status, body=body)
        if not _is_object(body):
            return _garbage("is no JSON object")
        if self._server_model != self._name:
            body = _renamed(body, self._name)
        return EngineAnswer(status_code=response.status_code, body=body, usage=read_usage(body))

    async def _answers(self) -> bool:
        try:
            response = await self._client.get(
                "/v1/models", timeout=self._settings.connect_seconds_max
            )
        except httpx.TransportError:
            return False
        return response.status_code < 500

    @property
    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            raise EngineDead("The engine has not started.")
        return self._http


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, when the header gives them as a number (a date is left to our own back-off)."""
    try:
        return max(0.0, float(response.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None


class _Object(msgspec.Struct):
    """Any JSON object."""


_OBJECTS = msgspec.json.Decoder(_Object)


def _is_object(body: bytes) -> bool:
    """NaN, which some servers write, is let through here and becomes null in the result."""
    try:
        _OBJECTS.decode(body)
    except (ValueError, RecursionError):
        try:
            return isinstance(json.loads(body), dict)
        except (ValueError, RecursionError):
            return False
    return True


def _garbage(what: str) -> EngineAnswer:
    return error_answer(502, f"The server's answer {what}.", kind="server_error")


def _renamed(body: bytes, model: str) -> bytes:
    try:
        answer = msgspec.json.decode(body)
    except ValueError:
        return body
    return msgspec.json.encode({**answer, "model": model}) if isinstance(answer, dict) else body
