"""Makes a webhook endpoint. Its secret is in the answer, and can be made again by nobody but us."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from offpeak.core.account import Account
from offpeak.core.errors import InvalidRequest, NotFound, QuotaExceeded, StateConflict
from offpeak.core.ids import WEBHOOK
from offpeak.core.ports import (
    Add,
    Changes,
    Clock,
    Destinations,
    Idempotency,
    Secrets,
    Webhooks,
)
from offpeak.core.webhook import ENDPOINTS_MAX, EVENT_TYPES, Webhook, hint_of
from offpeak.steps.reserve_id import reserve_id

NAME_CHARACTERS_MAX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    name: str
    url: str
    event_types: Sequence[str]


def create_webhook(
    account: Account, new: NewWebhook, *, idempotency_key: str | None, clock: Clock,
    webhooks: Webhooks, changes: Changes, idempotency: Idempotency, secrets: Secrets,
    destinations: Destinations,
) -> Webhook:  # fmt: skip
    """Raises InvalidRequest for a name, an event type or a destination that won't do, QuotaExceeded at 20 endpoints."""
    check_name(new.name)
    event_types = check_event_types(new.event_types)
    destinations.check(new.url)
    webhook_id = reserve_id(
        WEBHOOK, account_id=account.id, route="POST /webhook_endpoints", key=idempotency_key,
        request=asdict(new), clock=clock, idempotency=idempotency,
    )  # fmt: skip
    if idempotency_key is not None:
        try:
            return webhooks.get(account.id, webhook_id)
        except NotFound:
            pass
    if len(webhooks.of_account(account.id)) >= ENDPOINTS_MAX:
        raise QuotaExceeded(
            f"This account has {ENDPOINTS_MAX} webhook endpoints, as many as it may. Delete one first.",
            code="webhook_endpoints_limit",
        )
    now = int(clock.now())
    webhook = Webhook(
        id=webhook_id, account_id=account.id, name=new.name, url=new.url, event_types=event_types,
        secret_hint=hint_of(secrets.webhook_secret(webhook_id, 1)), created_at=now, updated_at=now,
    )  # fmt: skip
    try:
        changes.commit(Add(webhook))
    except StateConflict:  # the same request is a step ahead
        return webhooks.get(account.id, webhook_id)
    return webhook


def check_name(name: str) -> None:
    if not 0 < len(name) <= NAME_CHARACTERS_MAX or not name.isprintable():
        raise InvalidRequest(
            f"'name' must be 1 to {NAME_CHARACTERS_MAX} printable characters.", param="name",
            code="invalid_value",
        )  # fmt: skip


def check_event_types(event_types: Sequence[str]) -> tuple[str, ...]:
    """Each once, in our order. Raises InvalidRequest for one that never happens here."""
    unknown = [name[:80] for name in event_types if name not in EVENT_TYPES]
    if unknown or not event_types:
        what = f"No event {unknown[0]!r} happens here" if unknown else "Name at least one event"
        raise InvalidRequest(
            f"{what}. There are: {', '.join(EVENT_TYPES)}.", param="event_types",
            code="invalid_event_type",
        )  # fmt: skip
    return tuple(name for name in EVENT_TYPES if name in event_types)
