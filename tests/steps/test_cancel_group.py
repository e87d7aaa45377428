"""A group that is cancelled cancels what has not ended of it."""

from __future__ import annotations

from typing import Any

import pytest

from offpeak.core.errors import StateConflict
from offpeak.core.group import GroupStatus
from offpeak.core.request import RequestStatus
from tests.steps.interleaving import CALM
from tests.steps.request_simulation import (
    ALICE,
    RequestSimulation,
    all_ended,
    lines_of,
    quiet,
)


@pytest.mark.parametrize("after_ticks", [1, 30, 100, 200, 400])
def test_a_cancelled_group_cancels_what_has_not_ended_whenever_it_is_cancelled(
    after_ticks: int,
) -> None:
    world = RequestSimulation(after_ticks, CALM)
    ids = [world.send(ALICE, f"r{n}") for n in range(9)]
    other = world.send(ALICE, "not in it")
    made: list[Any] = []
    cancelled: list[Any] = []
    world.group(ALICE, ids, made)
    world.run(lambda: bool(made))
    ticks = 0

    def tick() -> bool:
        nonlocal ticks
        ticks += 1
        if ticks == after_ticks:
            world.cancel_group(ALICE, made[0].id, cancelled)
        return bool(cancelled) and quiet(world) and all_ended(world, [*ids, other])

    world.run(tick)
    world.end()
    group = world.found_group(ALICE, made[0].id)
    if not isinstance(cancelled[0], StateConflict):  # unless it was completed by then
        assert group.status is GroupStatus.CANCELLED
    lines = lines_of(world, ALICE, group.id)
    assert [line["id"] for line in lines] == ids
    assert world.show(ALICE, other).status is not RequestStatus.CANCELLED
