"""What must hold of every world once all has ended, whatever befell it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.enqueued import estimate_tokens
from offpeak.core.layout import batch_errors_key, error_key, output_key
from offpeak.core.run import Run
from offpeak.core.shard import Shard
from offpeak.core.usage import Usage
from offpeak.wire.results import line_number
from tests.simulation.books import books
from tests.simulation.callers import lines_of
from tests.simulation.instances import usage_of
from tests.simulation.leftovers import callbacks, leftovers
from tests.simulation.requests import groups, requests
from tests.simulation.scenario import DAY, BatchPlan
from tests.simulation.town import Town

Wrong = tuple[str, object]


class Violation(AssertionError):
    """`name` says which promise was broken, so that a smaller world is known to break the same."""

    def __init__(self, name: str, detail: object) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name


def check(town: Town) -> None:
    """Raises Violation for the first promise that is broken."""
    for name, detail in _violations(town):
        raise Violation(name, detail)


def _violations(town: Town) -> Iterator[Wrong]:
    for wrong in town.history.wrongs:
        yield "illegal history", wrong
    for number, plan in enumerate(town.scenario.batches):
        batch = town.find_batch(number)
        if number in town.callers.refused:
            if batch is not None or not (plan.billing == "poor" or is_crowded(town, plan)):
                yield "refused without a reason", (batch, town.callers.refused[number])
        elif batch is None:
            yield "lost batch", number
        elif len(town.batches_of(number)) > 1 and not town.scenario.jumps:
            yield "a batch twice", town.batches_of(number)  # in a leap, a key's day is over
        else:
            yield from _of_batch(town, batch, plan, number)
    yield from requests(town)
    yield from groups(town)
    yield from books(town)
    yield from callbacks(town)
    yield from leftovers(town)


def _of_batch(town: Town, batch: Batch, plan: BatchPlan, number: int) -> Iterator[Wrong]:
    if batch.status is BatchStatus.FAILED:
        yield from _of_failed(town, batch, plan)
        return
    if batch.status is BatchStatus.CANCELLED and not batch.counts.total:
        yield from _of_refused(town, batch, plan)
        return
    try:
        output = _results(town, batch, batch.output_file_id, output_key(batch.id))
        errors = _results(town, batch, batch.error_file_id, error_key(batch.id))
    except Violation as violation:
        yield violation.name, violation
        return
    for lines in (output, errors):
        numbers = [line_number(line) for line in lines]
        if numbers != sorted(set(numbers)):
            yield "order", f"{batch.id}: {numbers}"
    found = sorted((line_number(line), json.loads(line)) for line in output + errors)
    if [at for at, _ in found] != list(range(1, len(plan.kinds) + 1)):
        yield "each line once", f"{batch.id}: {[at for at, _ in found]} of {len(plan.kinds)}"
    yield from _of_lines(batch, plan, number, found)
    counts = (batch.counts.total, batch.counts.completed, batch.counts.failed)
    if counts != (len(plan.kinds), len(output), len(errors)):
        yield "counts", f"{batch.id}: {counts}"
    yield from _of_ending(town, batch, plan, number, [result for _, result in found])
    yield from _of_checkpoints(town, batch, [result for _, result in found])
    used = sum((usage_of(json.loads(line)["response"]["body"]["of"]) for line in output), Usage())
    if batch.usage not in (used, None) or (batch.usage is None and output):
        yield "usage", f"{batch.id}: {batch.usage}, its results {used}"
    yield from _of_reader(town, batch, output + errors)
    yield from _of_work(town, batch, plan, number)


def _results(town: Town, batch: Batch, file_id: str | None, key: str) -> list[bytes]:
    if file_id is None:
        return []
    file = town.memory.files.get(batch.account_id, file_id)
    body = town.memory.reader.read(key)
    if (file.key, file.bytes) != (key, len(body)):
        raise Violation("result file", f"{file} has {len(body)} bytes")
    return body.splitlines()


def _of_failed(town: Town, batch: Batch, plan: BatchPlan) -> Iterator[Wrong]:
    told = json.loads(town.memory.reader.read(batch_errors_key(batch.id)))["data"]
    if not _may_be_refused(town, batch, plan):
        yield "failed without a reason", (batch, told)


def _of_refused(town: Town, batch: Batch, plan: BatchPlan) -> Iterator[Wrong]:
    """Cancelled when it would have failed: it has no lines."""
    runs = [run for run in town.rows(Run) if run.batch_id == batch.id]
    if runs or not _may_be_refused(town, batch, plan):
        yield "cancelled without its lines", (batch, runs)


def _may_be_refused(town: Town, batch: Batch, plan: BatchPlan) -> bool:
    """For its lines, for want of credits or of room, or because the weather let nobody validate it."""
    invalid = "b" in plan.kinds or plan.kinds.count("d") > 1
    is_poor = plan.billing == "poor" and not plan.dropped
    is_invalid = invalid and batch.on_invalid == "fail"
    return is_poor or was_hard(town) or is_crowded(town, plan) or is_invalid


def is_crowded(town: Town, plan: BatchPlan) -> bool:
    """Whether its account's files have more tokens together than the account may have enqueued."""
    files = [
        sum(len(line) + 1 for line in lines_of(number, other))
        for number, other in enumerate(town.scenario.batches)
        if (other.billing, other.dropped) == (plan.billing, False)
    ]
    limit = town.scenario.tokens_max
    return not plan.dropped and 0 < limit < sum(map(estimate_tokens, files))


def _of_lines(
    batch: Batch, plan: BatchPlan, number: int, found: list[tuple[int, dict[str, Any]]]
) -> Iterator[Wrong]:
    ids = Counter(result["custom_id"] for _, result in found if not result["error"])
    if twice := [custom_id for custom_id, count in ids.items() if count > 1]:
        yield "a custom_id twice", f"{batch.id}: {twice}"
    for at, result in found:
        prompt = ((result["response"] or {}).get("body") or {}).get("of", f"{number}-{at - 1} ")
        if not prompt.startswith(f"{number}-{at - 1} "):
            yield "a result of its own line", f"{batch.id} line {at}: {prompt}"
        is_bad = plan.kinds[at - 1] == "b"
        if not is_bad and result["custom_id"] not in (f"{number}-{at - 1}", f"{number}-first"):
            yield "a custom_id of its own line", f"{batch.id} line {at}: {result['custom_id']}"


def _of_checkpoints(town: Town, batch: Batch, results: list[dict[str, Any]]) -> Iterator[Wrong]:
    """What a worker had flushed before the batch was closed is a result, however the batch ended."""
    ended_at = batch.finalizing_at or 0
    unworked = {"batch_cancelled", "batch_expired", "engine_error"}
    for line, at in town.history.checkpointed.get(batch.id, {}).items():
        error = results[line - 1]["error"] if line <= len(results) else None
        if at < ended_at and error and error["code"] in unworked:
            yield "finished work thrown away", f"{batch.id} line {line}: {error['code']}"


def _of_ending(
    town: Town, batch: Batch, plan: BatchPlan, number: int, results: list[dict[str, Any]]
) -> Iterator[Wrong]:
    codes = Counter(result["error"]["code"] for result in results if result["error"])
    if batch.status is BatchStatus.COMPLETED and codes["batch_cancelled"] + codes["batch_expired"]:
        yield "completed with holes", (batch.id, codes)
    if batch.status is BatchStatus.CANCELLED and (not plan.cancel_at or codes["batch_expired"]):
        yield "cancelled by nobody", (batch.id, codes)
    if batch.status is BatchStatus.EXPIRED:
        if codes["batch_cancelled"]:
            yield "expired and cancelled", (batch.id, codes)
        if plan.window_seconds >= DAY and not town.scenario.jumps:
            yield "expired with a day to go", batch.id
        if batch.expired_at is not None and batch.expired_at < batch.expires_at:
            yield "expired too early", batch
    last_asked = town.instances.last_asked.get(str(number), 0)
    if last_asked > batch.expires_at + _patience(town):
        yield "worked on long after its window", f"{batch.id}: {last_asked - batch.expires_at} s"
    if not was_hard(town):
        failed = [
            result["error"] and result["error"]["code"] == "engine_error" for result in results
        ]
        blamed = [at for at, is_blamed in enumerate(failed) if is_blamed]
        if innocent := [at for at in blamed if plan.kinds[at] not in "pm"]:
            yield "engine error without a cause", f"{batch.id}: {innocent} of {plan.kinds}"


def _of_reader(town: Town, batch: Batch, results: list[bytes]) -> Iterator[Wrong]:
    """Results that were read while it ran are the results."""
    read = town.callers.read.get(batch.id)
    if read is not None and (Counter(read.lines) - Counter(results)):
        yield "read what is no result", batch.id
    if read is not None and read.is_whole and sorted(read.lines) != sorted(results):
        yield "not every result was read", f"{batch.id}: {len(read.lines)} of {len(results)}"


def _of_work(town: Town, batch: Batch, plan: BatchPlan, number: int) -> Iterator[Wrong]:
    """In calm weather every line is worked once, by the first attempt at its shard."""
    if not town.scenario.is_calm or set(plan.kinds) & set("pms"):
        return
    asked = town.instances.asked
    if again := [p for p in asked if p.startswith(f"{number}-") and asked[p] > 1]:
        yield "worked twice in calm weather", f"{batch.id}: {again}"
    if batch.status is BatchStatus.COMPLETED:
        for shard in town.rows(Shard):
            if shard.batch_id == batch.id and shard.attempt > 1:
                yield "tried again in calm weather", shard


def _patience(town: Town) -> float:
    """Seconds within which a window's end is seen by the sweep and by instances, in this weather."""
    scenario = town.scenario
    return (
        600
        + sum(seconds for _, _, seconds in scenario.throttles)
        + 2_000 * bool(scenario.faults.freeze)
    )


def was_hard(town: Town) -> bool:
    """Whether calls failed often enough for a shard or a state to have used up its tries without a line's fault."""
    faults = town.scenario.faults
    is_short = town.scenario.function_seconds < 900
    return bool(
        faults.death or faults.unavailable or faults.late or town.scenario.throttles or is_short
    )
