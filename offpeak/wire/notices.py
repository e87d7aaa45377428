"""SageMaker's notices of how an asynchronous invocation ended, as SNS puts them into SQS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

Outcome = Literal["completed", "failed", "expired"]
_OUTCOMES: dict[str, Outcome] = {
    "Completed": "completed", "Failed": "failed", "Expired": "expired",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationNotice:
    """How one invocation of attempt `attempt` ended. `report_key` is where its answer lies, when it lies in our bucket;
    `expired` is one that SageMaker never delivered."""

    batch_id: str
    run: int
    number: int
    attempt: int
    outcome: Outcome
    report_key: str | None = None
    reason: str = ""


class _Envelope(msgspec.Struct):
    message: str = msgspec.field(name="Message")


class _Response(msgspec.Struct, rename="camel"):
    output_location: str | None = None


class _Message(msgspec.Struct, rename="camel"):
    event_name: str = ""
    invocation_status: str | None = None
    inference_id: str | None = None
    failure_reason: str | None = None
    response_parameters: _Response | None = None


def parse_notice(body: str, bucket: str) -> InvocationNotice | None:
    """The notice in an SQS record's body, in SNS's envelope or raw. None for SageMaker's test notifications.

    Raises ValueError for anything that is no notice of an invocation of ours.
    """
    message = msgspec.json.decode(_unwrapped(body), type=_Message)
    if message.event_name == "TestNotification":
        return None
    outcome = _OUTCOMES.get(message.invocation_status or "")
    if outcome is None:
        raise ValueError(f"The invocation status {message.invocation_status!r} is unknown.")
    batch_id, run, number, attempt = _shard_attempt(message.inference_id or "")
    response = message.response_parameters
    return InvocationNotice(
        batch_id=batch_id, run=run, number=number, attempt=attempt, outcome=outcome,
        report_key=_key_in(bucket, response.output_location if response else None),
        reason=message.failure_reason or "",
    )  # fmt: skip


def _unwrapped(body: str) -> str:
    try:
        return msgspec.json.decode(body, type=_Envelope).message
    except msgspec.ValidationError:
        return body


def _shard_attempt(inference_id: str) -> tuple[str, int, int, int]:
    """What `Shard.invocation_id` put together."""
    batch_id, *numbers = inference_id.rsplit(".", 3)
    if len(numbers) != 3 or not batch_id or not all(n.isascii() and n.isdigit() for n in numbers):
        raise ValueError(f"The inference id {inference_id[:80]!r} names no attempt of a shard.")
    run, number, attempt = map(int, numbers)
    return batch_id, run, number, attempt


def _key_in(bucket: str, location: str | None) -> str | None:
    prefix = f"s3://{bucket}/"
    inside = location is not None and location.startswith(prefix) and location != prefix
    return location.removeprefix(prefix) if location and inside else None
