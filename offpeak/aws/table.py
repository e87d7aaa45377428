"""One DynamoDB table, read: rows by key, and pages of rows as one stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from offpeak.aws.errors import translated
from offpeak.aws.items import Item, to_attributes
from offpeak.core.errors import NotFound

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import QueryInputPaginateTypeDef

KEY_BYTES_MAX = 1_024
"""Of a sort key; a partition key may have twice as many."""
WHAT_CHARACTERS_MAX = 100


class Table:
    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self.client = client
        self.name = name

    def get(self, what: str, *, consistent: bool = True, **key: str | int) -> Item:
        """The row of this key, strongly consistent unless told otherwise. Raises NotFound, naming `what`."""
        if not all(_storable(value) for value in key.values()):
            raise NotFound(f"There is no {what[:WHAT_CHARACTERS_MAX]}.")
        with translated(what):
            answer = self.client.get_item(
                TableName=self.name, Key=to_attributes(key), ConsistentRead=consistent
            )
        if "Item" not in answer:
            raise NotFound(f"There is no {what}.")
        return answer["Item"]

    def query(
        self,
        condition: str,
        values: Mapping[str, str | int],
        *,
        index: str | None = None,
        having: str | None = None,
        ascending: bool = True,
        page_rows: int | None = None,
    ) -> Iterator[Item]:
        """Every row that fits, page by page. A table is read strongly consistent, an index can't be.

        Attributes in `condition` and `having` are written `#name`, values `:name`.
        """
        asked = self._asked(condition, values, index=index, having=having)
        asked["ScanIndexForward"] = ascending
        asked["PaginationConfig"] = {} if page_rows is None else {"PageSize": page_rows}
        with translated(f"table {self.name}"):
            for page in self.client.get_paginator("query").paginate(**asked):
                yield from page["Items"]

    def count(self, condition: str, values: Mapping[str, str | int], *, index: str) -> int:
        asked = self._asked(condition, values, index=index, having=None)
        asked["Select"] = "COUNT"
        with translated(f"table {self.name}"):
            pages = self.client.get_paginator("query").paginate(**asked)
            return sum(page["Count"] for page in pages)

    def _asked(
        self,
        condition: str,
        values: Mapping[str, str | int],
        *,
        index: str | None,
        having: str | None,
    ) -> QueryInputPaginateTypeDef:
        asked: QueryInputPaginateTypeDef = {
            "TableName": self.name,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": _names(condition + " " + (having or "")),
            "ExpressionAttributeValues": to_attributes(values),
        }
        if having is not None:
            asked["FilterExpression"] = having
        if index is None:
            asked["ConsistentRead"] = True
        else:
            asked["IndexName"] = index
        return asked


def _storable(value: str | int) -> bool:
    """Ids come from callers' URLs, and DynamoDB answers one that can't be a key as our mistake."""
    if isinstance(value, int):
        return True
    try:
        return 0 < len(value.encode()) <= KEY_BYTES_MAX
    except UnicodeEncodeError:  # half a surrogate pair
        return False


def _names(expression: str) -> dict[str, Any]:
    """Every name behind a `#`, so that no reserved word is ever in the way."""
    words = expression.replace("(", " ").replace(")", " ").replace(",", " ").split()
    return {word: word[1:] for word in words if word.startswith("#")}
