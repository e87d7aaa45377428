"""SIGTERM at every stage of a worker, as SageMaker sends it before an instance goes: it ends by itself, with what it
has done written, and its attempt is not held against the shard."""

from __future__ import annotations

import pytest

from offpeak.core.shard import ShardStatus
from tests.e2e.follow import completed
from tests.e2e.lines import chat_line, chat_lines
from tests.faults.books import assert_nothing_lost
from tests.faults.crossing import At
from tests.faults.faulty_cloud import FaultyCloud

pytestmark = [pytest.mark.cloud]

QUICK = chat_lines(20, "quick")
GATED = [chat_line(f"gated-{n}", f"[[gate]] {n}") for n in range(4)]
LINES = [*QUICK, *GATED]


@pytest.mark.parametrize(
    ("at", "attempts"),
    [
        (At(caller="worker", operation="TransactWriteItems|PutItem|UpdateItem"), 2),
        (At(caller="worker", operation="GetObject", resource="files/"), 2),
        (At(caller="worker", operation="PutObject", resource="/checkpoints/"), 2),
        (At(caller="worker", operation="PutObject", resource=r"/output\.jsonl"), 1),
    ],
    ids=["claiming", "reading", "checkpointing", "writing the output"],
)
def test_at_a_call_to_aws(faulty: FaultyCloud, at: At, attempts: int) -> None:
    caller = faulty.new_caller("stopped")
    halt = faulty.halt(at)
    if "output" in at.resource:
        faulty.engine.open_gate()
    batch_id = faulty.begin(caller, LINES)
    pid = halt.wait()
    faulty.cloud.signal_worker(pid, "SIGTERM")
    halt.release()
    faulty.await_gone(pid)
    faulty.engine.open_gate()
    assert not assert_nothing_lost(faulty.aws, caller, faulty.ended(caller, batch_id), LINES)
    shard = faulty.aws.shards.get(batch_id, 0, 0)
    assert (shard.status, shard.attempt, shard.failures) == (ShardStatus.DONE, attempts, 0)


def test_while_it_generates(faulty: FaultyCloud) -> None:
    caller = faulty.new_caller("generating")
    batch_id = faulty.begin(caller, LINES)
    faulty.until(caller.sdk(), batch_id, completed(len(QUICK)))
    pid = faulty.worker_pid
    faulty.cloud.signal_worker(pid, "SIGTERM")
    faulty.await_gone(pid)
    faulty.engine.open_gate()
    assert not assert_nothing_lost(faulty.aws, caller, faulty.ended(caller, batch_id), LINES)
    shard = faulty.aws.shards.get(batch_id, 0, 0)
    assert (shard.attempt, shard.failures) == (2, 0)


def test_while_it_loads_its_engine(faulty: FaultyCloud) -> None:
    caller = faulty.new_caller("loading")
    faulty.engine.open_gate()
    faulty.engine.unload()
    with faulty.launching():
        batch_id = faulty.begin(caller, LINES)
        pid = faulty.worker_pid
        faulty.cloud.signal_worker(pid, "SIGTERM")
        faulty.await_gone(pid)
        faulty.engine.load()
    assert not assert_nothing_lost(faulty.aws, caller, faulty.ended(caller, batch_id), LINES)
