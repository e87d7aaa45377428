"""What a caller sends becomes one object, in parts that are put while more comes."""

from __future__ import annotations

import hashlib
import threading

import pytest

from offpeak.core.errors import InvalidRequest, NotFound, Unavailable
from offpeak.core.ports import PARTS_MAX
from offpeak.memory.memory import Memory
from offpeak.steps.received_object import (
    PART_BYTES,
    PARTS_AT_ONCE,
    PUT_TRIES_MAX,
    ReceivedObject,
    part_bytes_for,
)

PIECE = bytes(range(256)) * 1_024


def receive(memory: Memory, *, hashed: bool = False, multipart: object = None) -> ReceivedObject:
    return ReceivedObject(
        "file-1", "k", size_max=10**10, hashed=hashed, reader=memory.reader,
        multipart=multipart or memory.multipart,  # type: ignore[arg-type]
    )  # fmt: skip


def write(received: ReceivedObject, size: int) -> bytes:
    written = bytearray()
    while len(written) < size:
        piece = PIECE[: size - len(written)]
        received.write(piece)
        written += piece
    return bytes(written)


def write_and_complete(received: ReceivedObject, size: int) -> None:
    with received:
        write(received, size)
        received.complete()


@pytest.mark.parametrize("size", [PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES, 3 * PART_BYTES + 7])
def test_an_object_is_what_came(size: int) -> None:
    memory = Memory()
    with receive(memory, hashed=True) as received:
        written = write(received, size)
        assert received.content is None
        info = received.complete()
    assert (info.bytes, received.bytes) == (size, size)
    assert memory.reader.read("k") == written
    assert received.sha256 == hashlib.sha256(written).hexdigest()
    assert memory.multipart.open_ids == ()


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1])
def test_what_is_less_than_a_part_is_held_and_put_by_nobody(size: int) -> None:
    memory = Memory()
    with receive(memory) as received:
        written = write(received, size)
        assert received.content == written
    assert list(memory.reader.list("")) == []
    assert memory.multipart.open_ids == ()


def test_whoever_leaves_it_without_completing_leaves_nothing_behind() -> None:
    memory = Memory()

    def write_and_fail() -> None:
        with receive(memory) as received:
            write(received, 3 * PART_BYTES)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert memory.multipart.open_ids == ()
    with pytest.raises(NotFound):
        memory.reader.head("k")


class Between:
    """A multipart port with something in between, for tests."""

    def __init__(self, memory: Memory) -> None:
        self._inner = memory.multipart

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


class Flaky(Between):
    """Fails to put each part `failures` times."""

    def __init__(self, memory: Memory, failures: int) -> None:
        super().__init__(memory)
        self._failures = failures
        self._failed: dict[int, int] = {}

    def put_part(self, key: str, multipart_id: str, number: int, body: bytes) -> str:
        failed = self._failed.get(number, 0)
        if failed < self._failures:
            self._failed[number] = failed + 1
            raise Unavailable("S3 can't right now.")
        return self._inner.put_part(key, multipart_id, number, body)


def test_a_part_that_fails_is_put_again() -> None:
    memory = Memory()
    with receive(memory, multipart=Flaky(memory, PUT_TRIES_MAX - 1)) as received:
        written = write(received, 2 * PART_BYTES + 1)
        received.complete()
    assert memory.reader.read("k") == written


def test_a_part_that_keeps_failing_gives_the_object_up() -> None:
    memory = Memory()
    with pytest.raises(Unavailable):
        write_and_complete(receive(memory, multipart=Flaky(memory, 99)), 9 * PART_BYTES)
    assert memory.multipart.open_ids == ()


class Held(Between):
    """Puts no part before it is told to, and counts those that wait."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)

    def put_part(self, key: str, multipart_id: str, number: int, body: bytes) -> str:
        self.begun.release()
        assert self.go.wait(60)
        return self._inner.put_part(key, multipart_id, number, body)


def test_a_caller_who_is_faster_than_s3_waits() -> None:
    memory = Memory()
    slow = Held(memory)
    with receive(memory, multipart=slow) as received:
        write(received, PARTS_AT_ONCE * PART_BYTES)
        for _ in range(PARTS_AT_ONCE):
            assert slow.begun.acquire(timeout=60)
        more = threading.Thread(target=write, args=(received, 2 * PART_BYTES))
        more.start()
        assert not slow.begun.acquire(blocking=False)
        assert more.is_alive()
        slow.go.set()
        more.join(60)
        received.complete()
    assert memory.reader.head("k").bytes == (PARTS_AT_ONCE + 2) * PART_BYTES


class Forgetful(Between):
    """Completes, and the answer is lost: the second try finds no upload."""

    def complete(self, key: str, multipart_id: str, etags: dict[int, str]) -> None:
        self._inner.complete(key, multipart_id, etags)
        raise NotFound("There is no such upload.")


def test_a_completion_whose_answer_was_lost_has_happened() -> None:
    memory = Memory()
    with receive(memory, multipart=Forgetful(memory)) as received:
        write(received, PART_BYTES)
        assert received.complete().bytes == PART_BYTES


class Refusing(Between):
    def complete(self, key: str, multipart_id: str, etags: dict[int, str]) -> None:
        raise InvalidRequest("No.")


def test_a_completion_that_s3_refuses_gives_the_object_up() -> None:
    memory = Memory()
    with pytest.raises(InvalidRequest):
        write_and_complete(receive(memory, multipart=Refusing(memory)), PART_BYTES)
    assert memory.multipart.open_ids == ()


@pytest.mark.parametrize("size_max", [0, 10**9, 10**10, 84 * 10**9, 5 * 10**12])
def test_the_most_that_may_come_fits_s3s_number_of_parts(size_max: int) -> None:
    assert part_bytes_for(size_max) * PARTS_MAX >= size_max
    assert part_bytes_for(10**10) == PART_BYTES
