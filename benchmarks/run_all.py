"""Runs every benchmark that the Makefile has, one after the other, prints one table and keeps what each said.

    make bench                      (about three quarters of an hour; ONLY="bench-cost bench-ingest" for some of them)

A benchmark is a target `bench-…` whose last line is JSON. What it said goes to `benchmarks/results/`, with the machine,
the day, the commit and how busy the machine was when it began, and into the table of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results"
GUIDE = ROOT / "docs/benchmarks.md"
BEGIN, END = "<!-- results: written by `make bench` -->", "<!-- end of results -->"
SECONDS_MAX = 3_600
ROW_ENTRIES_MAX = 12
"""A figure of more parts than this has no room in the table."""
# What a whole run takes: sizes at which each says what it has to say, and all but bench-load end in half an hour.
SIZES: Mapping[str, Mapping[str, str]] = {
    "bench-ingest": {"GB": "1"},
    "bench-scale": {"LINES": "500000"},
    "bench-door": {"GB": "2"},
    "bench-worker": {"CASES": "a,e"},
}
CLAIMS: Mapping[str, str] = {
    "bench-small-batch": "a batch of 10 lines ends within a second of its creation, on an idle local cloud",
    "bench-requests": "a stand-alone request costs about two write units, and hardly a read",
    "bench-ingest": "a core validates, compares and plans 270 to 310 MB/s of 2.1 kB lines, in flat memory",
    "bench-scale": "no line is lost, doubled or out of order, from upload to joined output, in flat memory",
    "bench-reorder": "a file is re-partitioned by prefix where that pays, at the speed of its bytes",
    "bench-dispatch": "500 batches at once get their fair shares; a short one doesn't wait for a long one",
    "bench-door": "an upload of any size streams to S3 in flat memory",
    "bench-worker": "the worker keeps its engine as busy as the best order of requests would",
    "bench-offpeak": "over a year, waiting saves nearly what a clairvoyant saves, no deadline missed",
    "bench-scale-in": "an instance that is told to go costs its shard less than one checkpoint interval",
    "bench-load": "500 open batches and 1,000 polling clients: none lost, none refused, and whose memory grows",
    "bench-cost": "the control plane costs at most $0.05 a million lines in shards of 1,000, less in larger ones",
}


def targets(makefile: str) -> list[str]:
    """The Makefile's benchmarks, in its order."""
    return re.findall(r"^(bench-[a-z-]+):", makefile, re.M)


def command(target: str) -> str:
    sizes = " ".join(f"{name}={value}" for name, value in SIZES.get(target, {}).items())
    return f"make {target} {sizes}".rstrip()


def run(target: str) -> dict[str, Any]:
    """What it said. `-o setup` because this very program runs in what setup makes."""
    started, busy = time.monotonic(), os.getloadavg()[0]
    ran = subprocess.run(
        [*command(target).split(), "--no-print-directory", "-o", "setup", "-o", "setup-vllm"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=SECONDS_MAX, check=False,
    )  # fmt: skip
    found: dict[str, Any] = {
        "command": command(target),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": machine(),
        "load_before": round(busy, 1),
        "seconds": round(time.monotonic() - started),
    }
    figures = last_line(ran.stdout)
    if ran.returncode != 0 or figures is None:
        return found | {"error": (ran.stdout.splitlines() or ["no output"])[-1][:300]}
    return found | {"figures": figures}


def last_line(output: str) -> dict[str, Any] | None:
    """The figures, if the last line is such."""
    try:
        figures = json.loads((output.splitlines() or [""])[-1])
    except ValueError:
        return None
    return figures if isinstance(figures, dict) else None


def commit() -> str:
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    ran = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    return ran.stdout.strip() or "unknown"


def machine() -> str:
    """Its processor and how many of them, its memory."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", info.read_text(), re.M) if info.exists() else []
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{os.cpu_count()} × {processor}, {gib:.0f} GiB, Python {platform.python_version()}"


def keep(target: str, found: Mapping[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name_of(target)}.json").write_text(json.dumps(found, indent=1) + "\n")


def name_of(target: str) -> str:
    return target.removeprefix("bench-").replace("-", "_")


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def table() -> str:
    """Each claim, its command, its last figures: those that are kept."""
    lines = [
        "| what it shows | command | last figures | when, and how busy the machine was |",
        "|---|---|---|---|",
    ]
    for target, claim in CLAIMS.items():
        path = RESULTS / f"{name_of(target)}.json"
        kept = json.loads(path.read_text()) if path.exists() else {}
        figures = kept.get("figures")
        said = figures_in_words(figures) if figures else kept.get("error", "not run yet")
        when = f"{kept['date']}, {kept['commit']}, load {kept['load_before']}" if kept else "–"
        shown = kept.get("command", command(target))
        lines.append(f"| {claim} | `{shown}` | {said} | {when} |")
    return "\n".join(lines)


def figures_in_words(figures: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} **{_plain(value)}**" for name, value in figures.items())


def _plain(value: Any) -> str:
    if isinstance(value, dict) and len(value) > ROW_ENTRIES_MAX:
        return f"of {len(value)}: in `benchmarks/results`"
    if isinstance(value, dict):
        return "; ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def put_into(guide: str) -> str:
    found = f"{BEGIN}\n{table()}\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: found, guide, flags=re.S)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("only", nargs="*", help="targets; all of them if none is named")
    parser.add_argument("--render", action="store_true", help="only write the page anew")
    options = parser.parse_args(arguments)
    makefile = (ROOT / "Makefile").read_text()
    chosen = [] if options.render else options.only or targets(makefile)
    failed = 0
    for target in chosen:
        print(f"── {command(target)}", flush=True)
        found = run(target)
        keep(target, found)
        failed += "error" in found
        print(json.dumps(found.get("figures", found)), flush=True)
    GUIDE.write_text(put_into(GUIDE.read_text()))
    width = max(map(len, CLAIMS))
    for target in chosen:
        kept = json.loads((RESULTS / f"{name_of(target)}.json").read_text())
        said = ", ".join(f"{k} {_plain(v)}" for k, v in kept.get("figures", {}).items())
        print(f"{target:<{width}}  {kept['seconds']:>5} s  {said or kept['error']}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
