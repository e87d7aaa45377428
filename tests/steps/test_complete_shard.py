from dataclasses import replace

import pytest

from offpeak.core.invocation import Outcome, ShardReport, ShardWork
from offpeak.core.ports import Save
from offpeak.core.run import CloseReason
from offpeak.core.shard import ResultObject, ShardStatus
from offpeak.core.usage import Counts
from offpeak.steps.sweep import sweep
from offpeak.wire.invocation import decode_report, encode_report
from offpeak.wire.notices import InvocationNotice
from tests.steps.ward import BATCH, POOL, TOKEN, Ward, notice

LOST_SECONDS = 400


@pytest.fixture
def ward() -> Ward:
    ward = Ward(lines=4)
    ward.release()
    return ward


def claimed(ward: Ward) -> Ward:
    ward.dispatch()
    ward.changes.commit(Save(ward.shard().claimed(1, "w", int(ward.clock.now()) + 180)))
    return ward


def told(ward: Ward, report: ShardReport) -> InvocationNotice:
    ward.writer.put("work/r.out", encode_report(report))
    return notice(attempt=report.attempt, report_key="work/r.out")


def test_a_done_shard_counts_for_its_run_and_wakes_the_execution(ward: Ward) -> None:
    (order,) = ward.dispatch()
    ward.complete(ward.work(order))
    assert ward.shard().status is ShardStatus.DONE
    assert (ward.run.open, ward.run.counts.completed) == (0, 4)
    assert ward.workflows.answers == {TOKEN: {"outcome": "ended"}}


def test_a_second_delivery_changes_nothing_but_asks_and_checks_again(ward: Ward) -> None:
    (order,) = ward.dispatch()
    done = ward.work(order)
    ward.complete(done)
    rows, asks = (ward.shard(), ward.run), len(ward.dispatches.asks)
    ward.workflows.answers.clear()
    assert ward.complete(done) is None
    assert (ward.shard(), ward.run) == rows
    assert len(ward.dispatches.asks) == asks + 1
    assert TOKEN in ward.workflows.answers


def test_what_a_shard_took_of_its_engine_is_published_once_however_often_it_is_told(
    ward: Ward,
) -> None:
    (order,) = ward.dispatch()
    report = decode_report(ward.reader.read(ward.work(order).report_key or ""))
    worked = replace(report, work=ShardWork(tokens_per_second=9.5, occupancy=0.75))
    for _ in range(2):
        ward.complete(told(ward, worked))
    assert ward.work_metrics.published == [(POOL, int(ward.clock.now()), worked.work)]


def test_a_stale_attempt_changes_nothing_whatever_it_says(ward: Ward) -> None:
    (order,) = ward.dispatch()
    late = ward.work(order)
    ward.clock.advance(LOST_SECONDS)
    ward.call(sweep)
    ward.clock.advance(LOST_SECONDS)
    ward.dispatch()
    before = ward.shard()
    assert before.attempt == 2
    assert ward.complete(late) is None
    assert ward.complete(notice(attempt=1, outcome="failed")) is None
    assert ward.shard() == before


def test_a_report_that_comes_after_its_lease_was_lost_still_counts(ward: Ward) -> None:
    (order,) = ward.dispatch()
    late = ward.work(order)
    ward.clock.advance(LOST_SECONDS)
    ward.call(sweep)
    assert ward.shard().status is ShardStatus.WAITING
    ward.complete(late)
    assert (ward.shard().status, ward.run.open) == (ShardStatus.DONE, 0)


def test_a_report_that_comes_after_its_shard_was_closed_is_kept_and_not_counted_open_twice(
    ward: Ward,
) -> None:
    (order,) = ward.dispatch()
    late = ward.work(order)
    closing = ward.run.closing(CloseReason.CANCELLED, int(ward.clock.now()))
    shard = ward.shard().closed()
    ward.changes.commit(Save(closing.shard_ended(Counts(), shard.usage)), Save(shard))
    ward.complete(late)
    assert (ward.shard().status, ward.run.open) == (ShardStatus.DONE, 0)


def test_a_shard_that_fails_as_a_whole_and_in_every_part_ends(ward: Ward) -> None:
    failures = 0
    while ward.shard_is_open():
        ward.clock.advance(1_000)
        ward.dispatch()
        failures += 1
        ward.complete(notice(attempt=failures, outcome="failed"))
    shard = ward.shard()
    assert (shard.status, shard.engine_failed) == (ShardStatus.CLOSED, True)
    assert failures == shard.failures == 3 + 4 * 2  # attempts_max, and each of four lines twice
    assert TOKEN in ward.workflows.answers


def test_an_invocation_that_was_never_delivered_is_no_failure_of_the_shard(ward: Ward) -> None:
    for attempt in range(1, 6):
        ward.dispatch()
        ward.complete(notice(attempt=attempt, outcome="expired"))
    assert (ward.shard().status, ward.shard().failures) == (ShardStatus.WAITING, 0)


@pytest.mark.parametrize(
    ("outcome", "finished", "failures"),
    [(Outcome.PARTIAL, 3, 0), (Outcome.PARTIAL, 2, 1), (Outcome.STOPPED, 2, 0)],
)
def test_only_an_attempt_that_used_its_time_for_nothing_is_a_failure(
    ward: Ward, outcome: Outcome, finished: int, failures: int
) -> None:
    claimed(ward)
    report = ShardReport(
        batch_id=BATCH, account_id="acct_1", run=0, number=0, attempt=1, outcome=outcome,
        counts=Counts(completed=finished), resumed_lines=2,
    )  # fmt: skip
    ward.complete(told(ward, report))
    assert (ward.shard().status, ward.shard().failures) == (ShardStatus.WAITING, failures)


def test_a_superseded_delivery_leaves_the_one_that_works_alone(ward: Ward) -> None:
    claimed(ward)
    report = ShardReport(
        batch_id=BATCH, account_id="acct_1", run=0, number=0, attempt=1,
        outcome=Outcome.SUPERSEDED,
    )  # fmt: skip
    assert ward.complete(told(ward, report)) is None
    assert ward.shard().status is ShardStatus.CLAIMED


def _not_there(report: ShardReport) -> bytes:
    output = report.output
    assert output is not None
    return encode_report(replace(report, output=replace(output, key=output.key + "x")))


def _foreign(report: ShardReport) -> bytes:
    foreign = ResultObject(key="files/acct_1/file-1", bytes=1, lines=4)
    return encode_report(replace(report, output=foreign))


def _wrong_bytes(report: ShardReport) -> bytes:
    output = report.output
    assert output is not None
    return encode_report(replace(report, output=replace(output, bytes=output.bytes + 1)))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"", lambda _: b"<html>", lambda _: b"{}",
        lambda report: encode_report(replace(report, number=7)),
        lambda report: encode_report(replace(report, counts=Counts(completed=3))),
        lambda report: encode_report(replace(report, output=None)),
        lambda report: encode_report(replace(report, counts=Counts(completed=3, failed=1))),
        _not_there, _foreign, _wrong_bytes,
    ],
)  # fmt: skip
def test_a_report_that_can_not_be_right_is_a_failed_attempt(ward: Ward, spoil: object) -> None:
    (order,) = ward.dispatch()
    done = ward.work(order)
    assert done.report_key is not None
    report = decode_report(ward.reader.read(done.report_key))
    ward.writer.put(done.report_key, spoil(report))  # type: ignore[operator]
    ward.complete(done)
    assert (ward.shard().status, ward.shard().failures) == (ShardStatus.WAITING, 1)


def test_a_report_that_is_missing_is_a_failed_attempt(ward: Ward) -> None:
    claimed(ward)
    ward.complete(notice(report_key="work/nothing.out"))
    assert (ward.shard().status, ward.shard().failures) == (ShardStatus.WAITING, 1)


def test_a_notice_about_an_unknown_shard_is_dropped(ward: Ward) -> None:
    assert ward.complete(notice(number=99)) is None


def test_every_notice_asks_for_dispatch(ward: Ward) -> None:
    claimed(ward)
    ward.dispatches.asks.clear()
    ward.complete(notice(outcome="failed"))
    assert ward.dispatches.asks == [POOL]
