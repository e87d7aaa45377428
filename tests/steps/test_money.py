"""A batch's money: held when it is planned, settled once when it ends, whatever happens between."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import replace

import pytest

from offpeak.core.account import Billing
from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.layout import output_key
from offpeak.core.ledger import Entry, EntryKind
from offpeak.core.ports import Save
from offpeak.core.pricing import batch_prices, cost_microdollars
from offpeak.core.usage import Usage
from offpeak.steps.post_entries import post_entry
from offpeak.wire.results import line_number
from tests.steps.interleaving import CALM, STORM, Faults
from tests.steps.simulation import PRICES, Simulation, request
from tests.steps.small_worker import usage_of
from tests.steps.test_post_entries import entries_of
from tests.steps.test_whole_batches import announced, ended

SEEDS = int(os.environ.get("OFFPEAK_SIMULATION_SEEDS", "25"))
ACCOUNT = "acct_1"
PLENTY = 10**12


def world_with(seed: int, faults: Faults, billing: Billing, funds: int) -> Simulation:
    world = Simulation(seed, faults)
    account = world.memory.accounts.get(ACCOUNT)
    world.memory.changes.commit(Save(replace(account, billing=billing)))
    if funds:
        entry = Entry(
            account_id=ACCOUNT, id="credit:1", kind=EntryKind.CREDIT, microdollars=funds, at=0
        )
        post_entry(entry, ledger=world.memory.ledger, changes=world.memory.changes)
    return world


def by_kind(world: Simulation) -> dict[EntryKind, list[Entry]]:
    found = defaultdict(list)
    for entry in entries_of(world.memory):
        found[entry.kind].append(entry)
    return found


def expected_cost(world: Simulation, batch: Batch, models: dict[int, str]) -> int:
    """By the lines of its output file, model by model."""
    if batch.output_file_id is None:
        return 0
    usage: dict[str, Usage] = defaultdict(Usage)
    for line in world.memory.reader.read(output_key(batch.id)).splitlines():
        usage[models[line_number(line)]] += usage_of(line_number(line))
    return sum(
        cost_microdollars(batch_prices(PRICES[model]), used) for model, used in usage.items()
    )


def check_books(world: Simulation, funds: int) -> None:
    """The balance is the ledger's sum, nothing is held, and every settlement is there once."""
    balance = world.memory.ledger.balance(ACCOUNT)
    entries = entries_of(world.memory)
    assert balance.microdollars == sum(entry.microdollars for entry in entries)
    assert balance.held_microdollars == 0
    found = by_kind(world)
    assert {e.source: -e.microdollars for e in found[EntryKind.HOLD]} == {
        e.source: e.microdollars for e in found[EntryKind.RELEASE]
    }
    spent = sum(-entry.microdollars for entry in found[EntryKind.SETTLE])
    assert balance.microdollars == funds - spent


@pytest.mark.parametrize("billing", Billing)
def test_a_batch_costs_what_its_successful_lines_used(billing: Billing) -> None:
    world = world_with(1, CALM, billing, PLENTY)
    models = {n + 1: "red" if n % 3 else "blue" for n in range(30)}
    lines = [request(f"c{n}", models[n + 1]) for n in range(30)]
    world.submit("batch_a", lines, window_seconds=86_400)
    world.run(lambda: ended(world, "batch_a"))
    world.end()
    check_books(world, PLENTY)
    batch = world.batch("batch_a")
    cost = expected_cost(world, batch, models)
    assert batch.cost_microdollars == cost > 0
    assert batch.held_microdollars == 0
    (settled,) = by_kind(world)[EntryKind.SETTLE]
    assert {used.model: used.requests for used in settled.models} == {"red": 18, "blue": 9}
    assert settled.microdollars == (0 if billing is Billing.OFF else -cost)
    assert len(by_kind(world)[EntryKind.HOLD]) == (billing is Billing.ENFORCE)


def test_a_failed_line_is_never_paid_for() -> None:
    world = world_with(2, CALM, Billing.METER, 0)
    world.submit("batch_a", [request("c5")], window_seconds=86_400)  # it times out
    world.run(lambda: ended(world, "batch_a"))
    world.end()
    assert world.batch("batch_a").counts.failed == 1
    assert world.memory.ledger.balance(ACCOUNT).microdollars == 0


def test_metering_refuses_nothing_and_shows_what_is_owed() -> None:
    world = world_with(3, CALM, Billing.METER, 0)
    world.submit("batch_a", [request(f"c{n}0") for n in range(8)], window_seconds=86_400)
    world.run(lambda: ended(world, "batch_a"))
    world.end()
    cost = world.batch("batch_a").cost_microdollars
    assert cost is not None
    assert world.memory.ledger.balance(ACCOUNT).microdollars == -cost < 0


@pytest.mark.parametrize("funds", [0, 199_999, 200_000])
def test_a_batch_of_an_account_without_enough_credits_fails_before_anything_runs(
    funds: int,
) -> None:
    world = world_with(4, CALM, Billing.ENFORCE, funds)
    # 400 lines that may take 4,096 tokens each; 500 of them are expected at $0.20 a million: $0.04
    lines = [request(f"c{n}") for n in range(400)]
    world.submit("batch_a", lines, window_seconds=86_400)
    world.run(lambda: ended(world, "batch_a"))
    world.end()
    batch = world.batch("batch_a")
    assert batch.status is (BatchStatus.COMPLETED if funds == 200_000 else BatchStatus.FAILED)
    if batch.status is BatchStatus.FAILED:
        assert announced(world) == {"batch.failed"}
        assert b"insufficient_credits" in world.memory.reader.read(batch.errors_key or "")
        assert not world.worker.generated
    check_books(world, funds)


def test_a_batch_of_which_the_estimate_is_over_what_is_left_says_both_figures() -> None:
    world = world_with(5, CALM, Billing.ENFORCE, 200_000)
    lines = [request(f"c{n}") for n in range(2_100)]  # $0.21 and the input
    world.submit("batch_a", lines, window_seconds=86_400)
    world.run(lambda: ended(world, "batch_a"))
    world.end()
    batch = world.batch("batch_a")
    assert batch.status is BatchStatus.FAILED
    reason = world.memory.reader.read(batch.errors_key or "").decode()
    assert "estimated to cost $0.21" in reason
    assert "$0.20 of this account's credits are free" in reason


def test_a_hold_is_off_the_balance_while_the_batch_runs() -> None:
    world = world_with(6, CALM, Billing.ENFORCE, PLENTY)
    world.submit("batch_a", [request(f"c{n}") for n in range(8)], window_seconds=86_400)
    world.run(lambda: world.batch("batch_a").in_progress_at is not None)
    batch, balance = world.batch("batch_a"), world.memory.ledger.balance(ACCOUNT)
    assert batch.held_microdollars == balance.held_microdollars > 0
    assert balance.microdollars == PLENTY - balance.held_microdollars
    world.run(lambda: ended(world, "batch_a"))
    world.end()
    check_books(world, PLENTY)


def test_what_a_model_costs_is_what_it_cost_when_the_batch_was_planned() -> None:
    world = world_with(7, CALM, Billing.METER, 0)
    world.submit("batch_a", [request(f"c{n}0") for n in range(8)], window_seconds=86_400)
    world.run(lambda: world.batch("batch_a").in_progress_at is not None)
    (run,) = world.memory.runs.of_batch("batch_a")
    assert run.prices == batch_prices(PRICES["red"])
    world.end()


def test_measured_batches_of_the_account_replace_the_priors_of_its_estimates() -> None:
    world = world_with(8, CALM, Billing.ENFORCE, PLENTY)
    held = []
    for name in ("batch_a", "batch_b"):
        lines = [request(f"c{n}0") for n in range(120)]
        world.submit(name, lines, window_seconds=86_400)
        world.run(lambda name=name: world.batch(name).in_progress_at is not None)  # type: ignore[misc]
        held.append(world.batch(name).held_microdollars)
        world.run(lambda name=name: ended(world, name))  # type: ignore[misc]
    world.end()
    assert held[1] < held[0]
    cost = world.batch("batch_b").cost_microdollars
    assert held[1] == pytest.approx(cost, rel=0.6)  # nothing is expected to be cached
    check_books(world, PLENTY)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_in_any_storm_the_books_balance_and_every_hold_is_released(seed: int) -> None:
    choose = Simulation(seed, CALM).random
    billing = choose.choice([Billing.METER, Billing.ENFORCE, Billing.ENFORCE])
    funds = choose.choice([0, 210_000, PLENTY])
    world = world_with(seed, STORM, billing, funds)
    models: dict[str, dict[int, str]] = {}
    for name in ("batch_a", "batch_b", "batch_c"):
        count = choose.randint(1, 25)
        models[name] = {n + 1: choose.choice(["red", "blue"]) for n in range(count)}
        poison = choose.randrange(count) if choose.random() < 0.2 else None
        lines = [
            request(f"{name}-{n}", models[name][n + 1], "poison" if n == poison else "hi")
            for n in range(count)
        ]
        world.submit(name, lines, window_seconds=choose.choice([300, 3_000, 86_400]))
    cancels = {choose.randint(1, 3_000): name for name in models if choose.random() < 0.3}
    ticks = 0

    def tick() -> bool:
        nonlocal ticks
        ticks += 1
        if ticks in cancels:
            world.cancel(cancels[ticks])
        balance = world.memory.ledger.balance(ACCOUNT)
        assert balance.microdollars == sum(e.microdollars for e in entries_of(world.memory))
        return ended(world, *models)

    world.run(tick)
    world.end()
    check_books(world, funds)
    for name, of_lines in models.items():
        batch = world.batch(name)
        if batch.status is not BatchStatus.FAILED:
            assert batch.cost_microdollars == expected_cost(world, batch, of_lines)
