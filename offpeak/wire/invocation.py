"""One invocation's order and report as JSON: the body of `/invocations`, and its answer.

Decoding raises `msgspec.DecodeError` (a ValueError) for anything that is no order or no report.
"""

from __future__ import annotations

import msgspec

from offpeak.core.invocation import ShardOrder, ShardReport
from offpeak.core.ports import ORDER_BYTES_MAX
from offpeak.core.shard import Probe
from offpeak.wire.manifest import PackedSegments, pack_segments, unpack_segments

__all__ = ["ORDER_BYTES_MAX", "decode_order", "decode_report", "encode_order", "encode_report"]


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    batch_id: str
    account_id: str
    run: int
    number: int
    attempt: int
    model: str
    endpoint: str
    segments: PackedSegments
    work_prefix: str
    cancelled_prefix: str | None = None
    express: bool = False
    probe: Probe | None = None


_ENCODER = msgspec.json.Encoder()
_ORDERS = msgspec.json.Decoder(_Order)
_REPORTS = msgspec.json.Decoder(ShardReport)


def encode_order(order: ShardOrder) -> bytes:
    """Raises ValueError when it is over `ORDER_BYTES_MAX`: the shard has too many segments."""
    body = _ENCODER.encode(
        _Order(
            batch_id=order.batch_id, account_id=order.account_id, run=order.run,
            number=order.number, attempt=order.attempt, model=order.model,
            endpoint=order.endpoint, segments=pack_segments(order.segments),
            work_prefix=order.work_prefix, cancelled_prefix=order.cancelled_prefix,
            express=order.express, probe=order.probe,
        )
    )  # fmt: skip
    if len(body) > ORDER_BYTES_MAX:
        raise ValueError(
            f"The order for shard {order.shard_id} has {len(body)} bytes; {ORDER_BYTES_MAX} are allowed."
        )
    return body


def decode_order(body: bytes) -> ShardOrder:
    order = _ORDERS.decode(body)
    return ShardOrder(
        batch_id=order.batch_id, account_id=order.account_id, run=order.run, number=order.number,
        attempt=order.attempt, model=order.model, endpoint=order.endpoint,
        segments=unpack_segments(order.segments), work_prefix=order.work_prefix,
        cancelled_prefix=order.cancelled_prefix, express=order.express, probe=order.probe,
    )  # fmt: skip


def encode_report(report: ShardReport) -> bytes:
    return _ENCODER.encode(report)


def decode_report(body: bytes) -> ShardReport:
    return _REPORTS.decode(body)
