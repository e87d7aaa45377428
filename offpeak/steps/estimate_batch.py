"""What a file would cost and when it would be done, before anything runs: a range, and what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from offpeak.core.account import Account
from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import NotFound
from offpeak.core.ledger import EVER
from offpeak.core.model import Model
from offpeak.core.ports import Clock, Files, Ledger, Reader, Runs, Tokenizers
from offpeak.core.pricing import batch_prices, cost_microdollars
from offpeak.core.queued_run import QueuedRun
from offpeak.core.run import Run
from offpeak.core.usage import Usage
from offpeak.planner.estimate_seconds import (
    COLD_START_SECONDS,
    FASTEST,
    SLOWEST,
    Speed,
    measured_speed,
    prior_speed,
)
from offpeak.planner.estimate_usage import (
    Basis,
    InputBasis,
    Ratios,
    Work,
    estimate_usage,
    ratios_of,
    with_counted,
    with_lengths,
)
from offpeak.planner.scale_counts import Counted
from offpeak.steps.count_tokens import SECONDS_MAX, count_tokens
from offpeak.steps.create_batch import check_endpoint, check_input
from offpeak.steps.find_content import check_bytes
from offpeak.steps.find_file import find_file
from offpeak.steps.hold_credits import SETTLEMENTS_MAX
from offpeak.steps.sample_lines import sample_lines

BEGUN_RUNS_MAX = 10
"""Runs that are read to see how fast a pool is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one model, or of all: tokens, micro-dollars, and seconds from now (None where nobody can tell)."""

    usage: Usage
    microdollars: int
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEstimate:
    """`tokenised_requests` of the file's are what `input_basis` rests on, `measured_requests` that ran are what
    `output_basis` does, where these say so."""

    model: str
    work: Work
    low: Figures
    expected: Figures
    high: Figures
    input_basis: InputBasis
    tokenised_requests: int
    output_basis: Basis
    measured_requests: int
    seconds_basis: Basis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEstimate:
    """`lines` were read and `bad_lines` of them would be refused; `is_whole` when that is the whole file."""

    models: Sequence[ModelEstimate]
    lines: int
    bad_lines: int
    is_whole: bool


def estimate_batch(
    account: Account, file_id: str, endpoint: str, *, clock: Clock, files: Files, reader: Reader,
    runs: Runs, ledger: Ledger, tokenizers: Tokenizers, catalogue: Catalogue,
) -> BatchEstimate:  # fmt: skip
    """Raises NotFound for a file that isn't there, InvalidRequest for one that can't be a batch's input or an endpoint
    that isn't served, StateConflict for a file in whose place other bytes were put."""
    check_endpoint(endpoint, catalogue)
    file = find_file(account.id, file_id, clock=clock, files=files)
    check_input(file)
    check_bytes(file, reader)
    sample = sample_lines(file, endpoint, reader=reader, catalogue=catalogue)
    settled = ledger.entries(
        account.id, start=0, stop=EVER, limit=SETTLEMENTS_MAX, after=None, ascending=False
    ).rows
    estimates = []
    deadline = clock.now() + SECONDS_MAX
    for model_id, work in sample.works.items():
        model = catalogue.find(model_id)
        if model is not None:
            ahead = [*runs.queued(model.pool), *runs.queued(model.pool, express=True)]
            speed = measured_speed(_begun(ahead, runs), clock.now()) or prior_speed(model)
            ratios = with_lengths(
                ratios_of(model.id, settled), model.id, endpoint, settled,
                [(line.limit, line.bytes) for line in sample.drawn[model_id]],
            )  # fmt: skip
            counted = count_tokens(
                model, sample.drawn[model_id], work.lines, ratios.expected.input_tokens_a_byte,
                deadline=deadline, clock=clock, tokenizers=tokenizers,
            )  # fmt: skip
            estimates.append(_estimate(model, work, ratios, counted, ahead, speed))
    return BatchEstimate(
        models=estimates, lines=sample.lines, bad_lines=sample.bad_lines, is_whole=sample.is_whole
    )


def _begun(ahead: Sequence[QueuedRun], runs: Runs) -> Iterator[Run]:
    """Some of those that have shards dispatched already."""
    begun = (run for run in ahead if run.begun)
    for run in islice(begun, BEGUN_RUNS_MAX):
        with suppress(NotFound):
            yield runs.get(run.batch_id, run.number)


def _estimate(
    model: Model, work: Work, ratios: Ratios, counted: Counted | None, ahead: Sequence[QueuedRun],
    speed: Speed | None,
) -> ModelEstimate:  # fmt: skip
    measured = speed is not None and speed.basis == "measured"
    best, worst = (1.0, 1.0) if measured else (FASTEST, SLOWEST)
    start = 0 if ahead else COLD_START_SECONDS
    forecast = _Forecast(model, work, with_counted(ratios, counted), ratios, speed, ahead)
    return ModelEstimate(
        model=model.id, work=work, output_basis=ratios.basis, measured_requests=ratios.requests,
        input_basis=ratios.basis if counted is None else "tokenised",
        tokenised_requests=0 if counted is None else counted.lines,
        seconds_basis=None if speed is None else speed.basis,
        low=forecast.figures("low", best, 0, speed.instances if speed else 1),
        expected=forecast.figures("expected", 1.0, start / 3, speed.instances if speed else 1),
        high=forecast.figures("high", worst, start, 1),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Forecast:
    """`own` are the ratios of the work itself, `ratios` those of what waits before it."""

    model: Model
    work: Work
    own: Ratios
    ratios: Ratios
    speed: Speed | None
    ahead: Sequence[QueuedRun]

    def figures(self, which: str, factor: float, start: float, instances: int) -> Figures:
        """`instances` of the pool at work, each taking `factor` times as long as reckoned, the first after `start`."""
        usage = estimate_usage(self.work, getattr(self.own, which))
        ratio = getattr(self.ratios, which)
        seconds = None
        if self.speed is not None:
            waiting = sum((estimate_usage(_left(run), ratio) for run in self.ahead), Usage())
            seconds = start + factor * self.speed.seconds(waiting + usage) / max(1, instances)
        prices = batch_prices(self.model.prices)
        return Figures(usage=usage, microdollars=cost_microdollars(prices, usage), seconds=seconds)


def _left(run: QueuedRun) -> Work:
    """What of a run was not dispatched yet."""
    share = min(1.0, run.shards_left / run.shards) if run.shards else 0.0
    return Work(
        lines=round(share * run.lines), input_bytes=round(share * run.input_bytes),
        completion_tokens=round(share * run.completion_tokens),
    )  # fmt: skip
