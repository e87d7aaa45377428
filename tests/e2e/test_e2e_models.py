"""What a deployment says of its models, and images in requests: as data, from the account's drop folder, by URL."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from offpeak.aws.connect import Aws
from offpeak.local.cloud import LocalCloud
from tests.e2e.caller import Caller
from tests.e2e.follow import until_ended
from tests.e2e.lines import MODEL, chat_line, jsonl, parse

pytestmark = [pytest.mark.cloud]

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 92
SEEN = "[image/png, 100 bytes]"
ENDED = frozenset({"completed", "failed"})


def _line(custom_id: str, url: str) -> dict[str, Any]:
    content = [
        {"type": "text", "text": custom_id},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    return chat_line(custom_id, messages=[{"role": "user", "content": content}])


@pytest.fixture
def site() -> Iterator[str]:
    """A web server on this machine, which the local cloud alone reaches."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(PNG)))
            self.end_headers()
            self.wfile.write(PNG)

        def log_message(self, format: str, *args: Any) -> None:
            """Quietly."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            http.shutdown()
            thread.join()


def test_images_reach_the_model_from_wherever_an_account_may_name_them(
    caller: Caller, new_caller: Callable[[], Caller], cloud: LocalCloud, aws: Aws, site: str
) -> None:
    other = new_caller()
    for account in (caller.account_id, other.account_id):
        aws.writer.put(f"drop/{account}/cats/1.png", PNG)
    folder = f"s3://{cloud.bucket}/drop"
    lines = [
        _line("data", "data:image/png;base64," + base64.b64encode(PNG).decode()),
        _line("own", f"{folder}/{caller.account_id}/cats/1.png"),
        _line("web", f"{site}/cat.png"),
        _line("foreign", f"{folder}/{other.account_id}/cats/1.png"),
        _line("missing", f"{folder}/{caller.account_id}/cats/2.png"),
        _line("metadata", "http://169.254.169.254/latest/meta-data"),
    ]
    client = caller.sdk()
    file = client.files.create(file=("images.jsonl", jsonl(lines)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        extra_body={"on_invalid": "skip"},
    )
    ended = until_ended(client, batch.id)
    assert ended.status == "completed", ended.errors
    assert ended.output_file_id is not None
    assert ended.error_file_id is not None
    said = {
        line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"]
        for line in parse(client.files.content(ended.output_file_id).text)
    }
    assert said == {name: f"{name} {SEEN}" for name in ("data", "own", "web")}
    refused = {
        line["custom_id"]: line for line in parse(client.files.content(ended.error_file_id).text)
    }
    assert refused.keys() == {"foreign", "missing", "metadata"}
    for name, says in (("foreign", "your own folder"), ("missing", "does not exist")):
        response = refused[name]["response"]
        assert response["status_code"] == 400
        assert says in response["body"]["error"]["message"]
    assert refused["metadata"]["error"]["code"] == "invalid_image_url"


def test_a_model_says_its_limits_modality_prices_and_availability_to_an_unmodified_sdk(
    caller: Caller,
) -> None:
    listed = {model.id: model for model in caller.sdk().models.list()}
    model = caller.sdk().models.retrieve(MODEL)
    assert model == listed[MODEL]
    said = model.to_dict()
    assert said["availability"] == "deployed"
    assert said["context_length"] == said["max_completion_tokens"] == 8_192
    assert said["input_modalities"] == ["text", "image"]
    pricing = said["pricing"]
    assert isinstance(pricing, dict)
    assert (pricing["basis"], pricing["input"], pricing["output"]) == ("base", 0.13, 0.40)
    # Nebius's page, its worked example.
    assert (pricing["batch"]["input"], pricing["batch"]["output"]) == (0.07, 0.20)
    answer = caller.call("GET", "/models")
    assert answer.json()["data"][0]["id"] == MODEL


def test_a_stand_alone_request_sees_its_own_accounts_images_though_it_travels_with_others(
    caller: Caller, new_caller: Callable[[], Caller], cloud: LocalCloud, aws: Aws
) -> None:
    other = new_caller()
    for each in (caller, other):
        aws.writer.put(f"drop/{each.account_id}/cats/1.png", PNG)

    def send(sender: Caller, owner: Caller) -> str:
        url = f"s3://{cloud.bucket}/drop/{owner.account_id}/cats/1.png"
        made = sender.call("POST", "/requests", json={"request_body": _line("own", url)["body"]})
        return str(made.json()["id"])

    sent = [(each, send(each, owner)) for each in (caller, other) for owner in (caller, other)]
    results = [_result_of(sender, request_id) for sender, request_id in sent]
    [mine, not_mine, not_theirs, theirs] = results
    for seen in (mine, theirs):
        assert seen["response"]["body"]["choices"][0]["message"]["content"] == f"own {SEEN}"
    for refused in (not_mine, not_theirs):
        assert refused["status"] == "failed"
        assert "your own folder" in refused["response"]["body"]["error"]["message"]


def _result_of(sender: Caller, request_id: str) -> Any:
    give_up_at = time.monotonic() + 120
    while sender.call("GET", f"/requests/{request_id}/status").json()["status"] not in ENDED:
        assert time.monotonic() < give_up_at
        time.sleep(0.3)
    return sender.call("GET", f"/requests/{request_id}/results").json()
