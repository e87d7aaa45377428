"""Hive's tasks as chat completions, and their callbacks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.errors import InvalidRequest, Unavailable
from offpeak.core.model import Model
from offpeak.core.request import Request, RequestStatus
from offpeak.wire.hive.bodies import TaskBody
from offpeak.wire.hive.callback import keep_input, render_callback
from offpeak.wire.hive.chat import TEXT_BYTES_MAX, TOKENS_MAX, to_chat
from offpeak.wire.openai.bodies import parse_json

CALLBACK = "https://hooks.example.com/hive"
WIDE = Model(
    id="wide", pool="wide", source="hub", endpoints=("/v1/chat/completions",),
    context_tokens=131_072, completion_tokens_default=4_096, completion_tokens_max=16_384,
)  # fmt: skip

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
said = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": texts}
)


def parse(text: str = "Hi", metadata: Any = None, **options: Any) -> TaskBody:
    fields = {"text_data": text, "callback_url": CALLBACK, "options": options}
    return parse_json(TaskBody, json.dumps({**fields, "metadata": metadata}).encode())


@given(texts.filter(bool), st.none() | texts, st.lists(said), st.booleans())
def test_the_system_prompt_comes_first_and_the_text_last_after_the_history(
    text: str, system: str | None, history: list[dict[str, str]], as_string: bool
) -> None:
    sent = json.dumps(history) if as_string else history
    messages = to_chat(parse(text, system_prompt=system, prompt_history=sent), "m", None)[
        "messages"
    ]
    first = [{"role": "system", "content": system}] if system else []
    assert messages == [*first, *history, {"role": "user", "content": text}]


def test_options_are_passed_on_under_their_own_names() -> None:
    body = parse(top_p=0.5, temperature=0, max_tokens=7)
    assert to_chat(body, "m", WIDE) == {
        "model": "m", "messages": [{"role": "user", "content": "Hi"}], "top_p": 0.5,
        "temperature": 0, "max_tokens": 7,
    }  # fmt: skip
    assert set(to_chat(parse(), "m", WIDE)) == {"model", "messages"}


def test_the_most_diverse_top_p_is_no_top_p() -> None:
    assert "top_p" not in to_chat(parse(top_p=0), "m", WIDE)


def test_an_empty_string_is_no_history() -> None:
    assert len(to_chat(parse(prompt_history=" "), "m", None)["messages"]) == 1


@pytest.mark.parametrize("history", ["<YOUR_PROMPT_HISTORY>", '"text"', "[" * 100_000, "{}", "nul"])
def test_another_string_is_refused_with_what_it_takes(history: str) -> None:
    with pytest.raises(InvalidRequest, match="'role' and 'content'") as refused:
        parse(prompt_history=history)
    assert refused.value.param == "options.prompt_history"


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"top_p": 1.1}, "options.top_p"),
        ({"temperature": -1}, "options.temperature"),
        ({"max_tokens": 0}, "options.max_tokens"),
        ({"max_tokens": "many"}, "options.max_tokens"),
        ({"prompt_history": [{"role": "bee", "content": ""}]}, "options.prompt_history.0.role"),
        ({"prompt_history": '[{"role": "user"}]'}, "options.prompt_history.0.content"),
        ({"frequency": 1}, "options.frequency"),
    ],
)
def test_a_wrong_option_is_refused_by_its_name(options: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(**options)
    assert refused.value.param == param


def test_metadata_has_a_limit() -> None:
    assert parse(metadata={"a": [1]}).metadata == {"a": [1]}
    with pytest.raises(InvalidRequest, match="characters") as refused:
        parse(metadata="x" * 9_000)
    assert refused.value.param == "metadata"


def test_what_can_never_fit_is_refused_at_the_door() -> None:
    with pytest.raises(InvalidRequest) as refused:
        to_chat(parse(max_tokens=TOKENS_MAX + 1), "m", WIDE)
    assert (refused.value.param, refused.value.code) == ("options.max_tokens", "too_many_tokens")
    with pytest.raises(InvalidRequest, match="Shorten") as refused:
        to_chat(parse("x" * TEXT_BYTES_MAX, system_prompt="y"), "m", WIDE)
    assert refused.value.param == "text_data"


@given(st.integers(1, TEXT_BYTES_MAX), st.none() | st.integers(1, TOKENS_MAX))
def test_input_and_output_keep_the_limit_by_our_estimate(length: int, wanted: int | None) -> None:
    chat = to_chat(parse("x" * length, max_tokens=wanted), "m", WIDE)
    generated = chat.get("max_tokens", WIDE.completion_tokens_default)
    assert 1 <= generated <= (wanted or WIDE.completion_tokens_default)
    assert generated == 1 or length / 4 + generated <= TOKENS_MAX


def request(status: RequestStatus = RequestStatus.COMPLETED, code: str | None = None) -> Request:
    return Request(
        id="req_1", account_id="acct_1", model="m", endpoint="/v1/chat/completions",
        completion_window="24h", created_at=0, expires_at=86_400, ended_at=5, accent="hive",
        callback=CALLBACK, status=status, error_code=code,
    )  # fmt: skip


def line(status_code: int, body: Any) -> bytes:
    return json.dumps(
        {"response": {"status_code": status_code, "body": body}, "error": None}
    ).encode()


KEPT = keep_input({"text_data": "Hi", "callback_url": CALLBACK, "metadata": {"a": "ü"}})


def test_a_callback_has_hives_shape_with_the_text_and_its_usage() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    body = {"choices": [{"message": {"content": "Hö"}, "finish_reason": "stop"}], "usage": usage}
    rendered = render_callback(request(), KEPT, line(200, body))
    assert rendered.isascii()
    assert json.loads(rendered) == {
        "id": "req_1", "project_id": "acct_1", "metadata": {"a": "ü"},
        "status": [{
            "status": {"code": "0", "message": "SUCCESS"},
            "response": {
                "input": {
                    "id": "req_1", "created_on": "1970-01-01T00:00:00+00:00", "model": "m",
                    "project_id": "acct_1", "text_data": "Hi",
                },
                "output": [{"text": "Hö", "finish_reason": "stop"}],
                "usage": usage,
            },
        }],
    }  # fmt: skip


def no_answer(message: str) -> bytes:
    return json.dumps({"response": None, "error": {"code": "x", "message": message}}).encode()


@pytest.mark.parametrize(
    ("code", "result", "told"),
    [
        ("http_400", line(400, {"error": {"message": "Too long."}}), ("400", "Too long.")),
        ("http_400", line(400, {"message": "Older."}), ("400", "Older.")),
        ("http_502", line(502, "Bad gateway"), ("502", "Bad gateway")),
        ("http_500", line(500, {"error": None}), ("500", '{"error": null}')),
        ("batch_expired", no_answer("Late."), ("1", "Late.")),
        ("request_expired", None, ("1", "The request could not be finished before its completion window expired.")),
        ("lost", None, ("1", "The request is failed: lost.")),
    ],
)  # fmt: skip
def test_a_failure_is_told_with_another_code_and_its_message(
    code: str, result: bytes | None, told: tuple[str, str]
) -> None:
    (status,) = json.loads(render_callback(request(RequestStatus.FAILED, code), KEPT, result))[
        "status"
    ]
    assert (status["status"]["code"], status["status"]["message"]) == told
    assert (status["response"]["output"], status["response"]["usage"]) == ([], None)
    assert status["response"]["input"]["text_data"] == "Hi"


@pytest.mark.parametrize("result", [b"{", b"[]", b"{}", line(200, {}), line(200, None)])
def test_a_broken_result_line_is_our_own_fault(result: bytes) -> None:
    with pytest.raises(Unavailable):
        render_callback(request(), KEPT, result)
