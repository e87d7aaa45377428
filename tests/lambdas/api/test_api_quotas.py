"""Quotas answer at create: the figure, the limit, what would help, and when to come back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from offpeak.core.account import Limits
from offpeak.core.batch import BatchStatus
from offpeak.core.ports import Save
from offpeak.core.usage import Counts
from tests.lambdas.api.client import Client, World

MODELS = ("acme/chat-8b", "embed")


def _lines(count: int, *models: str) -> bytes:
    """`count` lines of exactly 400 bytes, about 100 tokens each; their models take turns."""
    lines = []
    for number in range(count):
        line = {
            "custom_id": f"{number:04}",
            "body": {"model": models[number % len(models)], "x": ""},
        }
        line["body"]["x"] = "x" * (399 - len(json.dumps(line)))  # type: ignore[index]
        lines.append(json.dumps(line).encode() + b"\n")
    assert {len(line) for line in lines} == {400}
    return b"".join(lines)


@pytest.fixture
def limited(world: World) -> Client:
    """An account that may have 1,000 tokens enqueued for a model."""
    world.add_account("limited", Limits(enqueued_tokens_max=1_000, file_bytes_max=100_000))
    return Client(world, "sk-limited")


def _create(client: Client, content: bytes, **headers: str) -> Any:
    return client.create_batch(client.upload(content)["id"], headers=headers)


def test_more_tokens_than_are_free_are_refused_until_a_batch_ends(limited: Client) -> None:
    first = _create(limited, _lines(6, "chat")).ok("Batch")
    answer = _create(limited, _lines(5, "acme/chat-8b"))
    message = answer.error(429, "token_limit_exceeded")["message"]
    for words in (
        "500 tokens for acme/chat-8b",
        "600 are enqueued",
        "limit is 1,000",
        "cancel one",
    ):
        assert words in message
    assert int(answer.headers["retry-after"]) <= 120
    _create(limited, _lines(4, "chat")).ok("Batch")
    _end(limited.world, first["id"])
    _create(limited, _lines(6, "chat")).ok("Batch")


def _end(world: World, batch_id: str) -> None:
    batch = replace(world.batches.get("acct_limited", batch_id), status=BatchStatus.CANCELLING)
    ended = batch.ended(
        BatchStatus.CANCELLED, counts=Counts(), usage=None, output_file_id=None, error_file_id=None,
        now=1,
    )  # fmt: skip
    world.changes.commit(Save(ended))


def test_models_are_counted_apart_and_so_are_accounts(limited: Client) -> None:
    _create(limited, _lines(10, "chat")).ok("Batch")
    _create(limited, _lines(10, "embed")).ok("Batch")
    _create(limited, _lines(1, "embed")).error(429, "token_limit_exceeded")
    limited.world.add_account("other", Limits(enqueued_tokens_max=1_000))
    _create(limited.as_("other"), _lines(10, "chat")).ok("Batch")


def test_a_file_that_can_never_fit_is_a_mistake_and_not_to_be_sent_again(limited: Client) -> None:
    answer = _create(limited, _lines(11, "chat"))
    message = answer.error(400, "token_limit_exceeded")["message"]
    assert "1,100 tokens" in message
    assert "Split the file" in message
    assert "retry-after" not in answer.headers
    assert limited.get("/v1/batches").json["data"] == []


@pytest.mark.parametrize("content", [_lines(11, *MODELS), b"no json\n" * 900, b""])
def test_what_a_look_cannot_tell_is_left_to_the_planning(limited: Client, content: bytes) -> None:
    assert _create(limited, content).ok("Batch")["status"] == "validating"


def test_a_file_in_the_order_of_its_models_is_not_taken_for_one_model(limited: Client) -> None:
    content = _lines(80, "chat") + _lines(80, "embed")
    assert _create(limited, content).ok("Batch")["status"] == "validating"


def test_no_limit_asks_for_no_look(client: Client) -> None:
    batch = _create(client, _lines(11, "chat")).ok("Batch")
    assert client.world.batches.get("acct_alice", batch["id"]).enqueued_tokens == {}


def test_asking_again_with_the_same_key_is_no_second_batch(limited: Client) -> None:
    file_id = limited.upload(_lines(6, "chat"))["id"]
    first, second = (
        limited.create_batch(file_id, headers={"idempotency_key": "k"}).ok("Batch")
        for _ in range(2)
    )
    assert first["id"] == second["id"]


def test_together_refuses_as_openai_does(limited: Client) -> None:
    _create(limited, _lines(10, "chat")).ok("Batch")
    body = {"input_file_id": limited.upload(_lines(1, "chat"))["id"]}
    answer = limited.post("/together/v1/batches", body)
    answer.error(429, "token_limit_exceeded")
    assert int(answer.headers["retry-after"]) <= 120


def test_a_file_over_the_limit_says_what_would_help(limited: Client) -> None:
    body = {"filename": "f", "purpose": "batch", "bytes": 100_001}
    message = limited.post("/v1/files", body).error(413, "file_too_large")["message"]
    for words in ("100,001 bytes", "limit is 100,000", "Split it"):
        assert words in message
