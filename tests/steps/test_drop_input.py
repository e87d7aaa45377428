"""A deleted input's bytes stay while a batch reads them, and go with the last one that does."""

from __future__ import annotations

import pytest

from offpeak.core.batch import Batch
from offpeak.core.file import File
from offpeak.core.ports import Add, Save
from offpeak.core.usage import Counts
from offpeak.memory.memory import Memory
from offpeak.steps.delete_file import delete_file
from offpeak.steps.drop_input import drop_input

FILE = File(
    id="file-1", account_id="a", filename="f", purpose="batch", bytes=2, key="files/a/file-1",
    created_at=0,
)  # fmt: skip


@pytest.fixture
def world() -> Memory:
    world = Memory()
    world.writer.put(FILE.key, b"{}")
    world.changes.commit(Add(FILE))
    for number in (1, 2):
        batch = Batch(
            id=f"batch_{number}", account_id="a", input_file_id=FILE.id, input_key=FILE.key,
            input_bytes=2, endpoint="/v1/embeddings", completion_window="1h", created_at=0,
            expires_at=3_600,
        )  # fmt: skip
        world.changes.commit(Add(batch))
    return world


def _delete(world: Memory) -> None:
    delete_file(
        "a", FILE.id, clock=world.clock, writer=world.writer, multipart=world.multipart,
        changes=world.changes, files=world.files, batches=world.batches,
    )  # fmt: skip


def _end(world: Memory, batch_id: str) -> None:
    batch = world.batches.get("a", batch_id)
    world.changes.commit(Save(batch.failed(errors_key="e", counts=Counts(), now=1)))
    ended = world.batches.get("a", batch_id)
    drop_input(ended, writer=world.writer, files=world.files, batches=world.batches)


def _keys(world: Memory) -> list[str]:
    return [info.key for info in world.reader.list("files/")]


def test_the_last_batch_to_end_takes_a_deleted_input_with_it(world: Memory) -> None:
    _delete(world)
    assert _keys(world) == [FILE.key]
    _end(world, "batch_1")
    assert _keys(world) == [FILE.key]
    _end(world, "batch_2")
    assert _keys(world) == []


def test_an_input_that_was_not_deleted_outlives_its_batches(world: Memory) -> None:
    _end(world, "batch_1")
    _end(world, "batch_2")
    assert _keys(world) == [FILE.key]
    _delete(world)
    assert _keys(world) == []
