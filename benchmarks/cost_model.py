"""From what was measured to what a million lines cost: shards as if they ran ten minutes, batches as if they were big.

    a shard   = the calls of dispatch, worker, SageMaker and completion  +  ten minutes' renewals, polls and checkpoints
    a batch   = what its calls were, with as many ranges, parts and minutes as a million lines have
    a request = its own calls  +  its share of a gathering's shard and batch

Each tick (a renewal, a poll, a checkpoint) has a measured price; how many there are follows from the worker's settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

from benchmarks.bill import CALL_MS, Bill, added, scaled
from benchmarks.prices import GB
from infra.sizes import SIZES
from offpeak.core.model import Model
from offpeak.core.ports import PART_BYTES_MIN
from offpeak.core.run import Run
from offpeak.planner.byte_ranges import byte_ranges
from offpeak.planner.join_pieces import join_pieces
from offpeak.steps.begin_file import PART_BYTES_SMALLEST
from offpeak.worker.settings import WorkerSettings

MILLION = 1_000_000
SHARD_SECONDS = 600
LINE_BYTES = 2_100
BATCH_MINUTES = 24 * 60
"""A million lines take their whole window: the longest that a batch is looked at each minute."""
GATHERED_LINES = 1_000
"""Stand-alone requests that a gathering holds when it is sealed."""
S3_BYTES_PER_SECOND = 40e6
"""A function's way to S3, at the slow end of what is usual: it bounds validating and gathering, not the CPU."""
PLAN_LINES_PER_SECOND = 2 * MILLION
"""Less than half of what `make bench-ingest` measures; and then the plan asks for each report four times."""
PLAN_ASKS_A_RANGE = 4
COPY_SECONDS = 0.25
COPIES_AT_ONCE = 4
DEFAULTS = Model(id="", pool="", source="", endpoints=(), context_tokens=0)
"""A model as an operator describes it who says no more than he must."""
SHARDS_AN_INSTANCE = DEFAULTS.concurrency
"""They are of one run while it lasts, and share their instance's polls."""
LOOKS_A_MINUTE = 2
"""`sweep` and `measure_pools` read the indexes of open shards and ready runs."""
READ_BYTES = 4_096
TRANSACTION = 2
"""Times the price of a write by itself."""
_NOT_OF_GATHERINGS = frozenset(
    {"api", "client", "validate_range", "plan_shards", "queue_deliveries"}
)

OF_SHARDS = frozenset({"dispatch_shards", "worker", "sagemaker", "complete_shard"})
"""Whose calls grow with the shards. What else does is reckoned from the batch's size."""
SHIPPED = WorkerSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the local cloud's calls came to. `ticks` are of one renewal, poll, checkpoint each; `rows` the bytes of an
    open shard's, a run's and a batch's row; `result_bytes` those of a shard's output; `work_bytes` all that a shard
    leaves in `work/`, its checkpoints not among them; `index_moves` how often a dispatch wrote its run's index."""

    lines_a_shard: int
    shard: Bill
    batch: Bill
    ticks: Mapping[str, Bill]
    rows: Mapping[str, float]
    result_bytes: float
    work_bytes: float
    index_moves: float


def ticks_in(seconds: float, every: float) -> int:
    """How often something that is done every so often is done before the end."""
    return max(0, math.ceil(seconds / every) - 1)


def ticks_a_shard(settings: WorkerSettings, seconds: float = SHARD_SECONDS) -> dict[str, float]:
    """Renewals and checkpoints are a shard's own."""
    return {
        "renewal": ticks_in(seconds, settings.renew_seconds),
        "poll": ticks_in(seconds, settings.poll_seconds) / SHARDS_AN_INSTANCE,
        # None where the results themselves follow within one interval.
        "checkpoint": max(0, ticks_in(seconds, settings.checkpoint_seconds) - 1),
    }


def shard_bill(measured: Measured, settings: WorkerSettings = SHIPPED) -> Bill:
    """One shard that runs ten minutes, watched each minute in the index of open ones."""
    ticked = (
        scaled(measured.ticks[tick], times) for tick, times in ticks_a_shard(settings).items()
    )
    looks = LOOKS_A_MINUTE * SHARD_SECONDS / 60
    watched: Bill = {("sweep", "dynamodb_read"): looks * _lagging(measured.rows["shards"])}
    shards = MILLION // measured.lines_a_shard
    moves = index_moves(shards) / shards - measured.index_moves
    indexed: Bill = {("dispatch_shards", "dynamodb_write"): TRANSACTION * moves}
    return added(measured.shard, *ticked, watched, indexed)


def index_moves(shards: int) -> int:
    """How often a run of so many shards is written into its index while they are dispatched: each time that what it
    says of the shards left, which it rounds, changes. In a run of a few that is each time."""
    run = Run(
        batch_id="", account_id="", number=0, model="", pool="", endpoint="", manifest_key="",
        manifest_bytes=0, shards=shards, lines=0, deadline=0, created_at=0,
    )  # fmt: skip
    left = [replace(run, cursor=cursor).shards_left for cursor in range(shards + 1)]
    return sum(before != after for before, after in pairwise(left))


def batch_bill(measured: Measured, lines: int = MILLION) -> Bill:
    """One batch of so many lines, without its shards: the small one that was measured, and what it lacks."""
    return added(
        measured.batch,
        _validating(measured, lines * LINE_BYTES),
        {("plan_shards", "lambda_gb_second"): _gb("plan_shards") * _plan_seconds(lines)},
        {("client", "s3_write"): -(-lines * LINE_BYTES // PART_BYTES_SMALLEST)},
        _finalizing(measured, -(-lines // measured.lines_a_shard)),
        _watching(measured),
    )


def _validating(measured: Measured, input_bytes: int) -> Bill:
    """A function for each range; its time is the range's way from S3."""
    ranges = len(byte_ranges(input_bytes))
    of_one = {key: n for key, n in measured.batch.items() if key[0] == "validate_range"}
    seconds = input_bytes / S3_BYTES_PER_SECOND
    return added(
        scaled(of_one, ranges - 1),
        {
            ("process_batch", "transition"): ranges - 1,
            ("validate_range", "lambda_gb_second"): seconds * _gb("validate_range"),
        },
    )


def _plan_seconds(lines: int) -> float:
    asks = PLAN_ASKS_A_RANGE * len(byte_ranges(lines * LINE_BYTES))
    return asks * CALL_MS["s3"] / 1_000 + lines / PLAN_LINES_PER_SECOND


def _finalizing(measured: Measured, shards: int) -> Bill:
    """The real plan of the join: what is gathered passes through the function, what is large enough is copied."""
    pieces = list(join_pieces([round(measured.result_bytes)] * shards))
    gathered = [p for p in pieces if len(p) > 1 or p[0].bytes < PART_BYTES_MIN]
    moved_bytes = sum(
        each.bytes for piece in gathered for each in piece
    )  # one is read while another is written
    copying = COPY_SECONDS * (len(pieces) - len(gathered)) / COPIES_AT_ONCE
    rows = shards * measured.rows["shards"] / READ_BYTES
    seconds = moved_bytes / S3_BYTES_PER_SECOND + copying
    return {
        ("finalize_batch", "s3_write"): len(pieces) + 2,
        ("finalize_batch", "s3_read"): sum(map(len, gathered)),
        ("finalize_batch", "dynamodb_read"): rows,
        ("close_batch", "dynamodb_read"): rows,
        ("finalize_batch", "lambda_gb_second"): seconds * _gb("finalize_batch"),
    }


def _watching(measured: Measured) -> Bill:
    """Each minute: the batch and its run in their indexes, and then by themselves."""
    a_minute = LOOKS_A_MINUTE * _lagging(measured.rows["batches"] + measured.rows["runs"]) + 2.0
    return {("sweep", "dynamodb_read"): BATCH_MINUTES * a_minute}


def _lagging(row_bytes: float) -> float:
    """Read units of a row's share in a page of an index."""
    return 0.5 * row_bytes / READ_BYTES


def _gb(function: str) -> float:
    return SIZES[function].memory_mb / 1024


# ── sums ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def million_lines(measured: Measured, settings: WorkerSettings = SHIPPED) -> Bill:
    """A batch of a million lines with all its shards."""
    shards = MILLION / measured.lines_a_shard
    return added(batch_bill(measured), scaled(shard_bill(measured, settings), shards))


def million_requests(request: Bill, measured: Measured, settings: WorkerSettings = SHIPPED) -> Bill:
    """A million of them, each sent by one call and its result fetched by another. A gathering's batch is not uploaded,
    validated or planned, and announced to nobody."""
    own = {key: n for key, n in measured.batch.items() if key[0] not in _NOT_OF_GATHERINGS}
    gathering = added(own, shard_bill(measured, settings))
    return added(scaled(request, MILLION), scaled(gathering, MILLION / GATHERED_LINES))


def kept_dollars(
    measured: Measured, settings: WorkerSettings, *, work_days: int, gb_month: float
) -> float:
    """A million lines' bytes in `work/` until they expire: shards' results, their checkpoints, reports."""
    share = ticks_a_shard(settings)["checkpoint"] * settings.checkpoint_seconds / SHARD_SECONDS
    a_shard = measured.work_bytes + measured.result_bytes * share
    return MILLION / measured.lines_a_shard * a_shard / GB * gb_month * work_days / 30


# ── as JSON ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def encode_bill(bill: Bill) -> dict[str, float]:
    return {f"{who} {line}": round(n, 9) for (who, line), n in sorted(bill.items()) if n}


def decode_bill(plain: Mapping[str, float]) -> Bill:
    return {(key.split(" ")[0], key.split(" ")[1]): n for key, n in plain.items()}


def encode(measured: Measured) -> dict[str, Any]:
    """`decode` takes it back."""
    return {
        **{field.name: getattr(measured, field.name) for field in fields(Measured)},
        "shard": encode_bill(measured.shard),
        "batch": encode_bill(measured.batch),
        "ticks": {tick: encode_bill(bill) for tick, bill in measured.ticks.items()},
    }


def decode(plain: Mapping[str, Any]) -> Measured:
    return Measured(
        **{
            **plain,
            "shard": decode_bill(plain["shard"]),
            "batch": decode_bill(plain["batch"]),
            "ticks": {tick: decode_bill(bill) for tick, bill in plain["ticks"].items()},
        }
    )
