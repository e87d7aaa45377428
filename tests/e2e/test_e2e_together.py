"""Together's page (`together-batch-api.txt`, "How It Works"): its script and its sample lines, through the unmodified
SDK of each generation; and its multipart upload as plain HTTP."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.caller import Caller, description
from tests.e2e.lines import MODEL, ids, jsonl, parse

pytestmark = [pytest.mark.cloud]

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def _line(custom_id: str, text: str) -> dict[str, Any]:
    """A line of the page's "Sample Input Format": no method, no url."""
    messages = [{"role": "user", "content": text}]
    return {
        "custom_id": custom_id,
        "body": {"model": "deepseek-ai/DeepSeek-V3", "messages": messages, "max_tokens": 200},
    }


LINES = [
    _line("req1", "Explain quantum computing"),
    _line("req2", "Tell me about San Francisco"),
    _line("req3", "[[status=400]]"),
]
ENDLESS = [_line(f"endless-{n}", "[[sleep=600]]") for n in range(3)]
BAD = [_line("fine", "Say hello."), {"custom_id": "bodiless"}]


def _python(generation: int) -> str:
    default = ROOT / f".offpeak/venvs/together{generation}/bin/python"
    python = os.environ.get(f"OFFPEAK_TOGETHER{generation}_PYTHON", str(default))
    assert Path(python).exists(), f"{python} is missing: run `make setup-tests`."
    return python


@pytest.fixture(scope="module", params=[1, 2, 3], ids=["sdk-1.5", "sdk-2", "sdk-3"])
def sdk(
    request: pytest.FixtureRequest,
    new_caller: Callable[[], Caller],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What one generation got for its calls."""
    generation: int = request.param
    caller, folder = new_caller(), tmp_path_factory.mktemp("together")
    for name, lines in (("batch_input", LINES), ("endless", ENDLESS), ("bad", BAD)):
        (folder / f"{name}.jsonl").write_bytes(jsonl(lines))
    done = subprocess.run(
        [_python(generation), str(HERE / "together_script.py"), str(folder)],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TOGETHER_API_KEY": caller.api_key,
            # 3.x adds the /v1 itself.
            "TOGETHER_BASE_URL": f"{caller.base_url}/together" + ("" if generation == 3 else "/v1"),
            "TOGETHER_NO_BANNER": "1",
        },
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["sdk"].startswith(f"{generation}.")
    return {**report, "account_id": caller.account_id}


def test_the_file_is_uploaded_in_one_put(sdk: dict[str, Any]) -> None:
    file = sdk["file"]
    assert (file["filename"], file["purpose"]) == ("batch_input.jsonl", "batch-api")
    assert file["bytes"] == len(jsonl(LINES))


def test_the_batch_is_created_and_followed_to_its_end(sdk: dict[str, Any]) -> None:
    created, ended = sdk["created"], sdk["seen"][-1]
    assert created["status"] == "VALIDATING"
    assert (created["endpoint"], created["user_id"]) == ("/v1/chat/completions", sdk["account_id"])
    assert _time(created["job_deadline"]) - _time(created["created_at"]) == timedelta(hours=24)
    assert {each["status"] for each in sdk["seen"]} <= {"VALIDATING", "IN_PROGRESS", "COMPLETED"}
    assert (ended["status"], ended["progress"]) == ("COMPLETED", 100.0)
    assert ended["model_id"] == MODEL
    assert _time(ended["completed_at"]) >= _time(created["created_at"])


def test_progress_is_in_percent_and_never_falls(sdk: dict[str, Any]) -> None:
    progress = [each["progress"] for each in sdk["seen"]]
    assert progress == sorted(progress)
    assert 0.0 <= progress[0] <= progress[-1] == 100.0


def test_results_come_back_and_failed_requests_in_a_file_of_their_own(sdk: dict[str, Any]) -> None:
    output, errors = parse(sdk["output"]), parse(sdk["errors"])
    assert ids(output) == ["req1", "req2"]
    assert [line["response"]["status_code"] for line in errors] == [400]
    assert ids(errors) == ["req3"]
    said = [line["response"]["body"]["choices"][0]["message"]["content"] for line in output]
    assert said == ["Explain quantum computing", "Tell me about San Francisco"]


def test_a_cancelled_batch_ends_cancelled(sdk: dict[str, Any]) -> None:
    assert sdk["cancel_answer"]["status"] in ("IN_PROGRESS", "CANCELLED")
    assert sdk["cancelled"]["status"] == "CANCELLED"


def test_a_bad_line_fails_the_batch_and_is_named(sdk: dict[str, Any]) -> None:
    assert sdk["failed"]["status"] == "FAILED"
    assert sdk["failed"]["error"] == "Line 2: Missing required parameter: 'body'."


def test_a_large_file_goes_up_in_parts(sdk: dict[str, Any]) -> None:
    assert sdk["large"]["bytes"] == len(jsonl(LINES))
    assert sdk["large_content"].encode() == jsonl(LINES)
    assert sdk["retrieved"]["id"] == sdk["large"]["id"]
    assert sdk["deleted"]["deleted"] is True


def test_lists_have_all_of_it(sdk: dict[str, Any]) -> None:
    assert sdk["large"]["id"] in sdk["listed_files"]
    assert sdk["file"]["id"] in sdk["listed_files"]
    assert sdk["listed_batches"] == [sdk[name]["id"] for name in ("failed", "cancelled", "created")]


def test_refusals_are_errors_that_the_sdk_can_read(sdk: dict[str, Any]) -> None:
    for call, words in (("unknown", "There is no file file-none."), ("cancel_ended", "is failed")):
        refusal = sdk[call]
        assert refusal["kind"] != "none"
        assert words in refusal["text"], refusal


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_file_of_several_parts_is_put_together(caller: Caller) -> None:
    content = jsonl([_line(f"wide-{n}", "x" * 500_000) for n in range(24)])
    size = -(-len(content) // 2)

    def post(path: str, body: dict[str, Any]) -> Any:
        url = f"{caller.base_url}/together/v1/files/multipart/{path}"
        headers = {"Authorization": f"Bearer {caller.api_key}"}
        answer = httpx.post(url, json=body, headers=headers, timeout=60)
        description(caller.base_url).check(
            "POST", answer.request.url.path, answer.status_code, "application/json", answer.text
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    begun = post("initiate", {
        "file_name": "wide.jsonl", "file_size": len(content), "num_parts": 2,
        "purpose": "batch-api", "file_type": "jsonl",
    })  # fmt: skip
    etags = []
    for part in begun["parts"]:
        first = (part["PartNumber"] - 1) * size
        put = httpx.put(part["URL"], content=content[first : first + size], timeout=60)
        assert put.status_code == 200, put.text
        etags.append({"part_number": part["PartNumber"], "etag": put.headers["etag"].strip('"')})
    names = {"upload_id": begun["upload_id"], "file_id": begun["file_id"]}
    file = post("complete", {**names, "parts": etags})["file"]
    assert (file["bytes"], file["Processed"]) == (len(content), True)
    assert caller.sdk().files.content(file["id"]).read() == content
