"""The API over HTTP: one call, its retries, and its errors as sentences."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from offpeak.cli.errors import CliError, Unreachable
from offpeak.cli.settings import Settings

TRIES_MAX = 5
RETRY_AFTER_SECONDS_MAX = 120.0
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_PAGE_ROWS = 100


class Api:
    """A caller's view of one deployment. Use it as a context manager."""

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        self.base_url = settings.base_url
        self._http = httpx.Client(
            base_url=settings.base_url,
            headers={"Authorization": f"Bearer {settings.api_key}"},
            timeout=TIMEOUT,
            transport=transport,
        )

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._http.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._json("GET", path, params=params)

    def read(self, path: str, params: Mapping[str, Any]) -> httpx.Response:
        """An answer that is no JSON, with its headers."""
        return self._send("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._json("POST", path, json=body or {}, headers=_idempotency())

    def post_form(
        self, path: str, fields: Mapping[str, str], file: tuple[str, bytes]
    ) -> dict[str, Any]:
        """A multipart form; `file` is its name and its bytes, sent last."""
        return self._json("POST", path, data=fields, files={"file": file}, headers=_idempotency())

    def delete(self, path: str) -> dict[str, Any]:
        return self._json("DELETE", path)

    def pages(self, path: str, limit: int | None, **params: str) -> Iterator[dict[str, Any]]:
        """The rows of a list, page by page; at most `limit` when given."""
        after: str | None = None
        while limit is None or limit > 0:
            rows = _PAGE_ROWS if limit is None else min(limit, _PAGE_ROWS)
            page = self.get(path, {"limit": rows, **params, **({"after": after} if after else {})})
            yield from page["data"]
            if not page.get("has_more") or not page["data"]:
                return
            after = page["data"][-1]["id"]
            limit = None if limit is None else limit - len(page["data"])

    def download(self, path: str) -> Iterator[bytes]:
        """The bytes behind `path`, in chunks; a broken transfer goes on where it broke.

        Redirects are followed, without the key once the host changes.
        """
        received = 0
        for tries in range(1, TRIES_MAX + 1):
            try:
                for chunk in self._stream(path, received):
                    received += len(chunk)
                    yield chunk
            except httpx.TransportError as error:
                if tries == TRIES_MAX:
                    raise _unreachable(self.base_url, error) from None
                time.sleep(backoff_seconds(tries))
            else:
                return

    def _stream(self, path: str, start: int) -> Iterator[bytes]:
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        with self._http.stream("GET", path, headers=headers, follow_redirects=True) as response:
            if response.status_code >= 400:
                response.read()
                raise _error(response)
            if start and response.status_code != 206:
                raise CliError(
                    "The download broke, and the server can't go on in the middle. Try again."
                )
            yield from response.iter_bytes()

    def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        response = self._send(method, path, **request)
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise CliError(
                f"{self.base_url} answered {method} {path} with {response.status_code} and no JSON; "
                "is this the address of an Offpeak API?"
            )
        return answer

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        for tries in range(1, TRIES_MAX + 1):
            try:
                response = self._http.request(method, path, **request)
            except httpx.ConnectError as error:
                raise _unreachable(self.base_url, error) from None
            except httpx.TransportError as error:
                if tries == TRIES_MAX:
                    raise _unreachable(self.base_url, error) from None
                time.sleep(backoff_seconds(tries))
                continue
            if response.status_code < 400:
                return response
            if response.status_code not in _RETRIED or tries == TRIES_MAX:
                raise _error(response)
            time.sleep(_retry_after_seconds(response) or backoff_seconds(tries))
        raise AssertionError("unreachable: the last try returns or raises")


def backoff_seconds(tries: int) -> float:
    """Before the next try: 0.5 s, doubled each time up to 8 s, with up to half of it taken off at random."""
    return min(8.0, 0.25 * 2.0**tries) * random.uniform(0.5, 1.0)


def _idempotency() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


def _retry_after_seconds(response: httpx.Response) -> float | None:
    try:
        return min(float(response.headers["retry-after"]), RETRY_AFTER_SECONDS_MAX)
    except (KeyError, ValueError):
        return None


def _error(response: httpx.Response) -> CliError:
    """OpenAI's error envelope as a sentence; what isn't one is named by its status."""
    status, request = response.status_code, response.request
    try:
        message = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        where = f"{request.method} {urlsplit(str(request.url)).path}"
        message = f"{request.url.host} answered {where} with HTTP {status} and no explanation."
    if status == 401:
        message += " Check --api-key or OFFPEAK_API_KEY; `offpeak keys create` makes a new key."
    return Unreachable(message) if status in _RETRIED else CliError(message)


def _unreachable(base_url: str, error: Exception) -> Unreachable:
    reason = str(error) or type(error).__name__
    return Unreachable(
        f"No answer from {base_url} ({reason}). Check the address and that it is up."
    )
