"""Changes the weight that an account's share of busy pools goes by."""

from __future__ import annotations

from dataclasses import replace

from offpeak.core.account import WEIGHT_MAX, Account
from offpeak.core.errors import InvalidRequest
from offpeak.core.ports import Accounts, Changes
from offpeak.steps.change_account import change_account


def set_weight(account_id: str, weight: int, *, accounts: Accounts, changes: Changes) -> Account:
    """The account as it is then. Raises NotFound, and InvalidRequest for a weight that is none."""
    if not 1 <= weight <= WEIGHT_MAX:
        raise InvalidRequest(f"A weight is a whole number from 1 to {WEIGHT_MAX}, not {weight}.")
    return change_account(
        account_id, lambda account: replace(account, weight=weight),
        accounts=accounts, changes=changes,
    )  # fmt: skip
