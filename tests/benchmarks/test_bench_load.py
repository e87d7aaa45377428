"""The benchmark of load, tiny and on the shared cloud: nothing is lost, and memory is told by process."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.load import Load, Seen, crowd, figures
from offpeak.local.cloud import LocalCloud

pytestmark = [pytest.mark.cloud]

TINY = Load(batches=4, clients=8, seconds=5.0, poll_seconds=1.0, lines=3, line_seconds=0.0)


def test_a_few_clients_follow_their_batches_to_the_end(cloud: LocalCloud) -> None:
    found = asyncio.run(crowd(cloud, TINY))
    assert set(found) == {
        "seconds", "clients", "batches_open", "batches", "lost", "polls", "errors_5xx",
        "errors_other", "p50_ms", "p99_ms", "rss_mb",
    }  # fmt: skip
    assert found["lost"] == 0  # that nobody is refused is for a quiet machine to show
    assert found["batches"] >= TINY.batches
    assert found["polls"] > 0
    assert found["p99_ms"] >= found["p50_ms"] > 0
    assert {"emulator", "door", "gateway", "sagemaker", "function:api"} <= set(found["rss_mb"])
    assert all(each["start"] > 0 for each in found["rss_mb"].values())


def test_a_batch_that_never_ended_or_came_back_wrong_is_lost() -> None:
    seen = Seen(polls=2, latencies=[0.1, 0.2], made=5, ended=4, lost=["batch_1"])
    found = figures(TINY, seen, (3, 1), [{"door": 1.0}, {"door": 2.0}, {"door": 3.0}])
    assert (found["lost"], found["errors_5xx"], found["errors_other"]) == (2, 3, 1)
    assert found["rss_mb"] == {"door": {"start": 1.0, "half": 2.0, "end": 3.0}}
