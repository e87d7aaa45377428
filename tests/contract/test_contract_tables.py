"""Reading state: by id, in pages, and by the sparse indexes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from offpeak.core.account import Scope, hash_secret, new_secret
from offpeak.core.batch import TERMINAL, BatchStatus
from offpeak.core.errors import NotFound
from offpeak.core.file import File
from offpeak.core.ids import ACCOUNT, BATCH
from offpeak.core.ports import Add, Claim, Page, Save
from offpeak.core.queued_run import queued
from offpeak.core.run import SHORT_SHARDS_MAX, CloseReason, Run, RunStatus
from offpeak.core.shard import OPEN, ShardStatus
from tests.contract import rows
from tests.contract.worlds import Ports


def test_what_is_not_there_or_foreign_is_not_found(ports: Ports) -> None:
    mine, theirs = rows.fresh(ACCOUNT), rows.fresh(ACCOUNT)
    file, upload, batch = rows.file(theirs), rows.upload(theirs), rows.batch(theirs)
    ports.changes.commit(Add(file), Add(upload), Add(batch))
    for missing in (
        lambda: ports.accounts.get(mine),
        lambda: ports.accounts.key(ports.key_hashes.hash_key("sk-offpeak-unknown")),
        lambda: ports.files.get(mine, file.id),
        lambda: ports.files.upload(mine, upload.id),
        lambda: ports.batches.get(mine, batch.id),
        lambda: ports.runs.get(batch.id, 0),
        lambda: ports.shards.get(batch.id, 0, 0),
    ):
        with pytest.raises(NotFound):
            missing()


def test_a_foreign_id_is_answered_in_the_words_for_a_made_up_one(ports: Ports) -> None:
    mine, theirs = rows.fresh(ACCOUNT), rows.fresh(ACCOUNT)
    file, upload, batch = rows.file(theirs), rows.upload(theirs), rows.batch(theirs)
    request, group = rows.request(theirs), rows.group(theirs)
    webhook, delivery = rows.webhook(theirs), rows.delivery(theirs)
    ports.changes.commit(
        Add(file), Add(upload), Add(batch), Add(request), Add(group), Add(webhook), Add(delivery)
    )
    ports.changes.commit(
        *(Add(rows.delivery(theirs, destination_id=delivery.destination_id)) for _ in range(2))
    )
    told = ports.deliveries.list(mine, delivery.destination_id, limit=1, after=None)
    assert told == Page(rows=(), has_more=False)
    looks: list[tuple[Callable[[str, str], object], str]] = [
        (ports.files.get, file.id), (ports.files.upload, upload.id),
        (ports.batches.get, batch.id), (ports.requests.get, request.id),
        (ports.groups.get, group.id), (ports.webhooks.get, webhook.id),
        (lambda account, one: ports.deliveries.get(account, delivery.destination_id, one), delivery.id),
    ]  # fmt: skip
    for look, foreign in looks:
        assert look(theirs, foreign) is not None
        nobodys = foreign[:-4] + ("0000" if foreign[-4:] != "0000" else "1111")
        said = []
        for one in (foreign, nobodys):
            with pytest.raises(NotFound) as caught:
                look(mine, one)
            said.append(caught.value.message.replace(one, "ID"))
        assert said[0] == said[1]


@pytest.mark.parametrize(
    "wild", ["", "x", "file-" + "a" * 3_000, "batch_\x00", "größe", "file-\ud800"]
)
def test_an_id_that_cannot_be_is_not_found(ports: Ports, wild: str) -> None:
    account_id = rows.fresh(ACCOUNT)
    for get in (ports.files.get, ports.files.upload, ports.batches.get):
        with pytest.raises(NotFound):
            get(account_id, wild)


def test_a_file_is_no_upload_and_an_upload_no_file(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    file, upload = rows.file(account_id), rows.upload(account_id)
    ports.changes.commit(Add(file), Add(upload))
    with pytest.raises(NotFound):
        ports.files.get(account_id, upload.id)
    with pytest.raises(NotFound):
        ports.files.upload(account_id, file.id)
    assert [found.id for found in _files(ports, account_id).rows] == [file.id]


def test_a_key_is_kept_under_a_hash_that_only_this_deployment_makes(ports: Ports) -> None:
    secret = new_secret()
    hashed = ports.key_hashes.hash_key(secret)
    assert hashed == ports.key_hashes.hash_key(secret)
    assert hashed != hash_secret(secret, b"another deployment's pepper")
    assert secret not in hashed
    kept = rows.api_key(rows.fresh(ACCOUNT), hash=hashed, scope=Scope.READ, expires_at=rows.NOW)
    ports.changes.commit(Add(kept))
    assert ports.accounts.key(hashed) == replace(kept, version=1)


def test_accounts_and_their_keys_are_listed(ports: Ports) -> None:
    first, second = rows.account(), rows.account()
    keys = [rows.api_key(first.id), rows.api_key(first.id)]
    other = rows.api_key(second.id)
    ports.changes.commit(*map(Add, [first, second]), *map(Add, [*keys, other]))
    assert {first.id, second.id} <= {account.id for account in ports.accounts.list()}
    assert [key.id for key in ports.accounts.keys(first.id)] == [key.id for key in keys]


def test_a_revoked_key_says_so_at_once(ports: Ports) -> None:
    key = rows.api_key(rows.fresh(ACCOUNT))
    ports.changes.commit(Add(key))
    ports.changes.commit(Save(ports.accounts.key(key.hash).revoked(rows.NOW)))
    assert ports.accounts.key(key.hash).revoked_at == rows.NOW
    assert [found.revoked_at for found in ports.accounts.keys(key.account_id)] == [rows.NOW]


def _files(
    ports: Ports,
    account_id: str,
    *,
    limit: int = 100,
    after: str | None = None,
    purpose: str | None = None,
    ascending: bool = False,
) -> Page[File]:
    return ports.files.list(
        account_id, limit=limit, after=after, purpose=purpose, ascending=ascending
    )


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 5, 6])
def test_pages_of_files_join_to_the_whole_list(ports: Ports, limit: int, ascending: bool) -> None:
    account_id = rows.fresh(ACCOUNT)
    files = [rows.file(account_id) for _ in range(5)]
    ports.changes.commit(*map(Add, files), Add(rows.upload(account_id)))
    seen: list[str] = []
    has_more = True
    while has_more:
        page = _files(
            ports,
            account_id,
            limit=limit,
            after=seen[-1] if seen else None,
            ascending=ascending,
        )
        assert len(page.rows) <= limit
        assert page.rows or not page.has_more
        seen += [file.id for file in page.rows]
        has_more = page.has_more
    ids = [file.id for file in files]
    assert seen == (ids if ascending else ids[::-1])


def test_a_page_is_filled_past_files_of_another_purpose(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    outputs = [rows.file(account_id, purpose="batch_output") for _ in range(3)]
    inputs = [rows.file(account_id) for _ in range(60)]
    mixed = [outputs[0], *inputs[:30], outputs[1], *inputs[30:], outputs[2]]
    ports.changes.commit(*map(Add, mixed))
    page = _files(ports, account_id, limit=2, purpose="batch_output", ascending=True)
    assert [file.id for file in page.rows] == [outputs[0].id, outputs[1].id]
    assert page.has_more
    rest = _files(
        ports, account_id, limit=2, after=outputs[1].id, purpose="batch_output", ascending=True
    )
    assert [file.id for file in rest.rows] == [outputs[2].id]
    assert not rest.has_more


def test_files_of_all_accounts_are_found_when_their_time_is_over(ports: Ports) -> None:
    accounts = [rows.fresh(ACCOUNT) for _ in range(2)]
    ends = [rows.NOW + 30, rows.NOW + 10, rows.NOW + 20, rows.NOW + 21]
    files = [rows.file(accounts[n % 2], expires_at=end) for n, end in enumerate(ends)]
    ports.changes.commit(*map(Add, files), Add(rows.file(accounts[0])))
    ports.changes.commit(Add(rows.upload(accounts[0], expires_at=rows.NOW)))
    found = [f.id for f in ports.files.expired(rows.NOW + 20) if f.account_id in accounts]
    assert found == [files[1].id, files[2].id]
    ports.changes.commit(Save(ports.files.get(accounts[1], files[1].id).deleted()))
    found = [f.id for f in ports.files.expired(rows.NOW + 20) if f.account_id in accounts]
    assert found == [files[2].id]


def test_a_page_goes_on_after_a_file_that_was_deleted_meanwhile(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    files = [rows.file(account_id) for _ in range(4)]
    ports.changes.commit(*map(Add, files))
    ports.changes.commit(Save(ports.files.get(account_id, files[2].id).deleted()))
    page = _files(ports, account_id, after=files[2].id)
    assert [file.id for file in page.rows] == [files[1].id, files[0].id]


@pytest.mark.parametrize(
    ("after", "ascending", "found"),
    [
        ("", True, 2),
        ("zzz", False, 2),
        ("", False, 0),
        ("zzz", True, 0),
        ("e" * 3_000, True, 2),
        ("\ud800", False, 2),
        ("file-\ud800", False, 2),
        ("file-\ud800", True, 0),
    ],
)
def test_a_cursor_that_is_no_id_is_a_place_like_any_other(
    ports: Ports, after: str, ascending: bool, found: int
) -> None:
    account_id = rows.fresh(ACCOUNT)
    ports.changes.commit(Add(rows.file(account_id)), Add(rows.file(account_id)))
    page = _files(ports, account_id, after=after, ascending=ascending)
    assert (len(page.rows), page.has_more) == (found, False)


def test_batches_are_listed_newest_first_in_pages(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    batches = [rows.batch(account_id) for _ in range(3)]
    ports.changes.commit(*map(Add, batches))
    page = ports.batches.list(account_id, limit=2, after=None)
    assert [batch.id for batch in page.rows] == [batches[2].id, batches[1].id]
    assert page.has_more
    rest = ports.batches.list(account_id, limit=2, after=page.rows[-1].id)
    assert [batch.id for batch in rest.rows] == [batches[0].id]
    assert not rest.has_more


def test_open_batches_are_those_that_have_not_ended(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    batches = [rows.batch(account_id, status=status) for status in BatchStatus]
    ports.changes.commit(*map(Add, batches), Add(rows.batch(account_id + "0")))
    going = {batch.id for batch in batches if batch.status not in TERMINAL}
    assert {batch.id for batch in ports.batches.open() if batch.account_id == account_id} == going
    assert {batch.id for batch in ports.batches.open_of(account_id)} == going
    assert ports.batches.open_count(account_id) == len(going)


def test_a_batch_keeps_its_enqueued_tokens_by_model(ports: Ports) -> None:
    tokens = {"acme/chat-8b": 12, "größe": 0}
    batch = rows.batch(rows.fresh(ACCOUNT), enqueued_tokens=tokens)
    ports.changes.commit(Add(batch))
    (found,) = ports.batches.open_of(batch.account_id)
    assert found.enqueued_tokens == tokens


def test_a_batch_that_ends_leaves_the_open_ones(ports: Ports) -> None:
    batch = rows.batch(rows.fresh(ACCOUNT), status=BatchStatus.CANCELLING)
    ports.changes.commit(Add(batch))
    ended = ports.batches.get(batch.account_id, batch.id).ended(
        BatchStatus.CANCELLED, counts=batch.counts, usage=None, output_file_id=None,
        error_file_id=None, now=rows.NOW,
    )  # fmt: skip
    ports.changes.commit(Save(ended))
    assert ports.batches.open_count(batch.account_id) == 0
    assert batch.id not in {found.id for found in ports.batches.open()}


def test_runs_of_a_batch_come_in_order(ports: Ports) -> None:
    batch_id = rows.fresh(BATCH)
    ports.changes.commit(*(Add(rows.run(batch_id, number)) for number in (10, 2, 0)))
    assert [run.number for run in ports.runs.of_batch(batch_id)] == [0, 2, 10]


def test_queued_runs_have_shards_to_dispatch_and_come_most_urgent_first(ports: Ports) -> None:
    batch_id = rows.fresh(BATCH)
    pool = f"pool-{batch_id}"

    def run(number: int, **fields: object) -> Run:
        return rows.run(batch_id, number, pool=pool, status=RunStatus.READY, **fields)

    ports.changes.commit(
        Add(run(0, deadline=300)),
        Add(run(1, deadline=100)),
        Add(run(2, deadline=200, cursor=2)),
        Add(replace(run(3, deadline=50), status=RunStatus.HELD)),
        Add(run(4, deadline=1_000)),
        Add(replace(run(5, deadline=10), pool="another")),
        Add(run(6, deadline=20, shards=SHORT_SHARDS_MAX + 1)),
        Add(run(7, deadline=9_999, shards=SHORT_SHARDS_MAX + 1, late=True)),
        Add(run(8, deadline=5, shards=1)),
    )
    assert [found.number for found in ports.runs.queued(pool)] == [7, 1, 0, 4, 6]
    assert [found.number for found in ports.runs.queued(pool, express=True)] == [8]


@pytest.mark.parametrize("each", [1, 2, 3, None])
def test_of_each_account_the_most_urgent_runs_are_found(ports: Ports, each: int | None) -> None:
    batch_id = rows.fresh(BATCH)
    pool = f"pool-{batch_id}"
    accounts = [f"acct_{batch_id}{letter}" for letter in "abcd"]
    held = dict(zip(accounts, (30, 1, 2, 17), strict=True))
    owners = [account for account, count in held.items() for _ in range(count)]
    ports.changes.commit(
        *(
            Add(
                rows.run(
                    batch_id, number, pool=pool, account_id=owner, status=RunStatus.READY,
                    deadline=9_000 - number,
                )
            )
            for number, owner in enumerate(owners)
        )
    )  # fmt: skip
    found = ports.runs.queued(pool, each=each)
    wanted = [
        number
        for account in accounts
        for number in [n for n in reversed(range(len(owners))) if owners[n] == account][:each]
    ]
    assert [run.number for run in found] == wanted


def test_a_queued_run_tells_what_its_run_is(ports: Ports) -> None:
    batch_id = rows.fresh(BATCH)
    run = rows.run(
        batch_id, 3, pool=f"pool-{batch_id}", status=RunStatus.READY, shards=5_000, cursor=700,
        lines=9_000_000, input_bytes=12, completion_tokens=77, created_at=5,
    )  # fmt: skip
    ports.changes.commit(Add(run))
    assert list(ports.runs.queued(run.pool)) == [queued(run)]


def test_a_run_is_queued_from_its_release_until_its_cursor_ends_or_it_closes(ports: Ports) -> None:
    batch_id = rows.fresh(BATCH)
    pool = f"pool-{batch_id}"
    ports.changes.commit(
        Add(rows.run(batch_id, 0, pool=pool)), Add(rows.run(batch_id, 1, pool=pool))
    )

    def ready() -> list[int]:
        return [run.number for run in ports.runs.queued(pool)]

    def save(run: Run) -> None:
        ports.changes.commit(Save(run))

    assert ready() == []
    save(ports.runs.get(batch_id, 0).released())
    save(ports.runs.get(batch_id, 1).released())
    assert sorted(ready()) == [0, 1]
    save(ports.runs.get(batch_id, 0).advanced(50))
    assert sorted(ready()) == [0, 1]
    save(ports.runs.get(batch_id, 0).advanced(100))
    assert ready() == [1]
    save(ports.runs.get(batch_id, 1).closing(CloseReason.EXPIRED, rows.NOW))
    assert ready() == []


def test_shards_of_a_run_come_in_the_order_of_their_numbers(ports: Ports) -> None:
    batch_id = rows.fresh(BATCH)
    shards = [rows.shard(batch_id, 1, number) for number in (11, 2, 100)]
    ports.changes.commit(*map(Add, shards), Add(rows.shard(batch_id, 10, 5)))
    assert [shard.number for shard in ports.shards.of_run(batch_id, 1)] == [2, 11, 100]
    for first, found in ((3, [11, 100]), (11, [11, 100]), (101, [])):
        assert [shard.number for shard in ports.shards.of_run(batch_id, 1, first)] == found


def test_open_shards_are_found_by_pool_and_by_batch(ports: Ports) -> None:
    one, other = rows.fresh(BATCH), rows.fresh(BATCH)
    pool = f"pool-{one}"
    shards = [
        rows.shard(one, number=number, pool=pool, status=status)
        for number, status in enumerate(ShardStatus)
    ]
    ports.changes.commit(
        *map(Add, shards),
        Add(rows.shard(other, pool=pool)),
        Add(rows.shard(one + "0", pool=pool)),
        Add(rows.shard(other, number=1, pool="another")),
    )
    still_open = {shard.id for shard in shards if shard.status in OPEN}
    assert {shard.id for shard in ports.shards.open(pool, one)} == still_open
    everyone = still_open | {f"{other}.0.0", f"{one}0.0.0"}
    assert {shard.id for shard in ports.shards.open(pool)} == everyone


def test_a_shard_that_ends_leaves_the_open_ones(ports: Ports) -> None:
    batch_id = rows.fresh(BATCH)
    pool = f"pool-{batch_id}"
    ports.changes.commit(Add(rows.shard(batch_id, pool=pool)))
    ports.changes.commit(Save(ports.shards.get(batch_id, 0, 0).closed()))
    assert list(ports.shards.open(pool)) == []
    assert [shard.status for shard in ports.shards.of_run(batch_id, 0)] == [ShardStatus.CLOSED]


def test_the_first_claim_of_an_idempotency_key_stays(ports: Ports) -> None:
    scope, until = rows.fresh(ACCOUNT), int(ports.clock.now()) + 60
    first = Claim(resource_id="batch_1", fingerprint="f1")
    second = Claim(resource_id="batch_2", fingerprint="f2")
    assert ports.idempotency.claim(scope, "key", first, until) == first
    assert ports.idempotency.claim(scope, "key", second, until) == first
    assert ports.idempotency.claim(scope, "another key", second, until) == second
    assert ports.idempotency.claim(scope + "0", "key", second, until) == second


def test_an_expired_claim_makes_room(ports: Ports) -> None:
    scope, now = rows.fresh(ACCOUNT), int(ports.clock.now())
    first = Claim(resource_id="batch_1", fingerprint="f1")
    second = Claim(resource_id="batch_2", fingerprint="f2")
    ports.idempotency.claim(scope, "k" * 3_000, first, now - 1)
    assert ports.idempotency.claim(scope, "k" * 3_000, second, now + 60) == second
    assert ports.idempotency.claim(scope, "k" * 3_000, first, now + 60) == second
