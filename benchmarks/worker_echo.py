"""What the worker itself costs a line, in CPU, and what it holds: run as a process of its own.

    python -m benchmarks.worker_echo LINES

Shards of 2,000 lines on the echo engine, which answers at once. The time is the whole process's, the echo's own share
and its JSON included, from the first shard's claim to the last one's report. The last line is JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.worker_lines import CHAT, echo_lines
from benchmarks.worker_shards import MODEL, run_shards
from offpeak.worker.engines.echo import EchoEngine

SHARD_LINES = 2_000
WINDOW = 256


async def measure(lines: int) -> dict[str, float]:
    engine = EchoEngine(MODEL, window=WINDOW)
    shard = echo_lines(SHARD_LINES, MODEL)
    with tempfile.TemporaryDirectory(prefix="offpeak-") as folder:
        await run_shards(engine, [shard], Path(folder), CHAT)
        started = time.process_time()
        await run_shards(engine, [shard] * (lines // SHARD_LINES), Path(folder), CHAT)
        seconds = time.process_time() - started
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"us_per_line": seconds / lines * 1e6, "peak_mb": peak_kib * 1_024 / 1e6}


def main() -> None:
    print(json.dumps(asyncio.run(measure(int(sys.argv[1])))))


if __name__ == "__main__":
    main()
