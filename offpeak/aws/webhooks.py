"""Webhook endpoints, an account's under its id with its callback secret beside them; and the master secret of all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from offpeak.aws.errors import translated
from offpeak.aws.items import Item, from_item, to_item
from offpeak.aws.table import Table
from offpeak.core.account import hash_secret
from offpeak.core.errors import NotFound
from offpeak.core.ids import WEBHOOK
from offpeak.core.webhook import CallbackSecret, Webhook, derive_secret

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def webhook_to_item(webhook: Webhook) -> Item:
    return to_item(webhook)


def webhook_from_item(item: Item) -> Webhook:
    return from_item(item, Webhook)


def callback_secret_to_item(secret: CallbackSecret) -> Item:
    return to_item(secret, id=secret.id)


def callback_secret_from_item(item: Item) -> CallbackSecret:
    return from_item(item, CallbackSecret)


class DynamoWebhooks:
    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, account_id: str, webhook_id: str) -> Webhook:
        if not webhook_id.startswith(WEBHOOK):
            raise NotFound(f"There is no webhook endpoint {webhook_id[:100]}.")
        found = self._table.get(
            f"webhook endpoint {webhook_id}", account_id=account_id, id=webhook_id
        )
        return webhook_from_item(found)

    def of_account(self, account_id: str) -> Sequence[Webhook]:
        found = self._table.query(
            "#account_id = :account_id AND begins_with( #id , :kind )",
            {":account_id": account_id, ":kind": WEBHOOK},
        )
        return [webhook_from_item(item) for item in found]

    def callback_secret(self, account_id: str) -> CallbackSecret:
        secret = CallbackSecret(account_id=account_id)
        with suppress(NotFound):
            found = self._table.get("callback secret", account_id=account_id, id=secret.id)
            return callback_secret_from_item(found)
        return secret


class ManagedSecrets:
    """The master secret lies in Secrets Manager, generated there at the deployment; it is read once a process."""

    def __init__(self, client: SecretsManagerClient, secret_id: str) -> None:
        self._secret = _Secret(client, secret_id, "master secret")

    def webhook_secret(self, owner: str, generation: int) -> str:
        return derive_secret(self._secret.value, owner, generation)


class ManagedKeyHashes:
    """The pepper lies there too, by itself: who looks keys up must not be able to sign."""

    def __init__(self, client: SecretsManagerClient, secret_id: str) -> None:
        self._secret = _Secret(client, secret_id, f"pepper of API keys {secret_id}")

    def hash_key(self, secret: str) -> str:
        return hash_secret(secret, self._secret.value)


class _Secret:
    """One secret, read when it is first needed."""

    def __init__(self, client: SecretsManagerClient, secret_id: str, what: str) -> None:
        self._client = client
        self._secret_id = secret_id
        self._what = what

    @cached_property
    def value(self) -> bytes:
        with translated(self._what):
            answer = self._client.get_secret_value(SecretId=self._secret_id)
        return answer["SecretString"].encode()
