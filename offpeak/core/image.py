"""An image in a request: a data URL, an https URL, or an object in the account's own drop folder.

The engine is only ever given data URLs: what else a caller writes is fetched by the worker under our rules, so no
request makes an engine connect to where it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from offpeak.core.destination import Destination, Reach, parse_destination
from offpeak.core.drop import DROP_PREFIX
from offpeak.core.errors import InvalidRequest

S3_SCHEME, DATA_SCHEME = "s3://", "data:"
URL_QUOTED_CHARACTERS_MAX = 80
_DATA = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"), (b"GIF89a", "image/gif"),
)  # fmt: skip
_NESTING_MAX = 16
# Parts that name something for the engine to fetch, and that we don't fetch for it.
_UNSUPPORTED = ("video_url", "audio_url", "file_url")


@dataclass(frozen=True, slots=True)
class InlineImage:
    """It is in the request already."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    bucket: str
    key: str

    def is_in_folder_of(self, account_id: str) -> bool:
        """Keys are no paths to S3, but they may be to a client on the way: none may climb out."""
        inside = self.key.startswith(f"{DROP_PREFIX}{account_id}/")
        return inside and not {".", ".."} & set(self.key.split("/"))


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A place in a request that names an image: `holder[name]` is its URL; `param` is how people call the place."""

    holder: dict[str, Any]
    name: str
    param: str

    @property
    def url(self) -> Any:
        return self.holder[self.name]


def parse_image_url(
    url: Any, reach: Reach = Reach.PUBLIC, *, param: str
) -> InlineImage | StoredImage | Destination:
    """Raises InvalidRequest, code `invalid_image_url`."""
    if not isinstance(url, str):
        raise _invalid("An image's URL is a string.", param)
    if url.startswith(DATA_SCHEME):
        if not _DATA.fullmatch(url):
            raise _invalid(
                "A data URL of an image begins with data:image/png;base64, (or jpeg, gif, webp); base64 follows.",
                param,
            )
        return InlineImage()
    if url.startswith(S3_SCHEME):
        bucket, _, key = url.removeprefix(S3_SCHEME).partition("/")
        if not _BUCKET.fullmatch(bucket) or not key or len(key.encode()) > 1_024:
            raise _invalid(f"{_quote(url)} is no s3://bucket/key.", param)
        return StoredImage(bucket, key)
    try:
        return parse_destination(url, reach, param=param)
    except InvalidRequest as error:
        raise _invalid(
            f"{_quote(url)} can't be fetched: {error.message} Images are data URLs, https URLs, or objects in your "
            "drop folder (s3://…).",
            param,
        ) from None


def image_parts(body: Mapping[str, Any]) -> Iterator[ImagePart]:
    """The images of a request body, of whichever endpoint: `image_url` as a string or as an object with `url`.

    Raises InvalidRequest where it names other media, or nests too deeply to be looked through.
    """
    for name in ("messages", "input"):
        yield from _parts(body.get(name), f"body.{name}", 0)


def media_type(content: bytes) -> str | None:
    """What an image's first bytes say it is; None for what is none that models take."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _SIGNATURES if content.startswith(start)), None)


def _parts(value: Any, param: str, depth: int) -> Iterator[ImagePart]:
    if depth > _NESTING_MAX:
        raise InvalidRequest(f"'{param}' is nested too deeply.", param=param)
    if isinstance(value, list):
        for index, each in enumerate(value):
            if isinstance(each, dict | list):
                yield from _parts(each, f"{param}.{index}", depth + 1)
    elif isinstance(value, dict):
        for name in _UNSUPPORTED:
            if value.get(name) is not None:
                raise InvalidRequest(
                    f"'{param}.{name}' is not supported: images are the only media.", param=param
                )
        yield from _part(value, param)
        for name, each in value.items():
            if name != "image_url" and isinstance(each, dict | list):
                yield from _parts(each, f"{param}.{name}", depth + 1)


def _part(value: dict[str, Any], param: str) -> Iterator[ImagePart]:
    image = value.get("image_url")
    if isinstance(image, dict):
        if "url" not in image:
            raise _invalid("An image has a 'url'.", f"{param}.image_url")
        yield ImagePart(image, "url", f"{param}.image_url.url")
    elif image is not None:
        yield ImagePart(value, "image_url", f"{param}.image_url")


def _invalid(message: str, param: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code="invalid_image_url")


def _quote(url: str) -> str:
    most = URL_QUOTED_CHARACTERS_MAX
    return repr(url if len(url) <= most else url[:most] + "…")
