"""Files and batches as Together's clients know them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.file import File, FileStatus
from offpeak.core.usage import Counts
from offpeak.wire.together.answers import JobStatus, MultipartUpload, TogetherFile, TogetherJob
from offpeak.wire.together.bodies import PURPOSE

ERROR_LINES_MAX = 10
_STATUS: dict[BatchStatus, JobStatus] = {
    BatchStatus.VALIDATING: "VALIDATING",
    BatchStatus.FAILED: "FAILED",
    BatchStatus.IN_PROGRESS: "IN_PROGRESS",
    BatchStatus.FINALIZING: "IN_PROGRESS",
    BatchStatus.CANCELLING: "IN_PROGRESS",
    BatchStatus.COMPLETED: "COMPLETED",
    BatchStatus.EXPIRED: "EXPIRED",
    BatchStatus.CANCELLED: "CANCELLED",
}


def render_file(file: File) -> TogetherFile:
    return {
        "id": file.id,
        "object": "file",
        "created_at": file.created_at,
        "filename": file.filename,
        "bytes": file.bytes,
        "purpose": PURPOSE,
        "FileType": "jsonl",
        "Processed": file.status is FileStatus.PROCESSED,
        "LineCount": file.lines,
    }


def render_multipart(file: File, part_urls: Sequence[str]) -> MultipartUpload:
    return {
        "upload_id": file.multipart_id or "",
        "file_id": file.id,
        "parts": [
            {"PartNumber": number, "URL": url, "Headers": {}}
            for number, url in enumerate(part_urls, start=1)
        ],
    }


def render_job(batch: Batch, *, counts: Counts, errors: bytes | None) -> TogetherJob:
    """`counts` as they are now; `errors` is the stored list of a batch that failed."""
    return {
        "id": batch.id,
        "user_id": batch.account_id,
        "input_file_id": batch.input_file_id,
        "file_size_bytes": batch.input_bytes,
        "status": _STATUS[batch.status],
        "job_deadline": _iso(batch.expires_at),
        "created_at": _iso(batch.created_at),
        "endpoint": batch.endpoint,
        "progress": _percent(batch, counts),
        "model_id": batch.model,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "error": None if errors is None else _sentences(errors),
        "completed_at": None if batch.completed_at is None else _iso(batch.completed_at),
    }


def _percent(batch: Batch, counts: Counts) -> float:
    """Of request lines that have their result; 100 only when all have."""
    if batch.status is BatchStatus.COMPLETED:
        return 100.0
    if not counts.total:
        return 0.0
    return int(10_000 * counts.finished / counts.total) / 100


def _sentences(errors: bytes) -> str:
    """The list of errors as text: Together's clients get one string."""
    entries = json.loads(errors)["data"]
    lines = [
        entry["message"] if entry["line"] is None else f"Line {entry['line']}: {entry['message']}"
        for entry in entries[:ERROR_LINES_MAX]
    ]
    rest = len(entries) - len(lines)
    return "\n".join([*lines, f"… and {rest:,} more."] if rest > 0 else lines)


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
