"""A chunk whose upload or source is gone."""

from __future__ import annotations

import pytest

from offpeak.core.errors import NotFound
from offpeak.core.layout import output_key
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
    assert chunks == len(others) + 1
    assert world.multipart.open_ids == ()


def test_a_chunk_whose_source_is_gone_fails_until_the_file_is_there() -> None:
    world = World()
    results = apart(world.sources([range(n * 5 + 1, n * 5 + 6) for n in range(20)]))
    chunk, *_ = world.file().undone(results)
    world.writer.delete(results.sources[0].key)
    with pytest.raises(NotFound):
        world.assemble(chunk)
