"""Each thing that can be wrong with a line: its code, its message, its param."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.batch import Accent
from offpeak.core.catalogue import ENDPOINTS, Catalogue, Model
from offpeak.wire.jsonl import LINE_BYTES_MAX
from offpeak.wire.line_checker import BadLine, GoodLine, LineChecker
from offpeak.wire.prompts import prompt_reader
from offpeak.wire.request_lines import (
    read_custom_id,
    read_line,
)

CHAT = "/v1/chat/completions"
TINY = Model(
    id="tiny", aliases=("small",), pool="tiny", source="s", context_tokens=8_192,
    endpoints=(CHAT, "/v1/completions", "/v1/responses"), completion_tokens_max=100,
)  # fmt: skip
EMBED = Model(
    id="embed", pool="embed", source="s", context_tokens=512, endpoints=("/v1/embeddings",)
)
SEES = replace(TINY, id="sees", aliases=(), pool="sees", modality="vision")
CATALOGUE = Catalogue((TINY, EMBED, SEES))
PNG = "data:image/png;base64,iVBORw0KGgo="
PROMPTS: dict[str, dict[str, Any]] = {
    CHAT: {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]},
    "/v1/completions": {"model": "tiny", "prompt": "hi"},
    "/v1/embeddings": {"model": "embed", "input": "hi"},
    "/v1/responses": {"model": "tiny", "input": "hi"},
}
ABSENT = object()


def _fields(**changes: Any) -> dict[str, Any]:
    fields = {"custom_id": "a", "method": "POST", "url": CHAT, "body": PROMPTS[CHAT], **changes}
    return {name: value for name, value in fields.items() if value is not ABSENT}


def _with_body(endpoint: str = CHAT, **changes: Any) -> dict[str, Any]:
    body = {**PROMPTS[endpoint], **changes}
    kept = {name: value for name, value in body.items() if value is not ABSENT}
    return _fields(url=endpoint, body=kept)


def _check(line: bytes | dict[str, Any] | None, endpoint: str = CHAT) -> GoodLine | BadLine:
    raw = json.dumps(line).encode() if isinstance(line, dict) else line
    return LineChecker(endpoint, CATALOGUE, LINE_BYTES_MAX).check(raw, 7)


def _refused(line: bytes | dict[str, Any] | None, endpoint: str = CHAT) -> BadLine:
    checked = _check(line, endpoint)
    assert isinstance(checked, BadLine)
    assert checked.error.line == 7
    return checked


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_each_endpoint_takes_its_request(endpoint: str) -> None:
    checked = _check(_with_body(endpoint), endpoint)
    assert isinstance(checked, GoodLine)
    assert checked.custom_id == "a"
    assert checked.model is (EMBED if endpoint == "/v1/embeddings" else TINY)


@pytest.mark.parametrize(
    "line",
    [
        _with_body(model="small"),
        _with_body(stream=False),
        _with_body(stream=None),
        _with_body(max_tokens=100),
        _with_body(max_completion_tokens=0, max_tokens=None),
        _with_body(n=2, tools=[{}], unheard_of={"a": 1e300}),
        _fields(custom_id="é" * 512, extra=1),
    ],
)
def test_what_openai_allows_is_allowed(line: dict[str, Any]) -> None:
    assert isinstance(_check(line), GoodLine)


@pytest.mark.parametrize(
    "prompt", ["", "text", ["a", "b"], [1, 2], [[1], [2]], [1] * 8_192, ["a"] * 2_048]
)
def test_prompts_are_text_or_arrays(prompt: Any) -> None:
    line = _with_body("/v1/completions", prompt=prompt)
    assert isinstance(_check(line, "/v1/completions"), GoodLine)


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(_fields()).encode() + b"\r",
        b" \t" + json.dumps(_fields()).encode(),
        json.dumps(_fields()).encode().replace(b"/", rb"\/"),  # as PHP writes them
        json.dumps(_fields(custom_id="ü"), ensure_ascii=False).encode(),
        b'{"custom_id":1,"method":"GET",' + json.dumps(_fields()).encode()[1:],
        b'{"body":{},"url":"",' + json.dumps(_fields()).encode()[1:],
    ],
)
def test_line_endings_whitespace_and_duplicate_keys_are_tolerated(line: bytes) -> None:
    assert isinstance(_check(line), GoodLine)


INVALID_JSON = [
    (b"", "blank"),
    (b" \t\r", "blank"),
    (b"not JSON", "not valid JSON"),
    (b'{"custom_id": "a"', "not valid JSON"),
    (b"{} {}", "not valid JSON"),
    (b"[1]", "not an object"),
    (b'"text"', "not an object"),
    (b"null", "not an object"),
    (b'{"custom_id": NaN}', "not valid JSON"),
    (b'{"custom_id": Infinity}', "not valid JSON"),
    (b'{"custom_id": "\xff"}', "not UTF-8"),
    (b'{"custom_id": "\xed\xa0\x80"}', "not UTF-8"),
    (json.dumps(_with_body(extra="?")).encode().replace(b"?", b"\xc3"), "not UTF-8"),
    (rb'{"custom_id": "\ud800"}', "not valid JSON"),
    (b"\xef\xbb\xbf{}", "not valid JSON"),
    ("{}".encode("utf-16"), "not UTF-8"),
    (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested too deeply"),
    (b"[" * 10_000 + b"]" * 10_000, "nested too deeply"),
    (
        json.dumps(_with_body(extra=0)).encode().replace(b": 0", b": " + b"[" * 10_000 + b"]" * 10_000),
        "nested too deeply",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("line", "says"), INVALID_JSON)
def test_what_is_no_json_object_is_an_invalid_json_line(line: bytes, says: str) -> None:
    error = _refused(line).error
    assert (error.code, error.param) == ("invalid_json_line", None)
    assert says in error.message


def _with_value(value: bytes, **where: Any) -> bytes:
    """A good line, with this in the place of the "?" of a field that only the engine will look at."""
    return json.dumps(_with_body(**where)).encode().replace(b'"?"', value)


SKIPPED: list[dict[str, Any]] = [
    {"extra": "?"},
    {"messages": [{"role": "user", "content": "?"}]},
]


@pytest.mark.parametrize("where", SKIPPED)
@pytest.mark.parametrize(("value", "says"), [
    (b"NaN", "not valid JSON"), (b"-Infinity", "not valid JSON"), (b"01", "not valid JSON"),
    (b"[1,]", "not valid JSON"), (b"'a'", "not valid JSON"), (b'"\t"', "not valid JSON"),
    (rb'"\x"', "not valid JSON"), (rb'"\u12"', "not valid JSON"), (rb'"\ud800"', "not valid JSON"),
    (b'"\xff"', "not UTF-8"), (b'"\xed\xa0\x80"', "not UTF-8"), (b'"\xc3', "not UTF-8"),
    (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
])  # fmt: skip
def test_what_the_decoder_skips_is_json_too(value: bytes, says: str, where: dict[str, Any]) -> None:
    error = _refused(_with_value(value, **where)).error
    assert (error.code, error.param) == ("invalid_json_line", None)
    assert says in error.message


@pytest.mark.parametrize("where", SKIPPED)
@pytest.mark.parametrize(
    "value",
    [b"1e999", b"9" * 5_000, b"-" + b"9" * 5_000, b"[" * 500 + b"]" * 500, b'{"a":1,"a":2}'],
)
def test_a_number_of_any_size_is_left_to_the_engine(value: bytes, where: dict[str, Any]) -> None:
    line = _with_value(value, **where)
    assert isinstance(_check(line), GoodLine)
    assert value in read_line(line, 1).body


@pytest.mark.parametrize("value", [b"9" * 5_000, b"1e999", b"1e2", b"100.0", b"NaN", b'"5"'])
def test_a_limit_is_a_whole_number_however_it_is_written(value: bytes) -> None:
    refused = _refused(_with_value(value, max_tokens="?")).error
    assert refused.code in {"invalid_json_line", "invalid_request"}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    "changes", [{}, {"tools": [{"name": "a_b"}]}, {"tools": None}, {"instructions": "Be brief."}]
)
def test_a_good_line_says_its_prompt_as_the_worker_will_read_it(
    endpoint: str, changes: dict[str, Any]
) -> None:
    line = json.dumps(_with_body(endpoint, **changes)).encode()
    checked = _check(line, endpoint)
    assert isinstance(checked, GoodLine)
    assert checked.prompt == prompt_reader(endpoint).read(line)
    assert bool(checked.prompt) == (endpoint != "/v1/embeddings")


def test_of_a_key_that_comes_twice_the_last_counts_wherever_it_is_read() -> None:
    line = b'{"custom_id":"a",%b,"custom_id":"b"}' % json.dumps(_fields()).encode()[1:-1]
    checked = _check(line)
    assert isinstance(checked, GoodLine)
    assert checked.custom_id == read_line(line, 1).custom_id == read_custom_id(line) == "b"


REFUSED: list[tuple[dict[str, Any], str, str, str]] = [
    (_fields(custom_id=ABSENT), "missing_required_parameter", "custom_id", "Missing required"),
    (_fields(custom_id=None), "missing_required_parameter", "custom_id", "Missing required"),
    (_fields(custom_id=""), "missing_required_parameter", "custom_id", "is empty"),
    (_fields(custom_id=5), "invalid_request", "custom_id", "must be a string"),
    (_fields(custom_id="x" * 513), "invalid_request", "custom_id", "at most 512"),
    (_fields(method=ABSENT), "missing_required_parameter", "method", "Missing required"),
    (_fields(method=""), "missing_required_parameter", "method", "is empty"),
    (_fields(method="GET"), "invalid_request", "method", "Only 'POST'"),
    (_fields(method="post"), "invalid_request", "method", "Only 'POST'"),
    (_fields(url=ABSENT), "missing_required_parameter", "url", "Missing required"),
    (_fields(url=""), "missing_required_parameter", "url", "is empty"),
    (_fields(url="/v1/nowhere"), "invalid_url", "url", "not supported"),
    (_fields(url="/v1/embeddings"), "url_mismatch", "url", "differs from the batch's endpoint"),
    (_fields(body=ABSENT), "missing_required_parameter", "body", "Missing required"),
    (_fields(body={}), "missing_required_parameter", "body", "is empty"),
    (_fields(body="{}"), "invalid_request", "body", "must be an object"),
    (_with_body(model=ABSENT), "missing_required_parameter", "body.model", "Missing required"),
    (_with_body(model=""), "missing_required_parameter", "body.model", "is empty"),
    (_with_body(model=["tiny"]), "invalid_request", "body.model", "must be a string"),
    (_with_body(model="gpt-9"), "model_not_found", "body.model", "'gpt-9' does not exist"),
    (_with_body(model="embed"), "invalid_request", "body.model", "does not serve"),
    (_with_body(stream=True), "streaming_unsupported", "body.stream", "can't stream"),
    (_with_body(stream="true"), "streaming_unsupported", "body.stream", "can't stream"),
    (_with_body(stream=0), "invalid_request", "body.stream", "must be a boolean"),
    (_with_body(messages=ABSENT), "missing_required_parameter", "body.messages", "Missing"),
    (_with_body(messages=[]), "missing_required_parameter", "body.messages", "is empty"),
    (_with_body(messages="hi"), "invalid_request", "body.messages", "must be an array"),
    (_with_body(max_tokens=101), "invalid_request", "body.max_tokens", "at most 100 tokens"),
    (_with_body(max_tokens=10**30), "invalid_request", "body.max_tokens", "at most 100 tokens"),
    (_with_body(max_tokens=-1), "invalid_request", "body.max_tokens", "whole number"),
    (_with_body(max_tokens=1.5), "invalid_request", "body.max_tokens", "whole number"),
    (_with_body(max_tokens=True), "invalid_request", "body.max_tokens", "whole number"),
    (_with_body(n=0), "invalid_request", "body.n", "from 1 to 128"),
    (_with_body(n=129), "invalid_request", "body.n", "from 1 to 128"),
    (_with_body(n="2"), "invalid_request", "body.n", "from 1 to 128"),
    (
        _with_body(max_completion_tokens=101),
        "invalid_request", "body.max_completion_tokens", "at most 100 tokens",
    ),
]  # fmt: skip


def _seeing(url: Any, model: str = "sees") -> dict[str, Any]:
    part = {"type": "image_url", "image_url": {"url": url}}
    return _with_body(model=model, messages=[{"role": "user", "content": [part]}])


@pytest.mark.parametrize(
    "url", [PNG, "https://example.com/cat.png", "s3://bucket/drop/acct_1/1.png"]
)
def test_a_vision_model_takes_images_as_data_by_https_and_from_the_drop_folder(url: str) -> None:
    checked = _check(_seeing(url))
    assert isinstance(checked, GoodLine)
    assert checked.model is SEES


@pytest.mark.parametrize(
    "url",
    [None, "", "cat.png", "ftp://a.example.com/1", "https://169.254.169.254/", "data:,", "s3://b"],
)
def test_an_image_that_nobody_could_fetch_is_refused_where_it_stands(url: Any) -> None:
    error = _refused(_seeing(url)).error
    assert (error.code, error.param) == (
        "invalid_image_url",
        "body.messages.0.content.0.image_url.url",
    )


def test_a_text_model_refuses_images_and_takes_texts_that_only_speak_of_them() -> None:
    error = _refused(_seeing(PNG, "tiny")).error
    assert (error.code, error.param) == (
        "invalid_request",
        "body.messages.0.content.0.image_url.url",
    )
    assert "tiny takes no images" in error.message
    content = [{"type": "text", "text": '{"image_url": "cat.png"}'}]
    assert isinstance(_check(_with_body(messages=[{"role": "user", "content": content}])), GoodLine)
    responses = _with_body(
        "/v1/responses", input=[{"content": [{"type": "input_image", "image_url": PNG}]}]
    )
    assert "takes no images" in _refused(responses, "/v1/responses").error.message


def test_media_that_an_engine_would_fetch_by_itself_are_refused() -> None:
    part = {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}
    line = _with_body(model="sees", messages=[{"role": "user", "content": [part]}])
    assert "images are the only media" in _refused(line).error.message


def test_a_model_that_is_known_but_not_deployed_is_said_to_be_just_that() -> None:
    checker = LineChecker(CHAT, Catalogue((TINY, EMBED), frozenset({"embed"})), LINE_BYTES_MAX)
    checked = checker.check(json.dumps(_with_body(model="small")).encode(), 7)
    assert isinstance(checked, BadLine)
    assert (checked.error.code, checked.error.param) == ("model_not_found", "body.model")
    assert "'small' is in the catalogue, but not deployed here" in checked.error.message


def test_a_slip_in_a_models_name_is_pointed_at() -> None:
    assert "Did you mean 'small'?" in _refused(_with_body(model="smal")).error.message


@pytest.mark.parametrize(("line", "code", "param", "says"), REFUSED)
def test_each_mistake_has_its_code_its_param_and_a_sentence(
    line: dict[str, Any], code: str, param: str, says: str
) -> None:
    error = _refused(line).error
    assert (error.code, error.param) == (code, param)
    assert says in error.message
    assert len(error.message) < 300


@pytest.mark.parametrize(
    ("endpoint", "changes", "code", "param"),
    [
        ("/v1/completions", {"prompt": ABSENT}, "missing_required_parameter", "body.prompt"),
        ("/v1/completions", {"prompt": None}, "missing_required_parameter", "body.prompt"),
        ("/v1/completions", {"prompt": []}, "missing_required_parameter", "body.prompt"),
        ("/v1/completions", {"prompt": {}}, "invalid_request", "body.prompt"),
        ("/v1/completions", {"max_tokens": 101}, "invalid_request", "body.max_tokens"),
        ("/v1/completions", {"best_of": 129}, "invalid_request", "body.best_of"),
        ("/v1/completions", {"prompt": [1] * 8_193}, "invalid_request", "body.prompt"),
        ("/v1/completions", {"prompt": [[1], [1] * 8_193]}, "invalid_request", "body.prompt"),
        ("/v1/completions", {"prompt": ["a"] * 2_049}, "invalid_request", "body.prompt"),
        ("/v1/embeddings", {"input": [1] * 513}, "invalid_request", "body.input"),
        ("/v1/embeddings", {"input": ["a"] * 2_049}, "invalid_request", "body.input"),
        ("/v1/embeddings", {"input": ABSENT}, "missing_required_parameter", "body.input"),
        ("/v1/embeddings", {"input": 5}, "invalid_request", "body.input"),
        ("/v1/embeddings", {"model": "tiny"}, "invalid_request", "body.model"),
        ("/v1/responses", {"input": ABSENT}, "missing_required_parameter", "body.input"),
        ("/v1/responses", {"stream": True}, "streaming_unsupported", "body.stream"),
        ("/v1/responses", {"max_output_tokens": 101}, "invalid_request", "body.max_output_tokens"),
    ],
)  # fmt: skip
def test_each_endpoint_asks_for_its_own_fields(
    endpoint: str, changes: dict[str, Any], code: str, param: str
) -> None:
    error = _refused(_with_body(endpoint, **changes), endpoint).error
    assert (error.code, error.param) == (code, param)


def test_a_line_over_the_limit_is_refused_unread() -> None:
    error = _refused(None).error
    assert (error.code, error.param) == ("line_too_long", None)
    assert "1,000,000 bytes" in error.message


def test_a_refused_line_is_still_known_by_its_custom_id() -> None:
    assert _refused(_fields(custom_id="mine", method="GET")).custom_id == "mine"
    assert _refused(_fields(custom_id=5)).custom_id is None
    assert _refused(b"{").custom_id is None


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
FIELDS = st.sampled_from(
    ["custom_id", "method", "url", "body.model", "body.stream", "body.max_tokens", "body.messages",
     "body.prompt", "body.input", "body.max_output_tokens", "body.max_completion_tokens",
     "body.tools", "body.instructions", "body"]
)  # fmt: skip


@pytest.mark.parametrize("absent", [ABSENT, None])
def test_togethers_lines_hold_only_custom_id_and_body(absent: Any) -> None:
    line = _fields(method=absent, url=absent)
    assert isinstance(_of_together(line), GoodLine)
    assert _refused(line).error.code == "missing_required_parameter"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"url": "/v1/embeddings"}, "url_mismatch"),
        ({"url": "/v1/nowhere"}, "invalid_url"),
        ({"url": ""}, "missing_required_parameter"),
        ({"method": "GET"}, "invalid_request"),
        ({"custom_id": ABSENT}, "missing_required_parameter"),
        ({"body": ABSENT}, "missing_required_parameter"),
    ],
)
def test_what_togethers_lines_do_say_is_checked(changes: dict[str, Any], code: str) -> None:
    checked = _of_together(_fields(**changes))
    assert isinstance(checked, BadLine)
    assert checked.error.code == code


def _of_together(line: dict[str, Any]) -> GoodLine | BadLine:
    checker = LineChecker(CHAT, CATALOGUE, LINE_BYTES_MAX, "together")
    return checker.check(json.dumps(line).encode(), 7)


ACCENTS: st.SearchStrategy[Accent] = st.sampled_from(["openai", "together"])


@given(st.sampled_from(ENDPOINTS), ACCENTS, st.dictionaries(FIELDS, ANY_JSON, max_size=3))
def test_the_fast_look_and_the_full_walk_agree(
    endpoint: str, accent: Accent, changes: dict[str, Any]
) -> None:
    body: Any = {**PROMPTS[endpoint]}
    line = {"custom_id": "a", "method": "POST", "url": endpoint, "body": body}
    for path, value in changes.items():
        if path.startswith("body."):
            body[path.removeprefix("body.")] = value
        else:
            line[path] = value
    raw = json.dumps(line).encode()
    checker = LineChecker(endpoint, CATALOGUE, LINE_BYTES_MAX, accent)
    assert checker.check(raw, 1) == checker._walk(raw, 1)


@given(st.binary() | st.binary().map(lambda tail: json.dumps(_fields()).encode()[:-9] + tail))
def test_no_bytes_break_the_check(line: bytes) -> None:
    assert isinstance(_check(line), GoodLine | BadLine)


@pytest.mark.parametrize(
    ("endpoint", "changes", "tokens"),
    [
        (CHAT, {}, TINY.completion_tokens_default),
        (CHAT, {"max_tokens": 7}, 7),
        (CHAT, {"max_tokens": 7, "max_completion_tokens": 9, "n": 3}, 27),
        (CHAT, {"max_tokens": 0, "n": None}, TINY.completion_tokens_default),
        ("/v1/completions", {}, 16),
        ("/v1/completions", {"n": 3}, 48),
        ("/v1/completions", {"max_tokens": 5, "n": 2, "best_of": 4}, 20),
        ("/v1/responses", {"max_output_tokens": 11}, 11),
        ("/v1/embeddings", {}, 0),
    ],
)
def test_a_line_says_what_it_may_generate_at_most_however_it_is_read(
    endpoint: str, changes: dict[str, Any], tokens: int
) -> None:
    plain = _check(_with_body(endpoint, **changes), endpoint)
    walked = LineChecker(endpoint, CATALOGUE, LINE_BYTES_MAX)._walk(
        json.dumps(_with_body(endpoint, **changes)).encode(), 7
    )
    assert isinstance(plain, GoodLine)
    assert plain == walked
    assert plain.completion_tokens == tokens


@pytest.mark.parametrize(
    ("prompt", "tokens"), [(["a", "b", "c"], 30), ([1, 2, 3], 10), ([[1, 2], [3]], 20)]
)
def test_each_prompt_of_a_completion_has_answers_of_its_own(prompt: list[Any], tokens: int) -> None:
    line = _with_body("/v1/completions", prompt=prompt, max_tokens=5, n=2)
    good = _check(line, "/v1/completions")
    assert isinstance(good, GoodLine)
    assert good.completion_tokens == tokens
