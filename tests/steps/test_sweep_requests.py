"""What the sweep makes of requests that the queue lost: they end, and their callbacks hear of it, once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from offpeak.core.account import Account
from offpeak.core.errors import Unavailable
from offpeak.core.ports import Add
from offpeak.core.request import Request, RequestEnding, RequestStatus, ResultRange
from offpeak.memory.memory import Memory
from offpeak.steps.create_request import NewRequest, create_request
from offpeak.steps.show_request import LOST_SECONDS
from offpeak.steps.sweep_requests import SweptRequests, sweep_requests
from tests.steps.simulation import CATALOGUE, ENDPOINT

ALICE = Account(id="acct_alice", name="alice", created_at=0)
URL = "https://hooks.example.com/"
DAY = 86_400


class Desk(Memory):
    """Requests are registered here, and no collector ever comes."""

    def __init__(self) -> None:
        super().__init__()
        self.changes.commit(Add(ALICE))

    def send(self, callback: str | None = URL, accent: str = "exxa") -> str:
        new = NewRequest(
            body=b'{"model":"red","prompt":"hi"}', endpoint=ENDPOINT, callback=callback,
            accent=accent, kept=b"{}" if accent == "hive" else None,
        )  # fmt: skip
        return create_request(
            ALICE, new, idempotency_key=None, clock=self.clock, catalogue=CATALOGUE,
            writer=self.writer, changes=self.changes, requests=self.requests,
            idempotency=self.idempotency, request_queue=self.request_queue,
        ).id  # fmt: skip

    def sweep(self) -> SweptRequests:
        return sweep_requests(
            clock=self.clock, catalogue=CATALOGUE, reader=self.reader, writer=self.writer,
            changes=self.changes, requests=self.requests, groups=self.groups,
            gatherings=self.gatherings, workflows=self.workflows, group_checks=self.group_checks,
            callbacks=self.callbacks,
        )  # fmt: skip

    def row(self, request_id: str) -> Request:
        return self.requests.get(ALICE.id, request_id)

    def told(self, request_id: str) -> list[str]:
        found = self.deliveries.list(ALICE.id, request_id, limit=10, after=None).rows
        return [each.event_type for each in found]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_request_that_nobody_brought_back_ends_expired_and_is_told_of_once(desk: Desk) -> None:
    request_id = desk.send()
    desk.clock.advance(DAY + LOST_SECONDS - 1)
    assert desk.sweep().lost == 0
    assert not desk.row(request_id).has_ended
    desk.clock.advance(1)
    assert desk.sweep().lost == 1
    row = desk.row(request_id)
    assert (row.status, row.error_code) == (RequestStatus.FAILED, "request_expired")
    assert row.ended_at == row.expires_at
    [delivery] = desk.deliveries.list(ALICE.id, request_id, limit=10, after=None).rows
    event = json.loads(delivery.body)
    assert (event["type"], event["data"]["id"]) == ("request.failed", request_id)
    assert desk.sweep() == SweptRequests()
    assert desk.told(request_id) == ["request.failed"]


def test_a_lost_task_of_hives_is_told_of_too(desk: Desk) -> None:
    request_id = desk.send(accent="hive")
    desk.clock.advance(DAY + LOST_SECONDS)
    assert desk.sweep().lost == 1
    assert desk.told(request_id) == ["request.failed"]


def test_one_that_has_no_callback_is_nobodys_business(desk: Desk) -> None:
    request_id = desk.send(callback=None)
    desk.clock.advance(DAY + LOST_SECONDS)
    assert desk.sweep() == SweptRequests()
    assert not desk.row(request_id).has_ended


def test_a_sweep_that_dies_between_telling_and_ending_is_made_good_by_the_next(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = desk.send()
    desk.clock.advance(DAY + LOST_SECONDS)

    def dead(_: Any) -> Any:
        raise Unavailable("It died.")

    with monkeypatch.context() as patch:
        patch.setattr(desk.requests, "end", dead)
        assert desk.sweep().errors == 1
    assert not desk.row(request_id).has_ended
    assert desk.sweep().lost == 1
    assert desk.told(request_id) == ["request.failed"]


def test_a_result_that_came_before_the_index_knew_is_what_stands(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = desk.send()
    stale = desk.row(request_id)
    desk.requests.end(
        [
            RequestEnding(
                request_id=request_id, status=RequestStatus.COMPLETED, at=1,
                result=ResultRange("work/a", 0, 1),
            )
        ]
    )  # fmt: skip
    desk.clock.advance(DAY + LOST_SECONDS)
    monkeypatch.setattr(desk.requests, "untold", lambda *_: [stale])
    assert desk.sweep().lost == 0
    assert desk.row(request_id).status is RequestStatus.COMPLETED
    assert desk.told(request_id) == []
