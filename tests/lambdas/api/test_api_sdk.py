"""OpenAI's Python SDK, unmodified, against the API over ports in memory."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import openai
import pytest

from lambdas.api.app import build_app
from tests.lambdas.api.client import World, description


class Gateway(httpx.BaseTransport):
    """API Gateway's part: a request becomes a proxy event, the proxy answer a response. Downloads come from the
    presigned URL, without the key."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._app = build_app(world)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "s3.test":
            assert "authorization" not in request.headers
            url = str(request.url).replace("https://s3.test", "memory://bucket")
            return httpx.Response(200, content=self._world.presigner.get(url))
        body = request.read()
        event: dict[str, Any] = {
            "path": request.url.path,
            "httpMethod": request.method,
            "headers": dict(request.headers),
            "queryStringParameters": dict(request.url.params) or None,
            "requestContext": {"requestId": "request-1"},
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
        answer = self._app(event, None)
        content_type = answer["multiValueHeaders"].get("Content-Type", [""])[-1]
        description().check(
            request.method, request.url.path, answer["statusCode"], content_type, answer["body"]
        )
        headers = {name: values[-1] for name, values in answer["multiValueHeaders"].items()}
        if "Location" in headers:
            headers["Location"] = headers["Location"].replace("memory://bucket", "https://s3.test")
        return httpx.Response(answer["statusCode"], headers=headers, text=answer["body"])


@pytest.fixture
def sdk(world: World) -> Iterator[openai.OpenAI]:
    http_client = httpx.Client(transport=Gateway(world), follow_redirects=True)
    with openai.OpenAI(
        base_url="https://api.test/v1", api_key="sk-alice", http_client=http_client, max_retries=0
    ) as client:
        yield client


def test_a_file_goes_up_and_comes_down(sdk: openai.OpenAI) -> None:
    file = sdk.files.create(
        file=("übung.jsonl", b"{}\n"),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 3_600},
    )
    assert (file.filename, file.status) == ("übung.jsonl", "processed")
    assert sdk.files.wait_for_processing(file.id) == file
    assert sdk.files.content(file.id).read() == b"{}\n"
    assert sdk.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        sdk.files.retrieve(file.id)


def test_nameless_bytes_go_up(sdk: openai.OpenAI) -> None:
    assert sdk.files.create(file=b"{}\n", purpose="batch").filename == "upload"


def test_a_file_goes_up_in_chunks(sdk: openai.OpenAI) -> None:
    body = bytes(range(256)) * 4 * 10_000
    upload = sdk.uploads.upload_file_chunked(
        file=body, filename="big.jsonl", bytes=len(body), mime_type="application/jsonl",
        purpose="batch", part_size=4 << 20,
    )  # fmt: skip
    assert upload.status == "completed"
    assert upload.file
    assert sdk.files.content(upload.file.id).read() == body


def test_lists_are_paged_through(sdk: openai.OpenAI, world: World) -> None:
    made = []
    for _ in range(5):
        world.clock.advance(1)
        made.append(sdk.files.create(file=b"{}", purpose="batch").id)
    assert [file.id for file in sdk.files.list(limit=2, order="asc")] == made
    batches = []
    for file_id in made:
        world.clock.advance(1)
        batches.append(
            sdk.batches.create(
                input_file_id=file_id, endpoint="/v1/embeddings", completion_window="24h"
            ).id
        )
    assert [batch.id for batch in sdk.batches.list(limit=2)] == batches[::-1]


def test_a_batch_is_created_shown_and_cancelled(sdk: openai.OpenAI) -> None:
    file = sdk.files.create(file=b"{}\n", purpose="batch")
    batch = sdk.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h",
        metadata={"team": "a"}, extra_body={"on_invalid": "skip"},
    )  # fmt: skip
    assert batch.status == "validating"
    assert batch.request_counts
    assert sdk.batches.retrieve(batch.id) == batch
    assert sdk.batches.cancel(batch.id).status == "cancelling"


def test_a_batch_that_failed_says_why(sdk: openai.OpenAI) -> None:
    batch = sdk.batches.create(
        input_file_id="file-none", endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert batch.status == "failed"
    assert batch.errors
    assert batch.errors.data
    assert batch.errors.data[0].code == "file_not_found"


def test_errors_arrive_as_the_sdks_own(sdk: openai.OpenAI, world: World) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        sdk.batches.create(
            input_file_id="f",
            endpoint="/v1/chat/completions",
            completion_window="2m",  # type: ignore[arg-type]
        )
    assert (bad.value.code, bad.value.param) == ("invalid_completion_window", "completion_window")
    with pytest.raises(openai.AuthenticationError):
        sdk.with_options(api_key="sk-wrong").models.list()
    batch = sdk.batches.create(
        input_file_id="file-none", endpoint="/v1/chat/completions", completion_window="24h"
    )
    with pytest.raises(openai.ConflictError):
        sdk.with_options(max_retries=2).batches.cancel(batch.id)


def test_models_are_listed_and_retrieved(sdk: openai.OpenAI) -> None:
    assert [model.id for model in sdk.models.list()] == ["acme/chat-8b", "embed"]
    assert sdk.models.retrieve("acme/chat-8b").id == "acme/chat-8b"
