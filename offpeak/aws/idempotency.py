"""Idempotency keys, each under its scope. The key itself is a client's text, so only its hash is kept."""

from __future__ import annotations

import hashlib

from botocore.exceptions import ClientError

from offpeak.aws.errors import code_of, translated
from offpeak.aws.items import Item, from_item, to_attributes, to_item
from offpeak.aws.table import Table
from offpeak.core.ports import Claim, Clock


def claim_to_item(claim: Claim, scope: str, key: str, expires_at: int) -> Item:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return to_item(claim, pk=f"{scope}#{digest}", ttl=expires_at)


def claim_from_item(item: Item) -> Claim:
    return from_item(item, Claim)


class DynamoIdempotency:
    """An expired claim counts as gone although DynamoDB takes its time to drop it: hence the clock."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def claim(self, scope: str, key: str, claim: Claim, expires_at: int) -> Claim:
        with translated("idempotency key"):
            try:
                self._table.client.put_item(
                    TableName=self._table.name,
                    Item=claim_to_item(claim, scope, key, expires_at),
                    ConditionExpression="attribute_not_exists(#pk) OR #ttl <= :now",
                    ExpressionAttributeNames={"#pk": "pk", "#ttl": "ttl"},
                    ExpressionAttributeValues=to_attributes({":now": int(self._clock.now())}),
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if code_of(error) != "ConditionalCheckFailedException":
                    raise
                return claim_from_item(error.response["Item"])  # type: ignore[typeddict-item]
        return claim
