"""Accounts' weights, remembered for a minute: dispatchers ask for them with every shard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from offpeak.core.errors import NotFound
from offpeak.core.ports import Accounts

REMEMBERED_SECONDS = 60
REMEMBERED_MAX = 10_000
WEIGHT = 1


class RememberedWeights:
    """One a process. An account that is not there has a weight of 1: gatherings' has no row."""

    def __init__(self) -> None:
        self._remembered: dict[str, tuple[float, int]] = {}

    def of(
        self, account_ids: Iterable[str], *, now: float, accounts: Accounts
    ) -> Mapping[str, int]:
        return {each: self._weight(each, now, accounts) for each in account_ids}

    def _weight(self, account_id: str, now: float, accounts: Accounts) -> int:
        until, weight = self._remembered.get(account_id, (0.0, WEIGHT))
        if now >= until:
            weight = _read(account_id, accounts)
            if len(self._remembered) >= REMEMBERED_MAX:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[account_id] = now + REMEMBERED_SECONDS, weight
        return weight


def _read(account_id: str, accounts: Accounts) -> int:
    try:
        return accounts.get(account_id).weight
    except NotFound:
        return WEIGHT
