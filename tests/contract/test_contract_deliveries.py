"""Webhook endpoints, their secrets, deliveries, and the queue that asks for attempts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offpeak.core.delivery import Attempt, AttemptAsk, DeliveryStatus
from offpeak.core.errors import InvalidRequest, NotFound, StateConflict
from offpeak.core.ids import ACCOUNT, EVENT, WEBHOOK
from offpeak.core.ports import Add, Save
from offpeak.core.webhook import CallbackSecret
from tests.contract import rows
from tests.contract.worlds import Ports, World


def test_an_endpoint_comes_back_as_it_was_and_its_accounts_are_listed(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    webhooks = [rows.webhook(account_id) for _ in range(3)]
    ports.changes.commit(*map(Add, webhooks), Add(rows.webhook(account_id + "0")))
    assert ports.webhooks.get(account_id, webhooks[0].id) == replace(webhooks[0], version=1)
    assert [found.id for found in ports.webhooks.of_account(account_id)] == [w.id for w in webhooks]


def test_a_missing_or_foreign_endpoint_or_delivery_is_not_found(ports: Ports) -> None:
    mine, theirs = rows.fresh(ACCOUNT), rows.fresh(ACCOUNT)
    webhook, delivery = rows.webhook(theirs), rows.delivery(theirs)
    ports.changes.commit(Add(webhook), Add(delivery))
    for missing in (
        lambda: ports.webhooks.get(mine, webhook.id),
        lambda: ports.webhooks.get(mine, "whe_\ud800"),
        lambda: ports.deliveries.get(mine, delivery.destination_id, delivery.id),
        lambda: ports.deliveries.get(theirs, delivery.destination_id, "evt_unknown"),
    ):
        with pytest.raises(NotFound):
            missing()
    found = ports.deliveries.list(mine, delivery.destination_id, limit=5, after=None)
    assert found.rows == ()


def test_a_deleted_endpoint_leaves_nothing(ports: Ports) -> None:
    webhook = rows.webhook(rows.fresh(ACCOUNT))
    ports.changes.commit(Add(webhook))
    stored = ports.webhooks.get(webhook.account_id, webhook.id)
    with pytest.raises(StateConflict):
        ports.changes.commit(Save(replace(stored, version=7).deleted()))
    ports.changes.commit(Save(stored.deleted()))
    assert list(ports.webhooks.of_account(webhook.account_id)) == []
    with pytest.raises(NotFound):
        ports.webhooks.get(webhook.account_id, webhook.id)


def test_a_delivery_comes_back_with_its_log(ports: Ports) -> None:
    attempts = (
        Attempt(at=1, milliseconds=2, status_code=500),
        Attempt(at=3, milliseconds=4, error="größe"),
    )
    row = rows.delivery(rows.fresh(ACCOUNT), attempts=attempts, url="https://example.com")
    ports.changes.commit(Add(row))
    found = ports.deliveries.get(row.account_id, row.destination_id, row.id)
    assert found == replace(row, version=1)
    with pytest.raises(StateConflict):
        ports.changes.commit(Add(row))


def test_one_event_goes_to_several_destinations(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    one = rows.delivery(account_id)
    other = replace(one, destination_id=rows.fresh(WEBHOOK))
    ports.changes.commit(Add(one), Add(other))
    assert ports.deliveries.get(account_id, other.destination_id, one.id).version == 1


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_pages_of_deliveries_join_to_the_whole_log_newest_first(ports: Ports, limit: int) -> None:
    account_id, destination = rows.fresh(ACCOUNT), rows.fresh(WEBHOOK)
    made = [rows.delivery(account_id, destination_id=destination) for _ in range(4)]
    ports.changes.commit(*map(Add, made))
    seen: list[str] = []
    has_more = True
    while has_more:
        page = ports.deliveries.list(
            account_id, destination, limit=limit, after=seen[-1] if seen else None
        )
        seen += [row.id for row in page.rows]
        has_more = page.has_more
    assert seen == [row.id for row in made][::-1]


def test_due_deliveries_are_open_ones_whose_time_has_come_longest_first(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    base = rows.NOW - 10_000_000  # long before what other tests leave
    made = [
        rows.delivery(account_id, due_at=base + due, status=status)
        for due, status in (
            (30, DeliveryStatus.WAITING), (10, DeliveryStatus.SENDING),
            (20, DeliveryStatus.WAITING), (15, DeliveryStatus.DELIVERED),
            (16, DeliveryStatus.FAILED), (41, DeliveryStatus.WAITING),
        )
    ]  # fmt: skip
    ports.changes.commit(*map(Add, made))

    def due(limit: int) -> list[str]:
        found = ports.deliveries.due(base + 40, limit=limit)
        return [row.id for row in found if row.account_id == account_id]

    assert due(100) == [made[1].id, made[2].id, made[0].id]
    assert due(2) == [made[1].id, made[2].id]
    for row in (made[0], made[1], made[2], made[5]):
        stored = ports.deliveries.get(account_id, row.destination_id, row.id)
        ended = replace(stored, status=DeliveryStatus.DELIVERED)
        ports.changes.commit(Save(ended))
    assert due(100) == []


def test_an_ask_arrives_as_it_was_asked(world: World) -> None:
    destination = rows.fresh(WEBHOOK)
    asks = [
        AttemptAsk(account_id="acct_1", destination_id=destination, id=rows.fresh(EVENT), attempt=n)
        for n in range(3)
    ]
    for n, ask in enumerate(asks):
        world.ports.callbacks.ask(ask, delay_seconds=n)
    found = world.attempts_asked(destination, 3)
    assert sorted(found, key=lambda ask: ask.attempt) == asks


def test_a_secret_is_always_the_same_and_nobody_elses(ports: Ports) -> None:
    one, other = rows.fresh(WEBHOOK), rows.fresh(WEBHOOK)
    secret = ports.secrets.webhook_secret(one, 1)
    assert secret == ports.secrets.webhook_secret(one, 1)
    others = {ports.secrets.webhook_secret(one, 2), ports.secrets.webhook_secret(other, 1)}
    assert len(others | {secret}) == 3


def test_destinations_are_refused_by_one_set_of_rules(ports: Ports) -> None:
    for url in ("http://example.com", "https://169.254.169.254/", "https://localhost/"):
        with pytest.raises(InvalidRequest) as caught:
            ports.destinations.check(url, param="webhook")
        assert (caught.value.code, caught.value.param) == ("invalid_url", "webhook")
        with pytest.raises(InvalidRequest):
            ports.destinations.post(url, {}, b"{}")
    ports.destinations.check("https://8.8.8.8/hook")


def test_an_accounts_callback_secret_is_the_first_until_it_is_rotated_and_is_no_endpoint(
    ports: Ports,
) -> None:
    mine, theirs = rows.fresh(ACCOUNT), rows.fresh(ACCOUNT)
    first = ports.webhooks.callback_secret(mine)
    assert first == CallbackSecret(account_id=mine)
    second = first.rotated(keeps_old=True, now=rows.NOW)
    ports.changes.commit(Add(second))
    stored = ports.webhooks.callback_secret(mine)
    assert stored == replace(second, version=1)
    with pytest.raises(StateConflict):
        ports.changes.commit(Add(second))
    ports.changes.commit(Save(stored.rotated(keeps_old=False, now=rows.NOW)))
    assert ports.webhooks.callback_secret(mine).generation == 3
    assert ports.webhooks.callback_secret(theirs).generation == 1
    assert ports.webhooks.of_account(mine) == []
    with pytest.raises(NotFound):
        ports.webhooks.get(mine, stored.id)
