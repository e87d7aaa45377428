"""Token buckets in one table, each a row with a number. Rows of who has been quiet for a day go by their `ttl`."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from offpeak.aws.errors import code_of, translated
from offpeak.aws.items import to_attributes
from offpeak.aws.table import Table
from offpeak.core.errors import Unavailable
from offpeak.core.throttle import SECOND_US, Taken

TRIES_MAX = 4
KEPT_SECONDS = 86_400

_NAMES = {"#spent_until": "spent_until", "#ttl": "ttl"}
_ADD = (
    "SET #spent_until = #spent_until + :cost, #ttl = :ttl",
    "#spent_until BETWEEN :floor AND :latest",
)
_REFILL = (
    "SET #spent_until = :refilled, #ttl = :ttl",
    "attribute_not_exists(#spent_until) OR #spent_until < :floor",
)


class DynamoThrottles:
    """No expression of DynamoDB's takes the later of two numbers, so a bucket that has filled up is another write than
    one that has not. Whichever is tried first, a refusal tells what the row is, and so which it should have been."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def take(
        self, bucket_id: str, cost_us: int, *, floor: int, latest: int, seen: int | None
    ) -> Taken:
        if floor > latest:  # more than a bucket holds
            return Taken(is_taken=False, spent_until=seen)
        found = Taken(is_taken=False, spent_until=seen)
        common = {":floor": floor, ":ttl": latest // SECOND_US + KEPT_SECONDS}
        for _ in range(TRIES_MAX):
            if found.spent_until is None or found.spent_until < floor:
                found = self._update(bucket_id, _REFILL, {**common, ":refilled": floor + cost_us})
            else:
                found = self._update(
                    bucket_id, _ADD, {**common, ":cost": cost_us, ":latest": latest}
                )
            if found.is_taken or max(floor, found.spent_until or 0) > latest:
                return found
        raise Unavailable(f"Throttle {bucket_id} changed {TRIES_MAX} times meanwhile.")

    def _update(
        self, bucket_id: str, expressions: tuple[str, str], values: dict[str, int]
    ) -> Taken:
        update, condition = expressions
        with translated(f"throttle {bucket_id}"):
            try:
                answer = self._table.client.update_item(
                    TableName=self._table.name,
                    Key=to_attributes({"id": bucket_id}),
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=_NAMES,
                    ExpressionAttributeValues=to_attributes(values),
                    ReturnValues="UPDATED_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if code_of(error) != "ConditionalCheckFailedException":
                    raise
                item: Any = error.response.get("Item", {})
                return Taken(is_taken=False, spent_until=_spent_until(item))
        return Taken(is_taken=True, spent_until=_spent_until(answer["Attributes"]))


def _spent_until(item: Any) -> int | None:
    return int(item["spent_until"]["N"]) if "spent_until" in item else None
