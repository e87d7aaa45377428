"""What this API does and OpenAI's doesn't: mixed models, other windows; and the endpoints besides chat."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.caller import Caller
from tests.e2e.follow import until_ended
from tests.e2e.lines import assert_each_once_in_input_order, chat_line, ids, jsonl, parse
from tests.e2e.schemas import assert_fits

pytestmark = [pytest.mark.cloud]

MODELS = ("offpeak/tiny-chat", "offpeak/tiny-embed")


def _run(
    caller: Caller, lines: list[dict[str, Any]], endpoint: str, window: str = "24h"
) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """The ended batch, its output and its errors."""
    client = caller.sdk()
    file = client.files.create(file=("lines.jsonl", jsonl(lines)), purpose="batch")
    body = {"input_file_id": file.id, "endpoint": endpoint, "completion_window": window}
    created = caller.call("POST", "/batches", json=body)
    assert created.status_code == 200, created.text
    ended = until_ended(client, created.json()["id"])
    files = (ended.output_file_id, ended.error_file_id)
    output, errors = (parse(client.files.content(each).text) if each else [] for each in files)
    return ended.to_dict(mode="json"), output, errors


def test_the_lines_of_one_file_may_name_different_models(caller: Caller) -> None:
    # Not in turn, so that neither model's lines lie evenly in the file; every seventh line fails.
    lines = [
        chat_line(
            f"mixed-{n:03}", "[[status=400]]" if n % 7 == 0 else f"Line {n}",
            model=MODELS[n * n % 5 % 2],
        )
        for n in range(300)
    ]  # fmt: skip
    ended, output, errors = _run(caller, lines, "/v1/chat/completions")
    assert ended["status"] == "completed"
    assert ended["model"] is None
    assert_fits(ended, "Batch")
    assert_each_once_in_input_order(lines, output, errors)
    assert ids(errors) == [f"mixed-{n:03}" for n in range(0, 300, 7)]
    asked = {line["custom_id"]: line["body"] for line in lines}
    for line in output:
        body = line["response"]["body"]
        assert body["model"] == asked[line["custom_id"]]["model"]
        said = asked[line["custom_id"]]["messages"][0]["content"]
        assert body["choices"][0]["message"]["content"] == said


@pytest.mark.parametrize(("window", "seconds"), [("1h", 3_600), ("36h", 129_600), ("7d", 604_800)])
def test_windows_are_from_an_hour_to_a_week(caller: Caller, window: str, seconds: int) -> None:
    ended, _, _ = _run(caller, [chat_line("only")], "/v1/chat/completions", window)
    assert ended["completion_window"] == window
    assert ended["expires_at"] == ended["created_at"] + seconds


@pytest.mark.parametrize(
    ("endpoint", "body", "kind"),
    [
        ("/v1/completions", {"prompt": "Once"}, "text_completion"),
        ("/v1/embeddings", {"input": "Once"}, "list"),
        ("/v1/responses", {"input": "Once"}, "response"),
    ],
)
def test_other_endpoints_run_too(
    caller: Caller, endpoint: str, body: dict[str, str], kind: str
) -> None:
    line = {
        "custom_id": "only", "method": "POST", "url": endpoint, "body": {"model": MODELS[0], **body},
    }  # fmt: skip
    ended, output, _ = _run(caller, [line], endpoint)
    assert ended["status"] == "completed"
    assert output[0]["response"]["body"]["object"] == kind


def test_results_are_ascii_whatever_was_asked(caller: Caller) -> None:
    text = "Grüße \u2028 — 日本 🚲 \x7f \\u0041"
    _, output, _ = _run(caller, [chat_line("größe-\u2028", text)], "/v1/chat/completions")
    assert output[0]["custom_id"] == "größe-\u2028"
    assert output[0]["response"]["body"]["choices"][0]["message"]["content"] == text
