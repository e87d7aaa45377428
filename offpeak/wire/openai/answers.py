"""What OpenAI's routes answer, as types. The renderers are checked against them by mypy, `/openapi.json` is made of
them, and the API tests hold the real answers against that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from typing_extensions import TypedDict

from offpeak.core.batch import BatchStatus


class FileObject(TypedDict):
    """A file. Times are seconds since the epoch; it is usable once `processed`."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: Literal["uploaded", "processed"]
    status_details: None


class PartUrl(TypedDict):
    """Where part `number`, from 1, is PUT."""

    number: int
    url: str


class DirectUpload(TypedDict):
    """`part_bytes` is the size of each part but the last. The ETags of the answers go to `complete_path`."""

    part_bytes: int
    parts: Sequence[PartUrl]
    expires_at: int
    complete_path: str


class PendingFileObject(FileObject):
    """A file whose bytes go straight to S3."""

    upload: DirectUpload


class DeletedFileObject(TypedDict):
    id: str
    object: Literal["file"]
    deleted: Literal[True]


class UploadObject(TypedDict):
    """A file to come; `file` is there once it is completed."""

    id: str
    object: Literal["upload"]
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    expires_at: int
    file: FileObject | None


class PartObject(TypedDict):
    id: str
    object: Literal["upload.part"]
    created_at: int
    upload_id: str


InputModality = Literal["text", "image"]
OutputModality = Literal["text", "embedding"]


class RatesObject(TypedDict):
    """Dollars per million tokens."""

    input: float
    output: float
    cached_input_write: float
    cached_input_read: float


class PricingObject(RatesObject):
    """What the model is listed at, and with `batch` what is paid here: half of a `base` price, each rounded up to the
    cent, and a `batch` price as it is."""

    unit: Literal["usd_per_million_tokens"]
    basis: Literal["base", "batch"]
    batch: RatesObject


class ModelObject(TypedDict):
    """A model. OpenAI's SDKs read the first four. Lengths are tokens; of completions, null where there are none."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    aliases: Sequence[str]
    availability: Literal["deployed", "not_deployed"]
    modality: Literal["text", "vision", "embedding"]
    input_modalities: Sequence[InputModality]
    output_modalities: Sequence[OutputModality]
    endpoints: Sequence[str]
    context_length: int
    default_completion_tokens: int | None
    max_completion_tokens: int | None
    pricing: PricingObject


class LineErrorObject(TypedDict):
    """Why a line, or with `line` null the whole file, was refused."""

    code: str
    line: int | None
    message: str
    param: str | None


class BatchErrorsObject(TypedDict):
    object: Literal["list"]
    data: Sequence[LineErrorObject]


class RequestCounts(TypedDict):
    """Request lines."""

    total: int
    completed: int
    failed: int


class InputTokensDetails(TypedDict):
    cached_tokens: int


class OutputTokensDetails(TypedDict):
    reasoning_tokens: int


class UsageObject(TypedDict):
    """Tokens, as the engine counted them."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class EstimatedCompletion(TypedDict):
    """When half, and nine of ten, of such batches are done. `planned_start` is null where nothing is planned; `basis`
    is `prior` until the batch's own answers and pace were measured."""

    p50: int
    p90: int
    planned_start: int | None
    basis: Literal["measured", "prior"]


class BatchObject(TypedDict):
    """A batch. Times are seconds since the epoch; `errors` says why it failed. `schedule` is ours: whether its lines
    run at once, or in the cheapest and cleanest hours of its window; so are `estimated_completion`, while its lines
    run, and `at_risk_at`: since when it is expected to miss `expires_at`, null while it isn't."""

    id: str
    object: Literal["batch"]
    endpoint: str
    model: str | None
    errors: BatchErrorsObject | None
    input_file_id: str
    completion_window: str
    schedule: Literal["now", "offpeak"]
    estimated_completion: EstimatedCompletion | None
    status: BatchStatus
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    at_risk_at: int | None
    request_counts: RequestCounts
    usage: UsageObject | None
    metadata: Mapping[str, str] | None


class _List(TypedDict):
    object: Literal["list"]


class _Page(_List):
    """`last_id` goes into `after` for the next page."""

    first_id: str
    last_id: str
    has_more: bool


class FileList(_Page):
    data: Sequence[FileObject]


class BatchList(_Page):
    data: Sequence[BatchObject]


class ModelList(_List):
    data: Sequence[ModelObject]


class FilesQuery(TypedDict, total=False):
    """`after` is the id that the last page ended with."""

    limit: int
    order: Literal["asc", "desc"]
    after: str
    purpose: str


class ContentQuery(TypedDict, total=False):
    """`redirect=false` asks for the bytes themselves, which takes a door (docs/door.md)."""

    redirect: Literal["true", "false"]


class ResultsQuery(TypedDict, total=False):
    """`after` is the `X-After` of the last page, and asks for what has been finished since; `kind` leaves the lines of
    the other kind out."""

    after: str
    kind: Literal["output", "error"]


class BatchesQuery(TypedDict, total=False):
    """`after` is the id that the last page ended with."""

    limit: int
    after: str
