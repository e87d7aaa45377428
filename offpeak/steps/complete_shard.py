"""Takes in how an invocation ended: the shard is done, or goes back to the dispatcher, or won't be tried again.

A notice may come twice, late or never. Whatever it says about an attempt that is not the shard's present one changes
nothing; but every notice asks for dispatch and checks the ending, in case an earlier delivery died before it did.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import NotFound
from offpeak.core.footprint import Metered
from offpeak.core.gathering import is_gathering
from offpeak.core.invocation import Outcome, ShardReport
from offpeak.core.layout import attempt_report_key, shard_prefix
from offpeak.core.model import Model
from offpeak.core.ports import (
    Accounts,
    Batches,
    Callbacks,
    Changes,
    Clock,
    Dispatches,
    GroupChecks,
    Ledger,
    Reader,
    Requests,
    Runs,
    Shards,
    Workflows,
    WorkMetrics,
)
from offpeak.core.run import Run
from offpeak.core.shard import ResultObject, Shard, ShardStatus
from offpeak.planner.next_try import after_lost_attempt, after_probe
from offpeak.steps.check_ending import check_ending
from offpeak.steps.estimate_errors import foretell
from offpeak.steps.grid_hours import GridHours
from offpeak.steps.meter_attempt import meter_attempt
from offpeak.steps.move_shard import move_shard
from offpeak.steps.route_results import route_results
from offpeak.wire.invocation import decode_report
from offpeak.wire.notices import InvocationNotice

logger = logging.getLogger(__name__)
REPORT_BYTES_MAX = 4_000_000


def complete_shard(
    notice: InvocationNotice, *, clock: Clock, catalogue: Catalogue, reader: Reader,
    accounts: Accounts, batches: Batches, runs: Runs, shards: Shards, changes: Changes,
    workflows: Workflows, dispatches: Dispatches, requests: Requests, group_checks: GroupChecks,
    callbacks: Callbacks, ledger: Ledger, work_metrics: WorkMetrics | None = None,
    region: str = "", grid_hours: GridHours | None = None,
) -> Shard | None:  # fmt: skip
    """The shard as it was moved, or None when the notice changed nothing."""
    try:
        found = shards.get(notice.batch_id, notice.run, notice.number)
    except NotFound:
        logger.warning("a notice for a shard that is not there: %s", notice)
        return None
    moved = None
    notice = _with_report(notice, found)
    if _is_current(notice, found):
        report = _report(notice, found, reader)
        now = int(clock.now())
        metered = None
        if report is not None:
            metered = meter_attempt(
                report, found, _model(found, catalogue), now=now, region=found.region or region,
                grid_hours=grid_hours or GridHours(), reader=reader,
            )  # fmt: skip
        moved = move_shard(
            notice.batch_id, notice.run, notice.number,
            lambda shard, run: _metered(
                _move(notice, report, shard, run, now, catalogue), metered
            ),
            runs=runs, shards=shards, changes=changes,
            and_run=lambda run: foretell(
                run.with_lengths(report.work.lengths if report else ()), now=now, catalogue=catalogue
            ),
        )  # fmt: skip
        if moved is not None and report is not None and work_metrics is not None:
            work_metrics.publish_work(found.pool, now, report.work)
    dispatches.ask(found.pool)
    if is_gathering(found.batch_id):
        # Before the ending is checked: finalising routes what nobody has, and two at once do the work twice.
        route_results(
            moved or found, clock=clock, reader=reader, changes=changes, accounts=accounts,
            runs=runs, shards=shards, requests=requests, group_checks=group_checks,
            callbacks=callbacks, ledger=ledger,
        )  # fmt: skip
    check_ending(found.account_id, found.batch_id, batches=batches, runs=runs, workflows=workflows)
    return moved


def _with_report(notice: InvocationNotice, shard: Shard) -> InvocationNotice:
    """SageMaker's answer in a further region lies there; the worker has kept its report here."""
    if shard.region is None or notice.outcome != "completed":
        return notice
    key = attempt_report_key(notice.batch_id, notice.run, notice.number, notice.attempt)
    return replace(notice, report_key=key)


def _is_current(notice: InvocationNotice, shard: Shard) -> bool:
    return shard.attempt == notice.attempt and shard.status is not ShardStatus.DONE


def _move(
    notice: InvocationNotice, report: ShardReport | None, shard: Shard, run: Run, now: int,
    catalogue: Catalogue,
) -> Shard | None:  # fmt: skip
    if not _is_current(notice, shard):
        return None
    if report is not None and report.outcome is Outcome.DONE:
        # Even when its lease was lost or its run closed meanwhile: nobody else took the shard up since.
        return shard.done(
            counts=report.counts, usage=report.usage, output=report.output, errors=report.errors,
            report_key=notice.report_key,
            seconds=max(1, now - shard.dispatched_at) if shard.dispatched_at else 0,
        )  # fmt: skip
    superseded = report is not None and report.outcome is Outcome.SUPERSEDED
    if superseded or shard.status not in (ShardStatus.DISPATCHED, ShardStatus.CLAIMED):
        return None  # this delivery found the attempt taken, or somebody moved the shard on already
    if report is not None and report.probed and shard.probes:
        return after_probe(shard, run, now)
    model = catalogue.known(run.model)
    return after_lost_attempt(
        shard, run, now, failed=_is_failure(notice, report),
        attempts_max=model.attempts_max if model else 0,
    )  # fmt: skip


def _metered(moved: Shard | None, metered: Metered | None) -> Shard | None:
    return moved if moved is None or metered is None else moved.also_metered(metered)


def _model(shard: Shard, catalogue: Catalogue) -> Model | None:
    return next((model for model in catalogue.models if model.pool == shard.pool), None)


def _is_failure(notice: InvocationNotice, report: ShardReport | None) -> bool:
    """Whether the shard itself may be to blame. Not when no instance took it, or one was told to stop; but an attempt
    that used up its time and finished no further line is."""
    if report is None:
        return notice.outcome != "expired"
    return report.outcome is Outcome.PARTIAL and report.counts.finished <= report.resumed_lines


def _report(notice: InvocationNotice, shard: Shard, reader: Reader) -> ShardReport | None:
    """What the worker answered; None when it did not, or when the answer can't be right: a failed attempt."""
    if notice.outcome != "completed" or notice.report_key is None:
        logger.warning("shard %s: attempt %d: %s", shard.id, notice.attempt, _why(notice))
        return None
    try:
        report = decode_report(reader.read(notice.report_key, 0, REPORT_BYTES_MAX))
        _check(report, notice, shard, reader)
    except (ValueError, NotFound) as error:
        logger.error("shard %s: report %s is refused: %s", shard.id, notice.report_key, error)
        return None
    return report


def _why(notice: InvocationNotice) -> str:
    return notice.reason[:500] or f"{notice.outcome}, no report in our bucket"


def _check(report: ShardReport, notice: InvocationNotice, shard: Shard, reader: Reader) -> None:
    """Raises ValueError or NotFound for a report that would leave the batch unable to end."""
    told = (report.batch_id, report.run, report.number, report.attempt)
    if told != (notice.batch_id, notice.run, notice.number, notice.attempt):
        raise ValueError(f"it is about attempt {told}")
    if report.outcome is not Outcome.DONE:
        return
    counts = report.counts
    if counts.finished != shard.lines:
        raise ValueError(f"it has {counts.finished} of {shard.lines} lines")
    for results, lines in ((report.output, counts.completed), (report.errors, counts.failed)):
        _check_object(results, lines, shard, reader)


def _check_object(results: ResultObject | None, lines: int, shard: Shard, reader: Reader) -> None:
    if (results.lines if results else 0) != lines:
        raise ValueError(f"{lines} lines are counted, {results} is named")
    if results is None:
        return
    if not results.key.startswith(shard_prefix(shard.batch_id, shard.run, shard.number)):
        raise ValueError(f"{results.key} is not the shard's")
    stored = reader.head(results.key)
    if stored.bytes != results.bytes:
        raise ValueError(f"{results.key} has {stored.bytes} bytes, not {results.bytes}")
