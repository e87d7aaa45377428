"""An object whose bytes a caller sends: held while it is small, put in parts while it grows, several at once.

At most PARTS_AT_ONCE + 1 parts are in memory. `StreamedObject` is its sibling for what we write ourselves.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Self

from offpeak.core.errors import NotFound, Unavailable
from offpeak.core.ports import PARTS_MAX, Multipart, ObjectInfo, Reader

MIB = 1 << 20
PART_BYTES = 8 * MIB
PARTS_AT_ONCE = 2
PUT_TRIES_MAX = 3
"""Of one part, whose bytes are still here. The adapter's own tries come on top."""


def part_bytes_for(size_max: int) -> int:
    """A part's size, in whole MiB, so that `size_max` bytes fit S3's number of parts."""
    return max(PART_BYTES, -(-size_max // (PARTS_MAX * MIB)) * MIB)


class ReceivedObject:
    """A context manager. Whoever leaves it without `complete` leaves no object and no parts behind.

    `id` names what is received; the object is at `key`. `size_max` is the most that may come, which decides the size of
    the parts. With `hashed`, `sha256` is known in the end.
    """

    def __init__(
        self, id: str, key: str, *, size_max: int, hashed: bool, reader: Reader, multipart: Multipart
    ) -> None:  # fmt: skip
        self.id = id
        self.key = key
        self.bytes = 0
        """Received so far."""
        self._part_bytes = part_bytes_for(size_max)
        self._digest = hashlib.sha256() if hashed else None
        self._reader = reader
        self._multipart = multipart
        self._held = bytearray()
        self._multipart_id: str | None = None
        self._executor = ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="put-part")
        self._under_way: deque[tuple[int, Future[str]]] = deque()
        self._etags: dict[int, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        # A part that arrives after the abort would stay: so none may be under way.
        self._executor.shutdown(wait=True, cancel_futures=True)
        if self._multipart_id is not None:
            with suppress(Unavailable):  # the bucket's life-cycle rule gives it up in two days
                self._multipart.abort(self.key, self._multipart_id)

    @property
    def content(self) -> bytes | None:
        """All of it, where it is less than a part; otherwise None."""
        return bytes(self._held) if self._multipart_id is None else None

    @property
    def sha256(self) -> str | None:
        return None if self._digest is None else self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Returns when there is room for more: not before S3 has taken what is too much to hold."""
        self._held += data
        self.bytes += len(data)
        if self._digest is not None:
            self._digest.update(data)
        while len(self._held) >= self._part_bytes:
            self._put(self._part_bytes)

    def complete(self) -> ObjectInfo:
        """The object is there once this returns. Only for what has come in parts (`content` is None)."""
        multipart_id = self._multipart_id
        if multipart_id is None:
            raise ValueError("What is held is put by whoever holds it.")
        if self._held:
            self._put(len(self._held))
        while self._under_way:
            self._await_oldest()
        try:
            stored = self._multipart.complete(self.key, multipart_id, self._etags)
        except NotFound:
            # S3 had done it, and its answer was lost.
            stored = self._reader.head(self.key)
        self._multipart_id = None
        return stored

    def _put(self, size: int) -> None:
        if self._multipart_id is None:
            self._multipart_id = self._multipart.begin(self.key)
        while len(self._under_way) >= PARTS_AT_ONCE:
            self._await_oldest()
        number = len(self._etags) + len(self._under_way) + 1
        body = bytes(memoryview(self._held)[:size])
        del self._held[:size]
        self._under_way.append(
            (number, self._executor.submit(self._put_part, self._multipart_id, number, body))
        )

    def _await_oldest(self) -> None:
        number, put = self._under_way.popleft()
        self._etags[number] = put.result()

    def _put_part(self, multipart_id: str, number: int, body: bytes) -> str:
        for tries_left in reversed(range(PUT_TRIES_MAX)):
            try:
                return self._multipart.put_part(self.key, multipart_id, number, body)
            except Unavailable:
                if not tries_left:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")
