"""A file's way to S3: small ones in one request through the API, larger ones in parts straight to S3."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import httpx

from offpeak.cli.client import TRIES_MAX, Api, backoff_seconds
from offpeak.cli.errors import CliError, Unreachable, UsageError

ONE_REQUEST_BYTES_MAX = (
    4 * 1024 * 1024
)  # what API Gateway and Lambda let through, their encoding included
PARTS_AT_ONCE_MAX = 4
_CHUNK_BYTES = 1 << 20
_PART_TIMEOUT = httpx.Timeout(120.0, connect=10.0)

Progress = Callable[[int], None]
"""Told how many more bytes are on the other side; a negative number takes some back."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes [start, start + bytes) of the file, and where to PUT them."""

    number: int
    url: str
    start: int
    bytes: int


def check_input(path: Path) -> int:
    """The file's size in bytes. Raises UsageError when it can't be an input file."""
    try:
        if not path.is_file():
            raise UsageError(
                f"{path} is {'no file' if path.exists() else 'not there'}. Name a JSONL file."
            )
        with path.open("rb") as file:
            if not file.read(1):
                raise UsageError(f"{path} is empty. A batch needs at least one request line.")
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}.") from None
    return path.stat().st_size


def upload_file(api: Api, path: Path, progress: Progress) -> dict[str, Any]:
    """Uploads an input file; answers the API's file object. Raises CliError."""
    size = check_input(path)
    if size > ONE_REQUEST_BYTES_MAX:
        return _upload_parts(api, path, size, progress)
    file = api.post_form("/v1/files", {"purpose": "batch"}, (path.name, path.read_bytes()))
    progress(size)
    return file


def _upload_parts(api: Api, path: Path, size: int, progress: Progress) -> dict[str, Any]:
    pending = api.post("/v1/files", {"filename": path.name, "purpose": "batch", "bytes": size})
    parts = _parts(pending["upload"], size)
    try:
        etags = _put_all(path, parts, progress)
    except BaseException:
        _forget(api, pending["id"])
        raise
    body = {"parts": [{"part_number": number, "etag": etags[number]} for number in sorted(etags)]}
    return api.post(f"/v1/files/{pending['id']}/complete", body)


def _parts(upload: Mapping[str, Any], size: int) -> Sequence[Part]:
    part_bytes = upload["part_bytes"]
    return [
        Part(
            number=part["number"],
            url=part["url"],
            start=(part["number"] - 1) * part_bytes,
            bytes=min(part_bytes, size - (part["number"] - 1) * part_bytes),
        )
        for part in upload["parts"]
    ]


def _put_all(path: Path, parts: Sequence[Part], progress: Progress) -> dict[int, str]:
    """ETags by part number. The first part that fails for good, or Ctrl-C, ends them all."""
    stop = Event()
    with httpx.Client(timeout=_PART_TIMEOUT) as s3, ThreadPoolExecutor(PARTS_AT_ONCE_MAX) as pool:
        puts = {part.number: pool.submit(_put, s3, path, part, progress, stop) for part in parts}
        try:
            wait(puts.values(), return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
        failed = [put.exception() for put in puts.values() if put.done() and not put.cancelled()]
        for error in failed:
            if error is not None:
                raise error
        return {number: put.result() for number, put in puts.items()}


def _put(s3: httpx.Client, path: Path, part: Part, progress: Progress, stop: Event) -> str:
    for tries in range(1, TRIES_MAX + 1):
        sent = _Sent(progress)
        try:
            response = s3.put(
                part.url,
                content=_chunks(path, part, sent, stop),
                headers={"Content-Length": str(part.bytes)},
            )
            if response.status_code < 300:
                return response.headers["etag"]
            problem = f"S3 answered HTTP {response.status_code}"
            retriable = response.status_code >= 500 or response.status_code in (408, 429)
        except httpx.TransportError as error:
            problem, retriable = str(error) or type(error).__name__, True
        sent.take_back()
        if not retriable or tries == TRIES_MAX:
            raise Unreachable(
                f"Part {part.number} of {path.name} was not taken: {problem}. Try again."
            )
        if stop.wait(backoff_seconds(tries)):
            break
    raise CliError("The upload was stopped.")


class _Sent:
    """What one try of one part has reported, so that a failed try can be taken back."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bytes = 0

    def add(self, count: int) -> None:
        self._bytes += count
        self._progress(count)

    def take_back(self) -> None:
        self._progress(-self._bytes)


def _chunks(path: Path, part: Part, sent: _Sent, stop: Event) -> Iterator[bytes]:
    left = part.bytes
    with path.open("rb") as file:
        file.seek(part.start)
        while left:
            if stop.is_set():
                raise CliError("The upload was stopped.")
            chunk = file.read(min(_CHUNK_BYTES, left))
            if not chunk:
                raise CliError(f"{path} became shorter while it was uploaded. Upload it again.")
            yield chunk
            sent.add(len(chunk))
            left -= len(chunk)


def _forget(api: Api, file_id: str) -> None:
    """Drops the half-uploaded file; the error that led here matters more than one of this call."""
    with contextlib.suppress(CliError):
        api.delete(f"/v1/files/{file_id}")
