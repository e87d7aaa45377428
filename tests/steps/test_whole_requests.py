"""Stand-alone requests from their registration to their results: in calm weather, and in storms."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from functools import partial
from typing import Any

import pytest

from offpeak.core.account import Account
from offpeak.core.delivery import Delivery
from offpeak.core.group import Group
from offpeak.core.ports import Verdict
from offpeak.core.pricing import batch_prices, cost_microdollars
from offpeak.core.request import ENDED, Request, RequestStatus
from offpeak.core.shard import Shard, ShardStatus
from offpeak.core.usage import Usage
from offpeak.steps.cancel_request import cancelled_ending
from offpeak.steps.group_requests import NewGroup, create_group
from offpeak.steps.show_request import LOST_SECONDS
from offpeak.wire.results import line_number
from tests.steps.interleaving import CALM, STORM
from tests.steps.request_simulation import (
    ALICE,
    BOB,
    RequestSimulation,
    all_ended,
    check_result,
    lines_of,
    quiet,
    result_of,
)
from tests.steps.simulation import PRICES
from tests.steps.small_worker import usage_of
from tests.steps.test_post_entries import entries_of

SEEDS = int(os.environ.get("OFFPEAK_SIMULATION_SEEDS", "40"))


def test_requests_of_two_accounts_share_a_shard_and_each_gets_its_own_result() -> None:
    world = RequestSimulation(1, CALM)
    mine = [world.send(ALICE, f"mine {n}") for n in range(3)]
    theirs = [world.send(BOB, f"theirs {n}") for n in range(3)]
    assert {world.show(ALICE, i).status for i in mine} == {RequestStatus.REGISTERED}
    world.run(lambda: all_ended(world, mine + theirs) and quiet(world))
    world.end()
    keys = {
        key.rpartition("/")[0]
        for request in world.memory.requests.get_many(mine + theirs)
        if request.result is not None and (key := request.result.key)
    }
    assert len(keys) < 6, "each had a shard of its own"
    for account, ids in ((ALICE, mine), (BOB, theirs)):
        for request_id in ids:
            check_result(world, account, request_id)
    assert set(world.worker.asked.values()) == {1}


def test_each_account_pays_for_its_own_requests_that_succeeded_and_for_no_others() -> None:
    world = RequestSimulation(10, CALM)
    good, bad = (
        {account.id: [world.send(account, name) for _ in range(6)] for account in (ALICE, BOB)}
        for name in ("lucky", "unlucky")
    )
    given_up = world.send(ALICE, "given up")
    cancelled: list[Any] = []
    world.cancel_request(ALICE, given_up, cancelled)
    sent = [request_id for each in (good, bad) for ids in each.values() for request_id in ids]
    world.run(lambda: bool(cancelled) and all_ended(world, sent) and quiet(world))
    world.end()
    check_books(world)
    for account in (ALICE, BOB):
        assert {world.show(account, i).status for i in bad[account.id]} == {RequestStatus.FAILED}
        statuses = [world.show(account, i).status for i in good[account.id]]
        entries = entries_of(world.memory, account.id)
        billed = sum(model.requests for entry in entries for model in entry.models)
        assert billed == statuses.count(RequestStatus.COMPLETED) > 0
        assert world.memory.ledger.balance(account.id).microdollars < 0


def test_a_result_that_comes_after_its_request_was_cancelled_is_nobody_s_to_pay() -> None:
    world = RequestSimulation(11, CALM)
    request_id = world.send(ALICE, "late")
    ended: list[Any] = []

    def done() -> bool:
        """Cancelled past the weather, once its result is there and before anybody brings it home."""
        shards = list(
            world.memory.changes._tables.select(
                Shard, lambda shard: shard.status is ShardStatus.DONE
            )
        )
        if shards and not ended:
            ended.extend(world.memory.requests.end([cancelled_ending(request_id, 1)]))
        return bool(ended) and quiet(world)

    world.run(done)
    world.end()
    assert ended[0].verdict is Verdict.CHANGED, "it had its result"
    assert world.show(ALICE, request_id).status is RequestStatus.CANCELLED
    assert entries_of(world.memory, ALICE.id) == ()


def test_a_request_is_in_progress_once_its_gathering_is_sealed() -> None:
    world = RequestSimulation(2, CALM)
    request_id = world.send(ALICE, "one")
    seen: list[str] = []

    def tick() -> bool:
        seen.append(world.show(ALICE, request_id).status)
        return all_ended(world, [request_id])

    world.run(tick)
    world.end()
    assert list(dict.fromkeys(seen))[:2] == ["registered", "in progress"]
    assert seen[-1] in ("completed", "failed")


def test_a_request_takes_two_writes_and_its_row_never_holds_its_body() -> None:
    world = RequestSimulation(3, CALM)
    request_id = world.send(ALICE, "x" * 5_000)
    world.run(lambda: all_ended(world, [request_id]) and quiet(world))
    world.end()
    [row] = world.memory.requests.get_many([request_id])
    assert row.version == 2
    assert "xxx" not in repr(row)


def test_a_request_with_a_callback_is_told_of_once_however_it_ends() -> None:
    world = RequestSimulation(9, CALM)
    url = "https://hooks.example.org/done"
    told = [world.send(ALICE, f"r{n}", callback=url) for n in range(3)]
    untold = world.send(ALICE, "quiet")
    cancelled: list[Any] = []
    world.cancel_request(ALICE, told[0], cancelled)
    world.run(lambda: bool(cancelled) and all_ended(world, [*told, untold]) and quiet(world))
    world.cancel_request(ALICE, told[0], cancelled)
    world.run(lambda: len(cancelled) == 2)
    world.end()
    for request_id in [*told, untold]:
        deliveries = [
            row
            for row in world.memory.changes._tables.select(Delivery, lambda _: True)
            if row.destination_id == request_id
        ]
        assert [row.url for row in deliveries] == ([url] if request_id in told else [])
        for row in deliveries:
            assert row.event_type == f"request.{world.show(ALICE, request_id).status}"
            assert json.loads(row.body)["data"]["id"] == request_id


def test_a_cancel_that_died_before_it_told_anybody_is_told_of_by_the_next() -> None:
    world = RequestSimulation(13, CALM)
    request_id = world.send(ALICE, "given up", callback="https://hooks.example.org/done")
    now = int(world.memory.clock.now())
    world.memory.requests.end([cancelled_ending(request_id, now)])
    answers: list[Any] = []
    world.cancel_request(ALICE, request_id, answers)
    world.run(lambda: bool(answers))
    world.end()
    [told] = world.memory.changes._tables.select(Delivery, lambda _: True)
    assert (told.destination_id, told.event_type) == (request_id, "request.cancelled")
    assert answers[0].ended_at == now


def test_a_request_that_expires_with_its_group_is_told_of_once_and_so_is_the_group() -> None:
    world = RequestSimulation(12, CALM)
    world._records_seen = 1  # the queue lost it
    url = "https://hooks.example.org/done"
    lost = world.send(ALICE, "lost", callback=url)
    ids = [lost, world.send(ALICE, "found")]
    made: list[Any] = []
    step = partial(create_group, idempotency_key=None)
    new = NewGroup(request_ids=tuple(ids), callback=url)
    world.keep(step, ALICE, new, into=made)
    world.run(lambda: bool(made) and all_ended(world, ids[1:]))
    world.memory.clock.advance(86_400 + LOST_SECONDS)
    world.run(lambda: quiet(world))
    world.memory.group_checks.ask(ALICE.id, made[0].id)
    world.memory.group_checks.ask(ALICE.id, made[0].id)
    world.run(lambda: not world.tasks)
    world.end()
    told = world.memory.changes._tables.select(Delivery, lambda _: True)
    assert sorted((row.destination_id, row.event_type) for row in told) == sorted(
        [(lost, "request.failed"), (made[0].id, "batch.completed")]
    )
    check_books(world)


def test_a_request_whose_window_ran_out_before_it_was_collected_says_so() -> None:
    world = RequestSimulation(8, CALM)
    world._records_seen = 1  # the queue lost it
    request_id = world.send(ALICE, "lost")
    world.memory.clock.advance(86_400 + 3_600 + 60)
    shown = world.show(ALICE, request_id)
    assert (shown.status, shown.error_code) == (RequestStatus.FAILED, "request_expired")
    assert result_of(world, ALICE, request_id)["error"]["code"] == "request_expired"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_in_any_storm_every_request_ends_once_and_every_group_with_its_members(seed: int) -> None:
    world = RequestSimulation(seed, STORM)
    choose = world.random
    windows = choose.choice([["24h"], ["24h", "48h"]])
    ids: dict[str, list[str]] = {}
    for account in (ALICE, BOB):
        ids[account.id] = [
            world.send(
                account, "poison" if choose.random() < 0.03 else f"r{n}",
                model=choose.choice(["red", "blue"]), window=choose.choice(windows),
            )
            for n in range(choose.randint(1, 15))
        ]  # fmt: skip
    made: dict[str, list[Any]] = {ALICE.id: [], BOB.id: []}
    cancelled: list[Any] = []
    some = {account.id: ids[account.id][: choose.randint(1, 10)] for account in (ALICE, BOB)}
    plans = {choose.randint(1, 2_000): account for account in (ALICE, BOB)}
    cancels = {choose.randint(1, 3_000): choose.choice([ALICE, BOB]) for _ in range(3)}
    endings: dict[str, Request] = {}
    ticks = 0

    def tick() -> bool:
        nonlocal ticks
        ticks += 1
        if ticks in plans:
            account = plans[ticks]
            world.group(account, some[account.id], made[account.id])
        if ticks in cancels:
            account = cancels[ticks]
            world.cancel_request(account, choose.choice(ids[account.id]), cancelled)
        if ticks % 50 == 0:
            no_ending_changes(world, [*ids[ALICE.id], *ids[BOB.id]], endings)
        over = ticks > 3_000 and all(made[account.id] for account in plans.values())
        return over and all(all_ended(world, each) for each in ids.values()) and quiet(world)

    world.run(tick)
    world.end()
    check_books(world)
    for account in (ALICE, BOB):
        check_requests(world, account, ids[account.id])
        check_made(world, account, made[account.id], some[account.id])


def no_ending_changes(
    world: RequestSimulation, ids: list[str], endings: dict[str, Request]
) -> None:
    for row in world.memory.requests.get_many(ids):
        if row.has_ended:
            was = endings.setdefault(row.id, row)
            assert (was.status, was.result) == (row.status, row.result), "it ended twice"


def check_requests(world: RequestSimulation, account: Account, ids: list[str]) -> None:
    for request_id in ids:
        assert world.show(account, request_id).status in ENDED
        check_result(world, account, request_id)


def check_books(world: RequestSimulation) -> None:
    """Each account has paid for its requests that have a result, shard by shard, and for nothing else."""
    used: dict[tuple[str, str, str], list[Usage]] = defaultdict(list)
    for account in (ALICE, BOB):
        rows = world.memory.changes._tables.select(Request, lambda _: True)
        for row in rows:
            if row.account_id == account.id and row.status is RequestStatus.COMPLETED:
                assert row.result is not None
                line = world.memory.reader.read(row.result.key, row.result.start, row.result.stop)
                shard_id = shard_of(world, row.result.key)
                used[account.id, shard_id, row.model].append(usage_of(line_number(line)))
    entries = [entry for account in (ALICE, BOB) for entry in entries_of(world.memory, account.id)]
    for account in (ALICE, BOB):
        balance = world.memory.ledger.balance(account.id)
        theirs = [entry for entry in entries if entry.account_id == account.id]
        assert balance.microdollars == sum(entry.microdollars for entry in theirs)
        assert balance.held_microdollars == 0
    assert {
        (entry.account_id, entry.source, model.model): (model.requests, -entry.microdollars)
        for entry in entries
        for model in entry.models
    } == {
        key: (len(each), cost_microdollars(batch_prices(PRICES[key[2]]), sum(each, Usage())))
        for key, each in used.items()
    }


def shard_of(world: RequestSimulation, key: str) -> str:
    """Of the results at this key."""
    shards = world.memory.changes._tables.select(Shard, lambda _: True)
    [found] = [
        shard
        for shard in shards
        if key in {each.key for each in (shard.output, shard.errors) if each is not None}
    ]
    return found.id


def check_made(world: RequestSimulation, account: Account, made: list[Any], ids: list[str]) -> None:
    """What came of an account's one call, if the seed had it make one: it may have been in vain."""
    for group in made:
        if isinstance(group, Group):
            check_group(world, account, group.id, ids)


def check_group(world: RequestSimulation, account: Account, group_id: str, ids: list[str]) -> None:
    group = world.found_group(account, group_id)
    assert group.has_ended
    assert [line["id"] for line in lines_of(world, account, group_id)] == ids
    statuses = Counter(row.status for row in world.memory.requests.get_many(ids))
    assert group.counts.completed == statuses[RequestStatus.COMPLETED]
    assert group.counts.failed == statuses[RequestStatus.FAILED]
    assert group.counts.total == len(ids)
    assert not group.claims
