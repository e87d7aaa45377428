"""A batch ends with all of its lines, or it does not end."""

from dataclasses import replace

import pytest

from offpeak.core.batch import BatchStatus
from offpeak.core.errors import StateConflict
from offpeak.core.layout import error_key, output_key
from offpeak.core.ports import Save
from offpeak.core.shard import ShardStatus
from offpeak.steps.close_batch import close_batch
from offpeak.steps.finalize_batch import finalize_batch
from tests.steps.ward import ACCOUNT, BATCH, Ward


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
