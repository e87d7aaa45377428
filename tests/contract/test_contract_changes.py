"""Changes of state: all or nothing, each on the version that was read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.ids import ACCOUNT, BATCH
from offpeak.core.ports import CHANGES_MAX, Add, Save
from offpeak.core.usage import Counts
from tests.contract import rows
from tests.contract.worlds import Ports


def test_every_kind_of_row_comes_back_as_it_was_one_version_higher(ports: Ports) -> None:
    account = rows.account()
    key = rows.api_key(account.id)
    file = rows.file(account.id, expires_at=rows.NOW + 60)
    upload = rows.upload(account.id)
    batch = rows.batch(account.id, metadata={"größe": "groß", "": "empty"}, output_expires_after=60)
    run = rows.run(batch.id, counts=Counts(total=3, failed=1))
    shard = rows.shard(batch.id, worker="i-1")
    ports.changes.commit(
        Add(account), Add(key), Add(file), Add(upload), Add(batch), Add(run), Add(shard)
    )

    assert ports.accounts.get(account.id) == replace(account, version=1)
    assert ports.accounts.key(key.hash) == replace(key, version=1)
    assert ports.files.get(account.id, file.id) == replace(file, version=1)
    assert ports.files.upload(account.id, upload.id) == replace(upload, version=1)
    assert ports.batches.get(account.id, batch.id) == replace(batch, version=1)
    assert ports.runs.get(batch.id, 0) == replace(run, version=1)
    assert ports.runs.glance(batch.id, 0) == replace(run, version=1)
    assert ports.shards.get(batch.id, 0, 0) == replace(shard, version=1)


def test_what_became_none_is_none_again(ports: Ports) -> None:
    batch = rows.batch(rows.fresh(ACCOUNT), task_token="token", metadata={"a": "b"})
    ports.changes.commit(Add(batch))
    ports.changes.commit(Save(replace(batch, version=1, task_token=None, metadata=None)))
    found = ports.batches.get(batch.account_id, batch.id)
    assert (found.task_token, found.metadata, found.version) == (None, None, 2)


def test_a_row_is_added_once(ports: Ports) -> None:
    account = rows.account()
    ports.changes.commit(Add(account))
    with pytest.raises(StateConflict) as caught:
        ports.changes.commit(Add(replace(account, name="other")))
    assert caught.value.code == "write_conflict"
    assert ports.accounts.get(account.id).name == "research"


@pytest.mark.parametrize("version", [0, 2])
def test_a_save_needs_the_version_that_is_stored(ports: Ports, version: int) -> None:
    account = rows.account()
    ports.changes.commit(Add(account))
    with pytest.raises(StateConflict) as caught:
        ports.changes.commit(Save(replace(account, version=version, name="other")))
    assert caught.value.code == "write_conflict"
    assert ports.accounts.get(account.id) == replace(account, version=1)


def test_what_was_never_added_cannot_be_saved(ports: Ports) -> None:
    account = rows.account()
    with pytest.raises(StateConflict):
        ports.changes.commit(Save(account))
    with pytest.raises(NotFound):
        ports.accounts.get(account.id)


def test_one_failing_change_undoes_all(ports: Ports) -> None:
    batch_id = rows.fresh(BATCH)
    run, first, second = rows.run(batch_id), rows.shard(batch_id), rows.shard(batch_id, number=1)
    ports.changes.commit(Add(run), Add(first))
    stale = Save(replace(first, attempt=7, version=0))
    with pytest.raises(StateConflict) as caught:
        ports.changes.commit(Save(replace(run, version=1, open=9)), Add(second), stale)
    assert caught.value.code == "write_conflict"
    assert ports.runs.get(batch_id, 0).open == 0
    assert ports.shards.get(batch_id, 0, 0).attempt == 1
    with pytest.raises(NotFound):
        ports.shards.get(batch_id, 0, 1)


def test_sixty_four_at_once_have_one_winner(ports: Ports) -> None:
    shard = rows.shard(rows.fresh(BATCH))
    ports.changes.commit(Add(shard))
    read = ports.shards.get(shard.batch_id, 0, 0)

    def claim(worker: str) -> str | None:
        try:
            ports.changes.commit(Save(read.claimed(1, worker, rows.NOW)))
        except StateConflict:
            return None
        return worker

    with ThreadPoolExecutor(64) as threads:
        # the same value from every one of them: being equal doesn't make a loser win
        won = [worker for worker in threads.map(claim, ["same"] * 64) if worker]
    assert won == ["same"]
    assert ports.shards.get(shard.batch_id, 0, 0).version == 2


def test_counts_survive_a_crowd_that_reads_and_tries_again(ports: Ports) -> None:
    batch_id = rows.fresh(BATCH)
    ports.changes.commit(Add(rows.run(batch_id)))

    def add_one(number: int) -> None:
        while True:
            run = ports.runs.get(batch_id, 0)
            more = replace(run, counts=run.counts + Counts(total=1, completed=1))
            try:
                ports.changes.commit(Save(more), Add(rows.shard(batch_id, number=number)))
            except StateConflict:
                continue
            return

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add_one, range(24)))
    assert ports.runs.get(batch_id, 0).counts == Counts(total=24, completed=24)
    assert [shard.number for shard in ports.shards.of_run(batch_id, 0)] == list(range(24))


def test_a_hundred_changes_are_one_commit_and_more_are_a_mistake(ports: Ports) -> None:
    batch_id = rows.fresh(BATCH)
    many = [Add(rows.shard(batch_id, number=number)) for number in range(CHANGES_MAX + 1)]
    with pytest.raises(ValueError, match="1 to 100"):
        ports.changes.commit(*many)
    ports.changes.commit(*many[:CHANGES_MAX])
    assert len(list(ports.shards.of_run(batch_id, 0))) == CHANGES_MAX


def test_a_row_changes_once_in_a_commit_and_an_empty_commit_is_a_mistake(ports: Ports) -> None:
    account = rows.account()
    with pytest.raises(ValueError, match="another row"):
        ports.changes.commit(Add(account), Save(account))
    with pytest.raises(ValueError, match="1 to 100"):
        ports.changes.commit()


def test_a_deleted_file_is_gone_and_can_be_neither_saved_nor_deleted_again(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    file = rows.file(account_id)
    ports.changes.commit(Add(file))
    read = ports.files.get(account_id, file.id)
    ports.changes.commit(Save(read.deleted()))
    with pytest.raises(NotFound):
        ports.files.get(account_id, file.id)
    for late in (read, read.deleted()):
        with pytest.raises(StateConflict):
            ports.changes.commit(Save(late))


def test_a_file_is_deleted_only_as_it_was_read(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    file = rows.file(account_id)
    ports.changes.commit(Add(file))
    ports.changes.commit(Save(replace(file, version=1, bytes=13)))
    with pytest.raises(StateConflict):
        ports.changes.commit(Save(replace(file, version=1).deleted()))
    assert ports.files.get(account_id, file.id).bytes == 13
