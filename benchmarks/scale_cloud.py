"""The benchmark of scale through the local cloud: HTTP, the deployed functions, queues, a worker process.

The emulator's S3 holds whole objects in memory and reads all of one for each range: half a million lines, 1 GB, is what
it is good for (`docs/local.md`).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.scale_input import LINE_BYTES, in_parts, input_blocks
from offpeak.cli.client import Api
from offpeak.cli.settings import Settings
from offpeak.cli.upload import upload_file
from offpeak.local.cloud import LocalCloud
from offpeak.local.processes import leave_on_signals

POLL_SECONDS = 0.5
TELL_SECONDS = 10.0
BATCH_SECONDS_MAX = 3_600.0
MIB = 1 << 20
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


def run(lines: int, folder: Path, stages: Any, *, shared: bool) -> tuple[Path, Path, Path | None]:
    """The input's, the output's and the error file's paths."""
    # Whoever stops this stops the cloud's processes, too.
    with (
        leave_on_signals(),
        LocalCloud(engine="echo", folder=folder / "cloud", tell=print) as cloud,
    ):
        cloud.wait_for_workers()
        settings = Settings(cloud.base_url, cloud.api_key)
        return run_on(settings, cloud.model, lines, folder, stages, shared=shared)


def run_on(
    settings: Settings, model: str, lines: int, folder: Path, stages: Any, *, shared: bool
) -> tuple[Path, Path, Path | None]:
    """The same on a deployment that is there."""
    given, output = folder / "input.jsonl", folder / "output.jsonl"
    with given.open("wb") as file:
        for part in in_parts(input_blocks(lines, model, shared=shared), 64 * MIB):
            file.write(part)
    if given.stat().st_size != lines * LINE_BYTES:
        raise SystemExit(f"{given} has {given.stat().st_size:,} bytes.")
    with Api(settings) as api:
        with stages.stage("upload"):
            uploaded = upload_file(api, given, lambda _: None)
        with stages.stage("create"):
            batch = _create(api, uploaded["id"])
        batch = _follow(api, batch, lines, stages)
        errors = _download(api, batch, "error_file_id", folder / "errors.jsonl")
        with stages.stage("download"):
            if _download(api, batch, "output_file_id", output) is None:
                raise SystemExit(f"{batch['id']} has no output.")
    return given, output, errors


def _create(api: Api, file_id: str) -> dict[str, Any]:
    body = {
        "input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h",
    }  # fmt: skip
    return api.post("/v1/batches", body)


def _follow(api: Api, batch: dict[str, Any], lines: int, stages: Any) -> dict[str, Any]:
    """Times each status, as one who polls sees it: validating is validation and plan."""
    started = told = since = time.monotonic()
    status = batch["status"]
    while True:
        now = time.monotonic()
        if batch["status"] != status:
            stages.add(_stage(status), now - since)
            status, since = batch["status"], now
        if status in ENDED:
            break
        if now - started > BATCH_SECONDS_MAX:
            raise SystemExit(f"{batch['id']} is {status} after {BATCH_SECONDS_MAX:,.0f} s.")
        if now - told > TELL_SECONDS:
            told = now
            counts = batch.get("request_counts") or {}
            print(f"  {status}: {counts.get('completed', 0):,} of {lines:,} lines", flush=True)
        time.sleep(POLL_SECONDS)
        batch = api.get(f"/v1/batches/{batch['id']}")
    completed = batch["request_counts"]["completed"]
    if status != "completed" or completed != lines:
        raise SystemExit(f"{batch['id']} ended {status}: {batch['request_counts']}")
    return batch


def _stage(status: str) -> str:
    return {"validating": "validate_and_plan", "in_progress": "run", "finalizing": "finalize"}.get(
        status, status
    )


def _download(api: Api, batch: dict[str, Any], name: str, path: Path) -> Path | None:
    file_id = batch.get(name)
    if not file_id:
        return None
    with path.open("wb") as file:
        for chunk in api.download(f"/v1/files/{file_id}/content"):
            file.write(chunk)
    return path
