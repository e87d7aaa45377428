"""The handlers of ValidateInput, PlanShards and FailBatch take the state machine's payloads, over ports in memory."""

import importlib
import json
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from offpeak.core.account import Account
from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.ports import Add
from offpeak.memory.memory import Memory

ENDPOINT = "/v1/completions"
MODEL = Model(id="tiny", pool="tiny", source="s", endpoints=(ENDPOINT,), context_tokens=100)
BATCH = {"account_id": "acct_1", "batch_id": "batch_1"}


@dataclass
class Context:
    function_name: str = "f"
    memory_limit_in_mb: int = 128
    invoked_function_arn: str = "arn"
    aws_request_id: str = "r"


class World(Memory):
    catalogue = Catalogue((MODEL,))


def _world(content: bytes) -> World:
    world = World()
    world.writer.put("k", content)
    batch = Batch(
        id="batch_1", account_id="acct_1", input_file_id="f", input_key="k",
        input_bytes=len(content), endpoint=ENDPOINT, completion_window="24h", created_at=1,
        expires_at=2,
    )  # fmt: skip
    world.changes.commit(Add(Account(id="acct_1", name="a", created_at=1)), Add(batch))
    return world


def _handler(function: str, world: World, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = importlib.import_module(f"lambdas.{function}.handler")
    monkeypatch.setattr(module, "aws", world)
    return module


def _line(custom_id: str) -> bytes:
    body = {"model": "tiny", "prompt": "hi"}
    line = {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body}
    return json.dumps(line).encode() + b"\n"


@pytest.mark.parametrize(
    ("content", "following", "status"),
    [
        (_line("a") + _line("b"), "run", BatchStatus.IN_PROGRESS),
        (_line("a") + b"{\n", "announce", BatchStatus.FAILED),
    ],
)
def test_a_file_is_validated_and_planned(
    content: bytes, following: str, status: BatchStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = _world(content)
    range_: dict[str, Any] = {**BATCH, "index": 0, "start": 0, "stop": len(content)}
    assert _handler("validate_range", world, monkeypatch).handler(range_, Context()) is None
    planned = {**BATCH, "ranges": 1, "is_reordered": False}
    answer = _handler("plan_shards", world, monkeypatch).handler(planned, Context())
    assert answer == {"next": following, "chunks": []}
    assert world.batches.get("acct_1", "batch_1").status is status


def test_a_fault_fails_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    world = _world(_line("a"))
    answer = _handler("fail_batch", world, monkeypatch).handler(BATCH, Context())
    assert answer == {"next": "announce"}
    assert world.batches.get("acct_1", "batch_1").status is BatchStatus.FAILED
