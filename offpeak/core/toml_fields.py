"""Readers of single values in a TOML table: each gives the typed value, or says what the field takes.

A reader takes what `tomllib` made of the field and returns the value. It raises Refused with the sentence's second
half: "a whole number from 1 to 16".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Reader = Callable[[Any], Any]
SCALARS = (str, int, float, bool)


class Refused(Exception):
    """`takes` says what the field takes, `path` which field below the one that was read."""

    def __init__(self, takes: str, value: Any, path: str = "") -> None:
        super().__init__(takes)
        self.takes, self.value, self.path = takes, value, path


class UnknownField(Exception):
    """A table has a field that nobody reads; the message names it."""


class MissingField(Exception):
    """A table lacks a field; the message names it."""


def whole(least: int, most: int) -> Reader:
    def read(value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        raise Refused(f"a whole number from {least:,} to {most:,}", value)

    return read


def number(over: float, most: float) -> Reader:
    def read(value: Any) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and over < value <= most:
            return float(value)
        raise Refused(f"a number above {over:g}, up to {most:g}", value)

    return read


def text(pattern: str = r"\S(.{0,198}\S)?") -> Reader:
    def read(value: Any) -> str:
        if isinstance(value, str) and re.fullmatch(pattern, value):
            return value
        raise Refused(f"a string that must match {pattern}", value)

    return read


def one_of(*names: str) -> Reader:
    def read(value: Any) -> str:
        if isinstance(value, str) and value in names:
            return value
        raise Refused(f"one of {', '.join(names)}", value)

    return read


def list_of(read_one: Reader, least: int = 0) -> Reader:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) < least:
            raise Refused(f"a list of at least {least}" if least else "a list", value)
        if len({str(each) for each in value}) != len(value):
            raise Refused("a list in which nothing is named twice", value)
        return tuple(read_one(each) for each in value)

    return read


def arguments(value: Any) -> Mapping[str, Any]:
    """A command line's: names with strings, numbers, booleans, and for what takes JSON also tables of them."""
    if isinstance(value, dict) and all(
        isinstance(v, (*SCALARS, dict, list)) for v in value.values()
    ):
        return value
    raise Refused("a table of arguments", value)


def table_of(
    build: Callable[..., Any], readers: Mapping[str, Reader], required: Sequence[str]
) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Refused(f"a table with {', '.join(required)}", value)
        return build(**read_fields(value, readers, required))

    return read


def named_tables(pattern: str, build: Callable[..., Any], readers: Mapping[str, Reader]) -> Reader:
    """Tables under names that match `pattern`; a list of names is as many empty tables."""
    read_one = table_of(build, readers, ())

    def read(value: Any) -> Mapping[str, Any]:
        named = {name: {} for name in value} if _are_names(value) else value
        if not isinstance(named, dict):
            raise Refused("a list of names, or a table of tables", value)
        for name in named:
            text(pattern)(name)
        return {name: read_one(table) for name, table in named.items()}

    return read


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def read_fields(
    table: Mapping[str, Any], readers: Mapping[str, Reader], required: Sequence[str]
) -> dict[str, Any]:
    """The table's values, read. Raises Refused, UnknownField, MissingField."""
    for name in required:
        if name not in table:
            raise MissingField(name)
    values = {}
    for name, value in table.items():
        if name not in readers:
            raise UnknownField(name)
        try:
            values[name] = readers[name](value)
        except Refused as wrong:
            below = f".{wrong.path}" if wrong.path else ""
            raise Refused(wrong.takes, wrong.value, name + below) from None
        except (UnknownField, MissingField) as wrong:
            raise type(wrong)(f"{name}.{wrong}") from None
    return values
