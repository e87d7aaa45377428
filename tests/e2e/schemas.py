"""Answers held against the schemas of OpenAI's public specification."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

SPECIFICATION = Path(__file__).parent.parent / "data" / "openai-batch-schemas.yaml"


def assert_fits(answer: Mapping[str, Any], schema: str) -> None:
    """`answer` is an instance of `schema`, for example "Batch". The specification's own examples show a field that
    isn't set as null, while its schemas don't allow null: a null counts as absent."""
    problems = [
        f"{'/'.join(map(str, error.path)) or schema}: {error.message}"
        for error in _validator(schema).iter_errors(_without_nulls(answer, schema))
    ]
    assert not problems, "; ".join(problems)


@cache
def _validator(schema: str) -> Draft202012Validator:
    schemas = yaml.safe_load(SPECIFICATION.read_text())
    assert schema in schemas, f"the specification has no schema {schema}"
    document = {"components": {"schemas": schemas}, "$ref": f"#/components/schemas/{schema}"}
    return Draft202012Validator(document)


def _without_nulls(value: Any, schema: str) -> Any:
    if schema == "ErrorResponse" or not isinstance(value, Mapping | list):
        return value
    if isinstance(value, list):
        return [_without_nulls(element, schema) for element in value]
    return {key: _without_nulls(field, schema) for key, field in value.items() if field is not None}
