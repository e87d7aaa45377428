"""Batches of one limited account that are planned, cancelled and ended at once, in the order that a seed chooses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from offpeak.core.account import Account, Limits
from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.enqueued import estimate_tokens
from offpeak.core.errors import QuotaExceeded
from offpeak.core.ports import Add, Save
from offpeak.memory.memory import Memory
from offpeak.steps.check_enqueued import hold_enqueued
from tests.steps.interleaving import CALM, STORM, Faults
from tests.steps.simulation import Simulation, request
from tests.steps.test_whole_batches import ended

LINES = [request(f"c{n}") for n in range(8)]
TOKENS = estimate_tokens(sum(len(line) + 1 for line in LINES))
NAMES = ("batch_a", "batch_b", "batch_c", "batch_d")
SEEDS = 25


class Crowd(Simulation):
    """Four batches, and an account that may have `room` of them enqueued. After every change of state the account's row
    is what its batches say that they hold in it, and no more than the limit."""

    def __init__(self, seed: int, faults: Faults, *, room: int) -> None:
        super().__init__(seed, faults)
        self.limit = room * TOKENS + TOKENS // 2
        account = replace(
            self.memory.accounts.get("acct_1"), limits=Limits(enqueued_tokens_max=self.limit)
        )
        self.memory.changes.commit(Save(account))
        self.most: Counter[str] = Counter()
        commit = self.memory.changes.commit

        def watched(*changes: Add | Save) -> None:
            commit(*changes)
            self._check()

        self.memory.changes.commit = watched  # type: ignore[method-assign]
        for name in NAMES:
            self.submit(name, LINES, window_seconds=86_400)

    @property
    def row(self) -> Mapping[str, int]:
        return self.memory.ledger.enqueued("acct_1").tokens

    @property
    def found(self) -> list[Batch]:
        return [self.batch(name) for name in NAMES]

    def _check(self) -> None:
        held: Counter[str] = Counter()
        for batch in self.memory.batches.open_of("acct_1"):
            if batch.holds_enqueued:
                held.update(batch.enqueued_tokens)
        assert self.row == dict(held)
        assert all(tokens <= self.limit for tokens in held.values())
        self.most |= held


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize(("faults", "room"), [(CALM, 1), (CALM, 2), (STORM, 1), (STORM, 3)])
def test_the_limit_holds_is_used_and_is_given_back(seed: int, faults: Faults, room: int) -> None:
    world = Crowd(seed, faults, room=room)
    world.cancel(NAMES[seed % 4])
    world.run(lambda: ended(world, *NAMES))
    world.end()
    assert world.row == {}
    assert not any(batch.holds_enqueued for batch in world.found)
    refused = [batch for batch in world.found if batch.status is BatchStatus.FAILED]
    # Somebody always has the room: no two turn each other away. The cancelled one may have held it for a while.
    assert len(refused) <= len(NAMES) - room
    assert world.most["red"] in range(TOKENS, room * TOKENS + 1)


def test_of_two_planned_in_the_same_moment_one_gives_way() -> None:
    statuses = Counter[Any]()
    for seed in range(SEEDS):
        world = Crowd(seed, CALM, room=1)
        for name in NAMES[2:]:
            world.cancel(name)
        world.run(partial(ended, world, *NAMES))
        world.end()
        statuses.update(batch.status for batch in world.found[:2])
    assert statuses[BatchStatus.COMPLETED] >= SEEDS
    assert statuses[BatchStatus.FAILED] > 0


def _world(*others: Batch, limit: int = 1_000) -> tuple[Memory, Any]:
    """`hold` of a batch created in second 5."""
    memory = Memory()
    memory.changes.commit(*map(Add, others))
    mine = replace(_batch("batch_m", created_at=5), version=1)
    limits = Limits(enqueued_tokens_max=limit)
    account = Account(id="acct_1", name="a", created_at=0, limits=limits)
    return memory, partial(
        hold_enqueued, account, mine, batches=memory.batches, ledger=memory.ledger
    )


def _batch(id: str, **fields: Any) -> Batch:
    batch = Batch(
        id=id, account_id="acct_1", input_file_id="f", input_key="k", input_bytes=1, endpoint="/",
        completion_window="24h", created_at=0, expires_at=1,
    )  # fmt: skip
    return replace(batch, **fields)


def test_a_batch_that_was_created_earlier_holds_its_guess_against_later_ones_alone() -> None:
    earlier, later = (
        _batch(f"batch_{at}", created_at=at, enqueued_tokens={"red": 600}) for at in (4, 6)
    )
    with pytest.raises(QuotaExceeded, match="600 are enqueued already"):
        _world(earlier)[1]({"red": 600})
    assert _world(later)[1]({"red": 600}).tokens == {"red": 600}


def test_batches_planned_before_there_was_a_row_count() -> None:
    planned = _batch(
        "batch_old", created_at=9, enqueued_tokens={"red": 600}, in_progress_at=9,
        status=BatchStatus.IN_PROGRESS,
    )  # fmt: skip
    _, hold = _world(planned)
    with pytest.raises(QuotaExceeded):
        hold({"red": 600})
    assert hold({"red": 400}).tokens == {"red": 400}


def test_an_index_that_lags_refuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows a batch as it was created that has ended meanwhile."""
    stale = _batch("batch_old", enqueued_tokens={"red": 600})
    memory, hold = _world(replace(stale, status=BatchStatus.COMPLETED, completed_at=1))
    monkeypatch.setattr(memory.batches, "open_of", lambda _: iter([stale]))
    assert hold({"red": 600}).tokens == {"red": 600}
