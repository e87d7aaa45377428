"""Accounts, their limits, and their API keys. Keys are known by their hash only."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field, replace

KEY_PREFIX = "sk-offpeak-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one account may ask for. The defaults are the service's; each is liftable per account."""

    file_bytes_max: int = 10_000_000_000
    request_lines_max: int = 5_000_000
    open_batches_max: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    id: str
    name: str
    created_at: int
    limits: Limits = field(default_factory=Limits)
    version: int = 0


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
