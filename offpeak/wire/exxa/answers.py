"""What EXXA's routes answer, as types: for mypy, for `/openapi.json`, and for the tests that hold answers to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from typing_extensions import TypedDict

RequestWord = Literal["registered", "in progress", "cancelled", "completed", "failed"]
GroupWord = Literal["registered", "in progress", "cancelled", "completed"]


class ErrorCode(TypedDict):
    code: str


class RequestObject(TypedDict):
    """A stand-alone request. Times are seconds since the epoch; `batch_id` is null until it is grouped."""

    id: str
    object: Literal["request"]
    status: RequestWord
    batch_id: str | None
    model: str
    completion_window: str
    created_at: int
    expires_at: int
    ended_at: int | None
    error: ErrorCode | None
    webhook: str | None
    metadata: Mapping[str, str] | None


class RequestStatusObject(TypedDict):
    id: str
    status: RequestWord
    batch_id: str | None


class GroupCounts(TypedDict):
    total: int
    completed: int
    failed: int
    cancelled: int


class GroupObject(TypedDict):
    """A batch of requests. `requests_counts` are there once it has ended."""

    id: str
    object: Literal["requests_batch"]
    status: GroupWord
    requests_count: int
    requests_counts: GroupCounts | None
    created_at: int
    expires_at: int
    ended_at: int | None
    webhook: str | None
    metadata: Mapping[str, str] | None


class GroupStatusObject(TypedDict):
    id: str
    status: GroupWord


class ResultResponse(TypedDict):
    status_code: int
    request_id: str
    body: Any


class ResultError(TypedDict):
    code: str
    message: str


class ResultObject(TypedDict):
    """What a request came to; in a batch's results one a line."""

    id: str
    status: RequestWord
    metadata: Mapping[str, str] | None
    response: ResultResponse | None
    error: ResultError | None
