"""Estimates are made at 10 and 50 % of a batch, once each, and held against its end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offpeak.core.model import Weights
from offpeak.core.usage import Counts
from offpeak.steps.estimate_errors import estimate_errors
from offpeak.steps.show_batch import show_batch
from tests.contract import rows
from tests.steps.ward import Ward

HOUR = 3_600


class Sized(Ward):
    """A ward whose models say how large they are, so that there is a prior."""

    def __init__(self, lines: int) -> None:
        super().__init__(lines=lines)
        weights = Weights(parameters=8, active_parameters=8)
        models = tuple(
            replace(each, weights=weights, instance_types=("ml.g6e.xlarge",))
            for each in self.catalogue.models
        )
        self.catalogue = replace(self.catalogue, models=models)
        self.release()


def test_marks_are_passed_once_each_and_told_at_the_end() -> None:
    ward = Sized(lines=40)  # ten shards
    seen = []
    while orders := ward.dispatch():
        for order in orders:
            ward.clock.advance(60)
            ward.complete(ward.work(order))
            seen.append(ward.run.foretold)
    assert len(seen) == 10
    assert [len(each) for each in seen] == [1, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    assert all(each >= int(ward.batch.created_at) for each in seen[-1])
    ward.end()
    ((pool, errors),) = ward.work_metrics.estimates
    assert pool == ward.run.pool
    assert set(errors) == {"EstimateErrorAt10", "EstimateErrorAt50"}
    (settled,) = ward.ledger.entry(ward.batch.account_id, f"settle:{ward.batch.id}").models
    assert [off / 10 for off in settled.foretold_off if off is not None] == [
        pytest.approx(error, abs=0.06) for error in errors.values()
    ]
    assert len(settled.foretold_off) == len(errors)


def test_a_batch_that_ends_at_once_is_not_foretold() -> None:
    ward = Sized(lines=4)
    ward.run_all()
    ward.end()
    assert ward.run.foretold == ()
    assert ward.work_metrics.estimates == []


def test_a_mark_that_was_passed_too_fast_has_no_error() -> None:
    run = replace(rows.run("batch_1"), lines=10, created_at=1_000, counts=Counts(completed=6))
    run = replace(run, shards=3, cursor=2).released()
    assert run.awaits_foretelling()
    passed = run.with_foretold(3_000)
    assert passed.foretold == (0, 3_000)
    assert not passed.awaits_foretelling()
    batch = replace(rows.batch("a"), finalizing_at=2_000)
    assert estimate_errors(passed, batch) == {"EstimateErrorAt50": pytest.approx(100.0)}


def test_a_batch_in_progress_shows_when_it_will_be_done() -> None:
    ward = Sized(lines=40)
    ward.dispatch()
    shown = show_batch(
        ward.batch, reader=ward.reader, runs=ward.runs, shards=ward.shards, clock=ward.clock,
        catalogue=ward.catalogue, pools=ward.pools,
    )  # fmt: skip
    assert shown.completion is not None
    assert ward.clock.now() <= shown.completion.p50 <= shown.completion.p90
    assert shown.completion.planned_start is None
