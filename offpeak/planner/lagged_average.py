"""A source's newest forecast, sharpened by its earlier ones of the same hours: a lagged average.

What one issue says too much of an hour, the next may say too little; a planner looks for the lowest hours, and so finds
those that were underestimated most. The mean of several issues errs less than any of them (R. N. Hoffman, E. Kalnay
1983, Lagged average forecasting). The older an issue, the less it counts, for it knew less.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from offpeak.core.signal import Signal

HALVED_SECONDS = 12 * 3_600
"""An issue that is so much older than the newest counts half."""
ISSUE_SECONDS = 6 * 3_600
"""Of so much time one issue is kept, the last: those that follow closely know the same and err alike."""
KEPT_SECONDS = 48 * 3_600


def kept_issues(newest: Signal, stored: Iterable[Signal]) -> tuple[Signal, ...]:
    """What to keep of a source: its newest issue, then of each `ISSUE_SECONDS` before that the last, newest first. An
    issue that says whence it is by other words is of another source, by now."""
    kept: dict[int, Signal] = {}
    for each in sorted(earlier_issues(newest, stored), key=lambda each: each.issued_at):
        kept[each.issued_at // ISSUE_SECONDS] = each
    kept.pop(newest.issued_at // ISSUE_SECONDS, None)
    return (newest, *(kept[period] for period in sorted(kept, reverse=True)))


def earlier_issues(newest: Signal, signals: Iterable[Signal]) -> list[Signal]:
    """Those of the same source, kind and unit, issued up to `KEPT_SECONDS` before."""
    return [
        each
        for each in signals
        if 0 < newest.issued_at - each.issued_at <= KEPT_SECONDS
        and (each.source, each.kind, each.unit) == (newest.source, newest.kind, newest.unit)
    ]


def last_issues(signals: Iterable[Signal]) -> list[Signal]:
    """Of each source the newest alone: the best that is known of the hour that is now, for receipts."""
    found: dict[tuple[str, str], Signal] = {}
    for each in sorted(signals, key=lambda each: each.issued_at):
        found[each.source, each.kind] = each
    return list(found.values())


def lagged_average(newest: Signal, earlier: Iterable[Signal], starts: range) -> list[float | None]:
    """A value for each slot, as long as `starts` steps; None where the newest issue leaves a part of it open."""
    values = slot_means(newest, starts)
    sums = [value or 0.0 for value in values]
    weights = [1.0] * len(values)
    for each in earlier:
        weight = 0.5 ** ((newest.issued_at - each.issued_at) / HALVED_SECONDS)
        for slot, value in enumerate(slot_means(each, starts)):
            if value is not None:
                sums[slot] += weight * value
                weights[slot] += weight
    return [
        None if value is None else total / weight
        for value, total, weight in zip(values, sums, weights, strict=True)
    ]


def slot_means(signal: Signal, starts: range) -> Sequence[float | None]:
    """`signal.mean` of each slot. Most slots lie within one point, which is then the mean."""
    points, at = signal.points, 0
    found: list[float | None] = []
    for begin in starts:
        end = begin + starts.step
        while at < len(points) - 1 and points[at].stop <= begin:
            at += 1
        if points[at].start <= begin and end <= points[at].stop:
            found.append(points[at].value)
        else:
            found.append(signal.mean(begin, end))
    return found
