"""The cost meter runs, its last line is the figures, and a shard makes no more calls than it is allowed.

What is counted here is the same on any machine: no time is in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import cost
from benchmarks.aws_calls import Call
from benchmarks.bill import Bill, bill_of, dollars, read_invocations, service_of
from benchmarks.cost_meter import recorded
from benchmarks.cost_model import (
    Measured,
    decode,
    encode,
    million_lines,
    shard_bill,
    ticks_a_shard,
    ticks_in,
)
from benchmarks.dynamo_units import UnknownCall
from offpeak.worker.settings import WorkerSettings

LINES, SHARDS = 10, (1, 4)
PUT = Call(
    caller="worker", service="s3", operation="PutObject", resource="work/b/0/0/x", status=200,
    sent_bytes=10, got_bytes=0, at=0.0,
)  # fmt: skip


# ── the bill ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_object_in_work_is_told_of_twice_where_the_bucket_tells_of_objects() -> None:
    assert bill_of([PUT], tells_of_objects=False) == {("worker", "s3_write"): 1}
    assert bill_of([PUT], tells_of_objects=True) == {
        ("worker", "s3_write"): 1, ("worker", "s3_event"): 2,
    }  # fmt: skip


def test_a_listing_costs_as_much_as_a_write_and_a_deletion_nothing() -> None:
    listing, deletion = (replace(PUT, operation=o) for o in ("ListObjectsV2", "DeleteObject"))
    assert bill_of([listing, deletion], tells_of_objects=True) == {("worker", "s3_write"): 1}


@pytest.mark.parametrize(
    "call", [replace(PUT, operation="SelectObject"), replace(PUT, service="kms")]
)
def test_a_call_without_a_price_stops_the_meter(call: Call) -> None:
    with pytest.raises(UnknownCall):
        bill_of([call], tells_of_objects=True)


def test_invocations_are_read_from_lambdas_own_log() -> None:
    report = "REPORT RequestId: x\tDuration: {} ms\tBilled Duration: 9 ms\tMemory Size: 512 MB\tMax Memory Used: 1 MB"
    found = read_invocations(["a line", *(report.format(ms) for ms in (10, 20, 90))])
    assert found is not None
    assert (found.times, found.quick_ms, found.memory_mb) == (3, 10.0, 512)


def test_what_is_done_every_so_often_is_not_done_at_the_very_end() -> None:
    assert [ticks_in(600, every) for every in (60, 150, 599, 600, 900)] == [9, 3, 1, 0, 0]
    paces = [WorkerSettings(checkpoint_seconds=every) for every in (120, 150, 180, 400)]
    assert [ticks_a_shard(pace)["checkpoint"] for pace in paces] == [3, 2, 2, 0]


# ── the local cloud ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Measured, Bill]]:
    folder = tmp_path_factory.mktemp("cost")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "REQUESTS", (2, 4))
        with recorded(folder, LINES) as meter:
            shards = cost.measure_shards(meter, folder, LINES, SHARDS)
            yield shards, cost.measure_sending(meter)


# What a shard may do, by who and as what: more needs a reason, and a look at `make bench-cost`.
ALLOWED: dict[str, float] = {
    "s3_write": 6.1,  # checkpoints, results, SageMaker's copy of the report
    "s3_read": 4.5,  # lines, report, results' size, a stretch of the manifest
    # Born, claimed, renewed, done: a row and its index, twice in a transaction; and with so few shards its run's index.
    "dynamodb_write": 24,
    "dynamodb_read": 30,  # half of it polls
    "sqs": 3.5,
    "sqs_fifo": 4.1,  # asks to dispatch: one more where a shard waits for a busy machine
    "sns": 1.1,
    "lambda_call": 2.5,
}


@pytest.mark.cloud
def test_a_shard_makes_no_more_calls_than_it_may(measured: tuple[Measured, Bill]) -> None:
    bill = shard_bill(measured[0])
    services = {service_of(line) for _, line in bill}
    assert {"S3", "DynamoDB", "SQS", "SNS", "Lambda"} <= services
    lines: dict[str, float] = {}
    for (_, line), amount in bill.items():
        lines[line] = lines.get(line, 0.0) + amount
    over = {line: lines[line] for line, most in ALLOWED.items() if lines.get(line, 0.0) > most}
    assert not over
    assert set(lines) - {"lambda_gb_second", "logs_gb"} <= set(ALLOWED)


@pytest.mark.cloud
def test_a_request_is_one_row_and_one_message(measured: tuple[Measured, Bill]) -> None:
    request = measured[1]
    assert request["api", "api"] == pytest.approx(2, abs=0.01)
    assert request["api", "sqs"] == pytest.approx(1, abs=0.01)
    # The row; and the throttle's leases, reckoned: one for ten calls.
    assert request["api", "dynamodb_write"] == pytest.approx(1.2, abs=0.01)


@pytest.mark.cloud
def test_longer_paces_cost_less_and_counts_survive_their_file(
    measured: tuple[Measured, Bill],
) -> None:
    shard = measured[0]
    again = decode(json.loads(json.dumps(encode(shard))))
    assert dollars(million_lines(again)) == pytest.approx(dollars(million_lines(shard)), rel=1e-3)
    slow = WorkerSettings(renew_seconds=300, poll_seconds=300, checkpoint_seconds=300)
    assert dollars(shard_bill(shard, slow)) < dollars(shard_bill(shard))
    assert set(ticks_a_shard(slow)) == set(shard.ticks)


@pytest.mark.cloud
def test_the_last_line_is_the_figures(
    measured: tuple[Measured, Bill],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    shards, request = measured
    by_size = {lines: replace(shards, lines_a_shard=lines) for lines in cost.SIZES}
    monkeypatch.setattr(cost, "measure", lambda: (by_size, request))
    monkeypatch.setattr(cost, "COUNTS", tmp_path / "results/counts.json")
    cost.main()
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(figures) == [
        "usd_per_million_lines_1000", "usd_per_million_lines_5000", "usd_per_million_requests",
        "usd_idle_month",
    ]  # fmt: skip
    assert 0 < figures["usd_per_million_lines_5000"] < figures["usd_per_million_lines_1000"]
    assert 1 < figures["usd_per_million_requests"] < 100
    assert 1 < figures["usd_idle_month"] < 100
