"""Kill -9 of the worker where it hurts: a death just before a call to AWS, or just after it, is the worst there is."""

from __future__ import annotations

import signal

import pytest

from offpeak.core.shard import ShardStatus
from offpeak.planner.bisect_shard import LINE_FAILURES
from tests.e2e.lines import chat_line, chat_lines
from tests.faults.books import assert_nothing_lost
from tests.faults.crossing import At
from tests.faults.faulty_cloud import ATTEMPTS_MAX, FaultyCloud

pytestmark = [pytest.mark.cloud]

QUICK = chat_lines(20, "quick")
GATED = [chat_line(f"gated-{n}", f"[[gate]] {n}") for n in range(4)]
LINES = [*QUICK[:10], *GATED, *QUICK[10:]]
WRITE = "TransactWriteItems|PutItem|UpdateItem"


@pytest.mark.parametrize(
    "at",
    [
        At(caller="worker", operation=WRITE, answered=True),
        At(caller="worker", operation="PutObject", resource="/checkpoints/", answered=True),
        At(caller="worker", operation="PutObject", resource=r"/errors\.jsonl"),
    ],
    ids=["claimed", "a checkpoint is written", "between output and errors"],
)
def test_a_killed_worker_s_shard_is_finished_by_the_next_and_nothing_saved_is_done_again(
    faulty: FaultyCloud, at: At
) -> None:
    caller = faulty.new_caller("killed")
    texts = [f"{caller.account_id} {n}" for n in range(20)]
    quick = [chat_line(f"quick-{n}", text) for n, text in enumerate(texts)]
    lines = [*quick[:10], *GATED, *quick[10:], chat_line("failing", "[[status=400]]")]
    [death] = faulty.kill_at(at)
    if "checkpoints" not in at.resource:
        faulty.engine.open_gate()
    batch_id = faulty.begin(caller, lines)
    death.wait()
    faulty.engine.open_gate()
    errors = assert_nothing_lost(faulty.aws, caller, faulty.ended(caller, batch_id), lines)
    assert {key: line["response"]["status_code"] for key, line in errors.items()} == {
        "failing": 400
    }
    shard = faulty.aws.shards.get(batch_id, 0, 0)
    assert (shard.status, shard.attempt) == (ShardStatus.DONE, 2)
    if at.operation == "PutObject":
        assert [faulty.engine.asked(text) for text in texts] == [1] * len(texts)


def test_a_line_that_kills_every_worker_that_asks_it_is_bisected_down_to(
    faulty: FaultyCloud,
) -> None:
    """Nobody can name it: the process that knew what it had asked is gone. Of twelve lines it is in a part of two, so
    that the shard fails once more for this part, and twice for the line alone."""
    caller = faulty.new_caller("deadly")
    faulty.engine.open_gate()
    deadly = f"[[kill]] {caller.account_id}"
    good = [chat_line(f"good-{n}", f"{caller.account_id} {n}") for n in range(11)]
    lines = [*good[:4], chat_line("deadly", deadly), *good[4:]]
    batch_id = faulty.begin(caller, lines)
    errors = assert_nothing_lost(faulty.aws, caller, faulty.ended(caller, batch_id), lines)
    assert {key: line["error"]["code"] for key, line in errors.items()} == {
        "deadly": "engine_error"
    }
    assert faulty.engine.asked(deadly) == ATTEMPTS_MAX + 1 + LINE_FAILURES
    assert faulty.aws.shards.get(batch_id, 0, 0).failures == ATTEMPTS_MAX + 1 + LINE_FAILURES


def test_a_batch_that_is_cancelled_while_its_worker_is_dead_keeps_what_was_done(
    faulty: FaultyCloud,
) -> None:
    caller = faulty.new_caller("cancelled")
    halt = faulty.halt(
        At(caller="worker", operation="PutObject", resource="/checkpoints/", answered=True)
    )
    batch_id = faulty.begin(caller, LINES)
    halt.send(signal.SIGKILL)
    caller.sdk().batches.cancel(batch_id)
    halt.release()
    ended = faulty.ended(caller, batch_id)
    errors = assert_nothing_lost(faulty.aws, caller, ended, LINES, status="cancelled")
    assert {line["error"]["code"] for line in errors.values()} == {"batch_cancelled"}
    assert set(errors) == {line["custom_id"] for line in GATED}
