"""Changes an account's limits. Processes that remember the account see them within 60 s."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from offpeak.core.account import Account, Limits
from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.ports import Accounts, Changes, Save

COMMIT_ATTEMPTS = 5


def set_limits(
    account_id: str, change: Callable[[Limits], Limits], *, accounts: Accounts, changes: Changes
) -> Account:
    """The account, with what `change` makes of its limits. Raises NotFound."""
    for _ in range(COMMIT_ATTEMPTS):
        account = accounts.get(account_id)
        changed = replace(account, limits=change(account.limits))
        if changed == account:
            return account
        try:
            changes.commit(Save(changed))
        except StateConflict:
            continue
        return changed
    raise Unavailable(f"Account {account_id} changed {COMMIT_ATTEMPTS} times meanwhile.")
