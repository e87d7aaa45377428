"""Erasing an account: all of its prompts and results are gone from every prefix, and nothing of anybody else's."""

from __future__ import annotations

import pytest

from offpeak.core.account import Account
from offpeak.core.batch import Batch
from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.file import File
from offpeak.core.layout import (
    batch_errors_key,
    error_key,
    file_key,
    group_results_key,
    manifest_key,
    output_key,
    part_key,
    range_report_key,
    reordered_lines_key,
    request_body_key,
    request_input_key,
    result_copy_key,
    shard_prefix,
)
from offpeak.core.ports import Add, Save
from offpeak.core.usage import Counts
from offpeak.memory.memory import Memory
from offpeak.steps.erase_account import PAGE_ROWS, erase_account
from tests.contract import rows
from tests.steps.ward import ACCOUNT, Ward, call_step


def _everything_of(world: Memory, name: str, batches: int = 1) -> Account:
    """An account with rows and objects of every kind that has its prompts."""
    account = rows.account(name=name)
    key, hook = rows.api_key(account.id), rows.webhook(account.id)
    world.changes.commit(Add(account), Add(key), Add(hook))
    mark = name.encode()
    for _ in range(batches):
        batch = rows.batch(account.id)
        world.changes.commit(Add(batch))
        world.changes.commit(Save(_ended(world, batch.id, account.id)))
        for where in (
            output_key(batch.id), error_key(batch.id), batch_errors_key(batch.id),
            range_report_key(batch.id, 0), manifest_key(batch.id, 0, "a"),
            reordered_lines_key(batch.id, 0, 0), f"{shard_prefix(batch.id, 0, 0)}1/output.jsonl",
        ):  # fmt: skip
            world.writer.put(where, mark)
        file = rows.file(account.id)
        world.changes.commit(Add(file))
        world.writer.put(file.key, mark)
    for where in (
        part_key(account.id, "upload_1", "part_1"), request_body_key(account.id, "req_1"),
        request_input_key(account.id, "req_1"), group_results_key(account.id, "group_1"),
        result_copy_key(account.id, "req_1"), f"drop/{account.id}/a.jsonl",
        f"drop/{account.id}/a.output.jsonl",
    ):  # fmt: skip
        world.writer.put(where, mark)
    return account


def _ended(world: Memory, batch_id: str, account_id: str) -> Batch:
    batch = world.batches.get(account_id, batch_id)
    return batch.failed(errors_key=batch_errors_key(batch_id), counts=Counts(), now=rows.NOW)


def _holding(world: Memory, mark: bytes) -> list[str]:
    return [each.key for each in world.reader.list("") if mark in world.reader.read(each.key)]


def test_nothing_of_it_is_left_and_others_keep_theirs() -> None:
    world = Memory()
    gone, kept = _everything_of(world, "alice"), _everything_of(world, "bob")
    before = _holding(world, b"bob")
    erased = call_step(world, erase_account, gone.id)
    assert _holding(world, b"alice") == []
    assert (erased.keys, erased.files, erased.webhooks) == (1, 1, 1)
    assert all(key.revoked_at is not None for key in world.accounts.keys(gone.id))
    assert world.webhooks.of_account(gone.id) == []
    assert _files(world, gone.id) == []
    assert _holding(world, b"bob") == before
    assert len(_files(world, kept.id)) == 1
    assert all(key.revoked_at is None for key in world.accounts.keys(kept.id))


def test_more_than_a_page_of_files_and_batches_goes() -> None:
    world = Memory()
    account = _everything_of(world, "alice", batches=PAGE_ROWS + 3)
    assert call_step(world, erase_account, account.id).files == PAGE_ROWS + 3
    assert _holding(world, b"alice") == []


def test_erasing_again_finds_nothing() -> None:
    world = Memory()
    account = _everything_of(world, "alice")
    call_step(world, erase_account, account.id)
    again = call_step(world, erase_account, account.id)
    assert (again.keys, again.files, again.webhooks, again.objects) == (0, 0, 0, 0)


def test_an_upload_that_is_not_complete_is_aborted() -> None:
    world = Memory()
    account = rows.account()
    key = file_key(account.id, "file-1")
    pending = rows.file(account.id, key=key, multipart_id=world.multipart.begin(key))
    world.changes.commit(Add(account), Add(pending))
    call_step(world, erase_account, account.id)
    assert _files(world, account.id) == []


def test_while_a_batch_runs_the_keys_go_and_the_rest_waits() -> None:
    ward = Ward()
    key = rows.api_key(ACCOUNT)
    ward.changes.commit(Add(key))
    with pytest.raises(StateConflict) as caught:
        ward.call(erase_account, ACCOUNT)
    assert caught.value.code == "account_busy"
    assert all(each.revoked_at is not None for each in ward.accounts.keys(ACCOUNT))
    assert list(ward.reader.list(file_key(ACCOUNT, "")))


def test_an_unknown_account_is_not_erased() -> None:
    with pytest.raises(NotFound):
        call_step(Memory(), erase_account, "acct_unknown")


def _files(world: Memory, account_id: str) -> list[File]:
    return list(
        world.files.list(account_id, limit=200, after=None, purpose=None, ascending=True).rows
    )
