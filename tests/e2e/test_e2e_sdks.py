"""OpenAI's SDKs, unmodified, each through the whole API: Python 3.x, Python 1.x and Node."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e import sdks
from tests.e2e.caller import Caller
from tests.e2e.lines import assert_each_once_in_input_order, jsonl, parse
from tests.e2e.schemas import assert_fits
from tests.e2e.sdks import LARGE, SMALL

pytestmark = [pytest.mark.cloud]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((sdks.python_3, "python 3."), id="python-3"),
        pytest.param((sdks.python_1, "python 1."), id="python-1"),
        pytest.param((sdks.node, "node 7."), id="node", marks=pytest.mark.node),
    ],
)
def sdk(
    request: pytest.FixtureRequest,
    new_caller: Callable[[], Caller],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What one SDK got for its calls."""
    command, version = request.param
    report = sdks.run_sdk(command(), new_caller(), tmp_path_factory.mktemp("sdk"))
    assert report["sdk"].startswith(version)
    return report


def test_a_plain_upload_is_usable_at_once_and_comes_back_unchanged(sdk: dict[str, Any]) -> None:
    assert sdk["file"]["status"] == "processed"
    assert sdk["file"]["bytes"] == len(jsonl(SMALL))
    assert sdk["file"]["filename"] == "small.jsonl"
    assert sdk["file"]["expires_at"] == sdk["file"]["created_at"] + 3600
    assert sdk["retrieved_file"] == sdk["file"] == sdk["awaited_file"]
    assert sdk["content"].encode() == jsonl(SMALL)


def test_a_chunked_upload_puts_its_parts_together_in_order(sdk: dict[str, Any]) -> None:
    assert len(jsonl(LARGE)) > 4 * 1024 * 1024, "or it would be one part"
    assert sdk["upload"]["status"] == "completed"
    assert sdk["chunked_file"]["bytes"] == len(jsonl(LARGE))
    assert sdk["large_sha256"] == hashlib.sha256(jsonl(LARGE)).hexdigest()


def test_lists_turn_their_pages_to_the_end_newest_first(sdk: dict[str, Any]) -> None:
    assert sdk["listed_files"] == [sdk["chunked_file"]["id"], sdk["file"]["id"]]
    assert sdk["listed_batches"] == [*reversed(sdk["other_batches"]), sdk["created"]["id"]]


def test_a_new_batch_is_validating_and_knows_when_it_expires(sdk: dict[str, Any]) -> None:
    created = sdk["created"]
    assert created["status"] == "validating"
    assert created["expires_at"] == created["created_at"] + 86_400
    assert created["metadata"]["test"] == "e2e"
    assert created["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert created["errors"] is None
    assert created["output_file_id"] is None


def test_a_batch_ends_completed_with_its_counts_and_usage(sdk: dict[str, Any]) -> None:
    ended = sdk["seen"][-1]
    assert ended["status"] == "completed"
    assert ended["request_counts"] == {"total": 60, "completed": 60, "failed": 0}
    assert ended["model"] == "offpeak/tiny-chat"
    assert ended["error_file_id"] is None
    bodies = [line["response"]["body"] for line in parse(sdk["output"])]
    assert ended["usage"]["input_tokens"] == sum(b["usage"]["prompt_tokens"] for b in bodies) > 0
    assert ended["usage"]["output_tokens"] == sum(b["usage"]["completion_tokens"] for b in bodies)


def test_its_times_are_in_the_order_of_its_life(sdk: dict[str, Any]) -> None:
    ended = sdk["seen"][-1]
    times = [ended[f"{name}_at"] for name in ("created", "in_progress", "finalizing", "completed")]
    assert times == sorted(times)


def test_every_custom_id_comes_back_once_in_input_order(sdk: dict[str, Any]) -> None:
    results = parse(sdk["output"])
    assert_each_once_in_input_order(LARGE, results)
    assert {line["response"]["status_code"] for line in results} == {200}
    assert len({line["id"] for line in results}) == len(results)


def test_the_output_is_a_file_like_any_other(sdk: dict[str, Any]) -> None:
    output = sdk["output_file"]
    assert output["purpose"] == "batch_output"
    assert output["bytes"] == len(sdk["output"].encode())
    assert_fits(output, "OpenAIFile")


def test_a_cancelled_batch_says_cancelling_and_ends_cancelled(sdk: dict[str, Any]) -> None:
    assert sdk["cancelling"]["status"] in ("cancelling", "cancelled")
    assert sdk["cancelled"]["status"] == "cancelled"
    assert sdk["cancelled"]["cancelling_at"] <= sdk["cancelled"]["cancelled_at"]


def test_a_batch_without_its_input_file_fails_and_says_so(sdk: dict[str, Any]) -> None:
    failed = sdk["failed"]
    assert failed["status"] == "failed"
    assert failed["errors"]["data"][0]["code"] == "file_not_found"
    assert failed["failed_at"] >= failed["created_at"]


def test_a_deleted_file_answers_that_it_is_deleted(sdk: dict[str, Any]) -> None:
    assert sdk["deleted"]["deleted"] is True
    assert_fits(sdk["deleted"], "DeleteFileResponse")


@pytest.mark.parametrize(
    ("call", "kind", "status", "code"),
    [
        ("wrong_key", "AuthenticationError", 401, "invalid_api_key"),
        ("unknown_file", "NotFoundError", 404, "not_found"),
        ("unknown_content", "NotFoundError", 404, "not_found"),
        ("unknown_batch", "NotFoundError", 404, "not_found"),
        ("wrong_purpose", "BadRequestError", 400, "invalid_purpose"),
        ("wrong_window", "BadRequestError", 400, "invalid_completion_window"),
        ("wrong_endpoint", "BadRequestError", 400, "invalid_endpoint"),
        ("cancel_ended", "ConflictError", 409, "batch_completed"),
    ],
)
def test_a_wrong_call_raises_the_error_the_sdk_has_for_it(
    sdk: dict[str, Any], call: str, kind: str, status: int, code: str
) -> None:
    refusal = sdk["errors"][call]
    assert (refusal["kind"], refusal["status"]) == (kind, status)
    assert refusal["body"]["error"]["code"] == code
    assert_fits(refusal["body"], "ErrorResponse")


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("file", "OpenAIFile"),
        ("chunked_file", "OpenAIFile"),
        ("upload", "Upload"),
        ("created", "Batch"),
        ("cancelling", "Batch"),
        ("cancelled", "Batch"),
        ("failed", "Batch"),
    ],
)
def test_answers_fit_openais_schemas(sdk: dict[str, Any], name: str, schema: str) -> None:
    assert_fits(sdk[name], schema)


def test_a_batch_fits_openais_schema_at_every_stage_of_its_life(sdk: dict[str, Any]) -> None:
    for batch in sdk["seen"]:
        assert_fits(batch, "Batch")
