from __future__ import annotations

import pytest

from offpeak.core.account import RETENTION_DAYS_MAX, Account
from offpeak.core.errors import InvalidRequest, NotFound
from offpeak.memory.memory import Memory
from offpeak.steps.set_retention import set_retention
from tests.steps.ward import ACCOUNT, Ward, call_step

DAY = 86_400


@pytest.fixture
def ward() -> Ward:
    return Ward()


def test_an_account_keeps_its_files_for_thirty_days_until_somebody_says_otherwise(
    ward: Ward,
) -> None:
    assert ward.accounts.get(ACCOUNT).retention_days == 30
    assert ward.call(set_retention, ACCOUNT, 7).retention_days == 7
    assert ward.accounts.get(ACCOUNT).retention_days == 7


@pytest.mark.parametrize("days", [0, -1, RETENTION_DAYS_MAX + 1])
def test_what_is_no_time_is_refused(ward: Ward, days: int) -> None:
    with pytest.raises(InvalidRequest):
        ward.call(set_retention, ACCOUNT, days)


def test_an_unknown_account_has_none(ward: Ward) -> None:
    with pytest.raises(NotFound):
        call_step(Memory(), set_retention, "acct_unknown", 2)


def test_a_file_is_kept_as_long_as_asked_for_and_never_longer_than_its_account_keeps_any() -> None:
    account = Account(id="a", name="a", created_at=0, retention_days=7)
    assert account.kept_seconds() == 7 * DAY
    assert account.kept_seconds(3_600) == 3_600
    assert account.kept_seconds(30 * DAY) == 7 * DAY
