"""Changes one account's row, however many others change it at the same time."""

from __future__ import annotations

from collections.abc import Callable

from offpeak.core.account import Account
from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.ports import Accounts, Changes, Save

COMMIT_ATTEMPTS = 5


def change_account(
    account_id: str, change: Callable[[Account], Account], *, accounts: Accounts, changes: Changes
) -> Account:
    """The account as `change` made it; what changes nothing is not written. Processes that remember the account see it
    within 60 s. Raises NotFound, and Unavailable after `COMMIT_ATTEMPTS` conflicts."""
    for _ in range(COMMIT_ATTEMPTS):
        account = accounts.get(account_id)
        changed = change(account)
        if changed == account:
            return account
        try:
            changes.commit(Save(changed))
        except StateConflict:
            continue
        return changed
    raise Unavailable(f"Account {account_id} changed {COMMIT_ATTEMPTS} times meanwhile.")
