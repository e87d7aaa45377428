"""Webhook endpoints, and what is kept in Secrets Manager: what signs for them, and the pepper of API keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from offpeak.core.webhook import CallbackSecret, Webhook


class Webhooks(Protocol):
    """A missing or foreign id raises NotFound."""

    def get(self, account_id: str, webhook_id: str) -> Webhook: ...
    def of_account(self, account_id: str) -> Sequence[Webhook]:
        """All of them, the oldest first: an account has few. Strongly consistent."""
        ...

    def callback_secret(self, account_id: str) -> CallbackSecret:
        """The account's own; the first, at version 0, where it was never rotated. Strongly consistent."""
        ...


class Secrets(Protocol):
    def webhook_secret(self, owner: str, generation: int) -> str:
        """`whsec_…`: what this deployment signs with for this owner, a webhook endpoint or an account."""
        ...


class KeyHashes(Protocol):
    def hash_key(self, secret: str) -> str:
        """What an API key is kept under: its hash with this deployment's pepper."""
        ...
