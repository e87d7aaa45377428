"""What an account used, day by day: its settlements, added up. One bounded read a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, zip_longest

from offpeak.core.footprint import Metered
from offpeak.core.ledger import Entry, ModelUsage
from offpeak.core.ports import Ledger
from offpeak.core.run import FORETOLD_AT
from offpeak.core.usage import Usage

DAY_SECONDS = 86_400
ENTRIES_MAX = 2_000
"""Read for a page: less than a megabyte, unless batches mix many models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """Settlements of [start, stop), at most `days_max` days with usage a page. `after` is the last page's `next`."""

    start: int
    stop: int
    by_model: bool = False
    by_batch: bool = False
    days_max: int = 7
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Foretold:
    """How well the ends of `runs` were foretold at one mark: the per mille of their times by which each was too early
    or too late, added up."""

    runs: int = 0
    off: int = 0

    def plus(self, off: int | None) -> Foretold:
        return self if off is None else Foretold(self.runs + 1, self.off + abs(off))

    @property
    def mean_percent(self) -> float | None:
        return round(self.off / self.runs / 10, 1) if self.runs else None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedTokens:
    """`model` and `batch_id` are None where usage isn't grouped by them. `foretold`: one for each mark."""

    model: str | None = None
    batch_id: str | None = None
    requests: int = 0
    usage: Usage = Usage()
    cost_microdollars: int = 0
    metered: Metered | None = None
    carbon_at_once_mg: int = 0
    foretold: tuple[Foretold, ...] = (Foretold(),) * len(FORETOLD_AT)

    def plus(self, used: ModelUsage) -> UsedTokens:
        return replace(
            self, requests=self.requests + used.requests, usage=self.usage + used.usage,
            cost_microdollars=self.cost_microdollars + used.cost_microdollars,
            metered=_both(self.metered, used.metered),
            carbon_at_once_mg=self.carbon_at_once_mg + used.carbon_at_once_mg,
            foretold=tuple(
                mark.plus(off) for mark, off in zip_longest(self.foretold, used.foretold_off)
            ),
        )  # fmt: skip


def _both(one: Metered | None, other: Metered | None) -> Metered | None:
    return one if other is None else other + (one or Metered())


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePage:
    """Days by their first second, UTC; those without usage are left out. `next` goes on after the last of them."""

    days: Mapping[int, Sequence[UsedTokens]]
    next: str | None


def show_usage(account_id: str, query: UsageQuery, *, ledger: Ledger) -> UsagePage:
    """A day is cut in two, the second part on the next page, only where it alone has over `ENTRIES_MAX` entries."""
    page = ledger.entries(
        account_id, start=query.start, stop=query.stop, limit=ENTRIES_MAX, after=query.after,
        ascending=True,
    )  # fmt: skip
    days = [(day, list(of_day)) for day, of_day in groupby(page.rows, key=_day)]
    # The last day may go on where the read ended; and a page has so many days.
    whole = days[:-1] if page.has_more and len(days) > 1 else days
    shown = _first_days(whole, query.days_max)
    used = {day: _grouped(entries, query) for day, entries in shown}
    goes_on = page.has_more or len(shown) < len(days)
    return UsagePage(
        days={day: of_day for day, of_day in used.items() if of_day},
        next=shown[-1][1][-1].position if goes_on and shown else None,
    )


def _day(entry: Entry) -> int:
    return entry.at // DAY_SECONDS * DAY_SECONDS


def _first_days(
    days: Sequence[tuple[int, list[Entry]]], days_max: int
) -> Sequence[tuple[int, list[Entry]]]:
    """As many as hold `days_max` days with usage."""
    with_usage = 0
    for index, (_, entries) in enumerate(days):
        with_usage += any(entry.models for entry in entries)
        if with_usage > days_max:
            return days[:index]
    return days


def _grouped(entries: Iterable[Entry], query: UsageQuery) -> Sequence[UsedTokens]:
    """In the order of their models and batches."""
    groups: dict[tuple[str, str], UsedTokens] = {}
    for entry in entries:
        for used in entry.models:
            model = used.model if query.by_model else None
            batch_id = entry.source if query.by_batch else None
            key = model or "", batch_id or ""
            before = groups.get(key) or UsedTokens(model=model, batch_id=batch_id)
            groups[key] = before.plus(used)
    return [groups[key] for key in sorted(groups)]
