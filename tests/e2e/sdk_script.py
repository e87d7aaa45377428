"""The batch API through an unmodified OpenAI SDK for Python, 1.x or 3.x. Prints what it got as one JSON object.

Run by `test_e2e_sdks.py` under the interpreter that has the SDK: needs nothing else installed, nor the project.
Environment: OPENAI_BASE_URL, OPENAI_API_KEY. Arguments: a small JSONL file and one of several parts.
`node/batch.mjs` is its twin.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import openai
from openai import APIStatusError, OpenAI

ENDED = ("completed", "failed", "expired", "cancelled")
CHAT: Any = "/v1/chat/completions"


def main(small: Path, large: Path) -> None:
    client = OpenAI(timeout=30.0)
    report: dict[str, Any] = {"sdk": f"python {openai.__version__}"}
    report.update(upload(client, small, large))
    report.update(run_batch(client, report["chunked_file"]["id"]))
    report.update(cancel_batch(client, report["file"]["id"]))
    report["errors"] = {name: refused(call) for name, call in wrong_calls(client, report).items()}
    report["failed"] = plain(follow(client, create(client, "file-000000000000").id)[-1])
    report["deleted"] = plain(client.files.delete(report["file"]["id"]))
    print(json.dumps(report))  # noqa: T201


def plain(model: Any) -> dict[str, Any]:
    """The fields as they were sent."""
    return model.to_dict(mode="json", exclude_unset=True)  # type: ignore[no-any-return]


def upload(client: OpenAI, small: Path, large: Path) -> dict[str, Any]:
    with small.open("rb") as file:
        uploaded = client.files.create(
            file=file, purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
        )
    chunked = client.uploads.upload_file_chunked(
        file=large, mime_type="application/jsonl", purpose="batch", part_size=4 * 1024 * 1024
    )
    assert chunked.file is not None
    return {
        "file": plain(uploaded),
        "upload": plain(chunked),
        "chunked_file": plain(chunked.file),
        "retrieved_file": plain(client.files.retrieve(uploaded.id)),
        "awaited_file": plain(client.files.wait_for_processing(uploaded.id, max_wait_seconds=30)),
        "listed_files": [file.id for file in client.files.list(limit=1, purpose="batch")],
        "content": client.files.content(uploaded.id).text,
        "large_sha256": hashlib.sha256(client.files.content(chunked.file.id).read()).hexdigest(),
    }


def create(client: OpenAI, file_id: str, **extra: Any) -> Any:
    return client.batches.create(
        input_file_id=file_id, endpoint=CHAT, completion_window="24h", **extra
    )


def follow(client: OpenAI, batch_id: str) -> list[Any]:
    """The batch as it was each time its status had changed, its end last."""
    seen = [client.batches.retrieve(batch_id)]
    give_up_at = time.monotonic() + 120
    while seen[-1].status not in ENDED:
        assert time.monotonic() < give_up_at, f"{batch_id} is {seen[-1].status} after 120 s"
        time.sleep(0.2)
        batch = client.batches.retrieve(batch_id)
        seen[len(seen) - (batch.status == seen[-1].status) :] = [batch]
    return seen


def run_batch(client: OpenAI, file_id: str) -> dict[str, Any]:
    created = create(client, file_id, metadata={"test": "e2e", "sdk": "python"})
    seen = follow(client, created.id)
    # More batches than a page holds, so that the list has to turn it.
    others = [create(client, file_id) for _ in range(2)]
    for other in others:
        follow(client, other.id)
    return {
        "created": plain(created),
        "seen": [plain(batch) for batch in seen],
        "output": client.files.content(seen[-1].output_file_id).text,
        "output_file": plain(client.files.retrieve(seen[-1].output_file_id)),
        "other_batches": [other.id for other in others],
        "listed_batches": [batch.id for batch in client.batches.list(limit=1)],
    }


def cancel_batch(client: OpenAI, file_id: str) -> dict[str, Any]:
    created = create(client, file_id)
    cancelling = client.batches.cancel(created.id)
    return {
        "cancelling": plain(cancelling),
        "cancelled": plain(follow(client, created.id)[-1]),
    }


def wrong_calls(client: OpenAI, report: dict[str, Any]) -> dict[str, Any]:
    file_id, batch_id = report["file"]["id"], report["created"]["id"]
    wrong: Any = "fine-tune-results"  # not one of the type's purposes
    window: Any = "25 minutes"
    endpoint: Any = "/v1/audio/speech"
    stranger = client.with_options(api_key="sk-offpeak-no")
    return {
        "wrong_key": stranger.files.list,
        "unknown_file": lambda: client.files.retrieve("file-000000000000"),
        "unknown_content": lambda: client.files.content("file-000000000000"),
        "unknown_batch": lambda: client.batches.retrieve("batch_000000000000"),
        "wrong_purpose": lambda: client.files.create(file=b"{}\n", purpose=wrong),
        "wrong_window": lambda: client.batches.create(
            input_file_id=file_id, endpoint=CHAT, completion_window=window
        ),
        "wrong_endpoint": lambda: client.batches.create(
            input_file_id=file_id, endpoint=endpoint, completion_window="24h"
        ),
        "cancel_ended": lambda: client.batches.cancel(batch_id),
    }


def refused(call: Any) -> dict[str, Any]:
    try:
        call()
    except APIStatusError as error:
        kind = type(error).__name__
        return {"kind": kind, "status": error.status_code, "body": error.response.json()}
    return {"kind": "none"}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
