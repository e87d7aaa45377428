"""A few lines through the real road of one model: what its pool answers, how fast, and what failed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from offpeak.cli.client import Api
from offpeak.cli.errors import CliError
from offpeak.cli.watch import TERMINAL
from offpeak.core.catalogue import ENDPOINTS

TOKENS_MAX = 64
POLL_SECONDS = 0.5
_PROMPT = "In one sentence: what is the number {n} known for?"
# By endpoint, the rest of a line's body.
BODIES: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "/v1/chat/completions": lambda prompt: {
        "messages": [{"role": "user", "content": prompt}], "max_tokens": TOKENS_MAX,
    },
    "/v1/completions": lambda prompt: {"prompt": prompt, "max_tokens": TOKENS_MAX},
    "/v1/responses": lambda prompt: {"input": prompt, "max_output_tokens": TOKENS_MAX},
    "/v1/embeddings": lambda prompt: {"input": prompt},
}  # fmt: skip


class SmokeFailed(CliError):
    """The pool did not answer as it should; `report` is what it did."""

    def __init__(self, message: str, report: Smoke) -> None:
        super().__init__(message)
        self.report = report


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoke:
    """`seconds_to_first` is from the batch's creation to the first finished line, which holds the cold start when no
    instance was there; `seconds` to its end. Tokens are the batch's usage; what never came is None."""

    batch_id: str
    status: str
    lines: int
    completed: int
    failed: int
    seconds: float
    seconds_to_first: float | None
    input_tokens: int | None
    output_tokens: int | None
    errors: tuple[str, ...] = ()

    @property
    def tokens_per_second(self) -> float | None:
        """Of input and output, between the first finished line and the end; None when that was one moment."""
        if self.seconds_to_first is None or self.input_tokens is None or self.output_tokens is None:
            return None
        working = self.seconds - self.seconds_to_first
        return (self.input_tokens + self.output_tokens) / working if working > 0 else None


def smoke_lines(model: str, endpoint: str, count: int) -> bytes:
    """`count` request lines. Raises CliError for an endpoint that there is none of."""
    if endpoint not in BODIES:
        raise CliError(f"{endpoint!r} is none of {', '.join(ENDPOINTS)}.")
    lines = (
        {
            "custom_id": f"smoke-{n}",
            "method": "POST",
            "url": endpoint,
            "body": {"model": model, **BODIES[endpoint](_PROMPT.format(n=n))},
        }
        for n in range(count)
    )
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def run_smoke(
    api: Api, model: str, endpoint: str, *, count: int, seconds_max: float, tell: Callable[[str], None]
) -> Smoke:  # fmt: skip
    """Runs the lines as a batch of the shortest window. Raises SmokeFailed when one has no result, or after
    `seconds_max`; the batch is cancelled then."""
    content = smoke_lines(model, endpoint, count)
    file = api.post_form("/v1/files", {"purpose": "batch"}, ("smoke.jsonl", content))
    started = time.monotonic()
    batch = api.post(
        "/v1/batches",
        {
            "input_file_id": file["id"],
            "endpoint": endpoint,
            "completion_window": "1h",
            "metadata": {"offpeak": "smoke"},
        },
    )
    tell(f"{batch['id']}: {count} lines for {model}")
    batch, first = _follow(api, batch, started, seconds_max, tell)
    report = _report(batch, count, time.monotonic() - started, first, _errors(api, batch))
    if batch["status"] not in TERMINAL:
        api.post(f"/v1/batches/{batch['id']}/cancel")
        raise SmokeFailed(f"Nothing after {seconds_max:.0f} s; the batch is cancelled.", report)
    if report.completed != count:
        raise SmokeFailed(f"{report.completed} of {count} lines have a result.", report)
    return report


def _follow(
    api: Api, batch: dict[str, Any], started: float, seconds_max: float, tell: Callable[[str], None]
) -> tuple[dict[str, Any], float | None]:  # fmt: skip
    """The batch as it was last seen, and when its first line was finished."""
    first: float | None = None
    status = batch["status"]
    while batch["status"] not in TERMINAL and time.monotonic() - started < seconds_max:
        time.sleep(POLL_SECONDS)
        batch = api.get(f"/v1/batches/{batch['id']}")
        elapsed = time.monotonic() - started
        counts = batch["request_counts"]
        if first is None and counts["completed"] + counts["failed"]:
            first = elapsed
        if batch["status"] != status:
            status = batch["status"]
            tell(f"{elapsed:7.1f} s  {status}")
    return batch, first


def _report(
    batch: Mapping[str, Any], lines: int, seconds: float, first: float | None, errors: tuple[str, ...]
) -> Smoke:  # fmt: skip
    counts, usage = batch["request_counts"], batch.get("usage") or {}
    return Smoke(
        batch_id=batch["id"], status=batch["status"], lines=lines, completed=counts["completed"],
        failed=counts["failed"], seconds=round(seconds, 1),
        seconds_to_first=None if first is None else round(first, 1),
        input_tokens=usage.get("input_tokens"), output_tokens=usage.get("output_tokens"),
        errors=errors,
    )  # fmt: skip


def _errors(api: Api, batch: Mapping[str, Any]) -> tuple[str, ...]:
    """What the batch says, and its first failed lines; at most five."""
    found = [str(error["message"]) for error in (batch.get("errors") or {}).get("data", [])]
    if batch.get("error_file_id"):
        content = b"".join(api.download(f"/v1/files/{batch['error_file_id']}/content"))
        for line in content.splitlines()[:5]:
            row = json.loads(line)
            error = row.get("error") or (row.get("response") or {}).get("body", {}).get("error")
            found.append(f"{row['custom_id']}: {(error or {}).get('message', 'failed')}")
    return tuple(found[:5])
