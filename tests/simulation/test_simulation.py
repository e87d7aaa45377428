"""A few worlds on every run, and those that ever failed; `make simulate` lives through a thousand."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.__main__ import known_seeds
from tests.simulation.mutants import PATCHES, mutants, try_mutant
from tests.simulation.runner import simulate_seed
from tests.simulation.scenario import decode, draw, simpler

SEEDS = int(os.environ.get("OFFPEAK_SIMULATION_SEEDS", "40"))


@pytest.mark.parametrize("seed", sorted({*known_seeds(), *range(SEEDS)}))
def test_every_promise_is_kept_in_the_world_of_seed(seed: int) -> None:
    outcome = simulate_seed(seed)
    assert outcome.violation is None, outcome.detail


def test_a_world_is_the_same_in_another_process() -> None:
    script = "from tests.simulation.runner import simulate_seed; print(simulate_seed(3).digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script], check=True, capture_output=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        ).stdout
        for _ in range(2)
    }  # fmt: skip
    assert len(digests) == 1


def test_a_scenario_that_was_written_down_is_the_same_one() -> None:
    for seed in range(50):
        assert decode(draw(seed).encode()) == draw(seed)


def test_what_is_simpler_is_another_scenario_each_time() -> None:
    for seed in range(10):
        scenario = draw(seed)
        assert scenario not in list(simpler(scenario))


def test_every_seeded_bug_still_applies_and_says_which_rule_it_breaks() -> None:
    assert len(mutants()) >= 20
    for patch in PATCHES.glob("*.patch"):
        assert patch.read_text().splitlines()[0].endswith("."), patch.name


@pytest.mark.parametrize(
    "name", ["a-shard-ends-without-its-run", "a-hold-is-never-released", "results-in-no-order"]
)
def test_a_seeded_bug_is_caught(name: str) -> None:
    assert try_mutant(name).violation is not None
