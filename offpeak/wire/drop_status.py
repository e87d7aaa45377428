"""The status file beside a dropped object: the API's batch object, and what a person wants to know first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.drop import DropSource
from offpeak.core.errors import OffpeakError
from offpeak.core.usage import Counts, Usage
from offpeak.wire.openai.answers import BatchErrorsObject, BatchObject
from offpeak.wire.openai.objects import render_batch

STATUS_BYTES_MAX = 4 * 2**20
"""More than a thousand listed errors take."""
State = Literal["refused", "waiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DropResults:
    """The keys of what was written beside the object."""

    output: str | None = None
    errors: str | None = None


def render_status(
    source: DropSource, batch: Batch, results: DropResults, *, counts: Counts, usage: Usage | None,
    errors: bytes | None, now: int,
) -> bytes:  # fmt: skip
    """`final` once nothing changes any more: the batch has ended, and its results lie beside the object. `errors` is
    the stored list of a batch that failed."""
    listed: BatchErrorsObject | None = msgspec.json.decode(errors) if errors else None
    return _encode(
        source, status=batch.status.value, final=batch.is_terminal, now=now,
        message=_sentence(batch.status, counts, listed),
        progress=_progress(counts), output=results.output, errors=results.errors, error=None,
        batch=render_batch(batch, counts=counts, usage=usage, errors=listed),
    )  # fmt: skip


def render_refusal(source: DropSource, state: State, error: OffpeakError, *, now: int) -> bytes:
    """`refused`: it starts no batch, and putting it again, put right, is what helps. `waiting`: it will, later."""
    return _encode(
        source, status=state, final=state == "refused", now=now, message=error.message,
        progress=0.0, output=None, errors=None, batch=None,
        error={"code": error.code, "message": error.message, "param": error.param},
    )  # fmt: skip


def _encode(
    source: DropSource, *, status: str, final: bool, now: int, message: str, progress: float,
    output: str | None, errors: str | None, error: object, batch: BatchObject | None,
) -> bytes:  # fmt: skip
    document: dict[str, Any] = {
        "object": "drop.status", "status": status, "final": final, "message": message,
        "progress": progress, "updated_at": now,
        "input": {"key": source.key, "etag": source.etag},
        "output": output, "errors": errors, "error": error, "batch": batch,
    }  # fmt: skip
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


class _Input(msgspec.Struct):
    key: str
    etag: str


class _Batch(msgspec.Struct):
    id: str
    status: str
    request_counts: Counts


class StoredStatus(msgspec.Struct):
    """What a later writer has to know of a status file."""

    input: _Input
    status: str
    final: bool
    batch: _Batch | None

    def says(self, batch_id: str, status: str, counts: Counts) -> bool:
        """Whether it is about this batch and has nothing to learn."""
        told = self.batch
        return told is not None and (told.id, told.status, told.request_counts) == (
            batch_id, status, counts,
        )  # fmt: skip


_STORED = msgspec.json.Decoder(StoredStatus)


def decode_status(body: bytes) -> StoredStatus | None:
    """None for what is no status file of ours: somebody put something there."""
    try:
        return _STORED.decode(body)
    except msgspec.MsgspecError:
        return None


def _progress(counts: Counts) -> float:
    return round(counts.finished / counts.total, 4) if counts.total else 0.0


def _sentence(status: BatchStatus, counts: Counts, errors: BatchErrorsObject | None) -> str:
    if status is BatchStatus.FAILED:
        return _first_error(errors)
    if status in _ENDINGS and (counts.failed or status is not BatchStatus.COMPLETED):
        results = f"{counts.completed:,} succeeded, {counts.failed:,} did not"
        return f"{_ENDINGS[status]}: {results}; the errors say why."
    done = f"{counts.finished:,} of {counts.total:,} requests are done."
    return _UNDER_WAY.get(status, done)


_UNDER_WAY = {
    BatchStatus.VALIDATING: "The file is being checked.",
    BatchStatus.FINALIZING: "All requests are done; the results are being put together.",
    BatchStatus.CANCELLING: "The batch is being cancelled.",
}
_ENDINGS = {
    BatchStatus.COMPLETED: "All requests are done",
    BatchStatus.EXPIRED: "The completion window has ended",
    BatchStatus.CANCELLED: "The batch was cancelled",
}


def _first_error(errors: BatchErrorsObject | None) -> str:
    listed = errors["data"] if errors else []
    if not listed:
        return "The file was not run."
    first = listed[0]
    where = f"line {first['line']}: " if first["line"] else ""
    more = f" There are {len(listed) - 1:,} more errors." if len(listed) > 1 else ""
    return f"The file was not run; {where}{first['message']}{more}"
