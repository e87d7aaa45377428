"""Workers that are lost, or only seem to be: the shard is sent again, and nobody finishes it twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from offpeak.aws.connect import Aws
from offpeak.core.layout import shard_prefix, work_prefix
from offpeak.core.shard import ShardStatus
from offpeak.local.cloud import LocalCloud
from tests.e2e.deployment import connect, make_caller, sweeping
from tests.e2e.follow import completed, until, until_ended
from tests.e2e.lines import assert_each_once_in_input_order, chat_line, chat_lines, jsonl, parse

pytestmark = [pytest.mark.cloud]

LEASE_SECONDS = 8
FAST = {
    "OFFPEAK_LEASE_SECONDS": str(LEASE_SECONDS),
    "OFFPEAK_RENEW_SECONDS": "1",
    "OFFPEAK_POLL_SECONDS": "1",
    "OFFPEAK_CHECKPOINT_SECONDS": "1",
}
QUICK = chat_lines(30, "quick")
SLOW = [chat_line(f"slow-{n}", f"[[sleep=25]] {n}") for n in range(4)]
LINES = [*SLOW[:2], *QUICK, *SLOW[2:]]


@pytest.fixture(scope="module")
def cloud_of_two(
    emulator_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalCloud]:
    """A pool of two workers, the idle one taking the next shard, with short leases."""
    with LocalCloud(
        folder=tmp_path_factory.mktemp("two"),
        worker=FAST,
        model_fields={"instances_min": 2, "instances_max": 2, "concurrency": 1},
        emulator_python=emulator_python,
    ) as cloud:
        cloud.wait_for_workers()
        yield cloud


@pytest.fixture(scope="module")
def ports(cloud_of_two: LocalCloud) -> Aws:
    return connect(cloud_of_two)


def wait_until(reached: Callable[[], bool], what: str, seconds_max: float = 60.0) -> None:
    give_up_at = time.monotonic() + seconds_max
    while not reached():
        assert time.monotonic() < give_up_at, f"not within {seconds_max} s: {what}"
        time.sleep(0.2)


def _busy_worker(cloud: LocalCloud) -> dict[str, Any]:
    [worker] = [worker for worker in cloud.workers() if worker["in_flight"]]
    return dict(worker)


def test_a_stale_attempt_that_wakes_up_after_its_successor_changes_nothing(
    cloud_of_two: LocalCloud, ports: Aws
) -> None:
    cloud, caller = cloud_of_two, make_caller(cloud_of_two, ports, "stale")
    client = caller.sdk()
    file = client.files.create(file=("lines.jsonl", jsonl(LINES)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    until(client, batch.id, completed(len(QUICK)))
    stale = _busy_worker(cloud)
    cloud.signal_worker(stale["pid"], "SIGSTOP")
    try:
        ended = until_ended(client, batch.id, 120, meanwhile=sweeping(cloud))
        assert ended.status == "completed"
        shard = ports.shards.get(batch.id, 0, 0)
        assert (shard.status, shard.attempt) == (ShardStatus.DONE, 2)
        before = _everything_of(ports, caller.account_id, batch.id)
    finally:
        cloud.signal_worker(stale["pid"], "SIGCONT")
    wait_until(lambda: _idle(cloud, stale["pid"]), "the stale attempt answers")
    time.sleep(2)  # for its notice to go through SNS, SQS and complete_shard
    assert _everything_of(ports, caller.account_id, batch.id) == before
    assert ended.output_file_id is not None
    results = parse(client.files.content(ended.output_file_id).text)
    assert_each_once_in_input_order(LINES, results)


def _idle(cloud: LocalCloud, pid: int) -> bool:
    return all(not worker["in_flight"] for worker in cloud.workers() if worker["pid"] == pid)


def _everything_of(aws: Aws, account_id: str, batch_id: str) -> list[object]:
    """All rows and result objects of a batch. Objects of its work are its attempts' own until one of them wins."""
    results = [(item.key, item.etag) for item in aws.reader.list(f"results/{batch_id}/")]
    winner = f"{shard_prefix(batch_id, 0, 0)}0002/"
    won = [(item.key, item.etag) for item in aws.reader.list(winner)]
    assert results
    assert won
    return [
        aws.batches.get(account_id, batch_id),
        *aws.runs.of_batch(batch_id),
        *aws.shards.of_run(batch_id, 0),
        *results,
        *won,
    ]


def test_a_worker_that_is_killed_is_replaced_and_its_checkpoints_are_used(
    cloud_of_two: LocalCloud, ports: Aws
) -> None:
    cloud, caller = cloud_of_two, make_caller(cloud_of_two, ports, "killed")
    client = caller.sdk()
    file = client.files.create(file=("lines.jsonl", jsonl(LINES)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    checkpoints = f"{work_prefix(batch.id)}0/000000/checkpoints/"
    wait_until(lambda: any(ports.reader.list(checkpoints)), "a checkpoint is written")
    cloud.signal_worker(_busy_worker(cloud)["pid"], "SIGKILL")
    ended = until_ended(client, batch.id, 120, meanwhile=sweeping(cloud))
    assert ended.status == "completed"
    assert ended.request_counts is not None
    assert ended.request_counts.completed == len(LINES)
    assert ended.output_file_id is not None
    results = parse(client.files.content(ended.output_file_id).text)
    assert_each_once_in_input_order(LINES, results)
