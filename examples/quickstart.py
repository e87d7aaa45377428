# ruff: noqa: T201 - a program that prints
"""A batch through the OpenAI SDK: `pip install openai`, then run this with OPENAI_BASE_URL and OPENAI_API_KEY set.

OPENAI_BASE_URL=https://…/v1 OPENAI_API_KEY=sk-offpeak-… python examples/quickstart.py [FILE]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from openai import OpenAI

ENDED = {"completed", "failed", "expired", "cancelled"}


def main() -> None:
    default = Path(__file__).parent / "demo.jsonl"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    client = OpenAI()

    with path.open("rb") as file:
        uploaded = client.files.create(file=file, purpose="batch")
    batch = client.batches.create(
        input_file_id=uploaded.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"example": "quickstart"},
    )
    print(batch.id)

    while batch.status not in ENDED:
        time.sleep(1)
        batch = client.batches.retrieve(batch.id)
        counts = batch.request_counts
        if counts:
            print(f"{batch.status}: {counts.completed + counts.failed} of {counts.total} lines")

    for error in (batch.errors.data if batch.errors else None) or []:
        print(f"line {error.line}: {error.message} ({error.code})")
    if batch.output_file_id:
        for line in client.files.content(batch.output_file_id).text.splitlines():
            result = json.loads(line)
            message = result["response"]["body"]["choices"][0]["message"]
            print(f"{result['custom_id']}: {message['content']!r}")
    if batch.error_file_id:
        for line in client.files.content(batch.error_file_id).text.splitlines():
            failed = json.loads(line)
            print(f"{failed['custom_id']}: {failed['error'] or failed['response']['body']}")
    sys.exit(0 if batch.status == "completed" else 1)


if __name__ == "__main__":
    main()
