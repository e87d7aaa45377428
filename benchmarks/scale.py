"""A batch of any size from upload to joined output, each stage timed, the outcome verified by an independent checker.

    make bench-scale LINES=5000000              through the real steps and worker, over an object store on files
    make bench-scale LINES=500000 MODE=cloud    through the local cloud: HTTP, functions, state machine, queues
    make bench-scale LINES=500000 SHARED=1      its documents asked about again and again, scattered: it is reordered

The input has 2 kB a line, in all 2 GB a million. With MODE=files rows are in memory, as `tests/steps` have them; two
processes work beside the one that has the rows, on validation first and then as two instances of the pool, each the
real `Instance` with the echo engine. Disk: about twice the input. The last line is JSON:

    lines, bytes                        of the input
    seconds                             by stage
    lost, duplicated, out_of_order      what `benchmarks/check_results.py` found
    peak_rss_mb                         of the largest process, the checker's and the local cloud's included
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.scale_input import LINE_BYTES

ROOT = Path(__file__).parents[1]


class Stages:
    """The seconds of each stage, told when it ends."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        print(f"{name} …", flush=True)
        yield
        self.add(name, time.monotonic() - started)

    def add(self, name: str, seconds: float) -> None:
        self.seconds[name] = round(seconds, 2)
        print(f"{name}: {seconds:,.1f} s", flush=True)


def verify(given: Path, output: Path, errors: Path | None) -> dict[str, int]:
    """What the checker found, in a process of its own. Ends the program when an answer is not its line's."""
    command = [sys.executable, "-m", "benchmarks.check_results", str(given), str(output)]
    command += [str(errors)] if errors is not None else []
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not ran.stdout:
        raise SystemExit(f"The checker broke:\n{ran.stderr}")
    found: dict[str, int] = json.loads(ran.stdout.splitlines()[-1])
    if found["wrong"]:
        raise SystemExit(f"{found['wrong']} answers are not those of their lines.")
    return found


def report(size: int, stages: Stages, found: dict[str, int]) -> dict[str, Any]:
    # Of children: of the largest that was waited for, or that one of those waited for.
    peaks = [
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    return {
        "lines": found["lines"], "bytes": size, "seconds": stages.seconds, "lost": found["lost"],
        "duplicated": found["duplicated"], "out_of_order": found["out_of_order"],
        "peak_rss_mb": max(found["peak_rss_mb"], max(peaks) // 1024),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lines", type=int, default=5_000_000)
    parser.add_argument("--mode", choices=("files", "cloud"), default="files")
    parser.add_argument("--shared", action="store_true")
    asked = parser.parse_args()
    stages = Stages()
    print(
        f"{asked.lines:,} lines of {LINE_BYTES:,} bytes, {asked.lines * LINE_BYTES:,} bytes",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="offpeak-scale-") as folder:
        mode = import_module(f"benchmarks.scale_{asked.mode}")  # each imports much
        given, output, errors = mode.run(asked.lines, Path(folder), stages, shared=asked.shared)
        size = given.stat().st_size
        with stages.stage("check"):
            found = verify(given, output, errors)
    figures = report(size, stages, found)
    print(json.dumps(figures))
    if figures["lost"] or figures["duplicated"] or figures["out_of_order"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
