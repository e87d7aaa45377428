"""`/v1/webhook_endpoints`, and the secret of callbacks without an endpoint."""

from __future__ import annotations

from collections.abc import Sequence

from aws_lambda_powertools.event_handler import Response

from lambdas.api.call import Call, Route, json_response
from lambdas.api.ports import Ports
from offpeak.core.account import Scope
from offpeak.core.webhook import ENDPOINTS_MAX, CallbackSecret, Webhook
from offpeak.steps.audited_changes import AuditedChanges
from offpeak.steps.change_webhook import (
    WebhookChange,
    change_webhook,
    delete_webhook,
    rotate_secret,
)
from offpeak.steps.create_webhook import NewWebhook, create_webhook
from offpeak.steps.probe_webhook import probe_webhook
from offpeak.steps.rotate_callback_secret import rotate_callback_secret
from offpeak.wire.openai.answers import BatchesQuery
from offpeak.wire.openai.bodies import (
    ChangeWebhookBody,
    CreateWebhookBody,
    ProbeWebhookBody,
    RotateCallbackSecretBody,
    RotateSecretBody,
    parse_json,
)
from offpeak.wire.openai.listing import parse_listing, render_list
from offpeak.wire.openai.webhooks import (
    CallbackSecretObject,
    DeletedWebhookObject,
    EventTypeList,
    ProbeObject,
    WebhookList,
    WebhookObject,
    WebhookWithSecretObject,
    render_callback_secret,
    render_deleted_webhook,
    render_event_types,
    render_probe,
    render_webhook,
    render_webhook_with_secret,
)

PAGE_WEBHOOKS = 20
PAGE_WEBHOOKS_MAX = 100
ENDPOINT = "/v1/webhook_endpoints/<webhook_id>"


class WebhookRoutes:
    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def routes(self) -> Sequence[Route]:
        return (*self._endpoint_routes(), *self._secret_routes())

    def _endpoint_routes(self) -> Sequence[Route]:
        return (
            Route(
                "POST",
                "/v1/webhook_endpoints",
                self.create,
                scope=Scope.ADMIN,
                summary="Create a webhook endpoint; its signing secret is shown this once.",
                takes=CreateWebhookBody,
                gives=WebhookWithSecretObject,
                reserves=True,
            ),
            Route(
                "GET",
                "/v1/webhook_endpoints",
                self.list,
                scope=Scope.READ,
                summary="List the account's webhook endpoints, newest first.",
                query=BatchesQuery,
                gives=WebhookList,
            ),
            Route(
                "GET",
                ENDPOINT,
                self.show,
                scope=Scope.READ,
                summary="Show a webhook endpoint.",
                gives=WebhookObject,
            ),
            Route(
                "POST",
                ENDPOINT,
                self.change,
                scope=Scope.ADMIN,
                summary="Change a webhook endpoint, or turn it on again.",
                takes=ChangeWebhookBody,
                gives=WebhookObject,
            ),
            Route(
                "DELETE",
                ENDPOINT,
                self.delete,
                scope=Scope.ADMIN,
                summary="Delete a webhook endpoint.",
                gives=DeletedWebhookObject,
            ),
        )

    def _secret_routes(self) -> Sequence[Route]:
        return (
            Route(
                "POST",
                f"{ENDPOINT}/rotate_secret",
                self.rotate_secret,
                scope=Scope.ADMIN,
                summary="Give a webhook endpoint a new secret; the old one may sign along for a day.",
                takes=RotateSecretBody,
                gives=WebhookWithSecretObject,
            ),
            Route(
                "POST",
                f"{ENDPOINT}/test",
                self.probe,
                scope=Scope.ADMIN,
                summary="Send a sample event to a webhook endpoint, now.",
                takes=ProbeWebhookBody,
                gives=ProbeObject,
            ),
            Route(
                "GET",
                "/v1/webhook_event_types",
                self.event_types,
                scope=Scope.READ,
                summary="List the events that webhook endpoints can hear of.",
                gives=EventTypeList,
            ),
            Route(
                "GET",
                "/v1/callback_secret",
                self.callback_secret,
                scope=Scope.ADMIN,
                summary="Show the secret that signs callbacks whose URL came with a request.",
                gives=CallbackSecretObject,
                accents=("Offpeak",),
            ),
            Route(
                "POST",
                "/v1/callback_secret/rotate",
                self.rotate_callback_secret,
                scope=Scope.ADMIN,
                summary="Give the account a new secret for callbacks; the old one signs along for a day by default.",
                takes=RotateCallbackSecretBody,
                gives=CallbackSecretObject,
                accents=("Offpeak",),
            ),
        )

    def create(self, call: Call) -> Response[str]:
        ports = self._ports
        body = parse_json(CreateWebhookBody, call.body)
        webhook = create_webhook(
            call.account,
            NewWebhook(name=body.name, url=body.url, event_types=list(body.event_types)),
            idempotency_key=call.idempotency_key,
            clock=ports.clock,
            webhooks=ports.webhooks,
            changes=self._audited(call),
            idempotency=ports.idempotency,
            secrets=ports.secrets,
            destinations=ports.destinations,
        )
        return json_response(render_webhook_with_secret(webhook, self._secret(webhook)))

    def list(self, call: Call) -> Response[str]:
        """Newest first, as every list here."""
        listing = parse_listing(
            call.query, limit_default=PAGE_WEBHOOKS, limit_max=PAGE_WEBHOOKS_MAX
        )
        newest_first = self._ports.webhooks.of_account(call.account.id)[::-1][:ENDPOINTS_MAX]
        rest = [w for w in newest_first if listing.after is None or w.id < listing.after]
        page = rest[: listing.limit]
        return json_response(render_list(map(render_webhook, page), len(rest) > len(page)))

    def show(self, call: Call, webhook_id: str) -> Response[str]:
        return json_response(render_webhook(self._ports.webhooks.get(call.account.id, webhook_id)))

    def change(self, call: Call, webhook_id: str) -> Response[str]:
        ports = self._ports
        body = parse_json(ChangeWebhookBody, call.body)
        webhook = change_webhook(
            call.account.id,
            webhook_id,
            WebhookChange(
                name=body.name,
                url=body.url,
                event_types=None if body.event_types is None else list(body.event_types),
                enabled=body.enabled,
            ),
            clock=ports.clock,
            webhooks=ports.webhooks,
            changes=self._audited(call),
            destinations=ports.destinations,
        )
        return json_response(render_webhook(webhook))

    def delete(self, call: Call, webhook_id: str) -> Response[str]:
        delete_webhook(
            call.account.id, webhook_id, webhooks=self._ports.webhooks, changes=self._audited(call)
        )
        return json_response(render_deleted_webhook(webhook_id))

    def rotate_secret(self, call: Call, webhook_id: str) -> Response[str]:
        ports = self._ports
        body = parse_json(RotateSecretBody, call.body or b"{}")
        webhook = rotate_secret(
            call.account.id,
            webhook_id,
            keeps_old=body.keep_old_secret_active_for_24_hours,
            clock=ports.clock,
            webhooks=ports.webhooks,
            changes=self._audited(call),
            secrets=ports.secrets,
        )
        return json_response(render_webhook_with_secret(webhook, self._secret(webhook)))

    def probe(self, call: Call, webhook_id: str) -> Response[str]:
        ports = self._ports
        event_type = parse_json(ProbeWebhookBody, call.body).event_type
        status_code = probe_webhook(
            call.account.id,
            webhook_id,
            event_type,
            clock=ports.clock,
            webhooks=ports.webhooks,
            secrets=ports.secrets,
            destinations=ports.destinations,
        )
        return json_response(render_probe(webhook_id, event_type, status_code))

    def event_types(self, call: Call) -> Response[str]:  # noqa: ARG002 - the same for everybody
        return json_response(render_event_types())

    def callback_secret(self, call: Call) -> Response[str]:
        """What signs the callbacks whose URL came with a request."""
        return self._shown(self._ports.webhooks.callback_secret(call.account.id))

    def rotate_callback_secret(self, call: Call) -> Response[str]:
        ports = self._ports
        body = parse_json(RotateCallbackSecretBody, call.body or b"{}")
        rotated = rotate_callback_secret(
            call.account.id, keeps_old=body.keep_old_secret_active_for_24_hours, clock=ports.clock,
            webhooks=ports.webhooks, changes=self._audited(call),
        )  # fmt: skip
        return self._shown(rotated)

    def _audited(self, call: Call) -> AuditedChanges:
        """Where an account's events go, and what they are signed with, is changed by keys that administer."""
        ports = self._ports
        return AuditedChanges(
            ports.changes, clock=ports.clock, actor=call.key_id, action=call.action
        )

    def _shown(self, own: CallbackSecret) -> Response[str]:
        secret = self._ports.secrets.webhook_secret(own.account_id, own.generation)
        return json_response(render_callback_secret(secret))

    def _secret(self, webhook: Webhook) -> str:
        return self._ports.secrets.webhook_secret(webhook.id, webhook.generation)
