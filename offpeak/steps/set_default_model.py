"""Changes the model that an account's requests run on when they name none. Processes see it within 60 s."""

from __future__ import annotations

from dataclasses import replace

from offpeak.core.account import Account
from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.ports import Accounts, Changes, Save

COMMIT_ATTEMPTS = 5


def set_default_model(
    account_id: str, model: str | None, *, accounts: Accounts, changes: Changes
) -> Account:
    """The account with this model, or without one. Raises NotFound."""
    for _ in range(COMMIT_ATTEMPTS):
        account = accounts.get(account_id)
        if account.default_model == model:
            return account
        changed = replace(account, default_model=model)
        try:
            changes.commit(Save(changed))
        except StateConflict:
            continue
        return changed
    raise Unavailable(f"Account {account_id} changed {COMMIT_ATTEMPTS} times meanwhile.")
