"""Sends a sample event to a webhook endpoint while its owner waits; it leaves nothing behind."""

from __future__ import annotations

from offpeak.core.errors import InvalidRequest, Unavailable
from offpeak.core.ids import BATCH, EVENT, new_id
from offpeak.core.ports import Clock, Destinations, Secrets, Webhooks
from offpeak.steps.create_webhook import check_event_types
from offpeak.steps.deliver_callbacks import secrets_of
from offpeak.wire.events import make_event, signed_headers


def probe_webhook(
    account_id: str, webhook_id: str, event_type: str, *, clock: Clock, webhooks: Webhooks,
    secrets: Secrets, destinations: Destinations,
) -> int:  # fmt: skip
    """The status that the receiver answered. Raises InvalidRequest (code `webhook_unreachable`) when it didn't."""
    check_event_types([event_type])
    webhook = webhooks.get(account_id, webhook_id)
    now = clock.now()
    sample = {"id": new_id(f"{BATCH}test_", now)}
    event = make_event(new_id(EVENT, now), event_type, int(now), sample)
    body = event.body.encode()
    headers = signed_headers(event.id, body, secrets=secrets_of(webhook, secrets, now), now=now)
    try:
        return destinations.post(webhook.url, headers, body).status_code
    except Unavailable as silence:
        raise InvalidRequest(
            f"The endpoint did not answer: {silence.message}", code="webhook_unreachable"
        ) from None
