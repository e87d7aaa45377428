"""Whether an account may ask for work, remembered for a minute: for requests that come by the thousand."""

from __future__ import annotations

from offpeak.core.account import Account, Billing
from offpeak.core.ports import Clock, Ledger
from offpeak.steps.hold_credits import check_balance

REMEMBERED_SECONDS = 60
REMEMBERED_MAX = 1_000


class RememberedCredits:
    """One a process. A balance is read once a minute and account; one that was too low is read again each time, so that
    credits which were added count at once. What is spent meanwhile may overdraw it by a minute's worth of requests."""

    def __init__(self, *, clock: Clock, ledger: Ledger) -> None:
        self._clock = clock
        self._ledger = ledger
        self._remembered: dict[str, float] = {}

    def check(self, account: Account) -> None:
        """Raises InsufficientCredits."""
        if account.billing is not Billing.ENFORCE:
            return
        now = self._clock.now()
        if now < self._remembered.get(account.id, 0.0):
            return
        check_balance(self._ledger.balance(account.id))
        if len(self._remembered) >= REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[account.id] = now + REMEMBERED_SECONDS
