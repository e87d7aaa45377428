"""A file and an upload's part of any size are what they would be if they had come in one piece."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offpeak.core.account import Account, Limits
from offpeak.core.errors import InvalidRequest, NotFound, StateConflict, TooLarge
from offpeak.core.file import File
from offpeak.core.ids import FILE, PART, new_id
from offpeak.core.layout import file_key, part_key
from offpeak.core.ports import Save
from offpeak.memory.memory import Memory
from offpeak.steps.add_part import AddedPart
from offpeak.steps.complete_upload import complete_upload
from offpeak.steps.create_file import NewFile, create_file
from offpeak.steps.create_upload import NewUpload, create_upload
from offpeak.steps.receive_file import receive_file
from offpeak.steps.receive_part import receive_part
from offpeak.steps.received_object import PART_BYTES, ReceivedObject
from offpeak.steps.reserve_id import reserve_id

ACCOUNT = Account(id="acct_a", name="a", created_at=0)
NEW = NewFile(filename="a.jsonl", purpose="batch", expires_after=3_600)
LARGE = bytes(range(256)) * (PART_BYTES // 256) + b"the end"


@pytest.fixture
def world() -> Memory:
    return Memory()


def receive(
    world: Memory, content: bytes, *, key: str | None = None, new: NewFile = NEW,
    account: Account = ACCOUNT,
) -> File:  # fmt: skip
    file_id = new_id(FILE, world.clock.now())
    with ReceivedObject(
        file_id, file_key(account.id, file_id), size_max=10**10, hashed=key is not None,
        reader=world.reader, multipart=world.multipart,
    ) as received:  # fmt: skip
        received.write(content)
        made = receive_file(
            account, new, received, idempotency_key=key, clock=world.clock, writer=world.writer,
            changes=world.changes, files=world.files, idempotency=world.idempotency,
        )  # fmt: skip
    return replace(made, version=0)


def create(world: Memory, content: bytes, key: str) -> File:
    made = create_file(
        ACCOUNT, NEW, content, idempotency_key=key, clock=world.clock, writer=world.writer,
        changes=world.changes, files=world.files, idempotency=world.idempotency,
    )  # fmt: skip
    return replace(made, version=0)


def objects(world: Memory) -> list[str]:
    return [info.key for info in world.reader.list("")]


@pytest.mark.parametrize("content", [b"", b"short", LARGE])
def test_a_file_is_its_object_and_a_row_that_names_it(world: Memory, content: bytes) -> None:
    file = receive(world, content)
    assert replace(world.files.get(ACCOUNT.id, file.id), version=0) == file
    assert (file.bytes, file.key) == (len(content), file_key(ACCOUNT.id, file.id))
    assert file.expires_at == file.created_at + 3_600
    assert world.reader.read(file.key, etag=file.etag) == content
    assert world.multipart.open_ids == ()


@pytest.mark.parametrize("content", [b"short", LARGE])
def test_the_same_request_twice_is_one_file_and_one_object(world: Memory, content: bytes) -> None:
    first = receive(world, content, key="once")
    assert receive(world, content, key="once") == first
    assert objects(world) == [first.key]
    assert world.multipart.open_ids == ()


def test_a_file_that_came_in_one_piece_is_the_same_request(world: Memory) -> None:
    first = create(world, LARGE, "once")
    assert receive(world, LARGE, key="once") == first
    assert objects(world) == [first.key]


def test_the_same_key_with_other_bytes_is_refused_and_leaves_nothing(world: Memory) -> None:
    first = receive(world, LARGE, key="once")
    with pytest.raises(StateConflict) as caught:
        receive(world, LARGE + b"more", key="once")
    assert caught.value.code == "idempotency_key_reused"
    assert objects(world) == [first.key]
    assert world.multipart.open_ids == ()


def test_a_try_that_died_after_its_reservation_is_finished_by_the_next(world: Memory) -> None:
    held = _reserve_as_a_try_that_died(world, LARGE)
    file = receive(world, LARGE, key="once")
    assert file.id == held
    assert world.reader.read(file.key) == LARGE
    assert receive(world, LARGE, key="once") == file


def _reserve_as_a_try_that_died(world: Memory, content: bytes) -> str:
    """Makes the file, and forgets all of it but the reservation."""
    file = receive(world, content, key="once")
    world.changes.commit(Save(world.files.get(ACCOUNT.id, file.id).deleted()))
    world.writer.delete(file.key)
    return file.id


def test_two_at_once_keep_one_object(world: Memory) -> None:
    """The other adds its row between our reservation and our own."""
    real = world.changes

    class Overtaken:
        def commit(self, *changes: object) -> None:
            world.changes = real
            other = receive(world, LARGE, key="once")
            assert other.id
            real.commit(*changes)  # type: ignore[arg-type]

    world.changes = Overtaken()  # type: ignore[assignment]
    file = receive(world, LARGE, key="once")
    assert objects(world) == [file.key]


@pytest.mark.parametrize(
    ("new", "limits", "error"),
    [
        (replace(NEW, purpose="vision"), Limits(), InvalidRequest),
        (NEW, Limits(file_bytes_max=len(LARGE) - 1), TooLarge),
    ],
)
def test_what_is_refused_leaves_nothing(
    world: Memory, new: NewFile, limits: Limits, error: type[Exception]
) -> None:
    with pytest.raises(error):
        receive(world, LARGE, new=new, account=replace(ACCOUNT, limits=limits))
    assert objects(world) == []
    assert world.multipart.open_ids == ()


# ── parts of an upload ───────────────────────────────────────────────────────────────────────────────────────────────


def begin(world: Memory, size: int) -> str:
    return create_upload(
        ACCOUNT,
        NewUpload(filename="a", purpose="batch", mime_type="application/jsonl", bytes=size),
        idempotency_key=None, clock=world.clock, changes=world.changes, files=world.files,
        idempotency=world.idempotency,
    ).id  # fmt: skip


def add(world: Memory, upload_id: str, content: bytes, *, key: str | None = None) -> AddedPart:
    part_id = new_id(PART, world.clock.now())
    with ReceivedObject(
        part_id, part_key(ACCOUNT.id, upload_id, part_id), size_max=10**9, hashed=key is not None,
        reader=world.reader, multipart=world.multipart,
    ) as received:  # fmt: skip
        received.write(content)
        return receive_part(
            ACCOUNT.id, upload_id, received, idempotency_key=key, clock=world.clock,
            reader=world.reader, writer=world.writer, multipart=world.multipart,
            files=world.files, idempotency=world.idempotency,
        )  # fmt: skip


def complete(world: Memory, upload_id: str, *part_ids: str) -> File:
    return complete_upload(
        ACCOUNT.id, upload_id, part_ids, None, clock=world.clock, reader=world.reader,
        writer=world.writer, multipart=world.multipart, changes=world.changes, files=world.files,
    ).file  # fmt: skip


def test_large_and_small_parts_make_one_file(world: Memory) -> None:
    upload_id = begin(world, len(LARGE) + 5)
    small, large = add(world, upload_id, b"small"), add(world, upload_id, LARGE)
    file = complete(world, upload_id, large.id, small.id)
    assert world.reader.read(file.key) == LARGE + b"small"


def test_the_same_part_twice_is_one_part(world: Memory) -> None:
    upload_id = begin(world, len(LARGE))
    first = add(world, upload_id, LARGE, key="part-1")
    assert add(world, upload_id, LARGE, key="part-1").id == first.id
    assert len(objects(world)) == 1
    assert world.multipart.open_ids == ()


def test_a_part_whose_first_try_died_lies_where_its_id_says(world: Memory) -> None:
    upload_id = begin(world, len(LARGE))
    died = add(world, upload_id, LARGE, key="part-1")
    world.writer.delete(part_key(ACCOUNT.id, upload_id, died.id))
    assert add(world, upload_id, LARGE, key="part-1").id == died.id
    assert objects(world) == [part_key(ACCOUNT.id, upload_id, died.id)]
    assert complete(world, upload_id, died.id).bytes == len(LARGE)


def test_a_part_larger_than_the_whole_is_refused_and_leaves_nothing(world: Memory) -> None:
    upload_id = begin(world, len(LARGE) - 1)
    with pytest.raises(InvalidRequest) as caught:
        add(world, upload_id, LARGE)
    assert caught.value.code == "bytes_mismatch"
    assert objects(world) == []
    assert world.multipart.open_ids == ()


def test_a_part_of_an_unknown_upload_leaves_nothing(world: Memory) -> None:
    with pytest.raises(NotFound):
        add(world, "upload_none", LARGE)
    assert objects(world) == []


def test_a_reservation_keeps_the_id_that_was_made_before(world: Memory) -> None:
    made = reserve_id(
        FILE, account_id="a", route="r", key=None, request={}, fresh="file-x", clock=world.clock,
        idempotency=world.idempotency,
    )  # fmt: skip
    assert made == "file-x"
