"""Every error on the screen of core/errors.py has its status."""

from __future__ import annotations

import inspect

import pytest

from offpeak.core import errors
from offpeak.wire.http_errors import error_body, http_error

TREE = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.OffpeakError) and kind is not errors.OffpeakError
]
STATUSES = {
    "InvalidRequest": 400, "TooLarge": 413, "Unauthenticated": 401, "NotFound": 404,
    "MultipartGone": 404, "Forbidden": 403,
    "StateConflict": 409, "QuotaExceeded": 429, "InsufficientCredits": 402, "Unavailable": 503,
    "TooManyRequests": 429,
}  # fmt: skip


@pytest.mark.parametrize("kind", TREE)
def test_every_error_has_its_status(kind: type[errors.OffpeakError]) -> None:
    assert http_error(kind("why")).status == STATUSES[kind.__name__]


@pytest.mark.parametrize("kind", TREE)
def test_clients_repeat_only_what_may_work_later(kind: type[errors.OffpeakError]) -> None:
    answer = http_error(kind("why"))
    if answer.status in {429, 503}:
        assert 0 < int(answer.headers["retry-after"]) <= 120
    if answer.status == 409:
        assert answer.headers["x-should-retry"] == "false"


def test_who_sends_too_many_requests_is_told_how_long_to_wait() -> None:
    answer = http_error(errors.TooManyRequests("why", retry_seconds=7))
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")


def test_a_new_kind_of_error_is_answered_as_what_it_descends_from() -> None:
    class TooMany(errors.QuotaExceeded):
        pass

    assert http_error(TooMany("why")).status == 429


def test_the_envelope_has_all_four_fields() -> None:
    assert error_body("m", "t") == {
        "error": {"message": "m", "type": "t", "param": None, "code": None}
    }
