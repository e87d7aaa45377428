"""Changes for how long an account's files and results are kept: those that are made from then on."""

from __future__ import annotations

from dataclasses import replace

from offpeak.core.account import RETENTION_DAYS_MAX, Account
from offpeak.core.errors import InvalidRequest
from offpeak.core.ports import Accounts, Changes
from offpeak.steps.change_account import change_account


def set_retention(account_id: str, days: int, *, accounts: Accounts, changes: Changes) -> Account:
    """The account as it is then. Raises NotFound, and InvalidRequest for a time that is none."""
    if not 1 <= days <= RETENTION_DAYS_MAX:
        raise InvalidRequest(
            f"Files are kept for 1 to {RETENTION_DAYS_MAX:,} days, not {days}.", param="days"
        )
    return change_account(
        account_id, lambda account: replace(account, retention_days=days),
        accounts=accounts, changes=changes,
    )  # fmt: skip
