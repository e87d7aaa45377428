"""A batch that can't end in its window is seen while there is time, told of once, and no longer at risk when it can."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.completion import Completion
from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.ports import Add, Save
from offpeak.core.webhook import BATCH_AT_RISK
from offpeak.steps.mark_at_risk import ANNOUNCE_AGAIN_SECONDS
from offpeak.steps.queue_deliveries import queue_deliveries
from offpeak.steps.sweep import Swept, sweep
from tests.steps.post_office import PostOffice
from tests.steps.ward import ACCOUNT, POOL, TOKEN, Ward

WINDOW = 86_400
SHARDS = 10
WORK_SECONDS = 4 * 600
"""Ten shards of a pool that takes three at once, by what is expected of them."""
COLD_SECONDS = 900


@pytest.fixture
def ward() -> Ward:
    ward = Ward(lines=4 * SHARDS, window_seconds=WINDOW)
    ward.release()
    return ward


def swept(ward: Ward) -> Swept:
    found: Swept = ward.call(sweep)
    return found


def leave(ward: Ward, seconds: int) -> None:
    """Goes to when so much is left of the window."""
    ward.clock.advance(ward.batch.expires_at - seconds - ward.clock.now())


def told(ward: Ward) -> list[str]:
    return [kind for kind, _ in ward.announcements.announced]


def test_it_is_seen_when_the_estimate_passes_the_deadline_and_not_before(ward: Ward) -> None:
    leave(ward, WORK_SECONDS + COLD_SECONDS)
    assert (swept(ward).at_risk, ward.batch.at_risk_at) == (0, None)
    ward.clock.advance(1)
    assert (swept(ward).at_risk, ward.batch.at_risk_at) == (1, int(ward.clock.now()))
    assert told(ward) == [BATCH_AT_RISK]
    assert ward.work_metrics.at_risk == [(POOL, int(ward.clock.now()), 1)]
    assert ward.run.late  # it goes first since earlier on


def test_a_mark_stays_as_it_is_and_is_counted_each_minute(ward: Ward) -> None:
    leave(ward, WORK_SECONDS)
    swept(ward)
    since, version = ward.batch.at_risk_at, ward.batch.version
    ward.clock.advance(ANNOUNCE_AGAIN_SECONDS)
    assert swept(ward).at_risk == 0
    assert (ward.batch.at_risk_at, ward.batch.version) == (since, version)
    assert told(ward) == [BATCH_AT_RISK]
    assert len(ward.work_metrics.at_risk) == 2


def test_it_recovers_when_its_shards_go_faster(ward: Ward) -> None:
    leave(ward, WORK_SECONDS)
    swept(ward)
    for order in ward.dispatch():
        ward.clock.advance(5)
        ward.complete(ward.work(order))
    assert swept(ward).at_risk == 1
    assert ward.batch.at_risk_at is None
    ward.work_metrics.at_risk.clear()
    swept(ward)
    assert ward.work_metrics.at_risk == []


def test_a_batch_whose_shards_are_all_out_is_at_risk_when_nobody_takes_them(ward: Ward) -> None:
    while orders := ward.dispatch() if ward.run.has_more else []:
        for order in orders if ward.run.has_more else []:
            ward.complete(ward.work(order))
    assert ward.run.open
    leave(ward, 600)
    assert swept(ward).at_risk == 1


def test_an_express_batch_is_at_risk_when_its_pool_does_not_start(ward: Ward) -> None:
    """Six hours without an instance: what needs a minute may miss its deadline, too."""
    small = replace(ward.batch, id="batch_s", version=0)
    run = replace(ward.run, batch_id="batch_s", shards=1, lines=4, version=0)
    ward.changes.commit(Add(small), Add(run))
    leave(ward, 1_000)
    swept(ward)
    assert ward.batches.get(ACCOUNT, "batch_s").at_risk_at is not None


def test_it_ends_at_last_with_what_was_done(ward: Ward) -> None:
    """Seen, told, gone first, expired, delivered."""
    leave(ward, WORK_SECONDS)
    swept(ward)
    for order in ward.dispatch():
        ward.complete(ward.work(order))
    done = ward.run.counts.finished
    assert done == 12
    leave(ward, -1)
    swept(ward)
    assert TOKEN in ward.workflows.answers
    batch = ward.end()
    assert (batch.status, batch.at_risk_at) == (BatchStatus.EXPIRED, None)
    assert (batch.counts.total, batch.counts.completed) == (40, done - 1)  # c5 times out
    error_file = ward.files.get(ACCOUNT, batch.error_file_id or "")
    output_file = ward.files.get(ACCOUNT, batch.output_file_id or "")
    errors = [json.loads(line) for line in ward.reader.read(error_file.key).splitlines()]
    outputs = [json.loads(line) for line in ward.reader.read(output_file.key).splitlines()]
    ids = sorted(line["custom_id"] for line in (*errors, *outputs))
    assert ids == sorted(f"c{n}" for n in range(40))
    assert sum(line["error"]["code"] == "batch_expired" for line in errors) == 28


def test_a_mark_that_could_not_be_told_is_told_at_the_next_look(ward: Ward) -> None:
    leave(ward, WORK_SECONDS)
    announce = ward.announcements.announce

    def refused(kind: str, batch: Batch, completion: Completion | None = None) -> None:
        raise Unavailable("no events now")

    ward.announcements.announce = refused  # type: ignore[method-assign]
    assert swept(ward).errors == 1
    assert ward.batch.at_risk_at is not None
    ward.announcements.announce = announce  # type: ignore[method-assign]
    ward.clock.advance(60)
    swept(ward)
    assert told(ward) == [BATCH_AT_RISK]


def test_a_batch_that_changes_meanwhile_is_left_to_the_next_sweep(ward: Ward) -> None:
    leave(ward, WORK_SECONDS)
    commit = ward.changes.commit

    def conflicting(*changes: Add | Save) -> None:
        raise StateConflict("changed meanwhile")

    ward.changes.commit = conflicting  # type: ignore[method-assign]
    assert swept(ward).at_risk == 0
    ward.changes.commit = commit  # type: ignore[method-assign]
    assert swept(ward).at_risk == 1


def test_without_a_place_to_tell_it_is_marked_all_the_same(ward: Ward) -> None:
    leave(ward, WORK_SECONDS)
    sweep(
        clock=ward.clock, catalogue=ward.catalogue, batches=ward.batches, runs=ward.runs,
        shards=ward.shards, changes=ward.changes, workflows=ward.workflows,
        dispatches=ward.dispatches,
    )  # fmt: skip
    assert ward.batch.at_risk_at is not None


def test_a_risk_that_is_told_twice_is_one_event_and_one_that_is_over_is_none() -> None:
    office = PostOffice()
    office.add_webhook(1)
    running = replace(
        office.batch, id="batch_r", status=BatchStatus.IN_PROGRESS, completed_at=None, at_risk_at=77,
        version=0,
    )  # fmt: skip
    office.changes.commit(Add(running))
    for _ in range(2):
        office.call(queue_deliveries, ACCOUNT, running.id, BATCH_AT_RISK)
    (delivery,) = office.deliveries_to("whe_1")
    assert json.loads(delivery.body) == {
        "id": delivery.id, "object": "event", "created_at": 77, "type": "batch.at_risk",
        "data": {"id": "batch_r"},
    }  # fmt: skip
    over = replace(running, id="batch_o", at_risk_at=None)
    office.changes.commit(Add(over))
    assert office.call(queue_deliveries, ACCOUNT, over.id, BATCH_AT_RISK) == 0
