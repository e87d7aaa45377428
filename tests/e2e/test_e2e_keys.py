"""Keys open their own account and nothing else; a revoked one opens nothing within a minute."""

from __future__ import annotations

import time

import pytest

from offpeak.aws.connect import Aws
from offpeak.steps.revoke_key import revoke_key
from tests.e2e.caller import Caller
from tests.e2e.schemas import assert_fits

pytestmark = [pytest.mark.cloud]

REVOKED_SECONDS_MAX = 60.0
SLACK_SECONDS = 30.0  # a look at it may take long on a busy machine


def test_a_revoked_key_is_refused_within_a_minute_although_it_was_just_used(
    caller: Caller, aws: Aws
) -> None:
    assert caller.call("GET", "/files").status_code == 200
    revoke_key(caller.key_id, clock=aws.clock, accounts=aws.accounts, changes=aws.changes)
    revoked_at = time.monotonic()
    answer = caller.call("GET", "/files")
    while answer.status_code == 200:
        assert time.monotonic() - revoked_at < REVOKED_SECONDS_MAX + SLACK_SECONDS
        time.sleep(1)
        answer = caller.call("GET", "/files")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert_fits(answer.json(), "ErrorResponse")
