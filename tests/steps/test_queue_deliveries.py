from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from offpeak.core.batch import BatchStatus
from offpeak.core.delivery import BODY_CHARACTERS_MAX, Event
from offpeak.core.errors import StateConflict, TooLarge
from offpeak.core.ports import Add, Save
from offpeak.steps.queue_deliveries import queue_deliveries
from offpeak.steps.queue_delivery import queue_delivery
from tests.steps.post_office import ACCOUNT, BATCH, PostOffice


def test_an_ended_batch_goes_to_every_endpoint_that_wants_to_hear_of_it() -> None:
    office = PostOffice()
    office.add_webhook(1)
    office.add_webhook(2, event_types=("batch.completed",))
    office.add_webhook(3, event_types=("batch.failed",))
    office.add_webhook(4, disabled_at=1)
    office.add_webhook(5, account_id="acct_2")
    assert office.call(queue_deliveries, ACCOUNT, BATCH) == 2
    asked = {ask.destination_id for ask in office.receive()}
    assert asked == {"whe_1", "whe_2"}
    body = json.loads(office.delivery_to("whe_1").body)
    assert (body["type"], body["data"], body["created_at"]) == (
        "batch.completed", {"id": BATCH}, office.batch.completed_at,
    )  # fmt: skip


def test_an_announcement_that_comes_twice_is_one_event() -> None:
    office = PostOffice()
    office.add_webhook(1)
    assert office.call(queue_deliveries, ACCOUNT, BATCH) == 1
    office.clock.advance(3_600)
    assert office.call(queue_deliveries, ACCOUNT, BATCH) == 0
    assert len(office.deliveries_to("whe_1")) == 1
    assert len(office.receive()) == 1


@pytest.mark.parametrize(
    ("status", "field"),
    [
        (BatchStatus.FAILED, "failed_at"),
        (BatchStatus.EXPIRED, "expired_at"),
        (BatchStatus.CANCELLED, "cancelled_at"),
    ],
)
def test_every_ending_has_its_event(status: BatchStatus, field: str) -> None:
    office = PostOffice()
    office.add_webhook(1)
    ended: dict[str, Any] = {"status": status, "completed_at": None, field: 77}
    batch = replace(office.batch, id="batch_2", **ended)
    office.changes.commit(Add(batch))
    office.call(queue_deliveries, ACCOUNT, batch.id)
    delivery = office.delivery_to("whe_1")
    assert delivery.event_type == f"batch.{status}"
    assert json.loads(delivery.body)["created_at"] == 77


def test_a_batch_that_goes_on_has_no_event() -> None:
    office = PostOffice()
    batch = office.batches.get(ACCOUNT, BATCH)
    office.changes.commit(Save(replace(batch, status=BatchStatus.IN_PROGRESS, completed_at=None)))
    with pytest.raises(StateConflict):
        office.call(queue_deliveries, ACCOUNT, BATCH)


def test_a_callback_of_one_object_goes_to_its_own_url_once() -> None:
    office = PostOffice()
    event = Event(id="evt_1", type="request.completed", created_at=1, body="{}")
    url = "https://example.com/callback"
    first = office.call(queue_delivery, ACCOUNT, event, "req_1", url=url)
    second = office.call(queue_delivery, ACCOUNT, event, "req_1", url="https://example.com/other")
    assert (first, second) == (True, False)
    assert office.delivery_to("req_1").url == url
    assert office.call(queue_delivery, ACCOUNT, event, "req_2", url=url) is True


def test_a_body_over_the_limit_is_refused() -> None:
    office = PostOffice()
    body = "x" * (BODY_CHARACTERS_MAX + 1)
    with pytest.raises(TooLarge):
        office.call(queue_delivery, ACCOUNT, Event(id="e", type="t", created_at=1, body=body), "r")
