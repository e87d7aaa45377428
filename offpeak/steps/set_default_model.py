"""Changes the model that an account's requests run on when they name none."""

from __future__ import annotations

from dataclasses import replace

from offpeak.core.account import Account
from offpeak.core.ports import Accounts, Changes
from offpeak.steps.change_account import change_account


def set_default_model(
    account_id: str, model: str | None, *, accounts: Accounts, changes: Changes
) -> Account:
    """The account with this model, or without one. Raises NotFound."""
    return change_account(
        account_id, lambda account: replace(account, default_model=model),
        accounts=accounts, changes=changes,
    )  # fmt: skip
