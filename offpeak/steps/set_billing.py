"""Changes how an account is billed. Batches that are planned already keep the mode they were planned in."""

from __future__ import annotations

from dataclasses import replace

from offpeak.core.account import Account, Billing
from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.ports import Accounts, Changes, Save

COMMIT_ATTEMPTS = 5


def set_billing(
    account_id: str, billing: Billing, *, accounts: Accounts, changes: Changes
) -> Account:
    for _ in range(COMMIT_ATTEMPTS):
        account = accounts.get(account_id)
        if account.billing is billing:
            return account
        changed = replace(account, billing=billing)
        try:
            changes.commit(Save(changed))
        except StateConflict:
            continue
        return changed
    raise Unavailable(f"Account {account_id} changed {COMMIT_ATTEMPTS} times meanwhile.")
