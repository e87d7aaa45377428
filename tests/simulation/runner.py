"""Runs scenarios, one world after the other, and makes a failing one small."""

from __future__ import annotations

import gc
import hashlib
import logging
import sys
from dataclasses import dataclass
from unittest.mock import patch

from offpeak.core.errors import OffpeakError
from tests.simulation.invariants import Violation, check
from tests.simulation.scenario import Scenario, draw, simpler
from tests.simulation.town import Town, chosen_by

SHRINKS_MAX = 300


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`violation` is the broken promise's name, None when all were kept; `digest` is of every row written, in order."""

    scenario: Scenario
    violation: str | None = None
    detail: str = ""
    digest: str = ""
    seconds: float = 0.0


def simulate(scenario: Scenario) -> Outcome:
    """One world, from its founding to its checks. The same scenario gives the same outcome, digest and all."""
    logging.disable(logging.CRITICAL)
    gc_was_on = gc.isenabled()
    gc.disable()  # a coroutine that a death left behind would end at a moment of the collector's choosing
    try:
        with patch.object(sys, "unraisablehook", lambda _: None), chosen_by(scenario):
            outcome = _live_through(scenario)
            gc.collect()
            return outcome
    finally:
        if gc_was_on:
            gc.enable()
        logging.disable(logging.NOTSET)


def _live_through(scenario: Scenario) -> Outcome:
    town = Town(scenario)
    violation, detail = None, ""
    try:
        town.live()
        check(town)
    except Violation as broken:
        violation, detail = broken.name, str(broken)
    except AssertionError as broken:
        cause = broken.__cause__
        violation = f"broke: {type(cause).__name__}" if cause else "never ends"
        detail = f"{broken} {cause or ''}"
    except (ValueError, LookupError, OffpeakError) as unreadable:
        violation, detail = "results that nobody can read", repr(unreadable)
    finally:
        town.end()
    digest = hashlib.sha256(repr(town.history.log).encode()).hexdigest()
    return Outcome(
        scenario=scenario, violation=violation, detail=detail[:2_000], digest=digest,
        seconds=town.memory.clock.now(),
    )  # fmt: skip


def simulate_seed(seed: int) -> Outcome:
    return simulate(draw(seed))


def shrink(failed: Outcome) -> Outcome:
    """The smallest scenario found that breaks the same promise: one thing less at a time, while it still does."""
    tries = 0
    smallest = failed
    going = True
    while going:
        going = False
        for candidate in simpler(smallest.scenario):
            tries += 1
            if tries > SHRINKS_MAX:
                return smallest
            outcome = simulate(candidate)
            if outcome.violation == failed.violation:
                smallest, going = outcome, True
                break
    return smallest
