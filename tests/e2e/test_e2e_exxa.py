"""EXXA's page (`exxa-getting-started.txt`), snippet by snippet, on the local cloud; and what it says beside them."""

from __future__ import annotations

import ast
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from offpeak.aws.connect import Aws
from offpeak.core.request import RequestStatus
from tests.e2e.caller import Caller
from tests.e2e.exxa_snippets import (
    CANCEL,
    CREATE_A_BATCH,
    RESULTS,
    SEND_A_REQUEST,
    STATUS_OF_A_BATCH,
    STATUS_OF_A_REQUEST,
    run_snippet,
)
from tests.e2e.lines import MODEL

pytestmark = [pytest.mark.cloud]

SECONDS_MAX = 120.0
ENDED = frozenset({"completed", "failed", "cancelled"})
ENDLESS = "[[sleep=600]]"
Page = Callable[..., str]


@pytest.fixture
def page(caller: Caller) -> Page:
    """Runs a snippet as this caller; what it printed."""

    def run(snippet: str, **replaced: str) -> str:
        return run_snippet(snippet, caller.base_url, caller.api_key, replaced)[0]

    return run


def send(page: Page, text: str = "Your query here") -> dict[str, Any]:
    """The page's first snippet."""
    printed = page(SEND_A_REQUEST, **{"Your query here": text})
    made: dict[str, Any] = ast.literal_eval(printed)
    return made


def until_status(look: Callable[[], str], wanted: frozenset[str] = ENDED) -> str:
    give_up_at = time.monotonic() + SECONDS_MAX
    while (status := look()) not in wanted:
        assert time.monotonic() < give_up_at, f"still {status} after {SECONDS_MAX} s"
        time.sleep(0.3)
    return status


def status_of(page: Page, id: str) -> str:
    if id.startswith("req_"):
        printed = page(STATUS_OF_A_REQUEST, request_id_here=id)
    else:
        printed = page(STATUS_OF_A_BATCH, batch_id_here=id)
    return str(ast.literal_eval(printed)["status"])


def test_a_request_is_sent_and_read_without_a_batch(page: Page) -> None:
    made = send(page)
    assert made["status"] == "registered"
    assert made["batch_id"] is None
    assert made["expires_at"] - made["created_at"] == 86_400
    assert until_status(lambda: status_of(page, made["id"])) == "completed"
    # The page sends a request's id to the batches' path, too.
    result = json.loads(page(RESULTS, batch_id_here=made["id"]))
    assert result["id"] == made["id"]
    said = result["response"]["body"]["choices"][0]["message"]["content"]
    assert said == "Your query here"


def test_requests_are_grouped_followed_and_read_line_by_line(page: Page, caller: Caller) -> None:
    ids = [send(page, f"Query {n}")["id"] for n in range(2)]
    made = ast.literal_eval(page(CREATE_A_BATCH, request_id1=ids[0], request_id2=ids[1]))
    assert made["metadata"] == {"batch_name": "MyFirstBatch"}
    assert made["status"] in ("registered", "in progress")
    shown = caller.call("GET", f"/requests/{ids[0]}").json()
    assert shown["batch_id"] == made["id"]
    assert until_status(lambda: status_of(page, made["id"])) == "completed"
    lines = [
        json.loads(line) for line in page(RESULTS, batch_id_here=made["id"]).splitlines() if line
    ]
    assert [line["id"] for line in lines] == ids
    said = [line["response"]["body"]["choices"][0]["message"]["content"] for line in lines]
    assert said == ["Query 0", "Query 1"]


def test_a_batch_and_a_request_are_cancelled_while_their_shard_runs(page: Page, aws: Aws) -> None:
    grouped = [send(page, ENDLESS)["id"] for _ in range(2)]
    alone, other = send(page, ENDLESS)["id"], send(page, "Quick")["id"]
    made = ast.literal_eval(page(CREATE_A_BATCH, request_id1=grouped[0], request_id2=grouped[1]))
    until_status(lambda: status_of(page, alone), frozenset({"in progress"}))
    page(CANCEL, batch_id_here=made["id"], request_id_here=alone)
    for request_id in [*grouped, alone]:
        assert status_of(page, request_id) == "cancelled"
    assert status_of(page, made["id"]) == "cancelled"
    # The one beside them is done, since the worker let go of those that would have taken ten minutes.
    assert until_status(lambda: status_of(page, other)) == "completed"

    def results() -> str:
        return page(RESULTS, batch_id_here=made["id"])

    lines = until(lambda: [json.loads(line) for line in results().splitlines() if line], len_is=2)
    assert {line["error"]["code"] for line in lines} == {"request_cancelled"}
    [row] = aws.requests.get_many([alone])
    assert (row.status, row.result) == (RequestStatus.CANCELLED, None)


def until(look: Callable[[], list[Any]], *, len_is: int) -> list[Any]:
    give_up_at = time.monotonic() + SECONDS_MAX
    while len(found := look()) != len_is:
        assert time.monotonic() < give_up_at, found
        time.sleep(0.3)
    return found


def test_cancelling_one_request_leaves_the_others_of_its_batch(page: Page, caller: Caller) -> None:
    ids = [send(page, "Stay")["id"], send(page, ENDLESS)["id"]]
    made = ast.literal_eval(page(CREATE_A_BATCH, request_id1=ids[0], request_id2=ids[1]))
    answer = caller.call("POST", f"/batches/{ids[1]}/cancel")
    assert answer.json()["status"] == "cancelled"
    assert until_status(lambda: status_of(page, made["id"])) == "completed"
    assert [status_of(page, each) for each in ids] == ["completed", "cancelled"]


def test_what_cannot_be_grouped_is_named(
    page: Page, caller: Caller, new_caller: Callable[[], Caller]
) -> None:
    mine = send(page)["id"]
    other = new_caller()
    foreign = other.call(
        "POST", "/requests", json={"request_body": {"model": MODEL, "messages": [
            {"role": "user", "content": "hers"}]}},
    ).json()["id"]  # fmt: skip
    answer = caller.call("POST", "/batches", json={"requests_ids": [mine, foreign]})
    assert answer.status_code == 400
    assert foreign in answer.json()["error"]["message"]
    assert caller.call("GET", f"/requests/{mine}").json()["batch_id"] is None
    assert caller.call("GET", f"/requests/{foreign}").status_code == 404
    assert caller.call("GET", f"/requests/{foreign}/results").status_code == 404


def test_a_batch_of_requests_grows_until_it_has_ended(page: Page, caller: Caller) -> None:
    ids = [send(page, ENDLESS)["id"], send(page)["id"]]
    made = caller.call("POST", "/batches", json={"requests_ids": ids[:1]}).json()
    grown = caller.call("POST", f"/batches/{made['id']}/requests", json={"requests_ids": ids[1:]})
    assert grown.json()["requests_count"] == 2
    caller.call("POST", f"/requests/{ids[0]}/cancel")
    assert until_status(lambda: status_of(page, made["id"])) == "completed"
    late = caller.call("POST", f"/batches/{made['id']}/requests", json={"requests_ids": ids[1:]})
    assert late.status_code == 409


def test_a_large_body_goes_another_way_and_its_result_comes_back(page: Page) -> None:
    text = "many words " * 30_000
    made = send(page, text)
    assert until_status(lambda: status_of(page, made["id"])) == "completed"
    result = json.loads(page(RESULTS, batch_id_here=made["id"]))
    assert result["response"]["body"]["choices"][0]["message"]["content"] == text


def test_results_of_a_batch_that_no_function_could_answer_come_by_a_redirect(
    page: Page, caller: Caller
) -> None:
    """The page's own snippet follows it: to a URL of the account's object, without knowing."""
    texts = [letter * 900_000 for letter in "abcde"]
    ids = [send(page, text)["id"] for text in texts]
    made = ast.literal_eval(page(CREATE_A_BATCH, request_id1=ids[0], request_id2=ids[1]))
    caller.call("POST", f"/batches/{made['id']}/requests", json={"requests_ids": ids[2:]})
    assert until_status(lambda: status_of(page, made["id"])) == "completed"
    answer = caller.call("GET", f"/batches/{made['id']}/results")
    assert (answer.status_code, answer.text) == (302, "")
    printed = page(RESULTS, batch_id_here=made["id"])
    lines = [json.loads(line) for line in printed.splitlines() if line]
    assert [line["id"] for line in lines] == ids
    said = [line["response"]["body"]["choices"][0]["message"]["content"] for line in lines]
    assert said == texts


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": MODEL}, "request_body.messages"),
        ({"model": "nobody's", "messages": [{"role": "user", "content": "x"}]}, "request_body.model"),
        ({"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": True},
         "request_body.stream"),
    ],
)  # fmt: skip
def test_a_request_that_could_not_run_is_refused_at_once(
    caller: Caller, body: dict[str, Any], param: str
) -> None:
    answer = caller.call("POST", "/requests", json={"request_body": body})
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == param
