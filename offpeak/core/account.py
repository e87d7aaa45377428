"""Accounts, their limits, and their API keys.

    good ──── revoked, or its time is over ────► refused
      └─ rotated: a new key with the same rights is good, and this one for as long as both shall be

Keys are known by their hash only: HMAC-SHA256 under the deployment's pepper, which no table holds. So whoever reads the
table has nothing to try keys against, and whoever writes to it can make none.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from offpeak.core.schedule import Schedule

KEY_PREFIX = "sk-offpeak-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one account may ask for. The defaults are the service's; each is liftable per account. Enqueued tokens are
    per model, those of batches that have not ended; None is no limit. Requests a second are HTTP requests, in bursts of
    two seconds' worth at most (`core/throttle.py`)."""

    file_bytes_max: int = 10_000_000_000
    request_lines_max: int = 5_000_000
    open_batches_max: int = 500
    enqueued_tokens_max: int | None = None
    requests_per_second: int = 100


PRESETS: Mapping[str, Limits] = {
    "offpeak": Limits(),
    "openai": Limits(file_bytes_max=200_000_000, request_lines_max=50_000),
    "together": Limits(
        file_bytes_max=100_000_000, request_lines_max=50_000, enqueued_tokens_max=10_000_000
    ),
}
"""Other services' limits on a batch's file, its request lines and enqueued tokens, for an account that wants them."""


class Billing(StrEnum):
    """`off`: nothing is charged. `meter`: what was used is charged, and nothing refused. `enforce`: credits must
    suffice before anything runs."""

    OFF = "off"
    METER = "meter"
    ENFORCE = "enforce"


WEIGHT_MAX = 1_000
REGIONS_MAX = 50
RETENTION_DAYS, RETENTION_DAYS_MAX = 30, 3_650
"""For how long prompts and results are kept, where an account doesn't say."""
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """`default_model` is what a request without a model runs on, where its dialect allows that: Hive's. `weight` is
    what its share of a busy pool goes by: with 2 it gets twice the slots of an account with 1. `schedule` and
    `completion_window` are what a batch gets that says nothing of its own; None is the service's default.
    `regions`: where its request lines may be worked beside the home region, where they are kept; None is everywhere.
    `retention_days` is how long its files and results are kept at the most."""

    id: str
    name: str
    created_at: int
    limits: Limits = field(default_factory=Limits)
    billing: Billing = Billing.OFF
    default_model: str | None = None
    weight: int = 1
    schedule: Schedule | None = None
    completion_window: str | None = None
    regions: tuple[str, ...] | None = None
    retention_days: int = RETENTION_DAYS
    version: int = 0

    def may_work_in(self, region: str | None) -> bool:
        """None is the home region."""
        return region is None or self.regions is None or region in self.regions

    def kept_seconds(self, asked: int | None = None) -> int:
        """For how long a file is kept of which its owner `asked` this, or nothing."""
        longest = self.retention_days * DAY_SECONDS
        return longest if asked is None else min(asked, longest)


class Scope(StrEnum):
    """What a key may do; each may what those before it may. `read` looks, `submit` makes and ends work, `admin` says
    where events go and sees the secrets that sign them."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"

    def covers(self, needed: Scope) -> bool:
        order = list(Scope)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as we keep it: its hash (192 random bits need no salt or stretching), and its last four characters so that
    a person can tell keys apart. `expires_at` is the first second in which it is refused. `requests_per_second` is a
    limit of its own, within the account's. Keys from before there were scopes may do everything."""

    hash: str
    id: str
    account_id: str
    name: str
    last4: str
    created_at: int
    revoked_at: int | None = None
    expires_at: int | None = None
    scope: Scope = Scope.ADMIN
    requests_per_second: int | None = None
    version: int = 0

    def is_good(self, now: float) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    @property
    def is_peppered(self) -> bool:
        """Keys from before the pepper aren't; they are honoured until they are rotated."""
        return self.hash.startswith(_PEPPERED)

    def revoked(self, now: int) -> ApiKey:
        return self if self.revoked_at is not None else replace(self, revoked_at=now)

    def rotated(self, overlap_seconds: int, now: int) -> ApiKey:
        """Good for as long as its successor needs to be handed out, and never longer than it was to be anyway."""
        if overlap_seconds == 0:
            return self.revoked(now)
        end = now + overlap_seconds
        return replace(
            self, expires_at=end if self.expires_at is None else min(self.expires_at, end)
        )

    @property
    def lifetime_seconds(self) -> int | None:
        """How long it was made for."""
        return None if self.expires_at is None else self.expires_at - self.created_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who is calling, by which key, and what that may do: `requests_per_second` is the key's own limit."""

    account: Account
    key_id: str
    scope: Scope
    requests_per_second: int | None = None


KEY_PEPPER = "key-pepper"
"""How a deployment calls the secret that its keys are hashed with."""
_PEPPERED = "v2-"


def new_secret() -> str:
    """A fresh API key. It is shown once and then only its hash is known."""
    return KEY_PREFIX + secrets.token_hex(24)


def hash_secret(secret: str, pepper: bytes) -> str:
    return _PEPPERED + hmac.digest(pepper, secret.encode("utf-8", "surrogatepass"), "sha256").hex()


def hash_without_pepper(secret: str) -> str:
    """What keys of a deployment from before its pepper are kept under."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
