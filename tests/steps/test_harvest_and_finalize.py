import json
from dataclasses import replace
from typing import Any

import pytest

from offpeak.core.batch import BatchStatus
from offpeak.core.errors import StateConflict
from offpeak.core.layout import error_key, output_key, shard_prefix
from offpeak.core.ports import Save
from offpeak.core.request_line import FinishedLine
from offpeak.core.run import CloseReason
from offpeak.core.shard import ResultObject, ShardStatus
from offpeak.core.usage import Usage
from offpeak.planner.cut_harvest import Chunk
from offpeak.steps.cancel_batch import cancel_batch
from offpeak.steps.close_batch import close_batch
from offpeak.steps.finalize_batch import finalize_batch
from offpeak.steps.harvest_shards import harvest_shards
from offpeak.steps.merge_results import merge_results, read_results
from offpeak.steps.streamed_object import StreamedObject
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


def test_a_batch_is_not_closed_while_a_run_goes_on() -> None:
    ward = Ward(lines=4)
    ward.release()
    with pytest.raises(StateConflict, match="goes on"):
        ward.call(close_batch, ACCOUNT, BATCH)
    assert ward.batch.status is BatchStatus.IN_PROGRESS


def test_a_batch_whose_wait_timed_out_is_closed_with_what_there_is() -> None:
    """RunShards' backstop: nobody swept, and its time is over."""
    ward = Ward(lines=12, window_seconds=100)
    ward.release()
    ward.clock.advance(101)
    assert ward.call(close_batch, ACCOUNT, BATCH) == [Chunk(run=0, first=0, last=2)]
    assert ward.run.close_reason is CloseReason.EXPIRED


def test_files_expire_as_the_batch_asked_and_bear_its_name() -> None:
    ward = Ward(lines=8)
    ward.changes.commit(Save(replace(ward.batch, output_expires_after=3_600)))
    ward.release()
    ward.run_all()
    batch = ward.end()
    now = int(ward.clock.now())
    for kind, file_id, key in (
        ("output", batch.output_file_id, output_key(BATCH)),
        ("error", batch.error_file_id, error_key(BATCH)),
    ):
        assert file_id is not None
        file = ward.files.get(ACCOUNT, file_id)
        assert (file.filename, file.key) == (f"{BATCH}_{kind}.jsonl", key)
        assert (file.created_at, file.expires_at) == (now, now + 3_600)
    assert batch.status is BatchStatus.COMPLETED


def test_a_batch_without_failures_has_no_error_file() -> None:
    ward = Ward(lines=4)
    ward.release()
    ward.run_all()
    batch = ward.end()
    assert batch.error_file_id is None
    assert [info.key for info in ward.reader.list(f"results/{BATCH}/")] == [output_key(BATCH)]


def test_finalising_twice_ends_a_batch_once() -> None:
    ward = Ward(lines=8)
    ward.release()
    ward.run_all()
    ended = ward.end()
    ward.clock.advance(100)
    ward.call(finalize_batch, ACCOUNT, BATCH)
    assert ward.batch == ended
    page = ward.files.list(ACCOUNT, limit=9, after=None, purpose="batch_output", ascending=True)
    assert len(page.rows) == 2


def ready_to_finalize() -> Ward:
    ward = Ward(lines=12)
    ward.release()
    ward.run_all()
    ward.call(close_batch, ACCOUNT, BATCH)
    return ward


def refused(ward: Ward) -> None:
    with pytest.raises(StateConflict) as error:
        ward.call(finalize_batch, ACCOUNT, BATCH)
    assert error.value.code == "batch_incomplete"
    assert not ward.batch.is_terminal


def test_a_shard_without_results_is_never_left_out() -> None:
    ward = ready_to_finalize()
    ward.changes.commit(Save(replace(ward.shard(1), status=ShardStatus.CLOSED)))
    refused(ward)


def test_a_shard_that_the_plan_has_and_the_table_has_not_is_missed() -> None:
    ward = ready_to_finalize()
    ward.changes.commit(Save(replace(ward.run, shards=4)))
    refused(ward)


def test_counts_that_differ_from_the_plan_do_not_end_a_batch() -> None:
    ward = ready_to_finalize()
    ward.changes.commit(Save(replace(ward.run, lines=13)))
    refused(ward)


def test_objects_that_hold_other_lines_than_are_counted_do_not_end_a_batch() -> None:
    ward = ready_to_finalize()
    shard = ward.shard(1)
    assert shard.output is not None
    ward.changes.commit(Save(replace(shard, output=replace(shard.output, lines=9))))
    refused(ward)


def test_an_object_that_is_shorter_than_its_row_says_does_not_end_a_batch() -> None:
    ward = ready_to_finalize()
    output = ward.shard(1).output
    assert output is not None
    ward.writer.put(output.key, b"short\n")
    refused(ward)


def test_large_outputs_are_joined_byte_for_byte_without_passing_through() -> None:
    ward = ready_to_finalize()
    reads = []
    expected = b""
    for number in range(3):
        shard = ward.shard(number)
        assert shard.output is not None
        line = b'{"id":"batch_req_1_%d","custom_id":"c","x":"%b"}\n'
        body = b"".join(
            line % (n, b"x" * 3_000_000)
            for n in range(shard.first_line, shard.first_line + shard.output.lines)
        )
        info = ward.writer.put(shard.output.key, body)
        ward.changes.commit(Save(replace(shard, output=replace(shard.output, bytes=info.bytes))))
        expected += body
    read = ward.reader.read

    def counting(
        key: str, start: int = 0, stop: int | None = None, *, etag: str | None = None
    ) -> bytes:
        reads.append(body := read(key, start, stop, etag=etag))
        return body

    ward.reader.read = counting  # type: ignore[method-assign]
    ward.call(finalize_batch, ACCOUNT, BATCH)
    assert read(output_key(BATCH)) == expected
    assert sum(map(len, reads)) < 1_000_000  # the errors; of the output S3 copied every byte


def _objects(ward: Ward, *numbers: int) -> list[ResultObject]:
    body = b"".join(b'{"id":"batch_req_1_%d"}\n' % number for number in numbers)
    info = ward.writer.put(f"o{numbers}", body)
    return [ResultObject(key=info.key, bytes=info.bytes, lines=len(numbers))]


@pytest.mark.parametrize(("one", "other"), [((1, 2), (2, 3)), ((2, 1), (3,))])
def test_a_merge_refuses_lines_that_come_twice_or_out_of_order(
    one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    ward = Ward(lines=1)
    streams = [read_results(_objects(ward, *numbers), ward.reader) for numbers in (one, other)]
    target = StreamedObject("t", writer=ward.writer, multipart=ward.multipart)
    with pytest.raises(StateConflict, match="comes after line"):
        merge_results(streams, target)
