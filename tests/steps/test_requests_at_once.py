"""The same request, several times at once: one thing is made, and everybody is told of that one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from offpeak.core.account import Account
from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.errors import StateConflict
from offpeak.core.ports import Add
from offpeak.memory.memory import Memory
from offpeak.steps.add_part import add_part
from offpeak.steps.begin_file import begin_file
from offpeak.steps.cancel_upload import cancel_upload
from offpeak.steps.complete_file import complete_file
from offpeak.steps.complete_upload import CompletedUpload, complete_upload
from offpeak.steps.create_batch import NewBatch, create_batch
from offpeak.steps.create_file import NewFile, create_file
from offpeak.steps.create_upload import NewUpload, create_upload

ACCOUNT = Account(id="acct_a", name="a", created_at=0)
FILE = NewFile(filename="f", purpose="batch")
CATALOGUE = Catalogue(
    (Model(id="m", pool="m", source="s", endpoints=("/v1/embeddings",), context_tokens=1),)
)
AT_ONCE = 8
T = TypeVar("T")


def at_once(call: Callable[[], T]) -> list[T]:
    barrier = Barrier(AT_ONCE)

    def run(_: int) -> T:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(run, range(AT_ONCE)))


def _upload(world: Memory, body: bytes) -> tuple[str, list[str]]:
    upload = create_upload(
        ACCOUNT, NewUpload(filename="f", purpose="batch", mime_type="t", bytes=len(body)),
        idempotency_key=None, clock=world.clock, changes=world.changes, files=world.files,
        idempotency=world.idempotency,
    )  # fmt: skip
    part = add_part(
        ACCOUNT.id, upload.id, body, idempotency_key=None, clock=world.clock, writer=world.writer,
        files=world.files, idempotency=world.idempotency,
    )  # fmt: skip
    return upload.id, [part.id]


def _complete(world: Memory, upload_id: str, part_ids: list[str]) -> CompletedUpload:
    return complete_upload(
        ACCOUNT.id, upload_id, part_ids, None, clock=world.clock, reader=world.reader,
        writer=world.writer, multipart=world.multipart, changes=world.changes, files=world.files,
    )  # fmt: skip


def test_one_file_is_created() -> None:
    world = Memory()
    files = at_once(
        lambda: create_file(
            ACCOUNT, FILE, b"{}", idempotency_key="k", clock=world.clock, writer=world.writer,
            changes=world.changes, files=world.files, idempotency=world.idempotency,
        )
    )  # fmt: skip
    assert len({file.id for file in files}) == 1
    assert len(list(world.reader.list(""))) == 1


def test_one_file_is_begun_and_completed() -> None:
    world = Memory()
    begun = at_once(
        lambda: begin_file(
            ACCOUNT, FILE, 2, idempotency_key="k", clock=world.clock, multipart=world.multipart,
            presigner=world.presigner, changes=world.changes, files=world.files,
            idempotency=world.idempotency,
        )
    )  # fmt: skip
    assert len({tuple(answer.part_urls) for answer in begun}) == 1
    (_,) = world.multipart.open_ids
    etag = world.presigner.put(begun[0].part_urls[0], b"{}")
    completed = at_once(
        lambda: complete_file(
            ACCOUNT.id, begun[0].file.id, {1: etag}, clock=world.clock, reader=world.reader,
            writer=world.writer, multipart=world.multipart, changes=world.changes,
            files=world.files,
        )
    )  # fmt: skip
    assert {file.status.value for file in completed} == {"processed"}
    assert not world.multipart.open_ids


def test_one_upload_becomes_one_file_and_leaves_no_other_object() -> None:
    world = Memory()
    upload_id, part_ids = _upload(world, b"{}\n")
    completed = at_once(lambda: _complete(world, upload_id, part_ids))
    assert len({answer.file.id for answer in completed}) == 1
    assert [info.key for info in world.reader.list("files/")] == [completed[0].file.key]


def test_an_upload_is_completed_or_cancelled_never_both() -> None:
    world = Memory()
    upload_id, part_ids = _upload(world, b"{}\n")

    def either(turn: int) -> str:
        try:
            if turn % 2:
                _complete(world, upload_id, part_ids)
            else:
                cancel_upload(
                    ACCOUNT.id, upload_id, clock=world.clock, changes=world.changes,
                    files=world.files,
                )  # fmt: skip
        except StateConflict as refusal:
            return refusal.code
        return "completed" if turn % 2 else "cancelled"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = set(pool.map(either, range(AT_ONCE)))
    status = world.files.upload(ACCOUNT.id, upload_id).status.value
    assert outcomes - {"upload_not_pending"} == {status}
    assert len(list(world.reader.list("files/"))) == (status == "completed")


def test_one_batch_is_created_and_started() -> None:
    world = Memory()
    world.changes.commit(Add(ACCOUNT))
    file = create_file(
        ACCOUNT, FILE, b"{}", idempotency_key=None, clock=world.clock, writer=world.writer,
        changes=world.changes, files=world.files, idempotency=world.idempotency,
    )  # fmt: skip
    new = NewBatch(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="1h")
    batches = at_once(
        lambda: create_batch(
            ACCOUNT, new, idempotency_key="k", clock=world.clock, reader=world.reader,
            writer=world.writer, changes=world.changes, files=world.files, batches=world.batches,
            idempotency=world.idempotency, workflows=world.workflows,
            announcements=world.announcements, catalogue=CATALOGUE, ledger=world.ledger,
        )
    )  # fmt: skip
    assert len({batch.id for batch in batches}) == 1
    assert list(world.workflows.started) == [batches[0].id]
    assert world.batches.open_count(ACCOUNT.id) == 1
