"""When a batch that runs will be done: what is left of each run, in instance-seconds, and when the pool will do it.

How long answers are is measured on the run itself: `(tokens of finished answers + tokens of running ones) / finished`.
The mean of the finished alone would be far too low early on, for short answers finish first; with the running ones'
tokens it is right from the first few hundred on, for a run's first shard begins with a random sample (worker/order.py).
Before that: what the account's earlier batches had, or else a prior.

How long tokens take is measured on the run's own ended shards, or else a prior of the model and its GPUs.

P90 is P50 times a margin: 1.28 deviations of what is measured, which shrink with the square root of how often, and of
the pace itself, which differs from hour to hour; where nothing was measured, as far as priors may well be off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from offpeak.core.completion import Completion
from offpeak.core.completion import CompletionBasis as Basis
from offpeak.core.model import Model
from offpeak.core.plan import CapacityPlan, RunPlan
from offpeak.core.run import Run
from offpeak.core.shard import Shard
from offpeak.core.usage import Usage
from offpeak.planner.estimate_seconds import (
    COLD_START_SECONDS,
    SLOWEST,
    Speed,
    prior_speed,
)
from offpeak.planner.estimate_usage import PRIOR, Ratio

NINE_OF_TEN = 1.28
PACE_DEVIATION, SHARD_DEVIATION, LENGTH_DEVIATION = 0.10, 0.30, 1.0
"""Shares of the mean: of a pool's pace over hours, of a shard's time, of an answer's length. Assumptions."""
LINES_MIN = 50
"""Fewer finished lines say too little about how long answers are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkLeft:
    """Of one run, in instance-seconds. `length_basis` and `pace_basis`: what they rest on."""

    run_id: str
    seconds_p50: float
    seconds_p90: float
    length_basis: Basis
    pace_basis: Basis


def work_left(run: Run, open_shards: Iterable[Shard], model: Model) -> WorkLeft | None:
    """None for a model of which neither pace nor size is known."""
    progress = [
        each for each in open_shards if (each.batch_id, each.run) == (run.batch_id, run.number)
    ]
    finished = run.counts.finished + sum(each.progress.finished for each in progress)
    lines = max(0, run.lines - finished)
    length, length_basis, length_margin = _length(run, progress)
    pace = _own_pace(run) or prior_speed(model)
    if pace is None:
        return None
    usage = _usage(run, lines, length)
    seconds = pace.seconds(usage)
    if pace.basis == "measured":
        margin = math.hypot(PACE_DEVIATION, SHARD_DEVIATION / math.sqrt(max(1, run.shards_timed)))
        factor = 1 + NINE_OF_TEN * math.hypot(margin, length_margin)
    else:
        factor = SLOWEST * (1 + NINE_OF_TEN * length_margin)
    return WorkLeft(
        run_id=run.id, seconds_p50=seconds, seconds_p90=seconds * factor,
        length_basis=length_basis, pace_basis=pace.basis,
    )  # fmt: skip


def completion(
    works: Iterable[tuple[Run, Model, WorkLeft]],
    now: float,
    plans: Iterable[CapacityPlan | None] = (),
) -> Completion | None:
    """Of a batch with these runs: the last of them decides. A run that no plan knows has its pool to itself from now
    on, after a cold start if it has not begun."""
    known = [plan for plan in plans if plan is not None]
    ends = []
    for run, model, left in works:
        planned = next((found for plan in known if (found := plan.run(run.id))), None)
        ends.append(_end(run, model, left, planned, now))
    if not ends:
        return None
    starts = [start for *_, start, _ in ends if start is not None]
    return Completion(
        p50=round(max(p50 for p50, *_ in ends)), p90=round(max(p90 for _, p90, *_ in ends)),
        planned_start=round(min(starts)) if starts else None,
        basis="prior" if any(basis == "prior" for *_, basis in ends) else "measured",
    )  # fmt: skip


def _end(
    run: Run, model: Model, left: WorkLeft, planned: RunPlan | None, now: float
) -> tuple[float, float, float | None, Basis]:
    """P50 and P90 of the end, the planned start, and what they rest on."""
    basis: Basis = "measured" if left.pace_basis == left.length_basis == "measured" else "prior"
    if planned is not None and left.seconds_p90 > 0:
        start = max(now, planned.starts_at)
        late = max(start, planned.ends_at)
        share = left.seconds_p50 / left.seconds_p90
        return start + share * (late - start), late, planned.starts_at, basis
    start = now if run.cursor else now + COLD_START_SECONDS
    at_once = max(1, min(model.instances_max, run.shards))
    return start + left.seconds_p50 / at_once, start + left.seconds_p90 / at_once, None, basis


def _length(run: Run, open_shards: Iterable[Shard]) -> tuple[float, Basis, float]:
    """Output tokens of an answer, what that rests on, and its deviation as a share of it."""
    finished = [each for each in open_shards if each.progress.finished]
    lines = run.counts.finished + sum(each.progress.finished for each in finished)
    if lines < LINES_MIN:
        prior = run.completion_tokens / max(1, run.lines)
        return min(PRIOR.expected.output_tokens, prior), "prior", LENGTH_DEVIATION
    tokens = run.usage.output_tokens + sum(each.progress_tokens for each in finished)
    return tokens / lines, "measured", LENGTH_DEVIATION / math.sqrt(lines)


def _own_pace(run: Run) -> Speed | None:
    """Instance-seconds of a token, by the run's ended shards."""
    if run.metered is None or not run.usage.total_tokens or run.counts.finished < LINES_MIN:
        return None
    each = run.metered.instance_ms / 1_000 / run.usage.total_tokens
    return Speed(input_seconds=each, output_seconds=each, basis="measured")


def _usage(run: Run, lines: int, length: float) -> Usage:
    share = lines / max(1, run.lines)
    if run.counts.completed >= LINES_MIN:
        read = lines * run.usage.input_tokens / run.counts.completed
    else:
        ratio: Ratio = PRIOR.expected
        read = share * run.input_bytes * ratio.input_tokens_a_byte
    return Usage(input_tokens=round(read), output_tokens=round(lines * length))
