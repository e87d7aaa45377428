"""A group ends with the last of its requests, and has a line of each."""

from __future__ import annotations

from typing import Any

from offpeak.core.group import GroupStatus
from tests.steps.interleaving import CALM
from tests.steps.request_simulation import (
    ALICE,
    RequestSimulation,
    all_ended,
    lines_of,
    quiet,
)


def test_a_group_completes_with_its_last_request_one_line_each() -> None:
    world = RequestSimulation(4, CALM)
    ids = [world.send(ALICE, f"r{n}", model=("red", "blue")[n % 2]) for n in range(7)]
    made: list[Any] = []
    world.group(ALICE, ids, made)
    world.run(lambda: bool(made) and quiet(world))
    world.end()
    group = world.found_group(ALICE, made[0].id)
    assert group.status is GroupStatus.COMPLETED
    assert [line["id"] for line in lines_of(world, ALICE, group.id)] == ids
    assert {world.show(ALICE, i).group_id for i in ids} == {group.id}


def test_a_group_of_requests_that_have_ended_completes_at_once() -> None:
    world = RequestSimulation(5, CALM)
    ids = [world.send(ALICE, f"r{n}") for n in range(3)]
    world.run(lambda: all_ended(world, ids) and quiet(world))
    made: list[Any] = []
    world.group(ALICE, ids, made)
    world.run(lambda: bool(made) and quiet(world))
    world.end()
    assert world.found_group(ALICE, made[0].id).status is GroupStatus.COMPLETED
