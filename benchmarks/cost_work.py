"""What the cost meter has the local cloud do: batches of so many lines, and stand-alone requests."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from benchmarks.cost_meter import SECONDS_MAX, Meter
from benchmarks.cost_model import LINE_BYTES
from offpeak.cli.upload import upload_file
from offpeak.local.cloud import STAGE

TRIES_MAX = 10
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


def input_line(model: str, number: int, words: str = "") -> bytes:
    text = f"Question {number} {words}: ".ljust(
        LINE_BYTES - 190, "why is the sky blue? "[number % 7]
    )
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    line = {
        "custom_id": f"line-{number}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": body,
    }
    return json.dumps(line).encode() + b"\n"


def run_batch(
    meter: Meter, folder: Path, lines: int, words: Callable[[int], str] = lambda _: ""
) -> str:
    """Uploads, creates, waits; the batch's id."""
    path = folder / "input.jsonl"
    with path.open("wb") as file:
        file.writelines(input_line(meter.cloud.model, n, words(n)) for n in range(lines))
    uploaded = upload_file(meter.api, path, lambda _: None)
    asked = {
        "input_file_id": uploaded["id"], "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }  # fmt: skip
    batch = meter.api.post("/v1/batches", asked)
    # Looked at in the table, not by the API: how often a client asks is its own affair.
    rows = meter.rows
    key = {"account_id": {"S": meter.cloud.account_id}, "id": {"S": batch["id"]}}
    give_up_at = time.monotonic() + SECONDS_MAX
    while time.monotonic() < give_up_at:
        row = rows.get_item(TableName=f"offpeak-{STAGE}-batches", Key=key, ConsistentRead=True)[
            "Item"
        ]
        if row["status"]["S"] in ENDED:
            break
        meter.cloud.check()
        time.sleep(0.3)
    if row["status"]["S"] != "completed":
        raise SystemExit(f"{batch['id']} is {row['status']['S']} after {SECONDS_MAX:.0f} s.")
    return str(batch["id"])


def send_requests(meter: Meter, number: int) -> list[str]:
    """Sends them, waits until all are answered, and fetches each result once. No batch of the account comes of it."""
    http = httpx.Client(
        base_url=meter.cloud.base_url, headers={"X-API-Key": meter.cloud.api_key}, timeout=60
    )

    def send(n: int) -> str:
        messages = [{"role": "user", "content": f"Question {n}: what is {n} and {n}? " * 5}]
        body = {"request_body": {"model": meter.cloud.model, "messages": messages}}
        return str(persistent(lambda: http.post("/v1/requests", json=body)).json()["id"])

    rows = meter.rows

    def wait(request_id: str) -> None:
        give_up_at = time.monotonic() + SECONDS_MAX
        key = {"id": {"S": request_id}}
        while time.monotonic() < give_up_at:
            found = rows.get_item(TableName=f"offpeak-{STAGE}-requests", Key=key)["Item"]
            if found["status"]["S"] == "completed":
                return
            time.sleep(0.3)
        raise SystemExit(f"Request {request_id} was not answered.")

    with http:
        ids = [send(n) for n in range(number)]
        for request_id in ids:
            wait(request_id)
            persistent(lambda i=request_id: http.get(f"/v1/requests/{i}"))  # type: ignore[misc]
    return []


def persistent(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Asks again where the gateway gave up: on a busy machine a function's cold start may take longer than its 29 s."""
    for _ in range(TRIES_MAX):
        answer = ask()
        if answer.status_code < 500:
            return answer.raise_for_status()
        time.sleep(1)
    raise SystemExit(f"The API answers {answer.status_code}: {answer.text}")
