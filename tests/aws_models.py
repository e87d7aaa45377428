"""Calls held to botocore's own service models: names, types, required ones, ranges, lengths, patterns, enumerations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape
from botocore.validate import ParamValidator

SESSION = botocore.session.get_session()


def faults(service: str, operation: str, parameters: Mapping[str, Any]) -> list[str]:
    """What AWS would not take: botocore's findings, and those that it leaves to the service."""
    shape = SESSION.get_service_model(service).operation_model(operation).input_shape
    assert shape is not None
    report = ParamValidator().validate(dict(parameters), shape)
    found = [report.generate_report()] if report.has_errors() else []
    return found + list(_beyond(shape, parameters, operation))


def _beyond(shape: Shape, value: Any, where: str) -> Iterator[str]:
    """Patterns, longest lengths, greatest values and enumerations, which botocore's validator doesn't look at."""
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        for name, each in value.items():
            if name in shape.members:
                yield from _beyond(shape.members[name], each, f"{where}.{name}")
    elif isinstance(shape, MapShape) and isinstance(value, Mapping):
        yield from _sizes(shape, len(value), where)
        for name, each in value.items():
            yield from _beyond(shape.key, name, f"{where} key")
            yield from _beyond(shape.value, each, f"{where}.{name}")
    elif isinstance(shape, ListShape) and isinstance(value, list):
        yield from _sizes(shape, len(value), where)
        for each in value:
            yield from _beyond(shape.member, each, f"{where}[]")
    elif isinstance(shape, StringShape) and isinstance(value, str):
        yield from _text(shape, value, where)
    elif isinstance(value, int | float):
        yield from _sizes(shape, value, where)


def _text(shape: StringShape, value: str, where: str) -> Iterator[str]:
    yield from _sizes(shape, len(value), where)
    pattern = str(shape.metadata.get("pattern", ""))
    is_ours = pattern and "\\p{" not in pattern and "\\u" not in pattern  # as Python writes them
    if is_ours and not re.fullmatch(pattern, value):
        yield f"{where}: {value!r} does not match {pattern}"
    if shape.enum and value not in shape.enum:
        yield f"{where}: {value!r} is none of {shape.enum}"


def _sizes(shape: Shape, size: float, where: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if (low is not None and size < low) or (high is not None and size > high):
        yield f"{where}: {size} is not in {low}–{high}"
