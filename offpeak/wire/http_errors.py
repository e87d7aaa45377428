"""Errors as HTTP answers them: one table from type to status, one envelope for every dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from typing_extensions import TypedDict

from offpeak.core.errors import (
    Forbidden,
    InsufficientCredits,
    InvalidRequest,
    NotFound,
    OffpeakError,
    QuotaExceeded,
    StateConflict,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)


class ErrorFields(TypedDict):
    """`message` is for people, `code` for programs; `param` names the field that is wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(TypedDict):
    """The envelope of every error, in every dialect."""

    error: ErrorFields


@dataclass(frozen=True, slots=True)
class HttpError:
    """`type` is OpenAI's word for the family. Headers tell clients whether to try again, and when (seconds)."""

    status: int
    type: str
    headers: Mapping[str, str] = field(default_factory=dict)


# SDKs repeat a 409 by themselves unless they are told that it won't help.
_FINAL = {"x-should-retry": "false"}
_BY_TYPE: Mapping[type[OffpeakError], HttpError] = {
    TooLarge: HttpError(413, "invalid_request_error"),
    InvalidRequest: HttpError(400, "invalid_request_error"),
    Unauthenticated: HttpError(401, "invalid_request_error"),
    Forbidden: HttpError(403, "invalid_request_error"),
    NotFound: HttpError(404, "invalid_request_error"),
    StateConflict: HttpError(409, "invalid_request_error", _FINAL),
    QuotaExceeded: HttpError(429, "rate_limit_error", {"retry-after": "60"}),
    # 402 and not OpenAI's 429 `insufficient_quota`: every SDK repeats a 429, and repeating adds no credits.
    InsufficientCredits: HttpError(402, "insufficient_quota", _FINAL),
    Unavailable: HttpError(503, "server_error", {"retry-after": "2"}),
}
_UNAVAILABLE = _BY_TYPE[Unavailable]
_UNEXPECTED = HttpError(500, "server_error")


def http_error(error: OffpeakError) -> HttpError:
    """Status, type and headers of an error. A write that somebody else keeps winning may be tried again."""
    if error.code == "write_conflict":
        return _UNAVAILABLE
    if isinstance(error, TooManyRequests):
        return HttpError(429, "rate_limit_error", {"retry-after": str(error.retry_seconds)})
    family = next((kind for kind in type(error).__mro__ if kind in _BY_TYPE), None)
    return _UNEXPECTED if family is None else _BY_TYPE[family]


def error_body(
    message: str, type: str, *, param: str | None = None, code: str | None = None
) -> ErrorBody:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}
