"""The drop folder's handlers take S3's events, the clock's and the state machine's payloads, over ports in memory."""

from __future__ import annotations

import importlib
import json
from types import ModuleType
from typing import Any

import pytest

from offpeak.core.batch import BatchStatus
from tests.lambdas.test_ingest_handlers import Context
from tests.steps.drop_folder import KEY, LINES, DropFolder


@pytest.fixture
def folder() -> DropFolder:
    return DropFolder()


def _handler(name: str, folder: DropFolder, patch: pytest.MonkeyPatch) -> ModuleType:
    patch.setenv("OFFPEAK_BUCKET", "ours")
    module = importlib.import_module(f"lambdas.{name}.handler")
    patch.setattr(module, "aws", folder)
    if name == "ingest_drop":
        patch.setattr(module, "bucket", "ours")
    return module


def _event(key: str, bucket: str = "ours") -> str:
    return json.dumps({"Records": [{"s3": {"bucket": {"name": bucket}, "object": {"key": key}}}]})


def _records(*bodies: str) -> dict[str, Any]:
    return {"Records": [{"messageId": f"m{n}", "body": body} for n, body in enumerate(bodies)]}


def test_an_event_starts_a_batch_and_a_broken_record_is_named_alone(
    folder: DropFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.writer.put(KEY, LINES)
    handler = _handler("ingest_drop", folder, monkeypatch).handler
    answer = handler(_records("no JSON", _event(KEY), _event(KEY, "theirs")), Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert folder.batch.drop is not None


def test_the_clock_has_progress_told_and_the_state_has_results_delivered(
    folder: DropFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.drop()
    batch = folder.batch
    folder.writer.delete("drop/acct_1/a.status.json")
    _handler("show_drops", folder, monkeypatch).handler({"source": "aws.events"}, Context())
    assert folder.status()["batch"]["id"] == batch.id
    folder.complete(batch)
    ids = {"account_id": "acct_1", "batch_id": batch.id}
    assert _handler("deliver_drop", folder, monkeypatch).handler(ids, Context()) is None
    assert folder.status()["status"] == BatchStatus.COMPLETED
    assert folder.reader.read("drop/acct_1/a.output.jsonl") == b"1\n"
