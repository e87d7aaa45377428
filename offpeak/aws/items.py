"""Values as DynamoDB items and back: field by field, None left out, whole numbers only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from boto3.dynamodb.types import TypeSerializer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

T = TypeVar("T")
Item = dict[str, "AttributeValueTypeDef"]

_serialize = TypeSerializer().serialize


def to_attributes(fields: Mapping[str, Any]) -> Item:
    return {name: _serialize(value) for name, value in fields.items() if value is not None}


def to_item(value: Any, **more: str | int | None) -> Item:
    """A dataclass's fields, and attributes that its table wants besides: keys, those of sparse indexes, `ttl`."""
    return to_attributes({**msgspec.to_builtins(value), **more})


def from_item(item: Mapping[str, Any], kind: type[T]) -> T:
    """The value that `to_item` made the item from. Attributes that `kind` doesn't know are ignored."""
    return msgspec.convert({name: _plain(value) for name, value in item.items()}, kind)


def _plain(attribute: Mapping[str, Any]) -> Any:
    ((kind, value),) = attribute.items()
    match kind:
        case "N":
            return int(value)
        case "M":
            return {name: _plain(inner) for name, inner in value.items()}
        case "L":
            return [_plain(inner) for inner in value]
        case "NULL":
            return None
        case _:
            return value
