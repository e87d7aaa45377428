"""How much a dispatch reads, with hundreds of runs of thousands of shards waiting: as much as with a few."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from offpeak.core.account import Account
from offpeak.core.catalogue import Catalogue
from offpeak.core.ports import Add, Save
from offpeak.core.shard import PlannedShard, Segment
from offpeak.steps.cancel_batch import cancel_batch
from offpeak.steps.dispatch_shards import dispatch_shards
from offpeak.steps.remembered_accounts import REMEMBERED_SECONDS, RememberedAccounts
from offpeak.wire.manifest import encode_shard
from tests.steps.simulation import CATALOGUE
from tests.steps.ward import ACCOUNT, BATCH, POOL, Ward

SHARDS = 5_000
MANIFEST_SHARDS = 60


class Counting:
    """A port that counts how often it is asked, and the rows that it answers with."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self.calls: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            answer = getattr(self._target, name)(*args, **kwargs)
            self.calls[name] += 1
            self.rows[name] += len(answer) if isinstance(answer, list) else 1
            return answer

        return call


def crowded(accounts: int, runs_each: int, *, instances: int = 1) -> Ward:
    """A pool with that many runs of 5,000 shards, of which the manifests hold as many as are dispatched here."""
    ward = Ward(lines=40)
    ward.catalogue = Catalogue((replace(CATALOGUE.models[0], instances_max=instances),))
    ward.release()
    template = ward.run
    ward.call(cancel_batch, ACCOUNT, BATCH)
    segment = Segment(key="files/acct_1/file-1", start=0, stop=10, first_line=1, lines=1)
    lines = [
        encode_shard(PlannedShard(number=n, segments=(segment,))) for n in range(MANIFEST_SHARDS)
    ]
    ward.writer.put("work/manifest", b"".join(lines))
    for n in range(accounts * runs_each):
        ward.changes.commit(
            Add(
                replace(
                    template, batch_id=f"batch_x{n:04}", account_id=f"acct_x{n % accounts}",
                    manifest_key="work/manifest", manifest_bytes=sum(map(len, lines)),
                    shards=SHARDS, lines=SHARDS, version=0,
                )
            )
        )  # fmt: skip
    return ward


def reads(ward: Ward) -> tuple[Counter[str], Counter[str]]:
    """Calls, and rows, of a dispatch of three shards to an empty pool."""
    runs, shards = Counting(ward.runs), Counting(ward.shards)
    ward.runs, ward.shards = runs, shards  # type: ignore[assignment]
    assert ward.call(dispatch_shards, POOL) == 3
    return runs.calls + shards.calls, runs.rows + shards.rows


def test_a_dispatch_reads_as_much_with_five_hundred_runs_waiting_as_with_ten() -> None:
    few, many = reads(crowded(1, 10)), reads(crowded(1, 500))
    assert many == few
    calls, rows = many
    assert calls == {"open": 1, "queued": 2, "get": 3}
    assert rows["queued"] == 4  # as many as slots


def test_it_reads_in_proportion_to_the_accounts() -> None:
    _, rows = reads(crowded(5, 100))
    assert rows["queued"] == 5 * 4


def test_a_full_pool_is_read_once_and_its_queue_not_at_all() -> None:
    ward = crowded(1, 10)
    ward.dispatch()
    waiting = replace(ward.runs.get("batch_x0000", 0), batch_id="batch_e", shards=1, lines=1)
    ward.changes.commit(Add(replace(waiting, cursor=0, cursor_byte=0, open=0, version=0)))
    assert len(ward.dispatch()) == 1  # the slot that is kept for such a run
    runs, shards = Counting(ward.runs), Counting(ward.shards)
    ward.runs, ward.shards = runs, shards  # type: ignore[assignment]
    assert ward.call(dispatch_shards, POOL) == 0
    assert (runs.calls, shards.calls) == (Counter(), Counter(open=1))


def test_slots_go_by_the_accounts_weights() -> None:
    ward = crowded(2, 3, instances=10)
    ward.changes.commit(Add(Account(id="acct_x0", name="a", created_at=0, weight=4)))
    ward.dispatch()
    held = Counter(shard.account_id for shard in ward.shards.open(POOL))
    slots = ward.catalogue.models[0].ordinary_in_flight_max
    assert held["acct_x0"] + held["acct_x1"] == slots
    assert held["acct_x0"] == pytest.approx(slots * 4 / 5, abs=1)


def test_weights_are_remembered_for_a_minute_and_nobody_is_asked_for_one_account_alone() -> None:
    ward = crowded(1, 2)
    accounts = Counting(ward.accounts)
    ward.accounts = accounts  # type: ignore[assignment]
    ward.dispatch()
    assert not accounts.calls
    weights = RememberedAccounts()
    ward.changes.commit(Add(Account(id="acct_x0", name="a", created_at=0, weight=4)))

    def weigh() -> int:
        now = ward.clock.now()
        return weights.weights(["acct_x0"], now=now, accounts=ward.accounts)["acct_x0"]

    assert weigh() == 4
    ward.changes.commit(Save(replace(ward.accounts.get("acct_x0"), weight=2)))
    assert weigh() == 4
    ward.clock.advance(REMEMBERED_SECONDS)
    assert weigh() == 2


def test_an_account_without_a_row_weighs_one() -> None:
    ward = Ward()
    assert RememberedAccounts().weights(["acct_gathering"], now=0.0, accounts=ward.accounts) == {
        "acct_gathering": 1
    }
