"""A group's row: how often it may be extended."""

from __future__ import annotations

import pytest

from offpeak.core.errors import StateConflict
from offpeak.core.group import CALLS_MAX, Group


def group(calls: int) -> Group:
    tokens = tuple(f"{n:016x}" for n in range(calls))
    return Group(id="group_1", account_id="acct_1", created_at=0, expires_at=1, calls=tokens)


def test_a_group_is_extended_as_often_as_its_row_has_room_and_then_says_what_helps() -> None:
    assert group(CALLS_MAX - 1).claiming("one", 0).claims
    with pytest.raises(StateConflict, match="Put more requests into each") as refused:
        group(CALLS_MAX).claiming("one", 0)
    assert refused.value.code == "batch_calls_limit"
