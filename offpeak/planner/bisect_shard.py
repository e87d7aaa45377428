"""Which lines of a shard are to blame for its failures, when nobody can say: found by trying parts of it.

An engine that dies tells its worker, and the worker names the lines (worker/suspects.py). A worker that is killed as a
whole, or that can't even read a line, names none: its lease runs out. Such a shard is tried `attempts_max` times as it
is, and then part by part, depth first, each part in an attempt of its own:

    worked       ─► its lines have their results, in checkpoints; the next part
    failed       ─► in its place `PARTS` smaller ones
    failed, and it is one line, `LINE_FAILURES` times  ─► that line is given up; the next part

Once no part is left the shard is closed, and the harvest gives an `engine_error` to whatever line has no result: to
those given up, and to no other. A line alone must fail twice, since an instance may die of itself.

One such line in a shard of n costs at most ⌈log₈ n⌉ + 1 failures beyond `attempts_max`: five in a shard of 2,000. Where
the fault is not in the lines at all, every part fails: `FAILURES_MAX` ends it. Parts that work cost an invocation, but
no engine's restart; so parts are many and failures few.
"""

from __future__ import annotations

from itertools import pairwise

from offpeak.core.shard import Probe

PARTS = 8
LINE_FAILURES = 2
FAILURES_MAX = 40
"""Of a shard, beyond those that its model allows. Eight poisonous lines of a shard of 2,000 are found by them."""


def first_probes(lines: int) -> tuple[Probe, ...]:
    """Of a shard of so many lines; none where there is nothing to tell apart."""
    return _parts(Probe(first=0, stop=lines)) if lines > 1 else ()


def after_failure(probes: tuple[Probe, ...]) -> tuple[Probe, ...]:
    """What is left to try when the first of `probes` has failed."""
    failed, *rest = probes
    if failed.lines > 1:
        return (*_parts(failed), *rest)
    again = Probe(first=failed.first, stop=failed.stop, failures=failed.failures + 1)
    return (again, *rest) if again.failures < LINE_FAILURES else tuple(rest)


def _parts(probe: Probe) -> tuple[Probe, ...]:
    """At most `PARTS`, none empty, about even."""
    parts = min(PARTS, probe.lines)
    bounds = [probe.first + probe.lines * part // parts for part in range(parts + 1)]
    return tuple(Probe(first=first, stop=stop) for first, stop in pairwise(bounds))
