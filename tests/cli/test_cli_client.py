"""The API's client: which answers it tries again, and what it says about the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from offpeak.cli.client import Api
from offpeak.cli.errors import CliError, Unreachable
from offpeak.cli.settings import Settings

SETTINGS = Settings("https://x.example/prod", "sk-offpeak-1")


class Script:
    """Answers in turn; remembers what was asked. An exception in place of an answer is raised."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers: Sequence[httpx.Response | Exception] = answers
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        answer = self.answers[len(self.asked) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def api() -> Callable[[Script], Api]:
    return lambda script: Api(SETTINGS, httpx.MockTransport(script))


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds slept, without sleeping them."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def envelope(status: int, message: str, **headers: str) -> httpx.Response:
    error = {"message": message, "type": "x", "param": None, "code": None}
    return httpx.Response(status, json={"error": error}, headers=headers)


def ok(**body: Any) -> httpx.Response:
    return httpx.Response(200, json=body)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(api: Callable[[Script], Api], status: int) -> None:
    script = Script(envelope(status, "later"), ok(id="batch_1"))
    assert api(script).get("/v1/batches/batch_1") == {"id": "batch_1"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413])
def test_what_will_not_pass_is_said_at_once(api: Callable[[Script], Api], status: int) -> None:
    script = Script(envelope(status, "That is wrong."))
    with pytest.raises(CliError, match=r"That is wrong\."):
        api(script).get("/v1/batches/batch_1")
    assert len(script.asked) == 1


def test_a_broken_connection_is_tried_again(api: Callable[[Script], Api]) -> None:
    script = Script(httpx.ReadError("reset"), ok(id="batch_1"))
    assert api(script).get("/v1/batches/batch_1") == {"id": "batch_1"}


def test_an_address_where_nobody_answers_is_said_at_once(api: Callable[[Script], Api]) -> None:
    script = Script(httpx.ConnectError("refused"))
    with pytest.raises(Unreachable, match=r"No answer from https://x\.example/prod \(refused\)"):
        api(script).get("/v1/models")


def test_it_gives_up_after_five_tries(api: Callable[[Script], Api], naps: list[float]) -> None:
    script = Script(*[envelope(503, "Busy.")] * 5)
    with pytest.raises(Unreachable, match=r"Busy\."):
        api(script).get("/v1/models")
    assert len(naps) == 4


def test_the_server_says_how_long_to_wait_but_not_for_ever(
    api: Callable[[Script], Api], naps: list[float]
) -> None:
    script = Script(
        envelope(429, "x", **{"retry-after": "7"}),
        envelope(429, "x", **{"retry-after": "9999"}),
        ok(),
    )
    api(script).get("/v1/models")
    assert naps == [7.0, 120.0]


def test_a_post_that_is_tried_again_carries_the_same_idempotency_key(
    api: Callable[[Script], Api],
) -> None:
    script = Script(httpx.ReadTimeout("slow"), ok(id="batch_1"), ok(id="batch_2"))
    caller = api(script)
    caller.post("/v1/batches", {})
    caller.post("/v1/batches", {})
    first, again, other = (request.headers["idempotency-key"] for request in script.asked)
    assert first == again != other


def test_a_stranger_who_answers_html_is_named(api: Callable[[Script], Api]) -> None:
    with pytest.raises(CliError, match="is this the address of an Offpeak API"):
        api(Script(httpx.Response(200, html="<h1>Hello</h1>"))).get("/v1/models")
    with pytest.raises(CliError, match=r"answered GET /prod/v1/models with HTTP 404"):
        api(Script(httpx.Response(404, html="<h1>No</h1>"))).get("/v1/models")


def test_a_wrong_key_is_answered_with_where_keys_come_from(api: Callable[[Script], Api]) -> None:
    with pytest.raises(CliError, match="offpeak keys create"):
        api(Script(envelope(401, "Incorrect API key."))).get("/v1/models")


def test_pages_are_turned_until_the_last_or_the_limit(api: Callable[[Script], Api]) -> None:
    def page(*ids: str, more: bool) -> httpx.Response:
        return ok(data=[{"id": name} for name in ids], has_more=more)

    script = Script(page("a", "b", more=True), page("c", more=False))
    assert [row["id"] for row in api(script).pages("/v1/files", None)] == ["a", "b", "c"]
    assert script.asked[1].url.params["after"] == "b"

    script = Script(page("a", "b", more=True), page("c", more=True))
    assert [row["id"] for row in api(script).pages("/v1/files", 3, purpose="batch")] == [
        "a",
        "b",
        "c",
    ]
    assert script.asked[1].url.params["limit"] == "1"
    assert script.asked[1].url.params["purpose"] == "batch"


class Torn(httpx.SyncByteStream):
    """A body that breaks off after some bytes."""

    def __iter__(self) -> Any:
        yield b"0123"
        raise httpx.ReadError("torn")


def test_a_download_goes_on_where_it_broke(api: Callable[[Script], Api]) -> None:
    script = Script(httpx.Response(200, stream=Torn()), httpx.Response(206, content=b"456789"))
    assert b"".join(api(script).download("/v1/files/file-1/content")) == b"0123456789"
    assert script.asked[1].headers["range"] == "bytes=4-"


def test_a_download_never_starts_over_in_the_middle(api: Callable[[Script], Api]) -> None:
    script = Script(httpx.Response(200, stream=Torn()), httpx.Response(200, content=b"0123456789"))
    with pytest.raises(CliError, match="The download broke"):
        list(api(script).download("/v1/files/file-1/content"))


def test_the_key_is_not_shown_to_the_host_a_download_is_redirected_to(
    api: Callable[[Script], Api],
) -> None:
    script = Script(
        httpx.Response(302, headers={"location": "https://bucket.example/object?signature=1"}),
        httpx.Response(200, content=b"{}\n"),
    )
    assert b"".join(api(script).download("/v1/files/file-1/content")) == b"{}\n"
    assert "authorization" in script.asked[0].headers
    assert "authorization" not in script.asked[1].headers
