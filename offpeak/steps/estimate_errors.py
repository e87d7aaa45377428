"""How good estimates of the end are: made at 10 and 50 % of a run's lines, and held against its batch's end.

They are made where a shard's end is taken in, in its transaction, without the plan: of a run that works, by what was
measured on it. A run that waits for its hours is as long as they have it, which is the plan's to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from offpeak.core.batch import Batch
from offpeak.core.catalogue import Catalogue
from offpeak.core.ledger import ModelUsage
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
    found = zip(FORETOLD_AT, _errors(run, batch), strict=False)
    return {
        f"EstimateErrorAt{mark:.0%}".rstrip("%"): round(100 * error, 2)
        for mark, error in found
        if error is not None
    }


def with_errors(
    used: Sequence[ModelUsage], of_batch: Sequence[Run], batch: Batch
) -> tuple[ModelUsage, ...]:
    """What each run of a completed batch used, with how well its end was foretold."""
    return tuple(
        replace(
            each,
            foretold_off=tuple(
                None if error is None else round(1_000 * error) for error in _errors(run, batch)
            ),
        )
        for each, run in zip(used, of_batch, strict=True)
    )


def _errors(run: Run, batch: Batch) -> Sequence[float | None]:
    """As a share of the run's time, for each mark that it has come past; None where nothing was foretold."""
    ended_at = batch.finalizing_at
    if ended_at is None or ended_at <= run.created_at:
        return ()
    took = ended_at - run.created_at
    return [(end - ended_at) / took if end else None for end in run.foretold]
