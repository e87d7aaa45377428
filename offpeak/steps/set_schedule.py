"""Changes what batches of an account get that say nothing of their own: when they may run, and their window."""

from __future__ import annotations

from dataclasses import replace

from offpeak.core.account import Account
from offpeak.core.ports import Accounts, Changes
from offpeak.core.schedule import Schedule
from offpeak.core.window import parse_window
from offpeak.steps.change_account import change_account


def set_schedule(
    account_id: str, schedule: Schedule | None, window: str | None, *, accounts: Accounts,
    changes: Changes,
) -> Account:  # fmt: skip
    """The account as it is then; None is the service's default. Raises NotFound, and InvalidRequest for a window that
    is none."""
    if window is not None:
        parse_window(window)
    return change_account(
        account_id,
        lambda account: replace(account, schedule=schedule, completion_window=window),
        accounts=accounts, changes=changes,
    )  # fmt: skip
