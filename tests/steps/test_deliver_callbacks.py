from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from openai import OpenAI
from standardwebhooks import Webhook as StandardWebhook

from offpeak.core.delivery import AttemptAsk, DeliveryStatus, Event
from offpeak.core.errors import Unavailable
from offpeak.core.ports import Answer, Save
from offpeak.core.webhook import GRACE_SECONDS
from offpeak.memory.memory import Memory
from offpeak.steps.deliver_callbacks import LEASE_SECONDS, Outcome, deliver_callbacks
from offpeak.steps.queue_deliveries import queue_deliveries
from offpeak.steps.queue_delivery import queue_delivery
from offpeak.steps.redeliver import redeliver
from offpeak.steps.requeue_deliveries import requeue_deliveries
from offpeak.steps.rotate_callback_secret import rotate_callback_secret
from tests.steps.post_office import ACCOUNT, BATCH, PostOffice

SILENT = Unavailable("There was no answer in time.")
URL = "https://r1.example.com/"


@pytest.fixture
def office() -> PostOffice:
    """An ended batch and one endpoint: its event is in the queue."""
    office = PostOffice()
    office.clock.seconds = float(int(time.time()))  # SDKs refuse what is old
    office.add_webhook(1)
    office.call(queue_deliveries, ACCOUNT, BATCH)
    return office


def deliver(office: PostOffice, asks: list[AttemptAsk] | None = None) -> list[Outcome]:
    return list(office.call(deliver_callbacks, office.receive() if asks is None else asks))


def test_what_arrives_is_signed_for_its_endpoint_and_logged(office: PostOffice) -> None:
    assert deliver(office) == [Outcome.DELIVERED]
    (post,) = office.destinations.posts
    secret = office.secrets.webhook_secret("whe_1", 1)
    event = OpenAI(api_key="none").webhooks.unwrap(post.body, post.headers, secret=secret)
    assert (post.url, event.type, event.data.id) == (URL, "batch.completed", BATCH)  # type: ignore[union-attr]
    found = office.delivery_to("whe_1")
    assert found.status is DeliveryStatus.DELIVERED
    assert post.headers["webhook-id"] == found.id
    assert [attempt.status_code for attempt in found.attempts] == [200]


@pytest.mark.parametrize(
    "answer",
    [Answer(status_code=500), Answer(status_code=404), Answer(status_code=302),
     Answer(status_code=199), SILENT],
)  # fmt: skip
def test_only_2xx_is_success_and_everything_else_is_tried_again(
    office: PostOffice, answer: Answer | Unavailable
) -> None:
    office.destinations.answers[URL] = [answer, Answer(status_code=299)]
    assert deliver(office) == [Outcome.RETRYING]
    assert office.receive() == []
    office.clock.advance(6)
    assert deliver(office) == [Outcome.DELIVERED]
    first, second = office.delivery_to("whe_1").attempts
    assert (first.status_code is None) is (first.error is not None)
    assert second.status_code == 299
    assert len({post.headers["webhook-id"] for post in office.destinations.posts}) == 1


def test_a_destination_that_leads_inside_by_now_is_not_sent_to(office: PostOffice) -> None:
    office.destinations.addresses["r1.example.com"] = ["169.254.169.254"]
    assert deliver(office) == [Outcome.RETRYING]
    assert office.destinations.posts == []
    (attempt,) = office.delivery_to("whe_1").attempts
    assert attempt.error is not None
    assert "169.254" not in attempt.error


def test_410_disables_the_endpoint_and_ends_what_still_waits_for_it(office: PostOffice) -> None:
    event = Event(id="evt_2", type="batch.failed", created_at=1, body="{}")
    office.call(queue_delivery, ACCOUNT, event, "whe_1")
    office.destinations.answers[URL] = [Answer(status_code=410)]
    assert deliver(office) == [Outcome.FAILED, Outcome.FAILED]
    assert len(office.destinations.posts) == 1
    webhook = office.webhooks.get(ACCOUNT, "whe_1")
    assert (webhook.is_enabled, webhook.disabled_reason) == (False, "gone")
    errors = [row.attempts[-1].error for row in office.deliveries_to("whe_1")]
    assert sorted(map(str, errors)) == ["None", "The endpoint is disabled."]
    assert office.deliveries.due(2**40, limit=10) == []


def test_what_was_deleted_meanwhile_gets_nothing(office: PostOffice) -> None:
    office.changes.commit(Save(office.webhooks.get(ACCOUNT, "whe_1").deleted()))
    assert deliver(office) == [Outcome.FAILED]
    assert office.destinations.posts == []


def test_a_changed_url_holds_for_the_next_attempt(office: PostOffice) -> None:
    office.destinations.answers[URL] = [Answer(status_code=500)]
    deliver(office)
    webhook = office.webhooks.get(ACCOUNT, "whe_1")
    office.changes.commit(Save(webhook.changed(now=1, url="https://new.example.com/")))
    office.clock.advance(6)
    assert deliver(office) == [Outcome.DELIVERED]
    assert office.destinations.posts[-1].url == "https://new.example.com/"


def test_retry_after_puts_the_next_attempt_off(office: PostOffice) -> None:
    office.destinations.answers[URL] = [
        Answer(status_code=503, retry_after_seconds=600), Answer(status_code=200),
    ]  # fmt: skip
    deliver(office)
    office.clock.advance(599)
    assert office.receive() == []
    office.clock.advance(1)
    assert deliver(office) == [Outcome.DELIVERED]


def test_an_ask_that_comes_twice_or_late_sends_once(office: PostOffice) -> None:
    (ask,) = office.receive()
    assert deliver(office, [ask]) == [Outcome.DELIVERED]
    assert deliver(office, [ask, ask]) == [Outcome.SUPERSEDED, Outcome.SUPERSEDED]
    made_up = AttemptAsk(account_id="acct_2", destination_id="whe_1", id=ask.id, attempt=1)
    assert deliver(office, [made_up]) == [Outcome.SUPERSEDED]
    assert len(office.destinations.posts) == 1


def test_two_senders_at_once_send_once(office: PostOffice) -> None:
    (ask,) = office.receive()
    barrier = threading.Barrier(2)
    get = office.deliveries.get

    def together(*ids: str) -> Any:
        found = get(*ids)
        barrier.wait(60)
        return found

    office.deliveries.get = together  # type: ignore[method-assign,assignment]
    outcomes: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda: outcomes.extend(office.call(deliver_callbacks, [ask])))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == [Outcome.DELIVERED, Outcome.SUPERSEDED]
    assert len(office.destinations.posts) == 1


def test_a_sender_that_dies_is_found_by_its_lease(office: PostOffice) -> None:
    post = office.destinations.post

    def die(*_: Any) -> Answer:
        raise SystemExit

    office.destinations.post = die  # type: ignore[method-assign,assignment]
    with pytest.raises(SystemExit):
        deliver(office)
    office.destinations.post = post  # type: ignore[method-assign]
    assert office.call(requeue_deliveries) == 0
    office.clock.advance(LEASE_SECONDS)
    assert office.call(requeue_deliveries) == 1
    assert deliver(office) == [Outcome.DELIVERED]


def test_what_fails_on_our_side_comes_again_and_is_not_put_down_to_the_receiver(
    office: PostOffice,
) -> None:
    asks = office.receive()
    get = office.webhooks.get

    def fail(*_: str) -> Any:
        raise Unavailable("the table")

    office.webhooks.get = fail  # type: ignore[method-assign,assignment]
    assert deliver(office, asks) == [Outcome.BROKEN]
    assert office.delivery_to("whe_1").attempts == ()
    office.webhooks.get = get  # type: ignore[method-assign]
    assert deliver(office, asks) == [Outcome.DELIVERED]


def test_a_silent_receiver_is_asked_once_a_call_and_its_other_deliveries_wait(
    office: PostOffice,
) -> None:
    for n in range(2, 6):
        event = Event(id=f"evt_{n}", type="batch.failed", created_at=1, body="{}")
        office.call(queue_delivery, ACCOUNT, event, "whe_1")
    office.destinations.answers[URL] = [SILENT, Answer(status_code=200)]
    outcomes = deliver(office)
    assert outcomes == [Outcome.RETRYING, *[Outcome.PUT_OFF] * 4]
    office.clock.advance(30)
    assert deliver(office) == [Outcome.DELIVERED] * 5
    assert {row.status for row in office.deliveries_to("whe_1")} == {"delivered"}


def test_a_dead_receiver_delays_no_other(office: PostOffice) -> None:
    """The dead one doesn't let go before the other has been served: only side by side can this end."""
    office.add_webhook(2)
    event = Event(id="evt_2", type="batch.completed", created_at=1, body="{}")
    office.call(queue_delivery, ACCOUNT, event, "whe_2")
    served = threading.Event()
    post = office.destinations.post

    def slow(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if url == URL:
            assert served.wait(60), "the live receiver waits for the dead one"
            raise SILENT
        answer = post(url, headers, body)
        served.set()
        return answer

    office.destinations.post = slow  # type: ignore[method-assign]
    asks = sorted(office.receive(), key=lambda ask: ask.destination_id)
    assert [ask.destination_id for ask in asks] == ["whe_1", "whe_2"]
    assert deliver(office, asks) == [Outcome.RETRYING, Outcome.DELIVERED]


def test_callbacks_of_objects_are_signed_with_their_accounts_secret() -> None:
    office = PostOffice()
    office.clock.seconds = float(int(time.time()))
    event = Event(id="evt_1", type="request.completed", created_at=1, body='{"id": "req_1"}')
    office.call(queue_delivery, ACCOUNT, event, "req_1", url="https://example.com/cb")
    assert deliver(office) == [Outcome.DELIVERED]
    (post,) = office.destinations.posts
    OpenAI(api_key="none").webhooks.verify_signature(
        post.body, post.headers, secret=office.secrets.webhook_secret(ACCOUNT, 1)
    )


@pytest.mark.parametrize(
    ("keeps_old", "seconds", "signing"),
    [(True, 0, {1, 2}), (True, GRACE_SECONDS - 1, {1, 2}), (True, GRACE_SECONDS, {2}), (False, 0, {2})],
)  # fmt: skip
def test_a_rotated_secret_of_an_account_signs_along_for_a_day_or_stops_at_once(
    keeps_old: bool, seconds: int, signing: set[int]
) -> None:
    """By Standard Webhooks' own library: signatures stand beside each other with a space."""
    office = PostOffice()
    office.call(rotate_callback_secret, ACCOUNT, keeps_old=keeps_old)
    office.clock.advance(seconds)
    event = Event(id="evt_1", type="request.completed", created_at=1, body='{"id": "req_1"}')
    office.call(queue_delivery, ACCOUNT, event, "req_1", url="https://example.com/cb")
    assert deliver(office) == [Outcome.DELIVERED]
    (post,) = office.destinations.posts
    sent_at = datetime.fromtimestamp(int(post.headers["webhook-timestamp"]), UTC)
    found = post.headers["webhook-signature"].split(" ")
    secrets = {n: office.secrets.webhook_secret(ACCOUNT, n) for n in (1, 2, 3)}
    signed = {
        n
        for n, secret in secrets.items()
        if StandardWebhook(secret).sign("evt_1", sent_at, event.body) in found
    }
    assert signed == signing
    assert len(found) == len(signing)


def test_while_a_rotation_is_fresh_both_secrets_sign(office: PostOffice) -> None:
    webhook = office.webhooks.get(ACCOUNT, "whe_1")
    now = int(office.clock.now())
    office.changes.commit(Save(webhook.rotated("h", keeps_old=True, now=now)))
    deliver(office)
    (post,) = office.destinations.posts
    for generation in (1, 2):
        OpenAI(api_key="none").webhooks.verify_signature(
            post.body, post.headers, secret=office.secrets.webhook_secret("whe_1", generation)
        )


def test_a_delivery_is_sent_again_on_demand(office: PostOffice) -> None:
    deliver(office)
    row = office.delivery_to("whe_1")
    office.clock.advance(3 * 86_400)
    office.call(redeliver, ACCOUNT, "whe_1", row.id)
    assert deliver(office) == [Outcome.DELIVERED]
    assert [attempt.status_code for attempt in office.delivery_to("whe_1").attempts] == [200, 200]
    assert [post.headers["webhook-id"] for post in office.destinations.posts] == [row.id] * 2


def test_no_asks_are_no_work() -> None:
    office = Memory()
    done = deliver_callbacks(
        [], clock=office.clock, webhooks=office.webhooks, deliveries=office.deliveries,
        changes=office.changes, callbacks=office.callbacks, secrets=office.secrets,
        destinations=office.destinations, requests=office.requests, reader=office.reader,
    )  # fmt: skip
    assert list(done) == []
