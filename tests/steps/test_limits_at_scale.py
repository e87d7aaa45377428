"""What the largest batch (10 GB, 5 million lines) puts into AWS, against limits of AWS that the emulator does not have.

Figures of limits are AWS's, from its pages of quotas; what is measured is made by the code that makes it in earnest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import pytest

from offpeak.aws.batches import batch_to_item
from offpeak.aws.runs import run_to_item
from offpeak.aws.shards import shard_to_item
from offpeak.core.account import Limits
from offpeak.core.batch import Batch
from offpeak.core.ids import BATCH, new_id
from offpeak.core.invocation import Outcome, ShardOrder, ShardReport
from offpeak.core.layout import file_key, manifest_key, shard_prefix
from offpeak.core.ports import CHANGES_MAX, PART_BYTES_MIN, PARTS_MAX
from offpeak.core.pricing import Prices
from offpeak.core.run import CloseReason, Run
from offpeak.core.shard import PlannedShard, ResultObject, Segment, Shard, ShardStatus
from offpeak.core.usage import Counts, Usage
from offpeak.planner.byte_ranges import workflow_input
from offpeak.planner.cut_harvest import cut_harvest
from offpeak.planner.cut_results import LIMITS, cut_groups, cut_pieces
from offpeak.planner.cut_shards import ShardLimits, cut_shards
from offpeak.steps.plan_shards import RUNS_MAX
from offpeak.steps.result_chunks import ChunkPlace
from offpeak.steps.streamed_object import PART_BYTES
from offpeak.wire.invocation import encode_order, encode_report
from offpeak.wire.manifest import encode_shard

LINES, BYTES = Limits().request_lines_max, Limits().file_bytes_max
LINE_BYTES = BYTES // LINES
KIB, MIB = 1 << 10, 1 << 20
STATE_BYTES_MAX = 256 * KIB  # Step Functions: input and output of a state, and of a task
INLINE_BODY_BYTES_MAX = 128_000  # InvokeEndpointAsync
INFERENCE_ID_CHARACTERS_MAX = 64
ITEM_BYTES_MAX = 400_000  # DynamoDB; taken as kB, to be on the safe side
TRANSACTION_BYTES_MAX = 4_000_000
FUNCTION_ANSWER_BYTES_MAX = 6_000_000
RECORD_BYTES_MAX = 256 * KIB  # SNS; an SQS record may have four times as much
ID = new_id(BATCH, 0.0)
KEY = file_key("acct_" + "0" * 32, "file-" + "0" * 32)
ETAG = "0" * 32 + "-9999"
INPUT = Batch(
    id=ID, account_id="acct_" + "0" * 32, input_file_id="file-" + "0" * 32, input_key=KEY,
    input_bytes=BYTES, input_etag=ETAG, endpoint="/v1/chat/completions", completion_window="7d",
    created_at=1_800_000_000, expires_at=1_800_604_800,
    metadata={f"{key:02}" + "k" * 62: "v" * 512 for key in range(16)},
    enqueued_tokens={f"organisation/model-with-a-long-name-{n}": 10**9 for n in range(RUNS_MAX)},
)  # fmt: skip


def whole(lines_max: int) -> list[PlannedShard]:
    """The shards of a file of one model, out of spans of 250 lines."""
    spans = (
        Segment(
            key=KEY, start=first * LINE_BYTES, stop=(first + 250) * LINE_BYTES,
            first_line=first + 1, lines=250, etag=ETAG,
        )
        for first in range(0, LINES, 250)
    )  # fmt: skip
    limits = ShardLimits(lines_max=lines_max, bytes_max=64_000_000)
    return list(cut_shards(spans, limits))


def interleaved(lines: int) -> Iterator[PlannedShard]:
    """Shards of a file whose every other line is another model's, at its far end: the numbers are at their longest."""
    spans = (
        Segment(
            key=KEY, start=line * LINE_BYTES, stop=(line + 1) * LINE_BYTES, first_line=line + 1,
            lines=1, etag=ETAG,
        )
        for line in range(LINES - lines, LINES, 2)
    )  # fmt: skip
    yield from cut_shards(spans, ShardLimits(lines_max=2_000, bytes_max=64_000_000))


def item_bytes(item: Mapping[str, Any]) -> int:
    """More than DynamoDB counts: it has no quotes."""
    return sum(len(name) + len(json.dumps(value, default=str)) for name, value in item.items())


def test_the_execution_is_started_with_little_and_maps_over_few_ranges() -> None:
    payload = workflow_input(replace(INPUT))
    assert len(payload["ranges"]) == -(-BYTES // (64 * MIB)) <= 200
    assert len(json.dumps(payload)) < STATE_BYTES_MAX // 8


@pytest.mark.parametrize("lines_max", [1_000, 2_000, 5_000])
def test_a_plan_of_five_million_lines_is_a_manifest_of_few_parts_and_no_rows(
    lines_max: int,
) -> None:
    shards = whole(lines_max)
    assert len(shards) == LINES // lines_max
    assert sum(shard.lines for shard in shards) == LINES
    manifest = sum(len(encode_shard(shard)) for shard in shards)
    assert manifest < 2 * MIB
    assert -(-manifest // PART_BYTES) <= PARTS_MAX
    assert PART_BYTES >= PART_BYTES_MIN


def test_an_order_of_a_shard_with_as_many_segments_as_may_be_fits_an_invocation() -> None:
    shards = list(interleaved(4_000))
    largest = max(shards, key=lambda shard: len(shard.segments))
    assert len(largest.segments) == 500
    assert len(encode_shard(largest)) < INLINE_BODY_BYTES_MAX
    order = ShardOrder(
        batch_id=ID, account_id=INPUT.account_id, run=RUNS_MAX, number=99_999, attempt=99,
        model="organisation/model-with-a-long-name", endpoint="/v1/chat/completions",
        segments=largest.segments, work_prefix=shard_prefix(ID, RUNS_MAX, 99_999),
    )  # fmt: skip
    assert len(encode_order(order)) < INLINE_BODY_BYTES_MAX
    assert len(f"{ID}.{RUNS_MAX}.99999.99") <= INFERENCE_ID_CHARACTERS_MAX


def rows() -> tuple[Run, Shard]:
    """As long as such rows get."""
    usage = Usage(
        input_tokens=10**12, cached_tokens=10**12, output_tokens=10**12, reasoning_tokens=10**12
    )
    counts = Counts(total=LINES, completed=LINES, failed=LINES)
    run = Run(
        batch_id=ID, account_id=INPUT.account_id, number=RUNS_MAX,
        model="organisation/model-with-a-long-name", pool="p" * 40, endpoint=INPUT.endpoint,
        manifest_key=manifest_key(ID, RUNS_MAX, "0" * 16), manifest_bytes=10**9, shards=99_999, lines=LINES,
        deadline=INPUT.expires_at, created_at=INPUT.created_at, input_bytes=BYTES,
        close_reason=CloseReason.CANCELLED, close_by=INPUT.expires_at, cursor=99_999,
        cursor_byte=10**9, open=999, counts=counts, usage=usage, completion_tokens=10**12,
        prices=Prices(
            input=10**9, output=10**9, cached_input_write=10**9, cached_input_read=10**9
        ),
    )  # fmt: skip
    prefix = shard_prefix(ID, RUNS_MAX, 99_999)
    found = ResultObject(key=f"{prefix}0099/output.jsonl", bytes=10**9, lines=5_000)
    shard = Shard(
        batch_id=ID, account_id=INPUT.account_id, run=RUNS_MAX, number=99_999, pool="p" * 40,
        manifest_start=10**9, manifest_stop=10**9, first_line=LINES, last_line=LINES, lines=5_000,
        status=ShardStatus.DONE, attempt=99, due_at=INPUT.expires_at, worker="w" * 200,
        progress=counts, counts=counts, usage=usage, output=found, errors=found,
        report_key=prefix + "r" * 200,
    )  # fmt: skip
    return run, shard


def test_rows_and_the_transaction_of_a_plan_are_far_below_dynamodbs_limits() -> None:
    run, shard = rows()
    batch = replace(INPUT, task_token="t" * 2_048, earlier_tokens=("t" * 2_048,) * 3)
    sizes = {
        "batch": item_bytes(batch_to_item(batch)), "run": item_bytes(run_to_item(run)),
        "shard": item_bytes(shard_to_item(shard)),
    }  # fmt: skip
    assert max(sizes.values()) < ITEM_BYTES_MAX // 4, sizes
    # A plan's: every run, the batch, the hold and the balance. A shard's birth or end: the shard and its run.
    assert RUNS_MAX + 4 <= CHANGES_MAX == 100
    assert RUNS_MAX * sizes["run"] + sizes["batch"] < TRANSACTION_BYTES_MAX // 4


def test_a_report_fits_a_notice_and_a_record_whatever_the_shard() -> None:
    run, shard = rows()
    report = ShardReport(
        batch_id=ID, account_id=run.account_id, run=run.number, number=shard.number, attempt=99,
        outcome=Outcome.DONE, counts=shard.counts, usage=shard.usage, output=shard.output,
        errors=shard.errors, resumed_lines=LINES, seconds=3_600.123,
    )  # fmt: skip
    assert len(encode_report(report)) < RECORD_BYTES_MAX // 16


@pytest.mark.parametrize("shards", [5_000, 10_000, 50_000])
def test_what_closing_answers_fits_a_state_however_many_shards_lack_results(shards: int) -> None:
    for missing in (range(shards), range(0, shards, 2)):
        chunks = cut_harvest({0: list(missing)})
        answer = json.dumps({"harvest": [asdict(chunk) for chunk in chunks]})
        assert len(chunks) <= 200
        assert len(answer) < STATE_BYTES_MAX // 8


def chunk_places(count: int) -> list[dict[str, Any]]:
    """Of both files, each cut into so many."""
    return [
        asdict(ChunkPlace(kind=kind, level="parts", number=n, start=10**7, stop=10**7))
        for kind in ("output", "error")
        for n in range(count)
    ]  # fmt: skip


def most_chunks() -> int:
    """Over results of a kB to 20 kB a line, in shards of 500 to 5,000 lines."""
    most = 0
    for line_bytes in (100, 1_000, 2_000, 6_000, 20_000):
        for shard_lines in (500, 1_000, 5_000):
            sizes = [line_bytes * shard_lines] * (LINES // shard_lines)
            sources = [ResultObject(key="k", bytes=size, lines=shard_lines) for size in sizes]
            most = max(most, len(list(cut_groups(sources, LIMITS))))
            most = max(most, len(list(cut_pieces(sizes, LIMITS))))
    return most


def test_what_finalising_answers_fits_a_state_whatever_the_results() -> None:
    count = most_chunks()
    assert count <= LIMITS.chunks_max + 1
    answer = json.dumps({"next": "assemble", "chunks": chunk_places(count)})
    assert len(answer) < STATE_BYTES_MAX // 4 < FUNCTION_ANSWER_BYTES_MAX
