"""How long a small batch takes on an idle local cloud with the echo engine, from create to completed.

    make bench-small-batch

Twenty batches of ten lines, one after the other, polled every 20 ms through the OpenAI SDK. One batch before them
isn't counted: it pays for the functions' cold starts.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

from openai import OpenAI

from offpeak.local.cloud import LocalCloud
from offpeak.local.processes import leave_on_signals

BATCHES, LINES = 20, 10
POLL_SECONDS = 0.02
BATCH_SECONDS_MAX = 60.0
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


def input_lines(model: str) -> bytes:
    return b"".join(
        json.dumps(
            {
                "custom_id": f"line-{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": model, "messages": [{"role": "user", "content": f"{number}"}]},
            }
        ).encode()
        + b"\n"
        for number in range(LINES)
    )


def seconds_of_one(client: OpenAI, file_id: str) -> float:
    """From create to completed."""
    started = time.monotonic()
    batch = client.batches.create(
        input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    while batch.status not in ENDED:
        if time.monotonic() - started > BATCH_SECONDS_MAX:
            raise SystemExit(f"{batch.id} is {batch.status} after {BATCH_SECONDS_MAX} s.")
        time.sleep(POLL_SECONDS)
        batch = client.batches.retrieve(batch.id)
    if (
        batch.status != "completed"
        or not batch.request_counts
        or batch.request_counts.completed != LINES
    ):
        raise SystemExit(f"{batch.id} ended {batch.status}: {batch.request_counts}, {batch.errors}")
    return time.monotonic() - started


def main() -> None:
    with (
        leave_on_signals(),
        tempfile.TemporaryDirectory(prefix="offpeak-") as folder,
        LocalCloud(engine="echo", folder=Path(folder), tell=print) as cloud,
    ):
        cloud.wait_for_workers()
        client = OpenAI(base_url=f"{cloud.base_url}/v1", api_key=cloud.api_key, max_retries=0)
        content = ("small.jsonl", input_lines(cloud.model))
        file_id = client.files.create(file=content, purpose="batch").id
        print(f"first, uncounted: {seconds_of_one(client, file_id):.2f} s")
        seconds = []
        for number in range(BATCHES):
            seconds.append(seconds_of_one(client, file_id))
            print(f"{number + 1:2}: {seconds[-1]:.2f} s", flush=True)
    print(
        json.dumps(
            {"median_s": round(statistics.median(seconds), 3), "worst_s": round(max(seconds), 3)}
        )
    )


if __name__ == "__main__":
    main()
