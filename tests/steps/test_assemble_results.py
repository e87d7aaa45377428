"""A chunk whose upload or source is gone."""

from __future__ import annotations

import pytest

from offpeak.core.errors import NotFound
from offpeak.core.layout import output_key
from offpeak.steps.result_chunks import begin_anew, plan_key
from offpeak.wire.assembly import Group, chunk_places, decode_head, encode_plan, with_upload
from tests.steps.results import World, apart


def test_chunks_that_find_their_upload_gone_have_it_begun_anew() -> None:
    world = World()
    results = apart(world.sources([range(n * 5 + 1, n * 5 + 6) for n in range(20)]))
    first, *others = world.file().undone(results)
    world.assemble(first)
    (multipart_id,) = world.multipart.open_ids
    world.multipart.abort(output_key("batch_1"), multipart_id)
    for chunk in others:
        world.assemble(chunk)
    info, chunks = world.put(results)
    assert info == world.reader.head(output_key("batch_1"))
    assert chunks == 2  # what was done before, and the one that found out
    assert world.multipart.open_ids == ()


def test_a_call_that_comes_late_leaves_alone_what_another_has_begun_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.file().undone(apart(world.sources([range(n * 5 + 1, n * 5 + 6) for n in range(20)])))
    (gone,) = world.multipart.open_ids
    world.multipart.abort(output_key("batch_1"), gone)

    def begin() -> None:
        begin_anew(
            "batch_1", "output", gone, reader=world.reader, writer=world.writer, multipart=world.multipart
        )  # fmt: skip

    read = world.reader.read

    def read_before_another(key: str, *between: int) -> bytes:
        monkeypatch.undo()
        found = read(key, *between)
        begin()
        return found

    monkeypatch.setattr(world.reader, "read", read_before_another)
    begin()
    plan = world.reader.read(plan_key("batch_1", "output", "parts"))
    assert world.multipart.open_ids == (decode_head(plan).multipart_id,)


def test_a_plan_goes_on_with_another_upload_and_its_chunks_keep_their_places() -> None:
    plan = encode_plan("short", [Group(), Group()])
    other = with_upload(plan, "a-longer-one" * 20)
    assert list(chunk_places(other)) == list(chunk_places(plan))
    assert decode_head(other).multipart_id == "a-longer-one" * 20
    assert decode_head(other).chunks == 2


def test_a_chunk_whose_source_is_gone_fails_until_the_file_is_there() -> None:
    world = World()
    results = apart(world.sources([range(n * 5 + 1, n * 5 + 6) for n in range(20)]))
    chunk, *_ = world.file().undone(results)
    world.writer.delete(results.sources[0].key)
    with pytest.raises(NotFound):
        world.assemble(chunk)
