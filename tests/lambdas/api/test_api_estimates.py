"""`POST /v1/batches/estimate`: a range, what it rests on, and no more digits than that bears."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from offpeak.core.catalogue import Catalogue
from offpeak.core.layout import tokenizer_key
from offpeak.core.ledger import Entry, EntryKind, ModelUsage
from offpeak.core.model import Weights
from offpeak.core.pricing import Prices
from offpeak.core.usage import Usage
from offpeak.steps.post_entries import post_entry
from tests.lambdas.api.client import CATALOGUE, Client, World

PRICED = Catalogue(
    tuple(
        replace(
            model,
            prices=Prices(
                input=130_000, output=400_000, cached_input_write=130_000, cached_input_read=130_000
            ),
            weights=Weights(parameters=8, active_parameters=8),
            instance_types=("ml.g6e.xlarge",),
        )
        for model in CATALOGUE.models
    )
)


class PricedWorld(World):
    catalogue = PRICED


@pytest.fixture
def client() -> Client:
    return Client(PricedWorld())


def lines(count: int, max_tokens: int = 1_000, prompt: str = "x" * 200) -> bytes:
    body = {"model": "chat", "messages": [{"role": "user", "content": prompt}]}
    line = {"method": "POST", "url": "/v1/chat/completions"}
    return b"".join(
        json.dumps({"custom_id": f"c{n}", **line, "body": {**body, "max_tokens": max_tokens}}).encode() + b"\n"
        for n in range(count)
    )  # fmt: skip


def estimate(client: Client, content: bytes, **more: str) -> Any:
    body = {
        "input_file_id": client.upload(content)["id"], "endpoint": "/v1/chat/completions", **more,
    }  # fmt: skip
    answer = client.post("/v1/batches/estimate", body)
    assert answer.status == 200, answer.text
    return answer.json


def test_a_file_is_priced_before_it_runs(client: Client) -> None:
    content = lines(200)
    found = estimate(client, content)
    (model,) = found["models"]
    assert (found["object"], found["requests"], found["is_exact"]) == ("batch.estimate", 200, True)
    assert (model["model"], model["tokens_basis"]) == ("acme/chat-8b", "prior")
    assert model["output_tokens"] == {"low": 10_000, "expected": 100_000, "high": 200_000}
    assert model["input_tokens"]["expected"] == pytest.approx(len(content) / 4, rel=0.05)
    # $0.07 and $0.20 a million: the discounted prices
    tokens = model["input_tokens"]["expected"] * 0.07 + 100_000 * 0.20
    assert found["cost"]["expected"]["microdollars"] == pytest.approx(tokens, rel=0.05)
    done = found["finishes_at"]
    now = client.world.clock.now()
    assert now < done["low"] <= done["expected"] <= done["high"]
    assert any("prior" in note for note in found["notes"])
    assert not client.world.workflows.started


def test_figures_have_two_digits_where_they_rest_on_a_prior(client: Client) -> None:
    found = estimate(client, lines(37))
    for which in ("low", "expected", "high"):
        digits = str(found["cost"][which]["microdollars"]).rstrip("0")
        assert len(digits) <= 2


def test_settled_batches_of_the_account_are_what_it_rests_on(client: Client) -> None:
    used = ModelUsage(
        model="acme/chat-8b", requests=1_000, input_bytes=300_000, cost_microdollars=9,
        usage=Usage(input_tokens=60_000, output_tokens=20_000),
    )  # fmt: skip
    entry = Entry(
        account_id="acct_alice", id="settle:batch_1", kind=EntryKind.SETTLE, microdollars=-9,
        at=int(client.world.clock.now()), source="batch_1", models=(used,),
    )  # fmt: skip
    post_entry(entry, ledger=client.world.ledger, changes=client.world.changes)
    content = lines(200)
    (model,) = estimate(client, content)["models"]
    assert (model["tokens_basis"], model["measured_requests"]) == ("measured", 1_000)
    assert model["output_tokens"]["expected"] == 4_000
    assert model["input_tokens"]["expected"] == pytest.approx(len(content) / 5, rel=0.01)
    (others,) = estimate(client.as_("bob"), content)["models"]
    assert others["tokens_basis"] == "prior"


def test_input_is_tokenised_where_the_models_tokenizer_is_staged(client: Client) -> None:
    client.world.writer.put(tokenizer_key("chat"), b"{}")
    content = lines(200)
    found = estimate(client, content)
    (model,) = found["models"]
    assert (model["tokens_basis"], model["tokenised_requests"]) == ("tokenised", 200)
    assert (model["output_tokens_basis"], model["measured_requests"]) == ("prior", 0)
    # a word of 200 letters, and what ChatML adds to a message
    assert model["input_tokens"] == dict.fromkeys(("low", "expected", "high"), 200 * (1 + 5 + 3))
    tokens = model["input_tokens"]["expected"] * 0.07 + 100_000 * 0.20
    assert found["cost"]["expected"]["microdollars"] == pytest.approx(tokens, rel=0.05)
    notes = " ".join(found["notes"])
    assert "Input tokens rest on a tokenised sample" in notes
    assert "Output tokens rest on a prior" in notes
    assert "Input tokens rest on a prior" not in notes


def test_of_many_requests_some_are_tokenised_and_the_range_says_how_far_off_it_may_be(
    client: Client,
) -> None:
    client.world.writer.put(tokenizer_key("chat"), b"{}")
    content = b"".join(lines(1, prompt="word " * (n % 97)) for n in range(3_000))
    truth = sum(n % 97 + 8 for n in range(3_000))
    (model,) = estimate(client, content)["models"]
    found = model["input_tokens"]
    assert 30 <= model["tokenised_requests"] < 3_000
    assert found["low"] < found["expected"] < found["high"]
    assert found["expected"] == pytest.approx(truth, rel=0.05)


def test_bad_lines_are_counted_and_said(client: Client) -> None:
    found = estimate(client, lines(3) + b"not json\n")
    assert (found["requests"], found["invalid_requests"]) == (3, 1)
    assert any("would be refused" in note for note in found["notes"])


def test_an_empty_file_costs_nothing_and_never_ends(client: Client) -> None:
    found = estimate(client, b"\n")
    assert (found["requests"], found["models"], found["finishes_at"]) == (0, [], None)
    assert found["cost"]["high"]["microdollars"] == 0


def test_a_short_window_is_warned_of(client: Client) -> None:
    content = lines(2_000, max_tokens=16_000)
    found = estimate(client, content, completion_window="1h")
    assert any("completion window" in note for note in found["notes"])


def test_what_can_not_be_estimated_is_refused(client: Client) -> None:
    body = {"input_file_id": "file-nowhere", "endpoint": "/v1/chat/completions"}
    client.post("/v1/batches/estimate", body).error(404, "not_found")
    mine = {**body, "input_file_id": client.upload(lines(1))["id"]}
    client.as_("bob").post("/v1/batches/estimate", mine).error(404, "not_found")
    wrong = {**mine, "endpoint": "/v1/moods"}
    client.post("/v1/batches/estimate", wrong).error(400, "invalid_endpoint")
    late = {**mine, "completion_window": "1y"}
    client.post("/v1/batches/estimate", late).error(400, "invalid_completion_window")
