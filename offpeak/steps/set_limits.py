"""Changes an account's limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from offpeak.core.account import Account, Limits
from offpeak.core.ports import Accounts, Changes
from offpeak.steps.change_account import change_account


def set_limits(
    account_id: str, change: Callable[[Limits], Limits], *, accounts: Accounts, changes: Changes
) -> Account:
    """The account, with what `change` makes of its limits. Raises NotFound."""
    return change_account(
        account_id, lambda account: replace(account, limits=change(account.limits)),
        accounts=accounts, changes=changes,
    )  # fmt: skip
