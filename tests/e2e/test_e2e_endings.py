"""Batches that end early keep every finished line, and name every line that didn't run."""

from __future__ import annotations

import pytest
from openai import OpenAI
from openai.types import Batch as SdkBatch

from offpeak.aws.connect import Aws
from offpeak.local.cloud import LocalCloud
from tests.e2e.caller import Caller
from tests.e2e.deployment import call_function, let_the_window_pass
from tests.e2e.follow import completed, until, until_ended
from tests.e2e.lines import (
    assert_each_once_in_input_order,
    chat_line,
    chat_lines,
    ids,
    jsonl,
    parse,
)

pytestmark = [pytest.mark.cloud]

# Quick lines and endless ones, in turn, so that neither file is simply the first half.
QUICK = chat_lines(20, "quick")
ENDLESS = [chat_line(f"endless-{n:02}", f"[[sleep=600]] {n}") for n in range(10)]
LINES = [line for n in range(10) for line in (QUICK[2 * n], ENDLESS[n], QUICK[2 * n + 1])]


def _begin(client: OpenAI, lines: list[dict[str, object]]) -> SdkBatch:
    file = client.files.create(file=("lines.jsonl", jsonl(lines)), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )


def _results(client: OpenAI, batch: SdkBatch) -> tuple[list[dict[str, object]], ...]:
    files = (batch.output_file_id, batch.error_file_id)
    return tuple(parse(client.files.content(file).text) if file else [] for file in files)


def _assert_kept_and_named(client: OpenAI, ended: SdkBatch, code: str) -> None:
    output, errors = _results(client, ended)
    assert_each_once_in_input_order(LINES, output, errors)
    assert ids(output) == ids(QUICK)
    assert {(line["error"]["code"], line["response"]) for line in errors} == {(code, None)}  # type: ignore[index]
    counts = ended.request_counts
    assert counts is not None
    assert (counts.total, counts.completed, counts.failed) == (30, 20, 10)


def test_request_counts_move_while_a_shard_runs_and_cancelling_keeps_its_done_lines(
    caller: Caller,
) -> None:
    client = caller.sdk()
    batch = _begin(client, LINES)
    until(client, batch.id, completed(20))
    assert client.batches.cancel(batch.id).status == "cancelling"
    ended = until_ended(client, batch.id)
    assert ended.status == "cancelled"
    _assert_kept_and_named(client, ended, "batch_cancelled")


def test_a_batch_that_is_cancelled_while_it_is_validated_ends_cancelled(caller: Caller) -> None:
    client = caller.sdk()
    batch = _begin(client, LINES)
    client.batches.cancel(batch.id)
    ended = until_ended(client, batch.id)
    assert ended.status == "cancelled"
    output, errors = _results(client, ended)
    if output or errors:  # planning may have been faster than the cancelling
        assert_each_once_in_input_order(LINES, output, errors)


def test_a_batch_past_its_window_expires_and_keeps_its_done_lines(
    cloud: LocalCloud, aws: Aws, caller: Caller
) -> None:
    client = caller.sdk()
    batch = _begin(client, LINES)
    until(client, batch.id, completed(20))
    let_the_window_pass(aws, caller.account_id, batch.id)
    call_function(cloud, "sweep", {})
    ended = until_ended(client, batch.id)
    assert ended.status == "expired"
    assert ended.expired_at is not None
    _assert_kept_and_named(client, ended, "batch_expired")


def test_a_batch_that_will_miss_its_deadline_is_at_risk_before_it_does_and_delivered_as_far_as_it_came(
    cloud: LocalCloud, aws: Aws, caller: Caller
) -> None:
    client = caller.sdk()
    batch = _begin(client, LINES)
    until(client, batch.id, completed(20))

    def at_risk_at() -> int | None:
        call_function(cloud, "sweep", {})
        shown = client.batches.retrieve(batch.id)
        assert shown.status == "in_progress"
        found: int | None = shown.to_dict()["at_risk_at"]  # type: ignore[assignment]
        return found

    assert at_risk_at() is None
    let_the_window_pass(aws, caller.account_id, batch.id, left=400)
    since = at_risk_at()
    assert since is not None
    assert at_risk_at() == since
    let_the_window_pass(aws, caller.account_id, batch.id, left=86_400)
    assert at_risk_at() is None
    let_the_window_pass(aws, caller.account_id, batch.id, left=400)
    assert at_risk_at() is not None
    let_the_window_pass(aws, caller.account_id, batch.id)
    call_function(cloud, "sweep", {})
    ended = until_ended(client, batch.id)
    assert (ended.status, ended.to_dict()["at_risk_at"]) == ("expired", None)
    _assert_kept_and_named(client, ended, "batch_expired")


def test_a_batch_whose_every_line_failed_is_completed_without_an_output_file(
    caller: Caller,
) -> None:
    client = caller.sdk()
    lines = [chat_line(f"bad-{n}", f"[[status=400]] {n}") for n in range(5)]
    ended = until_ended(client, _begin(client, lines).id)
    assert (ended.status, ended.output_file_id) == ("completed", None)
    _, errors = _results(client, ended)
    assert_each_once_in_input_order(lines, errors)
    assert {(line["error"], line["response"]["status_code"]) for line in errors} == {(None, 400)}  # type: ignore[index]


def test_cancelling_an_ended_batch_is_refused_and_not_worth_a_retry(caller: Caller) -> None:
    client = caller.sdk()
    batch = until_ended(client, _begin(client, QUICK).id)
    answer = caller.call("POST", f"/batches/{batch.id}/cancel")
    assert answer.status_code == 409
    assert answer.headers["x-should-retry"] == "false"


def test_cancelling_twice_is_cancelling_once(caller: Caller) -> None:
    client = caller.sdk()
    batch = _begin(client, LINES)
    first, second = (client.batches.cancel(batch.id) for _ in range(2))
    assert {first.status, second.status} <= {"cancelling", "cancelled"}
    assert until_ended(client, batch.id).status == "cancelled"
