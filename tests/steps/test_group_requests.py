"""What may be put into a group, and until when."""

from __future__ import annotations

from typing import Any

from offpeak.core.errors import InvalidRequest, StateConflict
from offpeak.core.group import Group
from tests.steps.interleaving import CALM
from tests.steps.request_simulation import (
    ALICE,
    BOB,
    RequestSimulation,
    quiet,
)


def test_what_cannot_be_grouped_is_named_and_nothing_of_the_call_is_grouped() -> None:
    world = RequestSimulation(6, CALM)
    mine = [world.send(ALICE, f"r{n}") for n in range(4)]
    foreign = world.send(BOB, "foreign")
    first: list[Any] = []
    world.group(ALICE, mine[:1], first)
    world.run(lambda: bool(first))
    refused: list[Any] = []
    world.group(ALICE, [mine[1], mine[0]], refused)
    world.group(ALICE, [mine[2], foreign], refused)
    world.group(ALICE, [mine[3], "req_unknown"], refused)
    world.run(lambda: len(refused) == 3)
    world.end()
    assert all(isinstance(each, InvalidRequest) for each in refused)
    text = " ".join(each.message for each in refused)
    assert all(each in text for each in (mine[0], foreign, "req_unknown"))
    rows = world.memory.requests.get_many([*mine[1:], foreign])
    assert {row.group_id for row in rows} == {None}


def test_a_group_grows_until_it_has_ended_and_its_window_with_it() -> None:
    world = RequestSimulation(7, CALM)
    made: list[Any] = []
    first = world.send(ALICE, "first")
    world.group(ALICE, [first], made)
    world.run(lambda: bool(made))
    before = world.found_group(ALICE, made[0].id)
    world.memory.clock.advance(1)
    second = world.send(ALICE, "second")
    grown: list[Any] = []
    world.extend(ALICE, before.id, [second], grown)
    world.run(lambda: bool(grown))
    assert isinstance(grown[0], Group)
    assert grown[0].members == 2
    newest = world.memory.requests.get(ALICE.id, second).created_at
    assert grown[0].expires_at == newest + 86_400 >= before.expires_at
    world.run(lambda: quiet(world))
    late: list[Any] = []
    world.extend(ALICE, before.id, [world.send(ALICE, "late")], late)
    world.run(lambda: bool(late))
    world.end()
    assert isinstance(late[0], StateConflict)
