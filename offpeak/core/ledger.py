"""An account's money: entries that are only ever added, and the balance, which is always their sum.

    credit     an operator adds credits, or takes some back
    hold       a batch was planned: its estimate is set aside
    release    it has ended, however it did: what was held for it is free again
    settle     … and what its successful requests cost is charged, once

An entry's id says what it is for (`hold:batch_…`), so that none is written twice; an entry and the balance change in
one transaction. Amounts are whole micro-dollars, negative where they make the balance smaller. `Balance.microdollars`
is what may still be spent: what is held is taken off already. It gets below zero where an estimate was too low, and in
the mode `meter`, which refuses nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum

from offpeak.core.errors import InvalidRequest
from offpeak.core.footprint import Metered
from offpeak.core.lengths import Lengths
from offpeak.core.usage import Usage

MICRODOLLARS = 1_000_000
"""In a dollar."""
MINIMUM_BALANCE_MICRODOLLARS = 200_000
BALANCE_ID = "balance"
EVER = 100_000_000_000
"""Later than any entry, in seconds."""


class EntryKind(StrEnum):
    CREDIT = "credit"
    HOLD = "hold"
    RELEASE = "release"
    SETTLE = "settle"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUsage:
    """What one model did for an entry's batch: `requests` that succeeded, their tokens, and the cost, rounded here and
    nowhere else. `input_bytes` are those of their lines: how many of them make a token is measured by them.
    `metered` is what they took of instances; `carbon_at_once_mg` what that would have emitted at once, at home.
    `lengths`: how long answers of `endpoint` were. `foretold_off`: by how many per mille of its time the end was
    foretold too early (negative) or too late, at each of the marks (core/run.py); None where it wasn't."""

    model: str
    requests: int
    input_bytes: int
    usage: Usage
    cost_microdollars: int
    metered: Metered | None = None
    carbon_at_once_mg: int = 0
    endpoint: str = ""
    lengths: Lengths = ()
    foretold_off: tuple[int | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`source` is the id of the batch or shard it is about, or an operator's reference. A settlement's `models` say
    what was used, whether or not the account's billing charged for it. `at` in seconds since the epoch."""

    account_id: str
    id: str
    kind: EntryKind
    microdollars: int
    at: int
    source: str = ""
    note: str = ""
    models: tuple[ModelUsage, ...] = ()
    version: int = 0

    @property
    def position(self) -> str:
        """Its place among the account's entries, by time."""
        return f"{self.at:012}#{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """One account's. `held_microdollars` is the part that holds have taken off and will give back."""

    account_id: str
    microdollars: int = 0
    held_microdollars: int = 0
    version: int = 0

    @property
    def id(self) -> str:
        return BALANCE_ID

    def posted(self, *entries: Entry) -> Balance:
        holds = (EntryKind.HOLD, EntryKind.RELEASE)
        return replace(
            self,
            microdollars=self.microdollars + sum(entry.microdollars for entry in entries),
            held_microdollars=self.held_microdollars
            - sum(entry.microdollars for entry in entries if entry.kind in holds),
        )


def hold(account_id: str, source: str, microdollars: int, at: int) -> Entry:
    return Entry(
        account_id=account_id, id=f"hold:{source}", kind=EntryKind.HOLD,
        microdollars=-microdollars, at=at, source=source,
    )  # fmt: skip


def release(account_id: str, source: str, microdollars: int, at: int) -> Entry:
    return Entry(
        account_id=account_id, id=f"release:{source}", kind=EntryKind.RELEASE,
        microdollars=microdollars, at=at, source=source,
    )  # fmt: skip


def settle(
    account_id: str, source: str, models: tuple[ModelUsage, ...], at: int, *, charged: bool
) -> Entry:
    cost = sum(model.cost_microdollars for model in models)
    return Entry(
        account_id=account_id, id=f"settle:{source}", kind=EntryKind.SETTLE,
        microdollars=-cost if charged else 0, at=at, source=source, models=models,
    )  # fmt: skip


def dollars(microdollars: int) -> str:
    """As people read it: `$0.20`, `-$1.50`, `$0.000123`. Cents at least, no zeros beyond them."""
    whole, part = divmod(abs(microdollars), MICRODOLLARS)
    digits = f"{part:06}".rstrip("0").ljust(2, "0")
    return f"{'-' if microdollars < 0 else ''}${whole:,}.{digits}"


_DOLLARS = re.compile(r"(-?)\$?([0-9]{1,9})(?:\.([0-9]{1,6}))?")


def parse_dollars(text: str) -> int:
    """Micro-dollars of an amount such as `25`, `-0.5` or `$0.000001`. Raises InvalidRequest for anything else."""
    match = _DOLLARS.fullmatch(text)
    if match is None:
        raise InvalidRequest(
            f"{text[:40]!r} is no amount of dollars: write it as 25 or 25.00, with up to six decimals.",
            param="amount",
        )
    sign, whole, part = match.groups()
    microdollars = int(whole) * MICRODOLLARS + int((part or "").ljust(6, "0"))
    return -microdollars if sign else microdollars
