"""A worker in small, over the ports: it claims, resumes, generates, checkpoints, renews and reports."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Literal

from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.invocation import Outcome, ShardOrder, ShardReport
from offpeak.core.ports import Save
from offpeak.core.request_line import FinishedLine, paid_usage
from offpeak.core.run import RunStatus
from offpeak.core.shard import ResultObject
from offpeak.core.usage import Counts, Usage
from offpeak.wire.checkpoints import decode_records, encode_record
from offpeak.wire.invocation import decode_order
from offpeak.wire.request_lines import read_line
from offpeak.wire.results import render_error, render_response
from offpeak.wire.segments import read_lines_between

LEASE_SECONDS = 180


def usage_of(number: int) -> Usage:
    """What a line's request takes, so that a test knows what a batch must cost."""
    return Usage(input_tokens=number, cached_tokens=number // 3, output_tokens=7)


def _told(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def never() -> bool:
    return False


class SmallWorker:
    """`generated` counts how often each line was put to the engine. A line with "poison" in it kills the engine; one
    whose custom_id ends in 5 times out."""

    def __init__(
        self, ports: Mapping[str, Any], random: Random, told_to_stop: Callable[[], bool] = never
    ) -> None:
        self._ports = ports
        self._random = random
        self._told_to_stop = told_to_stop
        self.generated: Counter[tuple[str, int]] = Counter()
        self.asked: Counter[str] = Counter()

    def work(self, body: bytes) -> ShardReport:
        order = decode_order(body)
        me = f"worker {self._random.random()}"
        try:
            shard = self._ports["shards"].get(order.batch_id, order.run, order.number)
            claimed = shard.claimed(order.attempt, me, self._lease())
            self._ports["changes"].commit(Save(claimed))
        except StateConflict:
            return _report(order, Outcome.SUPERSEDED, {})
        finished = self._resumed(order)
        sequence = 0
        total = sum(segment.lines for segment in order.segments)
        first, stop = (order.probe.first, order.probe.stop) if order.probe else (0, total)
        reader = self._ports["reader"]
        for number, raw in read_lines_between(reader, order.segments, first, stop):
            if number in finished:
                continue
            finished[number] = self._generate(order.batch_id, number, raw)
            if self._random.random() < 0.3:
                continue
            key = f"{order.work_prefix}checkpoints/{order.attempt:04}-{sequence:04}.jsonl"
            self._ports["writer"].put(key, encode_record(finished[number]))
            sequence += 1
            if not self._renew(order, me, finished):
                return _report(order, Outcome.SUPERSEDED, {})
            run = self._ports["runs"].get(order.batch_id, order.run)
            if run.status is RunStatus.CLOSING or self._told_to_stop():
                return _report(order, Outcome.STOPPED, finished)
        if len(finished) < total:
            self._checkpoint(order, finished)
            return _report(order, Outcome.PARTIAL, finished, probed=True)
        prefix = f"{order.work_prefix}{order.attempt:04}/"
        output = self._put(prefix + "output.jsonl", finished, "output")
        errors = self._put(prefix + "errors.jsonl", finished, "error")
        return _report(order, Outcome.DONE, finished, output, errors)

    def _checkpoint(self, order: ShardOrder, finished: Mapping[int, FinishedLine]) -> None:
        """All of it once more: of a line that is in several checkpoints the first counts."""
        key = f"{order.work_prefix}checkpoints/{order.attempt:04}-9999.jsonl"
        self._ports["writer"].put(key, b"".join(map(encode_record, finished.values())))

    def _resumed(self, order: ShardOrder) -> dict[int, FinishedLine]:
        finished: dict[int, FinishedLine] = {}
        for info in self._ports["reader"].list(f"{order.work_prefix}checkpoints/"):
            for line in decode_records(self._ports["reader"].stream(info.key)):
                finished.setdefault(line.number, line)
        return finished

    def _renew(self, order: ShardOrder, me: str, finished: Mapping[int, FinishedLine]) -> bool:
        shard = self._ports["shards"].get(order.batch_id, order.run, order.number)
        if shard.attempt != order.attempt or shard.worker != me:
            return False
        try:
            self._ports["changes"].commit(Save(shard.renewed(self._lease(), _counts(finished))))
        except StateConflict:
            return False
        return True

    def _generate(self, batch_id: str, number: int, raw: bytes) -> FinishedLine:
        """No two workers generate the same, as no two samples are."""
        line = read_line(raw, number)
        self.generated[batch_id, number] += 1
        self.asked[line.custom_id] += 1
        if b"poison" in line.body:
            raise Unavailable("The engine died.")
        usage = usage_of(number)
        sample = "x" * self._random.randint(1, 50)
        if line.custom_id.endswith("5") or b"unlucky" in line.body:
            result = render_error(
                batch_id=batch_id, line=number, custom_id=line.custom_id, code="request_timeout",
                message=sample,
            )  # fmt: skip
            return FinishedLine(number=number, kind="error", result=result, usage=usage)
        result = render_response(
            batch_id=batch_id, line=number, custom_id=line.custom_id, status_code=200,
            body=json.dumps({"text": sample, "usage": _told(usage)}).encode(),
        )  # fmt: skip
        return FinishedLine(number=number, kind="output", result=result, usage=usage)

    def _put(
        self, key: str, finished: Mapping[int, FinishedLine], kind: Literal["output", "error"]
    ) -> ResultObject | None:
        lines = [finished[n].result for n in sorted(finished) if finished[n].kind == kind]
        if not lines:
            return None
        info = self._ports["writer"].put(key, b"".join(lines))
        return ResultObject(key=key, bytes=info.bytes, lines=len(lines))

    def _lease(self) -> int:
        return int(self._ports["clock"].now()) + LEASE_SECONDS


def _counts(finished: Mapping[int, FinishedLine]) -> Counts:
    failed = sum(line.kind == "error" for line in finished.values())
    return Counts(completed=len(finished) - failed, failed=failed)


def _report(
    order: ShardOrder, outcome: Outcome, finished: Mapping[int, FinishedLine],
    output: ResultObject | None = None, errors: ResultObject | None = None, *, probed: bool = False,
) -> ShardReport:  # fmt: skip
    return ShardReport(
        batch_id=order.batch_id, account_id=order.account_id, run=order.run, number=order.number,
        attempt=order.attempt, outcome=outcome, counts=_counts(finished),
        usage=paid_usage(finished.values()), output=output,
        errors=errors, probed=probed,
    )  # fmt: skip
