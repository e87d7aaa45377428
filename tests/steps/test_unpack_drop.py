"""Unpacking gzip in pieces: what comes out is what went in, in little memory, and nothing that is broken passes."""

from __future__ import annotations

import gzip
import random
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.ports import ObjectInfo
from offpeak.memory.memory import Memory
from offpeak.steps import unpack_drop as unpacking
from offpeak.steps.unpack_drop import PIECE_BYTES, UnpackError, unpack, unpack_drop

MIB = 2**20


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@given(
    members=st.lists(st.binary(max_size=300), min_size=1, max_size=5),
    size=st.integers(1, 50),
    zeros=st.integers(0, 9),
)
def test_members_in_any_chunks_come_out_as_one(members: list[bytes], size: int, zeros: int) -> None:
    packed = b"".join(map(gzip.compress, members)) + bytes(zeros)
    assert b"".join(unpack(chunked(packed, size))) == b"".join(members)


@given(body=st.binary(min_size=1, max_size=300), cut=st.integers(1, 30), size=st.integers(1, 50))
def test_a_torn_file_is_refused(body: bytes, cut: int, size: int) -> None:
    packed = gzip.compress(body)
    torn = packed[: -min(cut, len(packed))]
    with pytest.raises(UnpackError) as refused:
        list(unpack(chunked(torn, size)))
    assert refused.value.code == "invalid_gzip"


@pytest.mark.parametrize("count", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * MIB + 3])
def test_pieces_are_bounded_and_none_is_missing(count: int) -> None:
    for body in (bytes(count), random.Random(count).randbytes(count)):
        pieces = list(unpack([gzip.compress(body)]))
        assert b"".join(pieces) == body
        assert max(map(len, pieces)) <= PIECE_BYTES


def _packed(world: Memory, body: bytes) -> ObjectInfo:
    return world.writer.put("drop/acct_1/a.jsonl.gz", body)


def _unpack(world: Memory, packed: ObjectInfo, bytes_max: int) -> ObjectInfo:
    return unpack_drop(
        packed, "files/acct_1/f", bytes_max, reader=world.reader, writer=world.writer,
        multipart=world.multipart,
    )  # fmt: skip


def test_a_large_file_is_unpacked_in_little_memory() -> None:
    world = Memory()
    line = random.Random(1).randbytes(3_000).hex().encode() + b"\n"
    body = line * 12_000  # 72 MB
    packed = _packed(world, gzip.compress(body, 1))
    held: list[int] = []

    class Forgetful:
        """Takes parts and keeps none."""

        def __getattr__(self, name: str) -> object:
            return getattr(world.multipart, name)

        def put_part(self, key: str, multipart_id: str, number: int, part: bytes) -> str:
            held.append(len(part))
            return "etag"

        def complete(self, key: str, multipart_id: str, etags: object) -> ObjectInfo:
            return ObjectInfo(key, sum(held), "etag")

    tracemalloc.start()
    found = unpack_drop(
        packed, "files/acct_1/f", len(body), reader=world.reader, writer=world.writer,
        multipart=Forgetful(),  # type: ignore[arg-type]
    )  # fmt: skip
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.bytes == len(body)
    assert peak < 40 * MIB


def test_a_file_over_the_limit_is_left_unfinished() -> None:
    world = Memory()
    packed = _packed(world, gzip.compress(bytes(20 * MIB)))
    with pytest.raises(UnpackError, match="more than 10,000,000 bytes"):
        _unpack(world, packed, 10_000_000)
    assert world.multipart.open_ids == ()
    assert [info.key for info in world.reader.list("files/")] == []


def test_a_bomb_is_stopped_by_its_ratio_and_a_small_one_may_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unpacking, "RATIO_FROM_BYTES", 2 * MIB)
    world = Memory()
    assert _unpack(world, _packed(world, gzip.compress(bytes(MIB))), 10**9).bytes == MIB
    with pytest.raises(UnpackError, match="300 times"):
        _unpack(world, _packed(world, gzip.compress(bytes(8 * MIB))), 10**9)
