"""Together's page, its script, through an unmodified `together` SDK 1.x, 2.x or 3.x; and the calls around it.

`together-batch-api.txt`, "How It Works": upload, create, monitor, retrieve. Run in the SDK's own venv with the folder
of the input files; prints what it got as one JSON object. TOGETHER_API_KEY and TOGETHER_BASE_URL say where.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import together
from together import Together

VERSION = str(together.__version__ if hasattr(together, "__version__") else together.version)
IS_1 = VERSION.startswith("1.")
CHAT = "/v1/chat/completions"
ENDED = ("COMPLETED", "FAILED", "EXPIRED", "CANCELLED")


def main(folder: Path) -> None:
    os.chdir(folder)
    client = Together(max_retries=0)
    report: dict[str, Any] = {"sdk": VERSION}
    report.update(page(client))
    report.update(around(client))
    print(json.dumps(report, default=str))  # noqa: T201


def page(client: Any) -> dict[str, Any]:
    # 1. Upload your batch file
    file_resp = client.files.upload(file="batch_input.jsonl", purpose="batch-api")

    # 2. Create the batch job
    batch = create_batch(client, file_resp.id)

    # 3. Monitor progress
    seen = follow(client, batch.id)
    batch_status = seen[-1]

    # 4. Retrieve results when complete
    if status_of(batch_status) == "COMPLETED":
        retrieve_content(client, batch_status.output_file_id, "batch_output.jsonl")
    if batch_status.error_file_id:
        retrieve_content(client, batch_status.error_file_id, "batch_errors.jsonl")
    return {
        "file": plain(file_resp),
        "created": plain(batch),
        "seen": [plain(each) for each in seen],
        "output": read("batch_output.jsonl"),
        "errors": read("batch_errors.jsonl"),
    }


def around(client: Any) -> dict[str, Any]:
    """Cancelling, lists, a file in parts, a bad file, and what is refused."""
    endless = client.files.upload(file="endless.jsonl", purpose="batch-api")
    cancelled = create_batch(client, endless.id)
    answer = (
        client.batches.cancel_batch(cancelled.id) if IS_1 else client.batches.cancel(cancelled.id)
    )
    bad = create_batch(client, client.files.upload(file="bad.jsonl", purpose="batch-api").id)
    large = upload_in_parts(client, Path("batch_input.jsonl"))
    retrieve_content(client, large.id, "large_again.jsonl")
    listed = client.batches.list_batches() if IS_1 else client.batches.list()
    return {
        "cancel_answer": plain(answer),
        "cancelled": plain(follow(client, cancelled.id)[-1]),
        "failed": plain(follow(client, bad.id)[-1]),
        "large": plain(large),
        "large_content": read("large_again.jsonl"),
        "retrieved": plain(client.files.retrieve(large.id)),
        "listed_files": [each.id for each in client.files.list().data],
        "listed_batches": [each.id for each in listed],
        "deleted": plain(client.files.delete(large.id)),
        "unknown": refused(lambda: client.files.retrieve("file-none")),
        "cancel_ended": refused(
            lambda: client.batches.cancel_batch(bad.id) if IS_1 else client.batches.cancel(bad.id)
        ),
    }


def create_batch(client: Any, file_id: str) -> Any:
    if IS_1:
        return client.batches.create_batch(file_id, CHAT)
    return client.batches.create(input_file_id=file_id, endpoint=CHAT).job


def get_batch(client: Any, batch_id: str) -> Any:
    return client.batches.get_batch(batch_id) if IS_1 else client.batches.retrieve(batch_id)


def retrieve_content(client: Any, file_id: str, output: str) -> None:
    if IS_1:
        client.files.retrieve_content(id=file_id, output=output)
    else:
        client.files.content(file_id).write_to_file(output)


def upload_in_parts(client: Any, file: Path) -> Any:
    """As the SDK does it above 5 GiB, by its own class."""
    if IS_1:
        from together.filemanager import MultipartUploadManager
        from together.types import FilePurpose

        return MultipartUploadManager(client.client).upload("files", file, FilePurpose.BatchAPI)
    from together.lib.resources.files import MultipartUploadManager as UploadManager

    url = "/files" if VERSION.startswith("2.") else "/v1/files"
    return UploadManager(client).upload(url, file, "0" * 64, "batch-api")


def follow(client: Any, batch_id: str) -> list[Any]:
    """The batch as it was each time its status or its progress had changed, its end last."""
    seen = [get_batch(client, batch_id)]
    give_up_at = time.monotonic() + 180
    while status_of(seen[-1]) not in ENDED:
        assert time.monotonic() < give_up_at, f"{batch_id} is {seen[-1]} after 180 s"
        time.sleep(0.2)
        batch = get_batch(client, batch_id)
        if (batch.status, batch.progress) != (seen[-1].status, seen[-1].progress):
            seen.append(batch)
    return seen


def status_of(batch: Any) -> str:
    return str(getattr(batch.status, "value", batch.status))


def plain(model: Any) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True)  # type: ignore[no-any-return]


def read(name: str) -> str | None:
    return Path(name).read_text() if Path(name).exists() else None


def refused(call: Any) -> dict[str, Any]:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - each generation has its own
        return {"kind": type(error).__name__, "text": str(error)}
    return {"kind": "none"}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
