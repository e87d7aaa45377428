from __future__ import annotations

from offpeak.core.errors import Unavailable
from offpeak.core.ports import Save
from offpeak.steps.deliver_callbacks import deliver_callbacks
from offpeak.steps.queue_deliveries import queue_deliveries
from offpeak.steps.queue_delivery import LOOK_AGAIN_SECONDS
from offpeak.steps.requeue_deliveries import requeue_deliveries
from tests.steps.post_office import ACCOUNT, BATCH, PostOffice


def _office() -> PostOffice:
    office = PostOffice()
    office.add_webhook(1)
    return office


def test_a_message_that_was_lost_is_sent_anew_after_a_minute() -> None:
    office = _office()
    office.loses = True
    office.call(queue_deliveries, ACCOUNT, BATCH)
    office.loses = False
    assert office.call(requeue_deliveries) == 0
    office.clock.advance(LOOK_AGAIN_SECONDS)
    assert office.call(requeue_deliveries) == 1
    assert office.call(requeue_deliveries) == 0
    assert office.call(deliver_callbacks, office.receive()) == ["delivered"]
    office.clock.advance(86_400)
    assert office.call(requeue_deliveries) == 0


def test_a_message_that_was_not_lost_after_all_sends_nothing_twice() -> None:
    office = _office()
    office.call(queue_deliveries, ACCOUNT, BATCH)
    office.clock.advance(LOOK_AGAIN_SECONDS)
    office.call(requeue_deliveries)
    asks = office.receive()
    assert len(asks) == 2
    assert sorted(office.call(deliver_callbacks, asks)) == ["delivered", "superseded"]
    assert len(office.destinations.posts) == 1


def test_two_at_once_ask_once() -> None:
    office = _office()
    office.call(queue_deliveries, ACCOUNT, BATCH)
    office.receive()
    office.clock.advance(LOOK_AGAIN_SECONDS)
    stale = list(office.deliveries.due(int(office.clock.now()), limit=10))
    assert office.call(requeue_deliveries) == 1
    office.deliveries.due = lambda now, *, limit: stale  # type: ignore[method-assign]
    assert office.call(requeue_deliveries) == 0
    assert len(office.receive()) == 1


def test_one_that_can_not_be_asked_for_does_not_hold_up_the_others() -> None:
    office = _office()
    office.add_webhook(2)
    office.call(queue_deliveries, ACCOUNT, BATCH)
    office.receive()
    office.clock.advance(LOOK_AGAIN_SECONDS)
    commit = office.changes.commit

    def failing(change: Save) -> None:
        if getattr(change.row, "destination_id", "") == "whe_1":
            raise Unavailable("the table")
        commit(change)

    office.changes.commit = failing  # type: ignore[method-assign,assignment]
    assert office.call(requeue_deliveries) == 1
    assert [ask.destination_id for ask in office.receive()] == ["whe_2"]
