"""Signatures, read back by consumers that aren't ours: OpenAI's SDK, and Standard Webhooks' own library."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest
from openai import InvalidWebhookSignatureError, OpenAI
from standardwebhooks import Webhook, WebhookVerificationError

from offpeak.core.webhook import derive_secret
from offpeak.wire.events import make_event, signed_headers

NEW, OLD, OTHER = (derive_secret(b"master", "whe_1", generation) for generation in (3, 2, 1))
CLIENT = OpenAI(api_key="none")
EVENT = make_event("evt_1", "batch.completed", 1_790_000_000, {"id": "batch_größe"})


def test_the_envelope_is_openais() -> None:
    assert json.loads(EVENT.body) == {
        "id": "evt_1", "object": "event", "created_at": 1_790_000_000, "type": "batch.completed",
        "data": {"id": "batch_größe"},
    }  # fmt: skip
    assert EVENT.body.isascii()


def test_openais_sdk_unwraps_what_we_sign() -> None:
    headers = signed_headers(EVENT.id, EVENT.body.encode(), secrets=[NEW], now=time.time())
    event = CLIENT.webhooks.unwrap(EVENT.body, headers, secret=NEW)
    assert (event.type, event.id) == ("batch.completed", "evt_1")
    assert event.data.id == "batch_größe"  # type: ignore[union-attr]


def test_while_two_secrets_sign_either_is_taken() -> None:
    headers = signed_headers(EVENT.id, EVENT.body.encode(), secrets=[NEW, OLD], now=time.time())
    for secret in (NEW, OLD):
        CLIENT.webhooks.verify_signature(EVENT.body, headers, secret=secret)
    with pytest.raises(InvalidWebhookSignatureError):
        CLIENT.webhooks.verify_signature(EVENT.body, headers, secret=OTHER)


def test_standard_webhooks_own_library_verifies_what_we_sign_with_each_of_our_secrets() -> None:
    body = EVENT.body.encode()
    headers = signed_headers(EVENT.id, body, secrets=[NEW, OLD], now=time.time())
    for secret in (NEW, OLD):
        assert Webhook(secret).verify(body, headers) == json.loads(body)
    for secret, content in ((OTHER, body), (NEW, body + b" ")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(content, headers)


def test_we_sign_as_standard_webhooks_own_library_does() -> None:
    now = datetime.fromtimestamp(1_790_000_000, UTC)
    ours = signed_headers(EVENT.id, EVENT.body.encode(), secrets=[NEW], now=now.timestamp())
    assert ours["webhook-signature"] == Webhook(NEW).sign(EVENT.id, now, EVENT.body)


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "body"])
def test_a_changed_id_time_or_body_is_not_what_was_signed(changed: str) -> None:
    headers = signed_headers(EVENT.id, EVENT.body.encode(), secrets=[NEW], now=time.time())
    body = EVENT.body
    if changed == "body":
        body += " "
    else:
        headers[changed] = {"webhook-id": "evt_2"}.get(changed, str(int(time.time()) - 1))
    with pytest.raises(InvalidWebhookSignatureError):
        CLIENT.webhooks.verify_signature(body, headers, secret=NEW)


def test_the_signature_is_the_specifications() -> None:
    """The example that Standard Webhooks' own libraries are tested with."""
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        secrets=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        now=1_614_265_330.9,
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"
