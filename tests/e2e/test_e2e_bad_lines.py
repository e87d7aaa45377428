"""Every way in which a line can be wrong, in one file: each is listed, and nothing runs. With `skip`, the others do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from offpeak.aws.connect import Aws
from tests.e2e.caller import Caller
from tests.e2e.follow import until_ended
from tests.e2e.lines import chat_line, ids, jsonl, parse
from tests.e2e.schemas import assert_fits

pytestmark = [pytest.mark.cloud]

LINE_BYTES_MAX = 1_000_000
MISSING = "missing_required_parameter"


def _edited(custom_id: str = "bad", /, **fields: Any) -> bytes:
    """A good line with other fields; None leaves one out."""
    line = {**chat_line(custom_id), **fields}
    return json.dumps({name: value for name, value in line.items() if value is not None}).encode()


def _body(**fields: Any) -> dict[str, Any]:
    return {**chat_line("x")["body"], **fields}


@dataclass(frozen=True, slots=True)
class BadLine:
    name: str
    text: bytes
    code: str
    message: str
    param: str | None = None


BAD_LINES = (
    BadLine("not JSON", b'{"custom_id": "cut', "invalid_json_line", "not valid JSON"),
    BadLine("no object", b'["custom_id"]', "invalid_json_line", "not an object"),
    BadLine("blank", b"", "invalid_json_line", "blank"),
    BadLine("not UTF-8", _edited().replace(b"hello", b"h\xe9llo"), "invalid_json_line", "UTF-8"),
    BadLine("too long", _edited(body=_body(user="x" * LINE_BYTES_MAX)), "line_too_long", "bytes"),
    BadLine(
        "nested", b'{"custom_id":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "invalid_json_line", "deep"
    ),
    BadLine("duplicate", _edited("good-1"), "duplicate_custom_id", "used by line", "custom_id"),
    *(
        BadLine(f"no {name}", _edited(**{name: None}), MISSING, f"'{name}'", name)
        for name in ("custom_id", "method", "url", "body")
    ),
    *(
        BadLine(f"empty {name}", _edited(**{name: empty}), MISSING, f"'{name}'", name)
        for name, empty in (("custom_id", ""), ("method", ""), ("url", ""), ("body", {}))
    ),
    BadLine("other url", _edited(url="/v1/completions"), "url_mismatch", "differs", "url"),
    BadLine("no url", _edited(url="/v2/chat"), "invalid_url", "not supported", "url"),
    BadLine("method", _edited(method="GET"), "invalid_request", "Only 'POST'", "method"),
    BadLine("model", _edited(body=_body(model="x/y")), "model_not_found", "x/y", "body.model"),
    BadLine("stream", _edited(body=_body(stream=True)), "streaming_unsupported", "", "body.stream"),
    BadLine(
        "tokens", _edited(body=_body(max_tokens=10**9)), "invalid_request", "at most", "body.max_tokens"
    ),
)  # fmt: skip
GOOD = [chat_line("good-1"), chat_line("good-2")]
FILE = jsonl(GOOD[:1]) + b"".join(bad.text + b"\n" for bad in BAD_LINES) + jsonl(GOOD[1:])


@dataclass(frozen=True, slots=True)
class Ended:
    caller: Caller
    batch: dict[str, Any]


def _run(caller: Caller, **extra: Any) -> Ended:
    client = caller.sdk()
    file = client.files.create(file=("bad.jsonl", FILE), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        extra_body=extra,
    )
    return Ended(caller, until_ended(client, batch.id).to_dict(mode="json"))


@pytest.fixture(scope="module")
def failed(new_caller: Callable[[], Caller]) -> Ended:
    return _run(new_caller())


@pytest.fixture(scope="module")
def skipped(new_caller: Callable[[], Caller]) -> Ended:
    return _run(new_caller(), on_invalid="skip")


@pytest.mark.parametrize(
    ("line", "bad"), [pytest.param(n, bad, id=bad.name) for n, bad in enumerate(BAD_LINES, 2)]
)
def test_a_bad_line_is_listed_with_its_code_line_and_message(
    failed: Ended, line: int, bad: BadLine
) -> None:
    listed = {error["line"]: error for error in failed.batch["errors"]["data"]}
    assert listed[line]["code"] == bad.code
    assert listed[line]["param"] == bad.param
    assert bad.message in listed[line]["message"]


def test_nothing_but_the_bad_lines_is_listed_in_the_order_of_the_file(failed: Ended) -> None:
    lines = [error["line"] for error in failed.batch["errors"]["data"]]
    assert lines == list(range(2, 2 + len(BAD_LINES)))


def test_a_batch_with_bad_lines_fails_before_anything_runs(failed: Ended, aws: Aws) -> None:
    assert failed.batch["status"] == "failed"
    assert failed.batch["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert failed.batch["output_file_id"] is failed.batch["error_file_id"] is None
    assert failed.batch["in_progress_at"] is None
    assert not aws.runs.of_batch(failed.batch["id"])
    assert_fits(failed.batch, "Batch")


def test_skip_runs_the_good_lines(skipped: Ended) -> None:
    client = skipped.caller.sdk()
    assert skipped.batch["status"] == "completed"
    total = len(GOOD) + len(BAD_LINES)
    assert skipped.batch["request_counts"] == {
        "total": total, "completed": len(GOOD), "failed": len(BAD_LINES),
    }  # fmt: skip
    output = parse(client.files.content(skipped.batch["output_file_id"]).text)
    assert ids(output) == ids(GOOD)


def test_skip_sends_each_bad_line_to_the_error_file_in_order(skipped: Ended) -> None:
    client = skipped.caller.sdk()
    errors = parse(client.files.content(skipped.batch["error_file_id"]).text)
    assert [error["error"]["code"] for error in errors] == [bad.code for bad in BAD_LINES]
    assert all(error["response"] is None for error in errors)


def test_the_list_of_bad_lines_ends_at_a_thousand_and_counts_the_rest(
    new_caller: Callable[[], Caller],
) -> None:
    client = new_caller().sdk()
    file = client.files.create(file=("bad.jsonl", b"{}\n" * 1_234), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    ended = until_ended(client, batch.id)
    assert ended.errors is not None
    errors = ended.errors.data or []
    assert len(errors) == 1_001
    assert (errors[-1].line, errors[-1].message) == (
        None, "234 more lines are invalid and are not listed here. Correct these first.",
    )  # fmt: skip
