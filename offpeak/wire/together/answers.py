"""What Together's routes answer, as types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from typing_extensions import TypedDict

JobStatus = Literal["VALIDATING", "IN_PROGRESS", "COMPLETED", "FAILED", "EXPIRED", "CANCELLED"]


class TogetherFile(TypedDict):
    """A file. `LineCount` is null where the lines weren't counted."""

    id: str
    object: Literal["file"]
    created_at: int
    filename: str
    bytes: int
    purpose: Literal["batch-api"]
    FileType: Literal["jsonl"]
    Processed: bool
    LineCount: int | None


class TogetherFileList(TypedDict):
    """The first page, newest first; `last_id` goes into `after` for the next one."""

    object: Literal["list"]
    data: Sequence[TogetherFile]
    first_id: str
    last_id: str
    has_more: bool


class DeletedTogetherFile(TypedDict):
    id: str
    object: Literal["file"]
    deleted: Literal[True]


class TogetherPart(TypedDict):
    """Where part `PartNumber`, from 1, is PUT."""

    PartNumber: int
    URL: str
    Headers: Mapping[str, str]


class MultipartUpload(TypedDict):
    upload_id: str
    file_id: str
    parts: Sequence[TogetherPart]


class CompletedMultipart(TypedDict):
    file: TogetherFile


class AbortedMultipart(TypedDict):
    file_id: str
    aborted: Literal[True]


class TogetherJob(TypedDict):
    """A batch. Times are ISO 8601; `progress` is in percent; `error` says why it failed."""

    id: str
    user_id: str
    input_file_id: str
    file_size_bytes: int
    status: JobStatus
    job_deadline: str
    created_at: str
    endpoint: str
    progress: float
    model_id: str | None
    output_file_id: str | None
    error_file_id: str | None
    error: str | None
    completed_at: str | None


class CreatedJob(TypedDict):
    """`warning` names what was asked for and has no effect here; empty where all has."""

    job: TogetherJob
    warning: str


class TogetherFilesQuery(TypedDict, total=False):
    """`after` is the id that the last page ended with."""

    limit: int
    after: str


JobsQuery = TogetherFilesQuery
