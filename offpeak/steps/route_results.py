"""Brings a shard's results back to the requests they answer: each row gets where its result line lies.

Idempotent by the rows: a request takes its first ending, and one that has ended just so counts as routed. So a second
call, or the call of an attempt that lost, changes nothing, finds the same usage and settles the same entries. What was
cancelled meanwhile, or has a result already, is discarded: it is in nobody's usage, and nobody pays for it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.ports import (
    Accounts,
    Callbacks,
    Changes,
    Clock,
    GroupChecks,
    Ledger,
    Reader,
    Requests,
    Runs,
    Save,
    Shards,
    Verdict,
)
from offpeak.core.request import RequestEnding, RequestStatus, ResultRange
from offpeak.core.shard import Shard, ShardStatus
from offpeak.core.usage import Usage
from offpeak.steps.settle_requests import AnsweredRequests, settle_requests
from offpeak.steps.tell_ending import tell_request
from offpeak.wire.checkpoints import RECORD_BYTES_MAX
from offpeak.wire.jsonl import split_lines
from offpeak.wire.results import RoutedResult, read_routed

logger = logging.getLogger(__name__)
AT_ONCE = 1_000
"""Rows whose endings are on their way together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """What this shard did for each account; `ended` counts the rows that this call moved."""

    answered: Mapping[str, AnsweredRequests]
    ended: int


@dataclass(frozen=True, slots=True)
class _Result:
    ending: RequestEnding
    usage: Usage


def route_results(
    shard: Shard, *, clock: Clock, reader: Reader, changes: Changes, accounts: Accounts,
    runs: Runs, shards: Shards, requests: Requests, group_checks: GroupChecks,
    callbacks: Callbacks, ledger: Ledger,
) -> Routed:  # fmt: skip
    """What became of the results of a gathering's shard, which is done. Nothing where that was seen to before."""
    answered: dict[str, AnsweredRequests] = defaultdict(AnsweredRequests)
    groups: set[tuple[str, str]] = set()
    ended = 0
    if shard.status is not ShardStatus.DONE or shard.routed:
        return Routed(answered=answered, ended=ended)
    results = _results(shard, int(clock.now()), reader)
    while chunk := list(islice(results, AT_ONCE)):
        moved = requests.end([result.ending for result in chunk])
        for result, move in zip(chunk, moved, strict=True):
            row = move.request
            if row is None or move.verdict is Verdict.REFUSED:
                logger.info("the result of request %s is discarded", result.ending.request_id)
                continue
            if result.ending.status is RequestStatus.COMPLETED:
                answered[row.account_id] = answered[row.account_id].plus(result.usage)
            ended += move.verdict is Verdict.CHANGED
            tell_request(row, clock=clock, changes=changes, callbacks=callbacks)
            if row.group_id is not None:
                groups.add((row.account_id, row.group_id))
    for account_id, group_id in sorted(groups):
        group_checks.ask(account_id, group_id)
    # Before the mark: once it is there, nobody looks at these results again.
    settle_requests(
        shard, runs.get(shard.batch_id, shard.run), answered, clock=clock, accounts=accounts,
        ledger=ledger, changes=changes,
    )  # fmt: skip
    _mark(shard, changes, shards)
    return Routed(answered=answered, ended=ended)


def _results(shard: Shard, now: int, reader: Reader) -> Iterator[_Result]:
    """Of each of its lines; `now` is when those end that have not ended yet."""
    for source in (shard.output, shard.errors):
        if source is None:
            continue
        lines = split_lines(reader.stream(source.key), line_bytes_max=RECORD_BYTES_MAX)
        for start, stop, line in lines:
            found = read_routed(line or b"")
            if found.custom_id is None:
                logger.error("%s: the line at byte %d answers no request", source.key, start)
                continue
            yield _result(found, found.custom_id, ResultRange(source.key, start, stop), now)


def _result(found: RoutedResult, request_id: str, where: ResultRange, now: int) -> _Result:
    if found.error_code is None:
        ending = RequestEnding(
            request_id=request_id, status=RequestStatus.COMPLETED, at=now, result=where
        )
    else:
        ending = RequestEnding(
            request_id=request_id, status=RequestStatus.FAILED, at=now, result=where,
            error_code=found.error_code,
        )  # fmt: skip
    return _Result(ending, found.usage)


def _mark(shard: Shard, changes: Changes, shards: Shards) -> None:
    """A shard that is done moves no more: whoever is quicker has marked it, too."""
    with suppress(StateConflict, NotFound):
        changes.commit(Save(shards.get(shard.batch_id, shard.run, shard.number).as_routed()))
