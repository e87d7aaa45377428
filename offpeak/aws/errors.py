"""botocore's errors as ours, in one place.

What is in no table here (a refused permission, a table that isn't there, a wrong parameter) is a defect of the
deployment or of our code, which no caller can answer: it passes through as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    ClientError,
    ConnectionError,  # noqa: A004
    HTTPClientError,
    IncompleteReadError,
)

from offpeak.core.errors import (
    InvalidRequest,
    MultipartGone,
    NotFound,
    OffpeakError,
    StateConflict,
    Unavailable,
)

_CONFLICTS = frozenset(
    {
        "ConditionalCheckFailed",  # the reason of one change in a transaction
        "ConditionalCheckFailedException",
        "TransactionConflict",  # likewise: another transaction holds the row right now
        "TransactionConflictException",
    }
)
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
_REFUSED = frozenset(  # S3's, about parts
    {
        "EntityTooLarge",
        "EntityTooSmall",
        "InvalidArgument",
        "InvalidPart",
        "InvalidPartOrder",
        "InvalidRange",
        "InvalidRequest",
        "MalformedXML",
    }
)
_PASSING = frozenset(
    {
        "ConcurrentUpdateException",
        "ExecutionLimitExceeded",
        "InternalDependencyException",
        "LimitExceededException",
        "PreconditionFailed",  # an object was replaced while we read it; reading it anew works
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raises our errors instead of botocore's. `what` names the thing: "file file-1", "object files/…"."""
    try:
        yield
    except ClientError as error:
        ours = _as_ours(error, what)
        if ours is None:
            raise
        raise ours from error
    except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
        raise Unavailable(f"AWS did not answer about {what}.") from error


def code_of(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


def _as_ours(error: ClientError, what: str) -> OffpeakError | None:
    codes = _codes(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if codes & _CONFLICTS:
        return StateConflict(
            f"The {what} was changed by somebody else meanwhile.", code="write_conflict"
        )
    if "NoSuchUpload" in codes:
        return MultipartGone(f"There is no {what}.")
    if codes & _MISSING:
        return NotFound(f"There is no {what}.")
    if codes & _REFUSED:
        return InvalidRequest(f"The {what} was refused: {error.response['Error'].get('Message')}")
    if codes & _PASSING or status >= 500 or status == 429:
        return Unavailable(f"AWS can't answer about {what} right now ({', '.join(codes)}).")
    return None


def _codes(error: ClientError) -> frozenset[str]:
    """The error's code; for a cancelled transaction the reasons of its changes."""
    reasons = error.response.get("CancellationReasons")
    if reasons:
        return frozenset(reason.get("Code", "None") for reason in reasons) - {"None"}
    return frozenset({code_of(error)})
