"""Changes how an account is billed. Batches that are planned already keep the mode they were planned in."""

from __future__ import annotations

from dataclasses import replace

from offpeak.core.account import Account, Billing
from offpeak.core.ports import Accounts, Changes
from offpeak.steps.change_account import change_account


def set_billing(
    account_id: str, billing: Billing, *, accounts: Accounts, changes: Changes
) -> Account:
    """The account, billed so. Raises NotFound."""
    return change_account(
        account_id, lambda account: replace(account, billing=billing),
        accounts=accounts, changes=changes,
    )  # fmt: skip
