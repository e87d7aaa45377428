"""When a file's time is over its bytes go, whether they are whole or not; what a batch still reads goes after it."""

from __future__ import annotations

import pytest

from offpeak.core.batch import Batch
from offpeak.core.errors import NotFound, Unavailable
from offpeak.core.file import File, FileStatus
from offpeak.core.ports import Add, Save
from offpeak.core.usage import Counts
from offpeak.memory.memory import Memory
from offpeak.steps.expire_files import expire_files


@pytest.fixture
def world() -> Memory:
    return Memory()


def _add(world: Memory, name: str, *, after: int | None) -> File:
    now = int(world.clock.now())
    file = File(
        id=f"file-{name}", account_id="a", filename="f", purpose="batch", bytes=2,
        key=f"files/a/file-{name}", created_at=now, expires_at=None if after is None else now + after,
    )  # fmt: skip
    world.writer.put(file.key, b"{}")
    world.changes.commit(Add(file))
    return file


def _expire(world: Memory) -> int:
    return expire_files(
        clock=world.clock, writer=world.writer, multipart=world.multipart, changes=world.changes,
        files=world.files, batches=world.batches,
    )  # fmt: skip


def _keys(world: Memory) -> list[str]:
    return [info.key for info in world.reader.list("files/")]


def test_only_files_whose_time_is_over_are_deleted(world: Memory) -> None:
    over = _add(world, "over", after=3_600)
    later, never = _add(world, "later", after=7_200), _add(world, "never", after=None)
    world.clock.advance(3_600)
    assert _expire(world) == 1
    assert _keys(world) == sorted([later.key, never.key])
    with pytest.raises(NotFound):
        world.files.get("a", over.id)
    assert _expire(world) == 0


def test_an_input_goes_after_the_batch_that_reads_it(world: Memory) -> None:
    file = _add(world, "input", after=3_600)
    batch = Batch(
        id="batch_1", account_id="a", input_file_id=file.id, input_key=file.key, input_bytes=2,
        endpoint="/v1/embeddings", completion_window="24h", created_at=0, expires_at=86_400,
    )  # fmt: skip
    world.changes.commit(Add(batch))
    world.clock.advance(4_000)
    assert _expire(world) == 0
    assert _keys(world) == [file.key]
    running = world.batches.get("a", batch.id)
    world.changes.commit(Save(running.failed(errors_key="e", counts=Counts(), now=1)))
    assert _expire(world) == 1
    assert _keys(world) == []


def test_parts_of_a_file_that_never_was_complete_go_too(world: Memory) -> None:
    key = "files/a/file-half"
    multipart_id = world.multipart.begin(key)
    world.multipart.put_part(key, multipart_id, 1, b"{}")
    half = File(
        id="file-half", account_id="a", filename="f", purpose="batch", bytes=2, key=key,
        created_at=0, expires_at=3_600, status=FileStatus.PENDING, multipart_id=multipart_id,
    )  # fmt: skip
    world.changes.commit(Add(half))
    assert _expire(world) == 1
    assert not world.multipart.open_ids


def test_what_is_left_half_done_is_found_again(
    world: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(world, "over", after=3_600)
    world.clock.advance(3_600)

    def lost(*_: object) -> None:
        raise Unavailable("The table is away.")

    with monkeypatch.context() as patched:
        patched.setattr(world.changes, "commit", lost)
        with pytest.raises(Unavailable):
            _expire(world)
    assert _expire(world) == 1
