from __future__ import annotations

import base64
from dataclasses import replace

from offpeak.core.webhook import GRACE_SECONDS, Webhook, derive_secret, hint_of

NOW = 1_790_000_000
WEBHOOK = Webhook(
    id="whe_1", account_id="acct_1", name="ops", url="https://example.com/hook",
    event_types=("batch.completed",), secret_hint="whsec_…1", created_at=NOW, updated_at=NOW,
)  # fmt: skip


def test_a_secret_is_32_bytes_and_differs_by_master_owner_and_generation() -> None:
    secrets = {
        derive_secret(master, owner, generation)
        for master in (b"a", b"b")
        for owner in ("whe_1", "whe_2", "whe_1\0")
        for generation in (1, 2, 11)
    }
    assert len(secrets) == 18
    assert derive_secret(b"a", "whe_1", 1) in secrets
    assert all(len(base64.b64decode(s.removeprefix("whsec_"))) == 32 for s in secrets)


def test_a_hint_shows_the_end_alone() -> None:
    secret = derive_secret(b"a", "whe_1", 1)
    assert hint_of(secret) == f"whsec_…{secret[-5:]}"


def test_the_old_secret_signs_along_for_a_day_when_asked() -> None:
    rotated = WEBHOOK.rotated("whsec_…2", keeps_old=True, now=NOW)
    assert rotated.signing_generations(NOW + GRACE_SECONDS - 1) == (2, 1)
    assert rotated.signing_generations(NOW + GRACE_SECONDS) == (2,)
    assert rotated.rotated("h", keeps_old=True, now=NOW).signing_generations(NOW) == (3, 2)


def test_without_asking_the_old_secret_stops_at_once() -> None:
    assert WEBHOOK.rotated("h", keeps_old=False, now=NOW).signing_generations(NOW) == (2,)


def test_a_disabled_endpoint_wants_nothing_until_it_is_enabled() -> None:
    disabled = WEBHOOK.disabled("gone", NOW + 1)
    assert (disabled.disabled_at, disabled.disabled_reason) == (NOW + 1, "gone")
    assert not disabled.wants("batch.completed")
    assert disabled.disabled("again", NOW + 2) == disabled
    enabled = disabled.enabled(NOW + 3)
    assert enabled == replace(WEBHOOK, updated_at=NOW + 3)
    assert enabled.wants("batch.completed")
    assert not enabled.wants("batch.failed")


def test_a_change_that_changes_nothing_is_none() -> None:
    assert WEBHOOK.changed(now=NOW + 9, name="ops") is WEBHOOK
    changed = WEBHOOK.changed(now=NOW + 9, event_types=("batch.failed",))
    assert (changed.event_types, changed.updated_at) == (("batch.failed",), NOW + 9)
