"""A few worlds on every run, and those that ever failed; `make simulate` lives through a thousand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields

import pytest

from offpeak.core.ledger import Entry, EntryKind
from offpeak.steps.settle_batch import settlement
from tests.simulation import renew
from tests.simulation.__main__ import known_seeds
from tests.simulation.mutants import PATCHES, ROOT, mutants, seeds_that_caught, try_mutant
from tests.simulation.runner import shrink, simulate, simulate_seed
from tests.simulation.scenario import BatchPlan, Scenario, decode, draw, simpler
from tests.simulation.weather import SERVICES
from tests.steps.interleaving import Faults

SEEDS = int(os.environ.get("OFFPEAK_SIMULATION_SEEDS", "40"))
RULES = (
    *(f"Invariant {number}" for number in (1, 2, 3, 4, 5, 6, 9)), "Ending", "Billing", "Checkpoints",
    "Callbacks", "Callers", "Groups", "Gatherings", "Validation", "Assembly", "Uploads", "Limits",
)  # fmt: skip
"""ARCHITECTURE.md's that a world can show (who sees which rows is for the API's tests), and the design's besides."""


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


def test_a_world_that_fails_is_made_small_and_fails_again_from_what_is_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without_release(*args: object) -> Sequence[Entry]:
        return [each for each in settlement(*args) if each.kind is not EntryKind.RELEASE]  # type: ignore[arg-type]

    monkeypatch.setattr("offpeak.steps.finalize_batch.settlement", without_release)
    paying = BatchPlan(kinds="gugggg", models="rbrbrr", billing="enforce", is_read=True)
    world = Scenario(
        seed=0, faults=Faults(lost=0.08, late=0.003), batches=(BatchPlan(kinds="gg", models="rb"), paying),
        requests="gg", grouped=2, group_at=200, throttles=((50, "s3", 60),),
    )  # fmt: skip
    failed = simulate(world)
    assert failed.violation == "orphan hold"
    small = shrink(failed)
    assert small.violation == "orphan hold"
    assert small.scenario.faults == Faults()
    (plan,) = small.scenario.batches
    assert (len(plan.kinds), plan.billing, small.scenario.requests) == (1, "enforce", "")
    again = simulate(decode(small.scenario.encode()))
    assert (again.violation, again.digest) == (small.violation, small.digest)


def test_among_the_worlds_is_every_kind_of_weather() -> None:
    worlds = [draw(seed) for seed in range(300)]
    for fault in fields(Faults):
        rates = {getattr(world.faults, fault.name) for world in worlds}
        assert min(rates) == 0 < max(rates), fault.name
    throttled = {service for world in worlds for _, service, _ in world.throttles}
    assert {"s3", "dynamodb", "sagemaker"} <= throttled <= set(SERVICES)
    assert {world.function_seconds for world in worlds} > {900}
    for name in ("signals", "jumps", "deploy_at", "grouped", "extended", "cancel_group_at",
                 "credits", "reorders", "in_chunks", "tokens_max"):  # fmt: skip
        assert any(getattr(world, name) for world in worlds), name
    plans = [plan for world in worlds for plan in world.batches]
    for name in ("cancel_at", "dropped", "uploaded", "delete_input_at", "is_read"):
        assert any(getattr(plan, name) for plan in plans), name


def test_every_seeded_bug_still_applies_and_says_which_rule_it_breaks() -> None:
    names = mutants()
    assert set(names) == set(seeds_that_caught()), "python -m tests.simulation --remember"
    rules = [(PATCHES / f"{name}.patch").read_text().splitlines()[0] for name in names]
    assert all(rule.endswith(".") for rule in rules)
    for rule in RULES:
        assert any(each.startswith(f"{rule}: ") for each in rules), rule


@pytest.mark.parametrize(
    "name", ["a-shard-ends-without-its-run", "a-hold-is-never-released", "results-in-no-order"]
)
def test_a_seeded_bug_is_caught(name: str) -> None:
    assert try_mutant(name).violation is not None


PATCH = """--- a/offpeak/x.py
+++ b/offpeak/x.py
@@ -1,3 +1,3 @@
 def f(row):
-    if row.version:
+    if True:
         save(row)
"""


def test_a_patch_whose_surroundings_have_changed_is_put_anew() -> None:
    (hunk,) = renew.parse(PATCH)
    now = "def f(row, clock):\n    if row.version:\n        save(row, clock)\n"
    assert renew.put(hunk, now) == now.replace("row.version", "True")


def test_a_patch_goes_where_most_of_it_fits() -> None:
    (hunk,) = renew.parse(PATCH)
    other = "def g(row):\n    if row.version:\n        drop(row)\n"
    mine = "def f(row):\n    if row.version:\n        save(row)\n"
    assert renew.put(hunk, other + mine) == other + mine.replace("row.version", "True")


@pytest.mark.parametrize("text", ["def f(row):\n    pass\n", "if row.version:\n" * 2])
def test_a_patch_whose_line_is_gone_or_twice_there_is_left_to_a_person(text: str) -> None:
    (hunk,) = renew.parse(PATCH.replace("     if", " if").replace("-    if", "-if"))
    with pytest.raises(LookupError, match=r"offpeak/x\.py"):
        renew.put(hunk, text)


def test_every_patch_is_read_as_git_reads_it() -> None:
    for path in PATCHES.glob("*.patch"):
        for hunk in renew.parse(path.read_text()):
            text = (ROOT / hunk.path).read_text()
            assert renew.put(hunk, text) != text, path.name
