"""What must hold of every world once all has ended, whatever befell it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.delivery import Delivery, DeliveryStatus
from offpeak.core.group import Group
from offpeak.core.layout import error_key, output_key
from offpeak.core.ledger import Balance, Entry, EntryKind
from offpeak.core.pricing import cost_microdollars
from offpeak.core.request import Request, RequestStatus
from offpeak.core.run import Run
from offpeak.core.shard import Shard
from offpeak.core.usage import Usage
from offpeak.wire.results import line_number
from tests.simulation.instances import usage_of
from tests.simulation.scenario import DAY, BatchPlan
from tests.simulation.town import RECEIVER, Town
from tests.steps.request_simulation import ALICE


class Violation(AssertionError):
    """`name` says which promise was broken, so that a smaller world is known to break the same."""

    def __init__(self, name: str, detail: object) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name


def check(town: Town) -> None:
    """Raises Violation for the first promise that is broken."""
    for name, detail in _violations(town):
        raise Violation(name, detail)


def _violations(town: Town) -> Iterator[tuple[str, object]]:
    for wrong in town.history.wrongs:
        yield "illegal history", wrong
    for number, plan in enumerate(town.scenario.batches):
        batch = town.find_batch(number)
        if batch is None:
            yield "lost batch", number
        else:
            yield from _of_batch(town, batch, plan, number)
    yield from _of_requests(town)
    yield from _of_groups(town)
    yield from _of_books(town)
    yield from _of_callbacks(town)
    yield from _of_leftovers(town)


# ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_batch(
    town: Town, batch: Batch, plan: BatchPlan, number: int
) -> Iterator[tuple[str, object]]:
    if batch.status is BatchStatus.FAILED:
        yield from _of_failed(batch, plan)
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
    for at, result in found:
        prompt = ((result["response"] or {}).get("body") or {}).get("of", f"{number}-{at - 1} ")
        if not prompt.startswith(f"{number}-{at - 1} "):
            yield "a result of its own line", f"{batch.id} line {at}: {prompt}"
    counts = (batch.counts.total, batch.counts.completed, batch.counts.failed)
    if counts != (len(plan.kinds), len(output), len(errors)):
        yield "counts", f"{batch.id}: {counts}"
    yield from _of_ending(town, batch, plan, number, [result for _, result in found])
    yield from _of_custom_ids(batch, output)
    yield from _of_checkpoints(town, batch, [result for _, result in found])
    used = sum((usage_of(json.loads(line)["response"]["body"]["of"]) for line in output), Usage())
    if batch.usage not in (used, None) or (batch.usage is None and output):
        yield "usage", f"{batch.id}: {batch.usage}, its results {used}"


def _results(town: Town, batch: Batch, file_id: str | None, key: str) -> list[bytes]:
    if file_id is None:
        return []
    file = town.memory.files.get(batch.account_id, file_id)
    body = town.memory.reader.read(key)
    if (file.key, file.bytes) != (key, len(body)):
        raise Violation("result file", f"{file} has {len(body)} bytes")
    return body.splitlines()


def _of_failed(batch: Batch, plan: BatchPlan) -> Iterator[tuple[str, object]]:
    invalid = "b" in plan.kinds or plan.kinds.count("d") > 1
    refused = plan.billing == "poor" and not plan.dropped
    if not (refused or (invalid and batch.on_invalid == "fail")):
        yield "failed without a reason", batch


def _of_custom_ids(batch: Batch, output: list[bytes]) -> Iterator[tuple[str, object]]:
    ids = Counter(json.loads(line)["custom_id"] for line in output)
    if twice := [custom_id for custom_id, count in ids.items() if count > 1]:
        yield "a custom_id twice", f"{batch.id}: {twice}"


def _of_checkpoints(
    town: Town, batch: Batch, results: list[dict[str, Any]]
) -> Iterator[tuple[str, object]]:
    """What a worker had flushed before the batch was closed is a result, however the batch ended."""
    ended_at = batch.finalizing_at or 0
    unworked = {"batch_cancelled", "batch_expired", "engine_error"}
    for line, at in town.history.checkpointed.get(batch.id, {}).items():
        error = results[line - 1]["error"] if line <= len(results) else None
        if at < ended_at and error and error["code"] in unworked:
            yield "finished work thrown away", f"{batch.id} line {line}: {error['code']}"


def _of_ending(
    town: Town, batch: Batch, plan: BatchPlan, number: int, results: list[dict[str, Any]]
) -> Iterator[tuple[str, object]]:
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
    if codes["engine_error"] and "p" not in plan.kinds and not _was_hard(town):
        yield "engine error without a cause", (batch.id, codes)


def _patience(town: Town) -> float:
    """Seconds within which a window's end is seen by the sweep and by instances, in this weather."""
    scenario = town.scenario
    return (
        600
        + sum(seconds for _, _, seconds in scenario.throttles)
        + 2_000 * bool(scenario.faults.freeze)
    )


def _was_hard(town: Town) -> bool:
    """Whether instances died often enough for a shard to have used up its attempts without a line's fault."""
    return bool(
        town.scenario.faults.death or town.scenario.faults.unavailable or town.scenario.throttles
    )


# ── requests and groups ──────────────────────────────────────────────────────────────────────────────────────────────


def _of_requests(town: Town) -> Iterator[tuple[str, object]]:
    for row in _rows(town, Request):
        if not row.has_ended:
            yield "request without an end", row
        elif row.status is RequestStatus.COMPLETED and row.result is None:
            yield "completed without a result", row
        elif row.status is RequestStatus.COMPLETED:
            body = town.memory.reader.read(row.result.key, row.result.start, row.result.stop)
            if json.loads(body)["custom_id"] != row.id:
                yield "somebody else's result", row


def _of_groups(town: Town) -> Iterator[tuple[str, object]]:
    for answer in town.group_answers:
        if isinstance(answer, Group) and not town.found_group(ALICE, answer.id).is_there:
            yield "lost group", answer
    for group in _rows(town, Group):
        if not group.is_there:
            continue  # of a call that was undone: nobody was ever told its id
        members = [row for row in _rows(town, Request) if row.group_id == group.id]
        statuses = Counter(row.status for row in members)
        counts = (statuses[RequestStatus.COMPLETED], statuses[RequestStatus.FAILED])
        if (group.counts.completed, group.counts.failed) != counts or not group.has_ended:
            yield "group's counts", (group, counts)


# ── money ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_books(town: Town) -> Iterator[tuple[str, object]]:
    entries = _rows(town, Entry)
    for balance in _rows(town, Balance):
        mine = [entry for entry in entries if entry.account_id == balance.account_id]
        if balance.microdollars != sum(entry.microdollars for entry in mine):
            yield "balance is not the ledger's sum", (balance, mine)
        if balance.held_microdollars:
            yield "orphan hold", balance
    yield from _of_request_bills(town, entries)
    for batch in _rows(town, Batch):
        settled = [e for e in entries if e.source == batch.id and e.kind is EntryKind.SETTLE]
        if batch.status is BatchStatus.FAILED or batch.account_id.startswith("nobody"):
            continue
        runs = [run for run in _rows(town, Run) if run.batch_id == batch.id]
        charged = -sum(entry.microdollars for entry in settled)
        cost = sum(_cost(town, batch, run) for run in runs)
        expected = 0 if batch.billing == "off" else cost
        if batch.id.startswith("batch_") and (charged != expected or len(settled) > 1):
            yield "bill", f"{batch.id}: charged {charged}, its results cost {expected}"
        holds = sum(
            e.microdollars
            for e in entries
            if e.source == batch.id and e.kind in (EntryKind.HOLD, EntryKind.RELEASE)
        )
        if holds:
            yield "hold not released", (batch.id, holds)


def _of_request_bills(town: Town, entries: list[Entry]) -> Iterator[tuple[str, object]]:
    """One settlement a shard, of its requests that were answered and took the answer."""
    used: dict[str, Usage] = defaultdict(Usage)
    for row in _rows(town, Request):
        if row.status is RequestStatus.COMPLETED and row.result is not None:
            prefix = row.result.key.rpartition("/")[0].rpartition("/")[0]
            line = town.memory.reader.read(row.result.key, row.result.start, row.result.stop)
            used[prefix] += usage_of(json.loads(line)["response"]["body"]["of"])
    settled = [e for e in entries if e.account_id == ALICE.id and e.kind is EntryKind.SETTLE]
    charged = sorted(sum((m.usage for m in e.models), Usage()).total_tokens for e in settled)
    expected = sorted(usage.total_tokens for usage in used.values())
    if charged != expected:
        yield "bill of requests", f"tokens charged by shard {charged}, answered {expected}"


def _cost(town: Town, batch: Batch, run: Run) -> int:
    """Of the run's results in the output file, at the prices that it was planned at."""
    if batch.output_file_id is None or run.prices is None:
        return 0
    used = Usage()
    for line in town.memory.reader.read(output_key(batch.id)).splitlines():
        at, prompt = line_number(line), json.loads(line)["response"]["body"]["of"]
        if town.model_of(batch, at) == run.model:
            used += usage_of(prompt)
    return cost_microdollars(run.prices, used)


# ── callbacks, and what nobody may leave behind ──────────────────────────────────────────────────────────────────────


def _of_callbacks(town: Town) -> Iterator[tuple[str, object]]:
    deliveries = _rows(town, Delivery)
    for row in deliveries:
        if row.status is not DeliveryStatus.DELIVERED:
            yield "callback given up", row
    for batch in _rows(town, Batch):
        if f"whe_{batch.account_id.removeprefix('acct_')}" not in {w.id for w in town.webhooks}:
            continue
        if not [d for d in deliveries if json.loads(d.body)["data"]["id"] == batch.id]:
            yield "nobody told of a batch", batch.id
    posts = [
        json.loads(post.body) for post in town.memory.destinations.posts if post.url == RECEIVER
    ]
    told = Counter(post["data"]["id"] for post in posts if "data" in post)
    for request in _rows(town, Request):
        if request.callback and not told[request.id]:
            yield "nobody told of a request", request.id


def _of_leftovers(town: Town) -> Iterator[tuple[str, object]]:
    for shard in _rows(town, Shard):
        if shard.is_open:
            yield "open shard", shard
    for run in _rows(town, Run):
        if run.open or run.has_more:
            yield "open run", run
    if orphans := town.orphan_uploads():
        yield "orphan multipart upload", orphans


def _rows(town: Town, kind: type[Any]) -> list[Any]:
    return town.memory.changes._tables.select(kind, lambda _: True)
