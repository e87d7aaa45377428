"""What clients receive: OpenAI's objects, every key of theirs present."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from offpeak.core.batch import Batch
from offpeak.core.catalogue import Modality, Model
from offpeak.core.completion import Completion
from offpeak.core.file import File, FileStatus, Upload, UploadStatus
from offpeak.core.pricing import Prices, batch_prices
from offpeak.core.usage import Counts, Usage
from offpeak.wire.openai.answers import (
    BatchErrorsObject,
    BatchObject,
    DeletedFileObject,
    DirectUpload,
    EstimatedCompletion,
    FileObject,
    InputModality,
    ModelObject,
    OutputModality,
    PartObject,
    PartUrl,
    PendingFileObject,
    PricingObject,
    RatesObject,
    UploadObject,
    UsageObject,
)

MICRO_DOLLARS = 1_000_000  # a dollar


def render_file(file: File) -> FileObject:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_at,
        "expires_at": file.expires_at,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "uploaded" if file.status is FileStatus.PENDING else "processed",
        "status_details": None,
    }


def render_pending_file(
    file: File, *, part_bytes: int, part_urls: Sequence[str], urls_expire_at: int
) -> PendingFileObject:
    """A file whose bytes go straight to S3: part n, from 1, is PUT to its URL; `part_bytes` is the size of each but
    the last. The ETags of the answers go to `complete_path`."""
    parts: list[PartUrl] = [
        {"number": number, "url": url} for number, url in enumerate(part_urls, start=1)
    ]
    upload: DirectUpload = {
        "part_bytes": part_bytes,
        "parts": parts,
        "expires_at": urls_expire_at,
        "complete_path": f"/v1/files/{file.id}/complete",
    }
    return {**render_file(file), "upload": upload}


def render_deleted_file(file_id: str) -> DeletedFileObject:
    return {"id": file_id, "object": "file", "deleted": True}


def render_upload(upload: Upload, status: UploadStatus, file: File | None) -> UploadObject:
    return {
        "id": upload.id,
        "object": "upload",
        "bytes": upload.bytes,
        "created_at": upload.created_at,
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": status.value,
        "expires_at": upload.expires_at,
        "file": None if file is None else render_file(file),
    }


def render_part(part_id: str, upload_id: str, created_at: int) -> PartObject:
    return {
        "id": part_id, "object": "upload.part", "created_at": created_at, "upload_id": upload_id,
    }  # fmt: skip


def render_model(model: Model, *, deployed: bool) -> ModelObject:
    """OpenAI's object, and what one needs to choose: prices are dollars per million tokens, lengths tokens."""
    takes, gives = _MODALITIES[model.modality]
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "offpeak",
        "aliases": list(model.aliases),
        "availability": "deployed" if deployed else "not_deployed",
        "modality": model.modality,
        "input_modalities": takes,
        "output_modalities": gives,
        "endpoints": list(model.endpoints),
        "context_length": model.context_tokens,
        "default_completion_tokens": model.completion_tokens_default if gives == ["text"] else None,
        "max_completion_tokens": model.completion_tokens_max if gives == ["text"] else None,
        "pricing": _render_prices(model.prices),
    }


_MODALITIES: Mapping[Modality, tuple[list[InputModality], list[OutputModality]]] = {
    "text": (["text"], ["text"]),
    "vision": (["text", "image"], ["text"]),
    "embedding": (["text"], ["embedding"]),
}


def _render_prices(prices: Prices) -> PricingObject:
    return {
        "unit": "usd_per_million_tokens",
        "basis": prices.basis,
        **_rates(prices),
        "batch": _rates(batch_prices(prices)),
    }


def _rates(prices: Prices) -> RatesObject:
    return {
        "input": prices.input / MICRO_DOLLARS,
        "output": prices.output / MICRO_DOLLARS,
        "cached_input_write": prices.cached_input_write / MICRO_DOLLARS,
        "cached_input_read": prices.cached_input_read / MICRO_DOLLARS,
    }


def render_batch(
    batch: Batch, *, counts: Counts, usage: Usage | None, errors: BatchErrorsObject | None,
    completion: Completion | None = None,
) -> BatchObject:  # fmt: skip
    """`counts` and `usage` as they are now; `errors` is the list of a batch that failed."""
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": errors,
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "schedule": batch.schedule.value,
        "estimated_completion": None if completion is None else _render_completion(completion),
        "status": batch.status,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": batch.created_at,
        "in_progress_at": batch.in_progress_at,
        "expires_at": batch.expires_at,
        "finalizing_at": batch.finalizing_at,
        "completed_at": batch.completed_at,
        "failed_at": batch.failed_at,
        "expired_at": batch.expired_at,
        "cancelling_at": batch.cancelling_at,
        "cancelled_at": batch.cancelled_at,
        "at_risk_at": batch.at_risk_at,
        "request_counts": {
            "total": counts.total, "completed": counts.completed, "failed": counts.failed,
        },
        "usage": None if usage is None else _render_usage(usage),
        "metadata": None if batch.metadata is None else dict(batch.metadata),
    }  # fmt: skip


def _render_completion(completion: Completion) -> EstimatedCompletion:
    return {
        "p50": completion.p50, "p90": completion.p90, "planned_start": completion.planned_start,
        "basis": completion.basis,
    }  # fmt: skip


def _render_usage(usage: Usage) -> UsageObject:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
