"""Webhook endpoints: where an account wants to hear of its events, and the secret that signs them.

    enabled ──── a receiver answers 410, or the account disables it ────► disabled
       └──────────────────── the account enables it ◄─────────────────────┘

No secret is stored. An endpoint's secret follows from the deployment's one master secret, the endpoint's id and its
`generation`: a rotation is the next generation, and the one before may sign along for a day.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass, replace

SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret begins with is none
GRACE_SECONDS = 86_400
ENDPOINTS_MAX = 20
"""Of one account."""
BATCH_AT_RISK = "batch.at_risk"
EVENT_TYPES = (
    "batch.completed", "batch.failed", "batch.expired", "batch.cancelled", BATCH_AT_RISK,
)  # fmt: skip
GONE = "gone"
"""Why an endpoint is disabled whose receiver answered 410."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One endpoint. Times are whole seconds since the epoch. The secret of the last generation before signs along
    until `previous_until`."""

    id: str
    account_id: str
    name: str
    url: str
    event_types: tuple[str, ...]
    secret_hint: str
    created_at: int
    updated_at: int
    generation: int = 1
    previous_until: int = 0
    disabled_at: int | None = None
    disabled_reason: str | None = None
    is_deleted: bool = False
    version: int = 0

    @property
    def is_enabled(self) -> bool:
        return self.disabled_at is None

    def wants(self, event_type: str) -> bool:
        return self.is_enabled and event_type in self.event_types

    def signing_generations(self, now: float) -> tuple[int, ...]:
        """Whose secrets sign now, the newest first."""
        return _signing(self.generation, self.previous_until, now)

    def rotated(self, hint: str, *, keeps_old: bool, now: int) -> Webhook:
        """The secret that was replaced signs along for a day, or stops at once; an older one stops in any case."""
        return replace(
            self, generation=self.generation + 1, secret_hint=hint, updated_at=now,
            previous_until=now + GRACE_SECONDS if keeps_old else 0,
        )  # fmt: skip

    def changed(
        self, *, now: int, name: str | None = None, url: str | None = None,
        event_types: tuple[str, ...] | None = None,
    ) -> Webhook:  # fmt: skip
        """What is None stays. A change that changes nothing is none."""
        made = replace(
            self, name=name or self.name, url=url or self.url,
            event_types=self.event_types if event_types is None else event_types,
        )  # fmt: skip
        return self if made == self else replace(made, updated_at=now)

    def disabled(self, reason: str, now: int) -> Webhook:
        if not self.is_enabled:
            return self
        return replace(self, disabled_at=now, disabled_reason=reason, updated_at=now)

    def enabled(self, now: int) -> Webhook:
        if self.is_enabled:
            return self
        return replace(self, disabled_at=None, disabled_reason=None, updated_at=now)

    def deleted(self) -> Webhook:
        """Saved so, its row goes."""
        return replace(self, is_deleted=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackSecret:
    """Which generation of an account's own secret signs the callbacks whose URL came with a request. An account that
    never rotated it has no row, and the first."""

    account_id: str
    generation: int = 1
    previous_until: int = 0
    version: int = 0

    @property
    def id(self) -> str:
        """No webhook endpoint's, and one an account."""
        return "callback_secret"

    def signing_generations(self, now: float) -> tuple[int, ...]:
        return _signing(self.generation, self.previous_until, now)

    def rotated(self, *, keeps_old: bool, now: int) -> CallbackSecret:
        """As a webhook endpoint's is."""
        return replace(
            self, generation=self.generation + 1,
            previous_until=now + GRACE_SECONDS if keeps_old else 0,
        )  # fmt: skip


def _signing(generation: int, previous_until: int, now: float) -> tuple[int, ...]:
    both = generation > 1 and now < previous_until
    return (generation, generation - 1) if both else (generation,)


def derive_secret(master: bytes, owner: str, generation: int) -> str:
    """The secret of an endpoint, or of an account's callbacks: `whsec_…`, as Standard Webhooks writes 32 bytes."""
    name = f"offpeak webhook secret\0{owner}\0{generation}".encode()
    return SECRET_PREFIX + base64.b64encode(hmac.digest(master, name, "sha256")).decode()


def hint_of(secret: str) -> str:
    """Enough to tell secrets apart, too little to use."""
    return f"{SECRET_PREFIX}…{secret[-5:]}"
