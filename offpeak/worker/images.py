"""Fetches the images that a request names, so that the engine gets data URLs and never fetches by itself.

An https URL is fetched by the port `Destinations`, as callbacks are sent: its name is resolved once, every address
checked, and the connection goes to a checked one; no redirects, no proxies, no credentials. An object must lie in the
drop folder of the account whose request it is. Size, time and number are bounded, and so is what all requests with
fetched images hold at once.
"""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from offpeak.core.destination import Destination, Reach
from offpeak.core.errors import InvalidRequest, NotFound, TooLarge, Unavailable
from offpeak.core.image import (
    ImagePart,
    InlineImage,
    StoredImage,
    image_parts,
    media_type,
    parse_image_url,
)
from offpeak.core.ports import Destinations, Fetched, Reader
from offpeak.worker import port_calls

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
    """`takes_images` is whether the model sees; `bucket` is the one that `reader` reads. Without `destinations` nothing
    is fetched from the internet."""

    def __init__(
        self,
        *,
        takes_images: bool,
        bucket: str,
        reader: Reader,
        destinations: Destinations | None = None,
        reach: Reach = Reach.PUBLIC,
        limits: ImageLimits = ImageLimits(),
    ) -> None:
        self._takes_images = takes_images
        self._bucket = bucket
        self._reader = reader
        self._reach = reach
        self._limits = limits
        self._destinations = destinations
        self._places = asyncio.Semaphore(limits.requests_max)
        # Its own threads: those of the ports must not wait for whoever is slow out there.
        self._threads = ThreadPoolExecutor(limits.requests_max, thread_name_prefix="images")

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
                content = await self._fetch(part.url, room, part.param)
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

    async def _fetch(self, url: str, room: int, param: str) -> bytes:
        for attempt in range(1, self._limits.attempts_max):
            try:
                return await self._try(url, room, param)
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))
        try:
            return await self._try(url, room, param)
        except Unavailable as error:
            raise _unusable(f"could not be fetched: {error.message}", param) from None

    async def _try(self, url: str, room: int, param: str) -> bytes:
        """Raises Unavailable for what may pass."""
        if self._destinations is None:
            raise _unusable("could not be fetched: this worker has no way out", param)
        get = partial(
            self._destinations.get, url, {"Accept": "image/*"}, bytes_max=room,
            seconds_max=self._limits.fetch_seconds_max, param=param,
        )  # fmt: skip
        try:
            fetched = await asyncio.get_running_loop().run_in_executor(self._threads, get)
        except TooLarge:
            raise self._too_large(param) from None
        except InvalidRequest as error:
            if error.code == "destination_unknown":  # name servers have bad moments
                raise Unavailable(error.message) from None
            raise
        return _body(fetched, param)

    def _within(self, content: bytes, room: int, param: str) -> bytes:
        if len(content) > room:
            raise self._too_large(param)
        return content

    def _too_large(self, param: str) -> InvalidRequest:
        most = f"{self._limits.bytes_max:,} bytes"
        return _unusable(f"is too large: the images of a request have at most {most}", param)


def _body(fetched: Fetched, param: str) -> bytes:
    status = fetched.status_code
    if status in (408, 429) or status >= 500:
        raise Unavailable(f"status {status}")
    if status != 200:
        raise _unusable(f"could not be fetched: status {status}", param)
    return fetched.content


def _unusable(what: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"The image at '{param}' {what}.", param=param, code="invalid_image_url")
