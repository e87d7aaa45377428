"""Following a batch to its end, through outages and without flooding a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from offpeak.cli.client import Api
from offpeak.cli.errors import Unreachable
from offpeak.cli.settings import Settings
from offpeak.cli.watch import POLL_SECONDS_MAX, SILENCE_SECONDS_MAX, watch_batch


def batch(status: str, completed: int = 0, total: int = 4) -> dict[str, Any]:
    counts = {"total": total, "completed": completed, "failed": 0}
    return {"id": "batch_1", "status": status, "request_counts": counts}


class Time:
    """Passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


def api_answering(answers: Iterator[dict[str, Any] | None]) -> Api:
    """None is an outage."""

    def answer(_: httpx.Request) -> httpx.Response:
        body = next(answers)
        return httpx.Response(503, text="down") if body is None else httpx.Response(200, json=body)

    return Api(Settings("https://x.example", "sk-1"), httpx.MockTransport(answer))


@pytest.mark.usefixtures("passing")
def test_each_change_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    later = [
        batch("in_progress"),
        batch("in_progress"),
        batch("in_progress", 2),
        batch("completed", 4),
    ]
    ended = watch_batch(api_answering(iter(later)), batch("validating", total=0))
    assert ended["status"] == "completed"
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "batch_1: validating",
        "batch_1: in_progress, 0 of 4 completed",
        "batch_1: in_progress, 2 of 4 completed",
        "batch_1: completed, 4 of 4 completed",
    ]


@pytest.mark.usefixtures("passing")
def test_a_batch_that_has_ended_is_not_asked_about() -> None:
    assert watch_batch(api_answering(iter(())), batch("cancelled"))["status"] == "cancelled"


@pytest.mark.usefixtures("passing")
def test_an_outage_is_waited_out() -> None:
    down: list[dict[str, Any] | None] = [None] * 20
    assert watch_batch(api_answering(iter([*down, batch("completed")])), batch("in_progress"))


def test_an_outage_of_more_than_ten_minutes_is_said(passing: Time) -> None:
    def always_down() -> Iterator[None]:
        while True:
            yield None

    with pytest.raises(Unreachable):
        watch_batch(api_answering(always_down()), batch("in_progress"))
    assert passing.now >= SILENCE_SECONDS_MAX


def test_a_long_batch_is_asked_about_every_ten_seconds(passing: Time) -> None:
    asked_at: list[float] = []

    def answers() -> Iterator[dict[str, Any]]:
        while passing.now < 3_600:
            asked_at.append(passing.now)
            yield batch("in_progress")
        yield batch("completed")

    watch_batch(api_answering(answers()), batch("in_progress"))
    assert asked_at[1] - asked_at[0] == 0.5
    assert asked_at[-1] - asked_at[-2] == POLL_SECONDS_MAX
