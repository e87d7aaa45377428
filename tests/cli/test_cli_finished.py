"""Following a batch's lines: each page once, a pause where there is nothing new, and how to go on."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from offpeak.cli import batches
from offpeak.cli.client import Api
from offpeak.cli.finished import POLL_SECONDS, finished_pages
from offpeak.cli.main import app
from offpeak.cli.settings import Settings

SETTINGS = Settings("https://x.example/prod", "sk-offpeak-1")


class Running:
    """A batch whose pages are given; `after` counts them."""

    def __init__(self, *pages: tuple[bytes, bool, bool], status: str = "in_progress") -> None:
        self.pages = pages
        self.status = status
        self.asked: list[dict[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/results"):
            return httpx.Response(200, json={"id": "batch_1", "status": self.status})
        query = dict(request.url.params)
        self.asked.append(query)
        number = int(query.get("after", "0"))
        lines, has_more, incomplete = self.pages[number]
        headers = {
            "X-After": str(number + 1), "X-Has-More": str(has_more).lower(),
            "X-Incomplete": str(incomplete).lower(), "Content-Type": "application/jsonl",
        }  # fmt: skip
        return httpx.Response(200, content=lines, headers=headers)


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def test_pages_are_followed_to_the_end_and_pauses_grow_while_nothing_is_new(
    naps: list[float],
) -> None:
    running = Running(
        (b"1\n", True, True), (b"2\n", False, True), (b"", False, True), (b"", False, True),
        (b"3\n", False, True), (b"4\n", False, False),
    )  # fmt: skip
    api = Api(SETTINGS, httpx.MockTransport(running))
    pages = list(finished_pages(api, "batch_1", "output", None, follow=True))
    assert b"".join(page.lines for page in pages) == b"1\n2\n3\n4\n"
    assert naps == [POLL_SECONDS, 2 * POLL_SECONDS, 4 * POLL_SECONDS, POLL_SECONDS]
    assert [query.get("after") for query in running.asked] == [None, "1", "2", "3", "4", "5"]
    assert {query["kind"] for query in running.asked} == {"output"}


def test_without_following_what_is_there_now_is_all(naps: list[float]) -> None:
    running = Running((b"1\n", True, True), (b"2\n", False, True), (b"3\n", False, False))
    api = Api(SETTINGS, httpx.MockTransport(running))
    pages = list(finished_pages(api, "batch_1", "error", None, follow=False))
    assert [page.lines for page in pages] == [b"1\n", b"2\n"]
    assert naps == []


@pytest.mark.usefixtures("naps")
def test_the_command_says_that_lines_are_missing_and_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    running = Running((b"1\n", False, True), (b"2\n3\n", False, False))
    transport = httpx.MockTransport(running)
    monkeypatch.setattr(batches, "Api", lambda settings: Api(settings, transport))
    common = ["--base-url", SETTINGS.base_url, "--api-key", SETTINGS.api_key]
    output = tmp_path / "lines.jsonl"
    first = CliRunner().invoke(app, ["results", "batch_1", "-o", str(output), *common])
    assert first.exit_code == 0, first.output
    assert "goes on: these are not all lines" in first.stderr
    assert "offpeak results batch_1 --follow --after 1" in first.stderr
    more = ["results", "batch_1", "--follow", "--after", "1", "-o", str(output)]
    second = CliRunner().invoke(app, [*more, *common])
    assert second.exit_code == 0, second.output
    assert "goes on" not in second.stderr
    assert output.read_bytes() == b"1\n2\n3\n"
