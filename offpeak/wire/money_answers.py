"""What `/v1/usage`, `/v1/credits` and `/v1/batches/estimate` answer, and take in their queries, as types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from typing_extensions import TypedDict

from offpeak.core.account import Billing


class Amount(TypedDict):
    """Dollars. `value` is for reading, `microdollars` for adding up."""

    value: float
    currency: Literal["usd"]
    microdollars: int


class UsageQueryFields(TypedDict, total=False):
    """Times in seconds since the epoch; `group_by` is `model`, `batch` or both with a comma; `limit` is days a page;
    `page` is the last page's `next_page`."""

    start_time: int
    end_time: int
    group_by: str
    limit: int
    page: str


class UsageFootprint(TypedDict):
    """kWh, grams of CO2eq; `GET /v1/batches/{batch_id}/footprint` says how they come about."""

    instance_seconds: float
    energy: float
    carbon: float
    carbon_at_once: float
    gpu_cost: Amount


class UsageEstimateError(TypedDict):
    """How far off the ends of completed batches were foretold at 10 and at 50 % of their lines: too early or too late,
    on average, in percent of their times from plan to end. Null where none was; short batches pass a mark at once."""

    at_10: float | None
    at_50: float | None


class UsageResult(TypedDict):
    """Of requests that succeeded; `footprint` is of all, null where nothing was measured. `model` and `batch_id` are
    null unless grouped by."""

    object: Literal["usage.result"]
    input_tokens: int
    input_cached_tokens: int
    output_tokens: int
    num_model_requests: int
    model: str | None
    batch_id: str | None
    amount: Amount
    footprint: UsageFootprint | None
    estimate_error: UsageEstimateError


class UsageBucket(TypedDict):
    """A day, UTC."""

    object: Literal["bucket"]
    start_time: int
    end_time: int
    results: Sequence[UsageResult]


class UsagePageObject(TypedDict):
    """Days with usage, in their order."""

    object: Literal["page"]
    data: Sequence[UsageBucket]
    has_more: bool
    next_page: str | None


class CreditsObject(TypedDict):
    """What may be spent, and what is held for batches that run."""

    object: Literal["credits"]
    billing: Billing
    free: Amount
    held: Amount


class Range(TypedDict):
    low: int
    expected: int
    high: int


class AmountRange(TypedDict):
    low: Amount
    expected: Amount
    high: Amount


class ModelEstimateObject(TypedDict):
    """The bases say what the figures rest on: the input on `tokenised_requests` of the file's own, or like the output
    on `measured_requests` of earlier batches, or on a prior. `time_basis` is null where nobody can tell."""

    model: str
    requests: int
    input_tokens: Range
    output_tokens: Range
    output_tokens_limit: int
    cost: AmountRange
    tokens_basis: Literal["tokenised", "measured", "prior"]
    tokenised_requests: int
    output_tokens_basis: Literal["measured", "prior"]
    measured_requests: int
    time_basis: Literal["measured", "prior"] | None


class EstimateObject(TypedDict):
    """`is_exact` is about the number of requests: the whole file was read. Times in seconds since the epoch."""

    object: Literal["batch.estimate"]
    input_file_id: str
    endpoint: str
    completion_window: str
    requests: int
    is_exact: bool
    sampled_requests: int
    invalid_requests: int
    cost: AmountRange
    finishes_at: Range | None
    expires_at: int
    models: Sequence[ModelEstimateObject]
    notes: Sequence[str]
