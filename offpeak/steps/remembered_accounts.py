"""What dispatchers ask of accounts with every shard, remembered for a minute: weights, and where their lines may go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from offpeak.core.errors import NotFound
from offpeak.core.ports import Accounts

REMEMBERED_SECONDS = 60
REMEMBERED_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Facts:
    """`regions` beside the home region; None is all. An account that is not there has a weight of 1, and works at home:
    gatherings' has no row, and holds lines of accounts of which any may have to stay."""

    weight: int = 1
    regions: tuple[str, ...] | None = ()


class RememberedAccounts:
    """One a process."""

    def __init__(self) -> None:
        self._remembered: dict[str, tuple[float, Facts]] = {}

    def weights(
        self, account_ids: Iterable[str], *, now: float, accounts: Accounts
    ) -> Mapping[str, int]:
        return {each: self._facts(each, now, accounts).weight for each in account_ids}

    def may_work_in(
        self, region: str | None, account_id: str, *, now: float, accounts: Accounts
    ) -> bool:
        if region is None:
            return True
        allowed = self._facts(account_id, now, accounts).regions
        return allowed is None or region in allowed

    def _facts(self, account_id: str, now: float, accounts: Accounts) -> Facts:
        until, facts = self._remembered.get(account_id, (0.0, Facts()))
        if now >= until:
            facts = _read(account_id, accounts)
            if len(self._remembered) >= REMEMBERED_MAX:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[account_id] = now + REMEMBERED_SECONDS, facts
        return facts


def _read(account_id: str, accounts: Accounts) -> Facts:
    try:
        found = accounts.get(account_id)
    except NotFound:
        return Facts()
    return Facts(found.weight, found.regions)
