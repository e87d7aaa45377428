"""Accounts, their limits, and their API keys. Keys are known by their hash only."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from offpeak.core.schedule import Schedule

KEY_PREFIX = "sk-offpeak-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one account may ask for. The defaults are the service's; each is liftable per account. Enqueued tokens are
    per model, those of batches that have not ended; None is no limit."""

    file_bytes_max: int = 10_000_000_000
    request_lines_max: int = 5_000_000
    open_batches_max: int = 500
    enqueued_tokens_max: int | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """`default_model` is what a request without a model runs on, where its dialect allows that: Hive's. `weight` is
    what its share of a busy pool goes by: with 2 it gets twice the slots of an account with 1. `schedule` and
    `completion_window` are what a batch gets that says nothing of its own; None is the service's default.
    `regions`: where its request lines may be worked beside the home region, where they are kept; None is everywhere."""

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
    version: int = 0

    def may_work_in(self, region: str | None) -> bool:
        """None is the home region."""
        return region is None or self.regions is None or region in self.regions


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as we keep it: SHA-256 of the secret (192 random bits need no salt or stretching), and its last four
    characters so that a person can tell keys apart."""

    hash: str
    id: str
    account_id: str
    name: str
    last4: str
    created_at: int
    revoked_at: int | None = None
    version: int = 0

    def revoked(self, now: int) -> ApiKey:
        return self if self.revoked_at is not None else replace(self, revoked_at=now)


def new_secret() -> str:
    """A fresh API key. It is shown once and then only its hash is known."""
    return KEY_PREFIX + secrets.token_hex(24)


def hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
