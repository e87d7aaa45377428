"""Changes the weight that an account's share of busy pools goes by. Dispatchers see it within 60 s."""

from __future__ import annotations

from dataclasses import replace

from offpeak.core.account import WEIGHT_MAX, Account
from offpeak.core.errors import InvalidRequest, StateConflict, Unavailable
from offpeak.core.ports import Accounts, Changes, Save

COMMIT_ATTEMPTS = 5


def set_weight(account_id: str, weight: int, *, accounts: Accounts, changes: Changes) -> Account:
    """The account as it is then. Raises NotFound, and InvalidRequest for a weight that is none."""
    if not 1 <= weight <= WEIGHT_MAX:
        raise InvalidRequest(f"A weight is a whole number from 1 to {WEIGHT_MAX}, not {weight}.")
    for _ in range(COMMIT_ATTEMPTS):
        account = accounts.get(account_id)
        if account.weight == weight:
            return account
        changed = replace(account, weight=weight)
        try:
            changes.commit(Save(changed))
        except StateConflict:
            continue
        return changed
    raise Unavailable(f"Account {account_id} changed {COMMIT_ATTEMPTS} times meanwhile.")
