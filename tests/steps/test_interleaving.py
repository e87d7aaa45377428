"""The weather does what it says: whoever is told that a call failed can't know whether it had its effect."""

from __future__ import annotations

from typing import Any

import pytest

from offpeak.core.account import Account
from offpeak.core.errors import OffpeakError, StateConflict, Unavailable
from offpeak.core.ports import Add, Save
from tests.steps.interleaving import CALM, Death, Faults, Interleaving
from tests.steps.simulated_threads import SimulatedThreads

ACCOUNT = Account(id="acct_1", name="a", created_at=0)
KEY, BODY = "work/x", b"x"


def live(world: Interleaving) -> None:
    while world.tasks:
        able = [task for task in world.tasks if task.is_able]
        if able:
            world.resume(world.random.choice(able))
        else:
            world.memory.clock.advance(1)


def put_once(seed: int, faults: Faults) -> tuple[str, bool, bool]:
    """How a put ended for its caller; whether it was there at that moment, and in the end."""
    world = Interleaving(seed, faults)
    task = world.spawn("caller", lambda: world.ports["writer"].put(KEY, BODY))
    seen: list[bool] = []

    def is_there() -> bool:
        return bool(list(world.memory.reader.list(KEY)))

    def look() -> None:
        world.wait(lambda: task.finished)
        seen.append(is_there())

    world.spawn("observer", look, mortal=False)
    live(world)
    return type(task.error).__name__, seen[0], is_there()


def outcomes(faults: Faults) -> set[tuple[str, bool, bool]]:
    return {put_once(seed, faults) for seed in range(60)}


def test_in_calm_weather_a_call_has_its_effect_and_its_answer() -> None:
    assert outcomes(CALM) == {("NoneType", True, True)}


def test_a_call_fails_before_its_effect_or_after_it() -> None:
    found = outcomes(Faults(unavailable=0.5))
    assert found == {
        ("NoneType", True, True), ("Unavailable", False, False), ("Unavailable", True, True),
    }  # fmt: skip


def test_a_process_dies_before_an_effect_or_after_it() -> None:
    found = outcomes(Faults(death=0.5))
    assert found == {("NoneType", True, True), ("Death", False, False), ("Death", True, True)}


def test_an_effect_comes_when_its_caller_has_given_up() -> None:
    assert ("Unavailable", False, True) in outcomes(Faults(late=0.5))


def test_a_call_that_arrives_twice_is_one_to_its_caller() -> None:
    world = Interleaving(1, Faults(echo=1.0))
    task = world.spawn("caller", lambda: world.ports["dispatches"].ask("red-pool"))
    live(world)
    assert task.error is None
    assert world.memory.dispatches.asks == ["red-pool", "red-pool"]


def test_a_write_that_arrives_twice_is_known_again_until_somebody_else_has_written() -> None:
    found = set()
    for seed in range(60):
        world = Interleaving(seed, Faults(echo=1.0))
        world.memory.changes.commit(Add(ACCOUNT))
        tasks = [world.spawn("writer", lambda world=world: save(world)) for _ in range(2)]  # type: ignore[misc]
        live(world)
        written = world.memory.accounts.get(ACCOUNT.id).version - 1
        found.add((written, sum(task.error is None for task in tasks)))
    assert (2, 2) in found
    # Told that it lost, though it had written: another has changed the row before its echo came.
    assert (2, 1) in found


def save(world: Interleaving) -> None:
    row = world.ports["accounts"].get(ACCOUNT.id)
    world.ports["changes"].commit(Save(row))


def test_the_threads_of_a_step_are_the_world_s_tasks_and_die_with_their_process() -> None:
    world = Interleaving(3, CALM)
    finished: list[int] = []

    def step() -> list[int]:
        with SimulatedThreads(world) as threads:
            return list(threads.map(work, range(3)))

    def work(number: int) -> int:
        world.ports["clock"].now()
        finished.append(number)
        return number * 2

    task = world.spawn("step", step)
    live(world)
    assert task.result == [0, 2, 4]
    assert sorted(finished) == [0, 1, 2]

    doomed = world.spawn("step", step)
    world.resume(doomed)
    doomed.dead = True
    live(world)
    assert isinstance(doomed.error, Death)
    assert sorted(finished) == [0, 1, 2]


def test_an_error_of_a_step_s_thread_is_its_caller_s() -> None:
    world = Interleaving(3, CALM)

    def fail(_: Any) -> None:
        raise Unavailable("No answer.")

    def step() -> None:
        with SimulatedThreads(world) as threads:
            threads.submit(fail, 1).result()

    task = world.spawn("step", step)
    live(world)
    assert isinstance(task.error, Unavailable)


def test_what_no_step_raises_on_purpose_ends_the_world() -> None:
    world = Interleaving(3, CALM)

    def broken() -> None:
        raise KeyError("x")

    world.spawn("step", broken)
    with pytest.raises(AssertionError, match="step broke"):
        live(world)


@pytest.mark.parametrize("kind", [StateConflict, Unavailable])
def test_what_it_raises_on_purpose_is_its_caller_s(kind: type[OffpeakError]) -> None:
    world = Interleaving(3, CALM)

    def refused() -> None:
        raise kind("no")

    task = world.spawn("step", refused)
    live(world)
    assert isinstance(task.error, kind)
