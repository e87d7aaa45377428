"""Nebius's page (`nebius-batch-api.txt`): its steps under "How it works", for embeddings and for a fast variant; its
limits. Its worked example is in `test_e2e_models.py` as prices, in `test_e2e_credits.py` as a bill."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from openai.types import Batch

from offpeak.aws.connect import Aws
from offpeak.core.account import Billing
from offpeak.core.ports import Save
from offpeak.local.models import TINY_EMBED
from tests.e2e.caller import Caller
from tests.e2e.follow import until_ended
from tests.e2e.lines import chat_line, ids, jsonl, parse

pytestmark = [pytest.mark.cloud]

BASE, FAST = "Meta/Llama-3.1-70B-Instruct", "Meta/Llama-3.1-70B-Instruct-fast"
EMBEDDINGS = "/v1/embeddings"
DOCUMENTS, TEXTS_A_LINE = 200, 3


def how_it_works(
    caller: Caller, lines: list[dict[str, Any]], endpoint: str
) -> tuple[Batch, list[dict[str, Any]]]:
    """The page's steps in their order; the batch and its results."""
    client = caller.sdk()
    # Prepare your JSONL file: each line a request with a custom ID, method, URL and body.
    assert all(line.keys() == {"custom_id", "method", "url", "body"} for line in lines)
    # Upload your file.
    file = client.files.create(file=("requests.jsonl", jsonl(lines)), purpose="batch")
    # Create a batch: the endpoint, and the completion window within 24 hours.
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint=endpoint,  # type: ignore[arg-type]
        completion_window="24h",
    )
    # Monitor progress and download results.
    ended = until_ended(client, batch.id)
    assert ended.status == "completed", ended.errors
    assert ended.output_file_id is not None
    return ended, parse(client.files.content(ended.output_file_id).text)


def test_all_texts_are_submitted_in_one_file_and_their_embeddings_come_back_in_bulk(
    caller: Caller,
) -> None:
    """ "Embeddings for vector database construction"."""
    lines = [
        {
            "custom_id": f"document-{n}", "method": "POST", "url": EMBEDDINGS,
            "body": {
                "model": TINY_EMBED, "input": [f"Part {part} of {n}." for part in range(TEXTS_A_LINE)],
            },
        }
        for n in range(DOCUMENTS)
    ]  # fmt: skip
    ended, output = how_it_works(caller, lines, EMBEDDINGS)
    assert ended.request_counts is not None
    assert (ended.request_counts.completed, ended.request_counts.failed) == (DOCUMENTS, 0)
    assert ids(output) == ids(lines)
    for line in output:
        vectors = line["response"]["body"]["data"]
        assert [each["index"] for each in vectors] == list(range(TEXTS_A_LINE))
        assert all(isinstance(number, float) for each in vectors for number in each["embedding"])
        assert len({len(each["embedding"]) for each in vectors}) == 1


def test_a_fast_variant_costs_what_its_base_model_does(caller: Caller, aws: Aws) -> None:
    """ "Fast models variants at base model price", to the micro-dollar."""
    account = aws.accounts.get(caller.account_id)
    aws.changes.commit(Save(replace(account, billing=Billing.METER)))
    spent = []
    for name in (BASE, FAST):
        lines = [chat_line(f"c{n}", f"What is {n}?", model=name) for n in range(10)]
        ended, output = how_it_works(caller, lines, "/v1/chat/completions")
        assert ids(output) == ids(lines)
        entries = caller.call("GET", "/usage", params={"group_by": "batch"}).json()["data"]
        of_batch = [r for bucket in entries for r in bucket["results"] if r["batch_id"] == ended.id]
        spent.append(sum(result["amount"]["microdollars"] for result in of_batch))
    assert spent[0] == spent[1] > 0


def test_the_limits_are_the_pages_for_whoever_has_no_others(caller: Caller, aws: Aws) -> None:
    """ "5 million requests per file", "files up to 10 GB", "500 concurrent batches"."""
    limits = aws.accounts.get(caller.account_id).limits
    assert limits.request_lines_max == 5_000_000
    assert limits.file_bytes_max == 10_000_000_000
    assert limits.open_batches_max == 500
    most: dict[str, Any] = {
        "filename": "most.jsonl",
        "purpose": "batch",
        "bytes": limits.file_bytes_max,
    }
    assert caller.call("POST", "/files", json=most).status_code == 200
    refused = caller.call("POST", "/files", json={**most, "bytes": most["bytes"] + 1})
    assert refused.status_code == 413
    assert "10,000,000,000" in refused.json()["error"]["message"]
