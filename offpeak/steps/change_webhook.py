"""Changes a webhook endpoint: where it is and what it hears of, whether it is on, its secret, and its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offpeak.core.ports import Changes, Clock, Destinations, Save, Secrets, Webhooks
from offpeak.core.webhook import Webhook, hint_of
from offpeak.steps.create_webhook import check_event_types, check_name

BY_ACCOUNT = "disabled by its account"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookChange:
    """What is None stays as it is."""

    name: str | None = None
    url: str | None = None
    event_types: Sequence[str] | None = None
    enabled: bool | None = None


def change_webhook(
    account_id: str, webhook_id: str, change: WebhookChange, *, clock: Clock, webhooks: Webhooks,
    changes: Changes, destinations: Destinations,
) -> Webhook:  # fmt: skip
    """Raises InvalidRequest as create_webhook does, NotFound."""
    webhook = webhooks.get(account_id, webhook_id)
    if change.name is not None:
        check_name(change.name)
    if change.url is not None:
        destinations.check(change.url)
    wanted = None if change.event_types is None else check_event_types(change.event_types)
    now = int(clock.now())
    made = webhook.changed(now=now, name=change.name, url=change.url, event_types=wanted)
    if change.enabled is not None:
        made = made.enabled(now) if change.enabled else made.disabled(BY_ACCOUNT, now)
    if made != webhook:
        changes.commit(Save(made))
    return made


def rotate_secret(
    account_id: str, webhook_id: str, *, keeps_old: bool, clock: Clock, webhooks: Webhooks,
    changes: Changes, secrets: Secrets,
) -> Webhook:  # fmt: skip
    """With `keeps_old` the secret that is replaced signs along for a day. Raises NotFound."""
    webhook = webhooks.get(account_id, webhook_id)
    hint = hint_of(secrets.webhook_secret(webhook_id, webhook.generation + 1))
    rotated = webhook.rotated(hint, keeps_old=keeps_old, now=int(clock.now()))
    changes.commit(Save(rotated))
    return rotated


def delete_webhook(
    account_id: str, webhook_id: str, *, webhooks: Webhooks, changes: Changes
) -> None:
    """What is still to be delivered to it won't be. Raises NotFound."""
    changes.commit(Save(webhooks.get(account_id, webhook_id).deleted()))
