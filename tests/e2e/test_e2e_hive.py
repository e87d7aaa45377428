"""Hive's page (`hive-llm-api.txt`): its cURL example, run by curl, and the callback that it asks for."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from offpeak.local.cloud import LocalCloud
from tests.e2e.caller import Caller
from tests.e2e.command import offpeak
from tests.e2e.lines import MODEL
from tests.e2e.receiver import Received, Receiver, receiving, until

pytestmark = [pytest.mark.cloud]

CURL = r"""
curl --location 'https://api.thehive.ai/api/v1/task/async' \
--header 'Authorization: Token <YOUR_API_KEY>' \
--header 'Content-Type: application/json' \
--data '{
    "text_data": "<YOUR_PROMPT>",
    "callback_url": "<YOUR_CALLBACK_URL>",
    "options": {
        "system_prompt": "<YOUR_SYSTEM_PROMPT>",
		"prompt_history": "<YOUR_PROMPT_HISTORY>",
        "top_p": <YOUR_TOP_P>,
        "temperature": <YOUR_TEMPERATURE>,
        "max_tokens": <YOUR_MAX_TOKENS>
    }
}'
"""
"""The page's example, character for character; where it says YOUR, a value is put in."""
HISTORY = json.dumps([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}])


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


@pytest.fixture
def curl(caller: Caller, cloud: LocalCloud, tmp_path: Path) -> Any:
    """Runs the example as this caller, whose account has a default model; the answer's JSON."""
    made = offpeak(
        "accounts", "model", caller.account_id, MODEL,
        environment={**cloud.environment, "OFFPEAK_STAGE": "local"}, cwd=tmp_path,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr

    def run(prompt: str, callback_url: str, history: str = HISTORY) -> Any:
        command = CURL.replace("https://api.thehive.ai", caller.base_url)
        for name, value in {
            "YOUR_API_KEY": caller.api_key, "YOUR_PROMPT": prompt, "YOUR_CALLBACK_URL": callback_url,
            "YOUR_SYSTEM_PROMPT": "Be brief.", "YOUR_PROMPT_HISTORY": json.dumps(history)[1:-1],
            "YOUR_TOP_P": "0.9", "YOUR_TEMPERATURE": "0.5", "YOUR_MAX_TOKENS": "64",
        }.items():  # fmt: skip
            assert f"<{name}>" in command
            command = command.replace(f"<{name}>", value)
        if shutil.which("curl") is None:
            return by_hand(command, caller)
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, timeout=120, check=True
        )
        return json.loads(done.stdout)

    return run


def by_hand(command: str, caller: Caller) -> Any:
    """The same call where there is no curl."""
    data = command.partition("--data '")[2].rstrip().removesuffix("'")
    headers = {"Authorization": f"Token {caller.api_key}", "Content-Type": "application/json"}
    url = f"{caller.base_url}/api/v1/task/async"
    return httpx.post(url, content=data, headers=headers, timeout=30.0).json()


def told(caller: Caller, received: Received) -> Any:
    """What the callback says, once its signature holds."""
    secret = caller.call("GET", "/callback_secret").json()["signing_secret"]
    caller.sdk().webhooks.verify_signature(received.body, received.headers, secret=secret)
    return json.loads(received.body)


def task(caller: Caller, method: str, path: str) -> Any:
    """`Caller.call` is for paths under `/v1`."""
    answer = httpx.request(
        method, f"{caller.base_url}/api/v1/task/{path}", timeout=30.0,
        headers={"Authorization": f"Token {caller.api_key}"},
    )  # fmt: skip
    return answer.status_code, answer.json()


def test_the_pages_curl_example_is_answered_and_called_back(
    curl: Any, caller: Caller, receiver: Receiver
) -> None:
    receiver.statuses["/hive"] = [503, 200]
    made = curl("Tell me a story.", receiver.url("/hive"))
    assert made == {
        "id": made["id"], "task_id": made["id"], "message": "We received your task.",
        "project_id": caller.account_id,
    }  # fmt: skip
    first, second = (told(caller, each) for each in receiver.wait_for("/hive", 2))
    assert first == second
    assert (first["id"], first["project_id"]) == (made["id"], caller.account_id)
    (status,) = first["status"]
    assert status["status"] == {"code": "0", "message": "SUCCESS"}
    response = status["response"]
    assert [each["text"] for each in response["output"]] == ["Tell me a story."]
    assert response["usage"]["total_tokens"] > 0
    assert (response["input"]["model"], response["input"]["text_data"]) == (
        MODEL,
        "Tell me a story.",
    )
    assert response["input"]["options"]["prompt_history"] == json.loads(HISTORY)
    assert task(caller, "GET", made["id"])[1]["status"] == "completed"


def test_a_callback_is_triggered_again(
    curl: Any, caller: Caller, receiver: Receiver, new_caller: Any
) -> None:
    made = curl("Once more.", receiver.url("/again"), history="")
    (first,) = receiver.wait_for("/again")
    path = f"{made['id']}/callback"
    assert task(new_caller(), "POST", path)[0] == 404
    # 409 while the first one's answer is being written down.
    until(lambda: task(caller, "POST", path)[0] == 200, "it is asked for again")
    again = receiver.wait_for("/again", 2)[1]
    assert told(caller, again) == told(caller, first)
    assert again.headers["webhook-id"] == first.headers["webhook-id"]


def test_a_task_that_the_engine_refuses_is_called_back_with_its_error(
    curl: Any, caller: Caller, receiver: Receiver
) -> None:
    made = curl("[[status=400]]", receiver.url("/refused"))
    (received,) = receiver.wait_for("/refused")
    (status,) = told(caller, received)["status"]
    assert status["status"]["code"] == "400"
    assert status["status"]["message"]
    assert status["response"]["output"] == []
    assert task(caller, "GET", made["id"])[1]["error"] == {"code": "http_400"}


def test_the_example_with_a_history_that_is_none_is_told_what_it_takes(
    curl: Any, receiver: Receiver
) -> None:
    error = curl("Hi", receiver.url("/never"), history="<YOUR_PROMPT_HISTORY>")["error"]
    assert (error["code"], error["param"]) == ("invalid_value", "options.prompt_history")
    assert "'role' and 'content'" in error["message"]
