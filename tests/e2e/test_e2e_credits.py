"""Money from end to end: credits by the operator's command line, batches by an SDK, the books to the micro-dollar."""

from __future__ import annotations

import json
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from offpeak.aws.connect import Aws
from offpeak.core.account import Billing
from offpeak.core.layout import tokenizer_key
from offpeak.core.ledger import EVER, EntryKind
from offpeak.core.pricing import batch_prices, cost_microdollars
from offpeak.core.usage import Usage
from offpeak.local.cloud import LocalCloud
from offpeak.local.models import PRICES, pool_name
from offpeak.steps.set_billing import set_billing
from tests.e2e.caller import Caller
from tests.e2e.command import offpeak
from tests.e2e.follow import completed, until, until_ended
from tests.e2e.lines import MODEL, chat_line, chat_lines, jsonl, parse
from tests.tiny_tokenizer import tiny_tokenizer_json

pytestmark = [pytest.mark.cloud]

MODELS = ("offpeak/tiny-chat", "offpeak/tiny-embed")
Credits = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def credits_of(cloud: LocalCloud, caller: Caller, tmp_path: Path) -> Credits:
    """`offpeak credits VERB ACCOUNT …` for the caller's account."""
    environment = {**cloud.environment, "OFFPEAK_STAGE": "local"}

    def run(verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = offpeak(
            "credits", verb, caller.account_id, *arguments, environment=environment, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


def entries(aws: Aws, caller: Caller) -> dict[EntryKind, int]:
    """The account's entries, added up by kind."""
    page = aws.ledger.entries(
        caller.account_id, start=0, stop=EVER, limit=1_000, after=None, ascending=True
    )
    sums: dict[EntryKind, int] = defaultdict(int)
    for entry in page.rows:
        sums[entry.kind] += entry.microdollars
    return dict(sums)


def cost_of(output: list[dict[str, Any]]) -> int:
    """What an output file's lines cost, model by model."""
    used: dict[str, Usage] = defaultdict(Usage)
    for line in output:
        body = line["response"]["body"]
        used[body["model"]] += Usage(
            input_tokens=body["usage"]["prompt_tokens"],
            cached_tokens=(body["usage"].get("prompt_tokens_details") or {}).get(
                "cached_tokens", 0
            ),
            output_tokens=body["usage"]["completion_tokens"],
        )
    return sum(cost_microdollars(batch_prices(PRICES), usage) for usage in used.values())


def create(caller: Caller, lines: list[dict[str, Any]]) -> str:
    client = caller.sdk()
    file = client.files.create(file=("lines.jsonl", jsonl(lines)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    return batch.id


def test_a_batch_is_charged_to_the_microdollar_for_what_succeeded(
    caller: Caller, aws: Aws, credits_of: Credits, tmp_path: Path
) -> None:
    credits_of("set-billing", "enforce")
    credits_of("add", "5", "--note", "first", "--reference", "invoice 1")
    credits_of("add", "5", "--note", "first", "--reference", "invoice 1")  # told twice, added once
    # Of two models, and every seventh line fails.
    lines = [
        chat_line(
            f"c{n:03}", "[[status=400]]" if n % 7 == 0 else f"What is {n}?",
            model=MODELS[n * n % 5 % 2],
        )
        for n in range(150)
    ]  # fmt: skip
    client = caller.sdk()
    ended = until_ended(client, create(caller, lines))
    assert ended.status == "completed"
    assert ended.output_file_id is not None
    output = parse(client.files.content(ended.output_file_id).text)
    cost = cost_of(output)
    assert cost > 0
    balance = aws.ledger.balance(caller.account_id)
    assert (balance.microdollars, balance.held_microdollars) == (5_000_000 - cost, 0)
    sums = entries(aws, caller)
    assert sums[EntryKind.HOLD] == -sums[EntryKind.RELEASE] < 0
    assert sums[EntryKind.SETTLE] == -cost
    assert sum(sums.values()) == balance.microdollars

    (bucket,) = caller.call("GET", "/usage", params={"group_by": "model,batch"}).json()["data"]
    results = bucket["results"]
    assert {result["model"] for result in results} == set(MODELS)
    assert {result["batch_id"] for result in results} == {ended.id}
    assert sum(result["num_model_requests"] for result in results) == len(output)
    assert sum(result["amount"]["microdollars"] for result in results) == cost
    free = caller.call("GET", "/credits").json()["free"]["microdollars"]
    assert free == balance.microdollars

    shown = credits_of("show").stdout.strip().split("\t")
    assert shown[0::2] == [caller.account_id, "enforce", "$0.00"]
    kinds = [line.split("\t")[1] for line in credits_of("ledger").stdout.splitlines()]
    assert sorted(kinds) == ["credit", "hold", "release", "settle"]
    used = offpeak(
        "usage", "--by", "batch", cwd=tmp_path,
        environment={"OFFPEAK_BASE_URL": caller.base_url, "OFFPEAK_API_KEY": caller.api_key},
    )  # fmt: skip
    assert ended.id in used.stdout, used.stderr


def send_request(caller: Caller, text: str) -> httpx.Response:
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 16}
    return caller.call("POST", "/requests", json={"request_body": body})


def used_by(caller: Caller) -> tuple[int, int]:
    """Requests and micro-dollars that the account's usage shows."""
    buckets = caller.call("GET", "/usage", params={"group_by": "model"}).json()["data"]
    results = [result for bucket in buckets for result in bucket["results"]]
    assert {result["model"] for result in results} <= {MODEL}
    requests = sum(result["num_model_requests"] for result in results)
    return requests, sum(result["amount"]["microdollars"] for result in results)


def test_accounts_whose_requests_gather_together_pay_each_for_its_own(
    new_caller: Callable[[], Caller], aws: Aws
) -> None:
    callers = [new_caller() for _ in range(2)]
    billing = (Billing.METER, Billing.OFF)
    for caller, mode in zip(callers, billing, strict=True):
        set_billing(caller.account_id, mode, accounts=aws.accounts, changes=aws.changes)
    sent: dict[str, list[str]] = defaultdict(list)
    # Of the first's seven requests two fail, of the second's four one does.
    for n in range(7):
        for caller in callers[: 2 if n < 4 else 1]:
            answer = send_request(caller, "[[status=400]]" if n % 4 == 2 else f"What is {n}?")
            assert answer.status_code == 201, answer.text
            sent[caller.account_id].append(answer.json()["id"])

    def found(caller: Caller) -> list[dict[str, Any]]:
        ids = sent[caller.account_id]
        results = [caller.call("GET", f"/requests/{each}/results") for each in ids]
        return [each.json() for each in results if each.status_code == 200]

    give_up_at = time.monotonic() + 180.0
    # A request has its result a moment before its shard is settled; those that failed may be in a later shard.
    while [(used_by(each)[0], len(found(each))) for each in callers] != [(5, 7), (3, 4)]:
        assert time.monotonic() < give_up_at, [used_by(caller) for caller in callers]
        time.sleep(0.5)
    for caller, mode in zip(callers, billing, strict=True):
        results = found(caller)
        output = [each for each in results if each["status"] == "completed"]
        _, paid = used_by(caller)
        # Rounded once a shard; each of the shards may differ by half a micro-dollar from the exact sum.
        assert abs(paid - cost_of(output)) <= len(output)
        assert paid > 0
        balance = aws.ledger.balance(caller.account_id).microdollars
        assert balance == sum(entries(aws, caller).values())
        assert balance == (-paid if mode is Billing.METER else 0)


def test_a_stand_alone_request_is_refused_without_the_minimum(
    caller: Caller, credits_of: Credits
) -> None:
    credits_of("set-billing", "enforce")
    answer = send_request(caller, "Hello?")
    assert answer.status_code == 402
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json()["error"]["code"] == "insufficient_credits"
    credits_of("add", "1")
    assert send_request(caller, "Hello?").status_code == 201


def test_a_cancelled_batch_pays_for_what_was_done_and_gets_the_rest_back(
    caller: Caller, aws: Aws, credits_of: Credits
) -> None:
    credits_of("set-billing", "enforce")
    credits_of("add", "5")
    # The last line would take an hour, and is stopped.
    batch_id = create(caller, [*chat_lines(20), chat_line("endless", "[[sleep=3600]]")])
    client = caller.sdk()
    until(client, batch_id, completed(20))
    assert aws.ledger.balance(caller.account_id).held_microdollars > 0
    client.batches.cancel(batch_id)
    ended = until_ended(client, batch_id, 120.0)
    assert ended.status == "cancelled"
    assert ended.output_file_id is not None
    output = parse(client.files.content(ended.output_file_id).text)
    balance = aws.ledger.balance(caller.account_id)
    assert len(output) == 20
    assert (balance.microdollars, balance.held_microdollars) == (5_000_000 - cost_of(output), 0)


def test_without_the_minimum_no_batch_is_taken_and_the_sdk_does_not_repeat(
    caller: Caller, credits_of: Credits
) -> None:
    credits_of("set-billing", "enforce")
    credits_of("add", "0.199999")
    with pytest.raises(openai.APIStatusError) as caught:
        create(caller, chat_lines(1))
    assert caught.value.status_code == 402
    assert caught.value.code == "insufficient_credits"
    assert "$0.199999" in caught.value.message


def test_a_batch_that_the_account_can_not_bear_fails_and_costs_nothing(
    caller: Caller, aws: Aws, credits_of: Credits
) -> None:
    credits_of("set-billing", "enforce")
    credits_of("add", "0.20")
    # 2,100 answers of up to 600 tokens: 500 each are expected, at $0.20 a million.
    ended = until_ended(caller.sdk(), create(caller, chat_lines(2_100, max_tokens=600)))
    assert ended.status == "failed"
    assert ended.errors is not None
    assert ended.errors.data is not None
    (error,) = ended.errors.data
    assert error.code == "insufficient_credits"
    assert "$0.20 of this account's credits are free" in (error.message or "")
    assert entries(aws, caller) == {EntryKind.CREDIT: 200_000}


def test_a_file_is_priced_before_it_runs_and_the_upload_goes_again(
    caller: Caller, aws: Aws, tmp_path: Path
) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(jsonl(chat_lines(30)))
    environment = {"OFFPEAK_BASE_URL": caller.base_url, "OFFPEAK_API_KEY": caller.api_key}
    done = offpeak("estimate", str(path), "--json", environment=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["requests"], found["is_exact"]) == (30, True)
    assert found["models"][0]["output_tokens_limit"] == 30 * 16
    assert found["cost"]["low"]["microdollars"] <= found["cost"]["high"]["microdollars"]
    spoken = offpeak("estimate", str(path), environment=environment, cwd=tmp_path)
    assert "requests     30" in spoken.stdout
    assert "prior" in spoken.stderr
    key = tokenizer_key(pool_name(MODEL))
    aws.writer.put(key, tiny_tokenizer_json())
    try:
        spoken = offpeak("estimate", str(path), environment=environment, cwd=tmp_path)
        assert "(tokenised: 30 requests)" in spoken.stdout, spoken.stderr
    finally:
        aws.writer.delete(key)
    assert caller.sdk().files.list().data == []
