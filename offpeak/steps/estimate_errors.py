"""How good estimates of the end are: made at 10 and 50 % of a run's lines, and held against its batch's end.

They are made where a shard's end is taken in, in its transaction, without the plan: of a run that works, by what was
measured on it. A run that waits for its hours is as long as they have it, which is the plan's to say.
"""

from __future__ import annotations

from collections.abc import Mapping

from offpeak.core.batch import Batch
from offpeak.core.catalogue import Catalogue
from offpeak.core.run import FORETOLD_AT, Run
from offpeak.planner.estimate_completion import completion, work_left


def foretell(run: Run, *, now: int, catalogue: Catalogue) -> Run:
    """The run with when its end is expected, where it has come past a mark."""
    if not run.awaits_foretelling():
        return run
    model = catalogue.known(run.model)
    left = work_left(run, (), model) if model else None
    if model is None or left is None:
        return run.with_foretold(0)
    found = completion([(run, model, left)], now)
    return run.with_foretold(found.p50 if found else 0)


def estimate_errors(run: Run, batch: Batch) -> Mapping[str, float]:
    """By the metric's name, in percent of the run's time; a negative one was too early."""
    ended_at = batch.finalizing_at
    if ended_at is None or ended_at <= run.created_at:
        return {}
    took = ended_at - run.created_at
    return {
        f"EstimateErrorAt{mark:.0%}".rstrip("%"): round(100 * (end - ended_at) / took, 2)
        for mark, end in zip(FORETOLD_AT, run.foretold, strict=False)
        if end
    }
