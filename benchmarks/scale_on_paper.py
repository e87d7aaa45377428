"""The service at two billion requests a day, on paper: rates, the quotas that they meet, dollars, what breaks first.

    make scale-on-paper          (writes the tables into docs/scale.md)

Nothing is entered by hand but what stands in `assumptions.py`: what a shard, a batch and a request call is what
`make bench-cost` counted (`results/cost_counts.json`), prices are those of `prices.py`, sizes and limits the code's.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.assumptions import QUOTAS, WHY, Assumed
from benchmarks.bill import Bill
from benchmarks.cost_model import MILLION, Measured, decode, decode_bill
from benchmarks.service_on_paper import DAY, Load, Service

ROOT = Path(__file__).parent.parent
COUNTS = ROOT / "benchmarks/results/cost_counts.json"
GUIDE = ROOT / "docs/scale.md"
BEGIN, END = "<!-- {}: written by `make scale-on-paper` -->", "<!-- end of {} -->"


def tables(service: Service) -> dict[str, str]:
    return {
        "assumptions": _table(("assumed", "value"), _assumptions(service.assumed)),
        "rates": _table(("what", "a second", "a day"), _rates(service)),
        "quotas": _table(
            ("component", "at the peak", "AWS's quota, or our own", "of it", "raised?", "partitioned", "what then"),
            [_load(load) for load in service.loads()],
        ),
        "GPUs": _table(
            ("model and instance", "instances, mean", "at the peak", "$ a day"),
            [
                (name, f"{n:,.0f}", f"{n * service.assumed.peak:,.0f}", f"{each:,.0f}")
                for name, n, each in service.gpus()
            ],
        ),
        "dollars": _table(("what", "$ a day", "$ a million requests", "share"), _dollars(service)),
    }  # fmt: skip


def _assumptions(assumed: Assumed) -> list[Sequence[str]]:
    return [
        (why, f"{getattr(assumed, name):,g}".replace("e+09", " billion"))
        for name, why in WHY.items()
    ]


def _rates(service: Service) -> list[Sequence[str]]:
    found = {
        "request lines in batches": service.lines, "stand-alone requests": service.sent,
        "batches": service.batches, "gatherings": service.gatherings, "shards": service.shards,
        "bytes of input, MB": (service.lines + service.sent) * service.assumed.line_bytes / 1e6,
    }  # fmt: skip
    rows: list[Sequence[str]] = [(name, _figure(n), f"{n * DAY:,.0f}") for name, n in found.items()]
    rows.append(("open at once: batches", f"{service.open_batches:,.0f}", ""))
    rows.append(("open at once: shards", f"{service.open_shards:,.0f}", ""))
    return rows


def _load(load: Load) -> Sequence[str]:
    quota = QUOTAS[load.quota]
    return (
        load.component, _figure(load.rate), f"{quota.limit:,g} {quota.unit}", f"{load.share:.1%}",
        "yes" if quota.raised else "no", load.spread, load.then if load.share > 0.2 else "–",
    )  # fmt: skip


def _dollars(service: Service) -> list[Sequence[str]]:
    found = service.dollars_a_day()
    total = sum(each for _, each in found)
    millions = service.assumed.requests_a_day / MILLION
    rows = [
        (name, f"{each:,.0f}", f"{each / millions:,.4f}", f"{each / total:.2%}")
        for name, each in sorted(found, key=lambda row: -row[1])
    ]
    return [*rows, ("**sum**", f"**{total:,.0f}**", f"**{total / millions:,.2f}**", "")]


def _figure(n: float) -> str:
    return f"{n:,.0f}" if n >= 10 else f"{n:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown, figures to the right."""
    numeric = [all(re.match(r"^[\d*.,%–]*$", row[n]) for row in rows) for n in range(len(head))]
    lines = [
        "| " + " | ".join(head) + " |",
        "|" + "|".join("---:" if n else "---" for n in numeric) + "|",
    ]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def put_into(guide: str, service: Service) -> str:
    """The guide with its tables as they are now."""
    for name, table in tables(service).items():
        begin, end = BEGIN.format(name), END.format(name)
        pattern = f"{re.escape(begin)}.*?{re.escape(end)}"
        if not re.search(pattern, guide, re.S):
            raise SystemExit(f"docs/scale.md has no place for {name}.")
        guide = re.sub(pattern, lambda _, t=f"{begin}\n{table}\n{end}": t, guide, flags=re.S)  # type: ignore[misc]
    return guide


def read_counts() -> tuple[Measured, Bill]:
    """What `make bench-cost` counted last, of shards of 1,000 lines: a shard's calls hardly depend on its size."""
    counts = json.loads(COUNTS.read_text())
    return decode(counts["shards"]["1000"]), decode_bill(counts["request"])


def main() -> None:
    service = Service(*read_counts())
    GUIDE.write_text(put_into(GUIDE.read_text(), service))
    for name, table in tables(service).items():
        print(f"{name}\n{table}\n", file=sys.stderr)


if __name__ == "__main__":
    main()
