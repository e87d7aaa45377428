"""Webhook endpoints as the newest OpenAI SDKs read them; whether one is enabled, and its deliveries, are our own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from offpeak.core.delivery import Delivery, DeliveryStatus
from offpeak.core.webhook import EVENT_TYPES, Webhook


class WebhookObject(TypedDict):
    """Times are seconds since the epoch. A disabled one hears of nothing until it is enabled."""

    id: str
    object: Literal["webhook_endpoint"]
    created_at: int
    updated_at: int
    name: str
    url: str
    event_types: Sequence[str]
    signing_secret_hint: str
    enabled: bool
    disabled_at: int | None
    disabled_reason: str | None


class WebhookWithSecretObject(WebhookObject):
    """`signing_secret` is shown when it has just been made, and never again."""

    signing_secret: str


class DeletedWebhookObject(TypedDict):
    id: str
    object: Literal["webhook_endpoint.deleted"]
    deleted: Literal[True]


class ProbeObject(TypedDict):
    """`status_code` is what the receiver answered."""

    object: Literal["webhook_endpoint.test"]
    webhook_endpoint_id: str
    event_type: str
    status_code: int
    success: Literal[True]


class AttemptObject(TypedDict):
    at: int
    milliseconds: int
    status_code: int | None
    error: str | None


class DeliveryObject(TypedDict):
    """One event on its way to one endpoint. `next_attempt_at` is when it is looked at again, at the latest; `event` is
    what was sent, shown for a single delivery."""

    id: str
    object: Literal["webhook_endpoint.delivery"]
    event_type: str
    status: Literal["delivering", "delivered", "failed"]
    created_at: int
    next_attempt_at: int | None
    ended_at: int | None
    attempts: Sequence[AttemptObject]
    event: NotRequired[Mapping[str, Any]]


class WebhookList(TypedDict):
    object: Literal["list"]
    data: Sequence[WebhookObject]
    first_id: str
    last_id: str
    has_more: bool


class DeliveryList(TypedDict):
    object: Literal["list"]
    data: Sequence[DeliveryObject]
    first_id: str
    last_id: str
    has_more: bool


class EventTypeList(TypedDict):
    object: Literal["list"]
    data: Sequence[str]


class CallbackSecretObject(TypedDict):
    """What signs the callbacks whose URL came with a request."""

    object: Literal["callback_secret"]
    signing_secret: str


def render_webhook(webhook: Webhook) -> WebhookObject:
    return {
        "id": webhook.id,
        "object": "webhook_endpoint",
        "created_at": webhook.created_at,
        "updated_at": webhook.updated_at,
        "name": webhook.name,
        "url": webhook.url,
        "event_types": list(webhook.event_types),
        "signing_secret_hint": webhook.secret_hint,
        "enabled": webhook.is_enabled,
        "disabled_at": webhook.disabled_at,
        "disabled_reason": webhook.disabled_reason,
    }


def render_webhook_with_secret(webhook: Webhook, secret: str) -> WebhookWithSecretObject:
    return {**render_webhook(webhook), "signing_secret": secret}


def render_deleted_webhook(webhook_id: str) -> DeletedWebhookObject:
    return {"id": webhook_id, "object": "webhook_endpoint.deleted", "deleted": True}


def render_probe(webhook_id: str, event_type: str, status_code: int) -> ProbeObject:
    return {
        "object": "webhook_endpoint.test",
        "webhook_endpoint_id": webhook_id,
        "event_type": event_type,
        "status_code": status_code,
        "success": True,
    }


def render_event_types() -> EventTypeList:
    return {"object": "list", "data": list(EVENT_TYPES)}


def render_callback_secret(secret: str) -> CallbackSecretObject:
    return {"object": "callback_secret", "signing_secret": secret}


_STATUS: Mapping[DeliveryStatus, Literal["delivering", "delivered", "failed"]] = {
    DeliveryStatus.WAITING: "delivering",
    DeliveryStatus.SENDING: "delivering",
    DeliveryStatus.DELIVERED: "delivered",
    DeliveryStatus.FAILED: "failed",
}


def render_delivery(delivery: Delivery) -> DeliveryObject:
    return {
        "id": delivery.id,
        "object": "webhook_endpoint.delivery",
        "event_type": delivery.event_type,
        "status": _STATUS[delivery.status],
        "created_at": delivery.created_at,
        "next_attempt_at": delivery.due_at if delivery.status is DeliveryStatus.WAITING else None,
        "ended_at": delivery.ended_at,
        "attempts": [
            {
                "at": attempt.at,
                "milliseconds": attempt.milliseconds,
                "status_code": attempt.status_code,
                "error": attempt.error,
            }
            for attempt in delivery.attempts
        ],
    }


def render_whole_delivery(delivery: Delivery) -> DeliveryObject:
    return {**render_delivery(delivery), "event": json.loads(delivery.body)}
