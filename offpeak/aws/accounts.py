"""Accounts and their API keys in one table: `account#ID` and `key#HASH`. Only keys carry `account_id`, so that the
index `keys` holds nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from offpeak.aws.errors import translated
from offpeak.aws.items import Item, from_item, to_attributes, to_item
from offpeak.aws.table import Table
from offpeak.core.account import Account, ApiKey


def account_to_item(account: Account) -> Item:
    return to_item(account, pk=f"account#{account.id}")


def account_from_item(item: Item) -> Account:
    return from_item(item, Account)


def key_to_item(key: ApiKey) -> Item:
    return to_item(key, pk=f"key#{key.hash}")


def key_from_item(item: Item) -> ApiKey:
    return from_item(item, ApiKey)


class DynamoAccounts:
    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, account_id: str) -> Account:
        return account_from_item(
            self._table.get(f"account {account_id}", pk=f"account#{account_id}")
        )

    def list(self) -> Sequence[Account]:
        """A scan: for operators, never on the way of a request."""
        with translated(f"table {self._table.name}"):
            pages = self._table.client.get_paginator("scan").paginate(
                TableName=self._table.name,
                ConsistentRead=True,
                FilterExpression="begins_with(#pk, :prefix)",
                ExpressionAttributeNames={"#pk": "pk"},
                ExpressionAttributeValues=to_attributes({":prefix": "account#"}),
            )
            found = [account_from_item(item) for page in pages for item in page["Items"]]
        return sorted(found, key=lambda account: account.id)

    def key(self, key_hash: str) -> ApiKey:
        return key_from_item(self._table.get("API key of this hash", pk=f"key#{key_hash}"))

    def keys(self, account_id: str) -> Sequence[ApiKey]:
        found = self._table.query(
            "#account_id = :account_id", {":account_id": account_id}, index="keys"
        )
        return [key_from_item(item) for item in found]
