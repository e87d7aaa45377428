"""A join has the sources' bytes, and leaves nothing half made."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from offpeak.core.errors import NotFound
from offpeak.core.ports import ObjectInfo
from offpeak.memory.memory import Memory
from offpeak.planner.join_pieces import MIB
from offpeak.steps.join_objects import join_objects


def _put(world: Memory, *sizes: int) -> list[ObjectInfo]:
    return [
        world.writer.put(f"parts/{number:04}", bytes([number % 251]) * size)
        for number, size in enumerate(sizes)
    ]


def _join(world: Memory, sources: list[ObjectInfo]) -> ObjectInfo:
    return join_objects(
        sources, "joined", "application/jsonl", reader=world.reader, multipart=world.multipart,
        writer=world.writer,
    )  # fmt: skip


@pytest.mark.parametrize(
    "sizes",
    [
        (),
        (0,),
        (3, 0, 4),
        (16 * MIB,),
        (4 * MIB,) * 9,
        (30 * MIB, 1, 7 * MIB, 0, 40 * MIB, 2),
        (5 * MIB, 4 * MIB, 12 * MIB),
        (20 * MIB,),
    ],
)
def test_a_join_is_its_sources_one_after_the_other(sizes: tuple[int, ...]) -> None:
    world = Memory()
    sources = _put(world, *sizes)
    joined = _join(world, sources)
    assert joined.bytes == sum(sizes)
    assert world.reader.read("joined") == b"".join(world.reader.read(s.key) for s in sources)
    assert world.multipart.open_ids == ()


def test_a_join_that_fails_leaves_no_parts_behind() -> None:
    world = Memory()
    sources = [*_put(world, 20 * MIB), ObjectInfo("gone", 20 * MIB, "")]
    with pytest.raises(NotFound):
        _join(world, sources)
    assert world.multipart.open_ids == ()
    with pytest.raises(NotFound):
        world.reader.head("joined")


@dataclass
class _Counting:
    """A reader that counts the bytes that pass through."""

    world: Memory
    seen: int = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.world.reader, name)

    def read(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        body = self.world.reader.read(key, start, stop)
        self.seen += len(body)
        return body


def test_large_sources_do_not_pass_through_us() -> None:
    world = Memory()
    reader = _Counting(world)
    join_objects(
        _put(world, 60 * MIB, 60 * MIB, 60 * MIB), "joined", "text/plain",
        reader=reader, multipart=world.multipart, writer=world.writer,  # type: ignore[arg-type]
    )  # fmt: skip
    assert reader.seen == 0
