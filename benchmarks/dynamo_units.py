"""What DynamoDB charges for a call, from what was asked and answered, in its own JSON.

A write unit per started KB of the row, as much again for each index whose part of it changes, double in a transaction;
a read unit per started 4 KB, half where it may lag. Rows come as the protocol has them: `{"name": {"S": "…"}}`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from infra.storage import TABLES, Key

WRITE_BYTES, READ_BYTES = 1_024, 4_096


class UnknownCall(ValueError):
    """An operation that nobody has taught the meter to price."""


@dataclass(frozen=True, slots=True)
class Units:
    """Of one call, all of it on one table."""

    table: str
    writes: float = 0.0
    reads: float = 0.0


def size_of(value: Mapping[str, Any]) -> int:
    """Bytes of an attribute value, as DynamoDB counts them."""
    ((kind, inner),) = value.items()
    if kind == "N":
        return len(inner) // 2 + 2
    if kind == "M":
        return 3 + sum(len(name.encode()) + 1 + size_of(each) for name, each in inner.items())
    if kind == "L":
        return 3 + sum(1 + size_of(each) for each in inner)
    return len(inner.encode()) if kind == "S" else 1


def row_bytes(row: Mapping[str, Any]) -> int:
    return sum(len(name.encode()) + size_of(value) for name, value in row.items())


def units(size: int, unit: int) -> int:
    return max(1, -(-size // unit))


class CapacityMeter:
    """Keeps each row's last state, for what it costs to leave an index. `named` gives a table its name in `TABLES`."""

    def __init__(self, named: Callable[[str], str]) -> None:
        self._named = named
        self._rows: dict[tuple[str, str], Mapping[str, Any]] = {}

    def count(
        self, operation: str, asked: Mapping[str, Any], answered: Mapping[str, Any], *, ok: bool
    ) -> list[Units]:
        """By table. A refused write costs as much as one that is made, and changes nothing. Raises UnknownCall."""
        share = 1.0 if asked.get("ConsistentRead") else 0.5
        found: list[Units] = []
        match operation:
            case "PutItem":
                found = [self._write(asked["TableName"], asked["Item"], ok=ok)]
            case "UpdateItem":
                row = answered.get("Attributes") or answered.get("Item") or {}
                found = [self._write(asked["TableName"], row, ok=ok)]
            case "DeleteItem":
                found = [self._delete(asked["TableName"], asked["Key"], ok=ok)]
            case "TransactWriteItems":
                found = [self._part(part, ok=ok) for part in asked["TransactItems"]]
            case "BatchGetItem":
                found = [
                    self._read(table, rows, each=True)
                    for table, rows in answered.get("Responses", {}).items()
                ]
            case "GetItem":
                found = [self._read(asked["TableName"], [answered.get("Item", {})], share=share)]
            case "Query" | "Scan":
                found = [self._read(asked["TableName"], answered.get("Items", ()), share=share)]
            case _:
                raise UnknownCall(f"DynamoDB's {operation} has no price here.")
        return found

    def _read(
        self, table: str, rows: Iterable[Mapping[str, Any]], share: float = 1.0, each: bool = False
    ) -> Units:
        sizes = [row_bytes(row) for row in rows]
        whole = sum(units(s, READ_BYTES) for s in sizes) if each else units(sum(sizes), READ_BYTES)
        return Units(self._named(table), reads=whole * share)

    def _part(self, part: Mapping[str, Any], *, ok: bool) -> Units:
        """Of a transaction: twice the price."""
        ((kind, asked),) = part.items()
        if kind == "Put":
            once = self._write(asked["TableName"], asked["Item"], ok=ok)
        elif kind == "Delete":
            once = self._delete(asked["TableName"], asked["Key"], ok=ok)
        else:
            raise UnknownCall(f"A transaction's {kind} has no price here.")
        return Units(once.table, writes=2 * once.writes)

    def _write(self, table: str, row: Mapping[str, Any], *, ok: bool) -> Units:
        key = self._key(table, row)
        before = self._rows.get(key, {})
        if ok:
            self._rows[key] = row
        return Units(self._named(table), writes=self._change(table, before, row))

    def _delete(self, table: str, key: Mapping[str, Any], *, ok: bool) -> Units:
        known = self._key(table, key)
        before = self._rows.get(known, {})
        if ok:
            self._rows.pop(known, None)
        return Units(self._named(table), writes=self._change(table, before, {}))

    def _change(self, table: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> int:
        schema = TABLES[self._named(table)]
        cost = units(max(row_bytes(after), row_bytes(before)), WRITE_BYTES)
        for index in schema.indexes.values():
            names = _names(index)
            was, now = (_projected(row, schema.key, index) for row in (before, after))
            if was == now:
                continue  # nothing that lies in the index has changed
            moved = [before.get(name) for name in names] != [after.get(name) for name in names]
            cost += units(row_bytes(now), WRITE_BYTES) if now else 0
            cost += units(row_bytes(was), WRITE_BYTES) if was and moved else 0
        return cost

    def _key(self, table: str, row: Mapping[str, Any]) -> tuple[str, str]:
        names = _names(TABLES[self._named(table)].key)
        return table, json.dumps([row.get(name) for name in names])


def _names(key: Key) -> list[str]:
    return [typed[0] for typed in (key.partition, key.sort) if typed]


def _projected(row: Mapping[str, Any], key: Key, index: Key) -> Mapping[str, Any]:
    """What of a row lies in an index; nothing, where it lacks one of the index's keys."""
    if not all(name in row for name in _names(index)):
        return {}
    if index.includes is None:
        return row
    kept = {*_names(key), *_names(index), *index.includes}
    return {name: value for name, value in row.items() if name in kept}
