"""A shard that ended without results gets them: what was finished, and an error for each other line."""

import json
from typing import Any

import pytest

from offpeak.core.batch import BatchStatus
from offpeak.core.errors import StateConflict
from offpeak.core.layout import shard_prefix
from offpeak.core.ports import Save
from offpeak.core.request_line import FinishedLine
from offpeak.core.run import CloseReason
from offpeak.core.shard import ShardStatus
from offpeak.core.usage import Usage
from offpeak.planner.cut_harvest import Chunk
from offpeak.steps.cancel_batch import cancel_batch
from offpeak.steps.close_batch import close_batch
from offpeak.steps.finalize_batch import finalize_batch
from offpeak.steps.harvest_shards import harvest_shards
from offpeak.wire.checkpoints import encode_record
from offpeak.wire.results import line_number, render_response
from tests.steps.small_worker import usage_of
from tests.steps.ward import ACCOUNT, BATCH, Ward


def cancelled(lines: int = 12) -> Ward:
    """Three shards: the first was done, the second dispatched, the third never was."""
    ward = Ward(lines=lines)
    ward.release()
    orders = ward.dispatch()
    ward.complete(ward.work(orders[0]))
    ward.call(cancel_batch, ACCOUNT, BATCH)
    return ward


def found(ward: Ward) -> list[dict[str, Any]]:
    keys = [info.key for info in ward.reader.list(f"results/{BATCH}/")]
    lines = [line for key in keys for line in ward.reader.read(key).splitlines()]
    return [json.loads(line) for line in sorted(lines, key=line_number)]


def checkpoint(ward: Ward, shard: int, name: str, number: int, text: str) -> None:
    result = render_response(
        batch_id=BATCH, line=number, custom_id=f"c{number - 1}", status_code=200,
        body=json.dumps(text).encode(),
    )  # fmt: skip
    line = FinishedLine(number=number, kind="output", result=result, usage=Usage(input_tokens=7))
    key = f"{shard_prefix(BATCH, 0, shard)}checkpoints/{name}.jsonl"
    ward.writer.put(key, encode_record(line))


def harvest(ward: Ward, first: int = 0, last: int = 99) -> int:
    count: int = ward.call(harvest_shards, ACCOUNT, BATCH, 0, first, last)
    return count


def test_every_shard_without_results_is_harvested_dispatched_or_not() -> None:
    ward = cancelled(lines=24)
    checkpoint(ward, 1, "0001-0000", 6, "kept")
    assert ward.call(close_batch, ACCOUNT, BATCH) == [Chunk(run=0, first=1, last=5)]
    ward.end()
    results = found(ward)
    assert [result["custom_id"] for result in results] == [f"c{n}" for n in range(24)]
    assert results[5]["response"]["body"] == "kept"
    codes = [r["error"]["code"] for r in results if r["response"] is None]
    assert codes == ["batch_cancelled"] * 19
    assert ward.batch.counts.completed == 5
    of_shard_0 = sum(map(usage_of, range(1, 5)), Usage())
    assert ward.batch.usage == of_shard_0 + Usage(input_tokens=7)


def test_the_first_record_of_a_line_counts() -> None:
    ward = cancelled()
    checkpoint(ward, 1, "0002-0000", 5, "second")
    checkpoint(ward, 1, "0001-0003", 5, "first")
    ward.end()
    assert found(ward)[4]["response"]["body"] == "first"


def test_a_broken_checkpoint_does_not_hold_up_the_batch(caplog: pytest.LogCaptureFixture) -> None:
    ward = cancelled()
    checkpoint(ward, 1, "0001-0000", 5, "kept")
    ward.writer.put(f"{shard_prefix(BATCH, 0, 1)}checkpoints/0001-0001.jsonl", b"[garbage\n")
    assert ward.end().status is BatchStatus.CANCELLED
    assert found(ward)[4]["response"]["body"] == "kept"
    assert "0001-0001.jsonl is broken" in caplog.text


def test_an_input_that_is_gone_costs_the_custom_ids_and_not_the_end() -> None:
    ward = cancelled()
    ward.writer.delete("files/acct_1/file-1")
    assert ward.end().status is BatchStatus.CANCELLED
    assert [r["custom_id"] for r in found(ward)] == [*(f"c{n}" for n in range(4)), *[None] * 8]


def test_a_harvest_that_is_overtaken_changes_nothing_and_its_objects_stand_apart() -> None:
    """A checkpoint that a stale worker writes late makes two harvests differ. Only one may be believed."""
    ward = cancelled()
    put = ward.writer.put

    def overtaken(key: str, body: bytes, content_type: str = "") -> Any:
        ward.writer.put = put  # type: ignore[method-assign]
        info = put(key, body, content_type)
        checkpoint(ward, 1, "0001-0000", 5, "late")
        assert harvest(ward, 1, 1) == 1
        return info

    ward.writer.put = overtaken  # type: ignore[method-assign]
    assert harvest(ward, 1, 1) == 0
    shard = ward.shard(1)
    assert (shard.status, shard.attempt, shard.counts.completed) == (ShardStatus.DONE, 3, 1)
    ward.end()
    assert found(ward)[4]["response"]["body"] == "late"


def test_a_harvest_fences_off_the_worker_whose_report_comes_late() -> None:
    ward = Ward(lines=4)
    ward.release()
    (order,) = ward.dispatch()
    late = ward.work(order)
    ward.call(cancel_batch, ACCOUNT, BATCH)
    ward.clock.advance(61)
    ward.call(close_batch, ACCOUNT, BATCH)
    harvest(ward)
    assert ward.complete(late) is None
    assert ward.end().status is BatchStatus.CANCELLED


def test_harvesting_again_passes_over_what_has_results() -> None:
    ward = cancelled()
    assert harvest(ward) == 2
    assert harvest(ward) == 0


def test_an_open_shard_is_not_harvested() -> None:
    ward = Ward(lines=4)
    ward.release()
    ward.dispatch()
    with pytest.raises(StateConflict, match="is open"):
        harvest(ward)


def test_each_early_end_has_its_code() -> None:
    ward = Ward(lines=8)
    ward.release()
    ward.dispatch()
    failed = ward.shard(0).waiting(retry_at=0, failed=True).closed(engine_failed=True)
    run = ward.run.shard_ended(failed.counts, failed.usage)
    ward.changes.commit(Save(failed), Save(run.closing(CloseReason.EXPIRED, 0)))
    expired = ward.shard(1).closed()
    ward.changes.commit(Save(expired), Save(ward.run.shard_ended(expired.counts, expired.usage)))
    ward.call(close_batch, ACCOUNT, BATCH)
    harvest(ward)
    ward.call(finalize_batch, ACCOUNT, BATCH)
    codes = [result["error"]["code"] for result in found(ward)]
    assert codes == ["engine_error"] * 4 + ["batch_expired"] * 4
    assert ward.batch.status is BatchStatus.EXPIRED
