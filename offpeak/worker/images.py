"""Fetches the images that a request names, so that the engine gets data URLs and never fetches by itself.

An https URL is fetched under the rules of `core/destination`: its name is resolved once, every address checked, and the
connection goes to a checked one, with TLS still verifying the name; no redirects, no proxies, no credentials. An object
must lie in the drop folder of the account whose request it is. Size, time and number are bounded, and so is what all
requests with fetched images hold at once.
"""

from __future__ import annotations

import asyncio
import base64
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx

from offpeak.core.destination import Destination, Reach, check_addresses
from offpeak.core.errors import InvalidRequest, NotFound, Unavailable
from offpeak.core.image import (
    ImagePart,
    InlineImage,
    StoredImage,
    image_parts,
    media_type,
    parse_image_url,
)
from offpeak.core.ports import Reader
from offpeak.worker import port_calls

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name. Raises OSError when it has none."""
PORT_ATTEMPTS_MAX = 5
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """Per request: so many images, so many bytes of all that are fetched. `requests_max` hold fetched images at once;
    `fetch_seconds_max` is for one try of one image."""

    images_max: int = 32
    bytes_max: int = 20_000_000
    requests_max: int = 64
    fetch_seconds_max: float = 30.0
    attempts_max: int = 3


class Images:
    """`takes_images` is whether the model sees; `bucket` is the one that `reader` reads."""

    def __init__(
        self,
        *,
        takes_images: bool,
        bucket: str,
        reader: Reader,
        reach: Reach = Reach.PUBLIC,
        limits: ImageLimits = ImageLimits(),
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._takes_images = takes_images
        self._bucket = bucket
        self._reader = reader
        self._reach = reach
        self._limits = limits
        self._resolve = resolve or _Resolver()
        self._given_tls = tls
        self._places = asyncio.Semaphore(limits.requests_max)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._given_tls or ssl.create_default_context()

    @asynccontextmanager
    async def loaded(self, body: Mapping[str, Any], account_id: str) -> AsyncIterator[None]:
        """While it lasts, every image in `body`, which is changed, is a data URL.

        Raises InvalidRequest for what can't be an image of this request, or can't be had.
        """
        parts = list(image_parts(body))
        if not parts:
            yield
            return
        if not self._takes_images:
            raise InvalidRequest(
                "This model takes no images. GET /v1/models says which do.",
                param=parts[0].param,
                code="image_unsupported",
            )
        if len(parts) > self._limits.images_max:
            raise InvalidRequest(
                f"The request has {len(parts)} images; at most {self._limits.images_max} are taken.",
                param=parts[-1].param,
            )
        sources = [
            (part, parse_image_url(part.url, self._reach, param=part.param)) for part in parts
        ]
        outside = [(part, s) for part, s in sources if not isinstance(s, InlineImage)]
        if not outside:
            yield
            return
        async with self._places:
            await self._load(outside, account_id)
            yield

    async def _load(
        self, outside: Iterable[tuple[ImagePart, StoredImage | Destination]], account_id: str
    ) -> None:
        """One after the other: what one request may have at once stays small."""
        room = self._limits.bytes_max
        for part, source in outside:
            if isinstance(source, StoredImage):
                content = await self._read(source, account_id, room, part.param)
            else:
                content = await self._fetch(source, room, part.param)
            kind = media_type(content)
            if kind is None:
                raise _unusable("is no PNG, JPEG, GIF or WebP image", part.param)
            room -= len(content)
            part.holder[part.name] = f"data:{kind};base64,{base64.b64encode(content).decode()}"

    # ── from the account's folder ────────────────────────────────────────────────────────────────────────────────────

    async def _read(self, image: StoredImage, account_id: str, room: int, param: str) -> bytes:
        if image.bucket != self._bucket or not image.is_in_folder_of(account_id):
            raise InvalidRequest(
                f"s3:// images lie in your own folder: s3://{self._bucket}/drop/{account_id}/…",
                param=param,
                code="image_not_yours",
            )
        try:
            content = await port_calls.call(
                PORT_ATTEMPTS_MAX, RETRY_SECONDS, self._reader.read, image.key, 0, room + 1
            )
        except NotFound:
            raise _unusable("does not exist", param) from None
        return self._within(content, room, param)

    # ── from the internet ────────────────────────────────────────────────────────────────────────────────────────────

    async def _fetch(self, destination: Destination, room: int, param: str) -> bytes:
        for attempt in range(1, self._limits.attempts_max):
            try:
                return await self._try(destination, room, param)
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))
        try:
            return await self._try(destination, room, param)
        except Unavailable as error:
            raise _unusable(f"could not be fetched: {error.message}", param) from None

    async def _try(self, destination: Destination, room: int, param: str) -> bytes:
        """Raises Unavailable for what may pass."""
        try:
            async with asyncio.timeout(self._limits.fetch_seconds_max):
                address = await self._address(destination, param)
                return await self._get(destination, address, room, param)
        except TimeoutError:
            raise Unavailable(f"no answer within {self._limits.fetch_seconds_max:g} s") from None
        except (httpx.HTTPError, OSError) as error:
            raise Unavailable(type(error).__name__) from error

    async def _address(self, destination: Destination, param: str) -> str:
        addresses = list(await self._resolve(destination.host, destination.port))
        check_addresses(addresses, self._reach, param=param)
        return addresses[0]

    async def _get(self, destination: Destination, address: str, room: int, param: str) -> bytes:
        host = f"[{address}]" if ":" in address else address
        request = httpx.Request(
            "GET",
            f"{destination.scheme}://{host}:{destination.port}{destination.target}",
            headers={
                "Host": destination.authority,
                "Accept": "image/*",
                "Accept-Encoding": "identity",
            },
            extensions={"sni_hostname": destination.host},
        )
        # A client for each: a kept connection to an address would be another name's, too.
        async with httpx.AsyncClient(verify=self._tls, trust_env=False) as http:
            response = await http.send(request, stream=True, follow_redirects=False)
            try:
                return await self._body(response, room, param)
            finally:
                await response.aclose()

    async def _body(self, response: httpx.Response, room: int, param: str) -> bytes:
        if response.status_code in (408, 429) or response.status_code >= 500:
            raise Unavailable(f"status {response.status_code}")
        if response.status_code != 200:
            raise _unusable(f"could not be fetched: status {response.status_code}", param)
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk
            self._within(content, room, param)
        return bytes(content)

    def _within(self, content: bytes | bytearray, room: int, param: str) -> bytes:
        if len(content) > room:
            raise _unusable(
                f"is too large: the images of a request have at most {self._limits.bytes_max:,} bytes",
                param,
            )
        return bytes(content)


class _Resolver:
    """On threads of its own: name servers answer when they please, and the ports' threads must not wait for them."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _unusable(what: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"The image at '{param}' {what}.", param=param, code="invalid_image_url")
