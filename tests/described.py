"""Answers held against the API's own description: `/openapi.json`.

The tests' clients (`tests/lambdas/api/client.py`, `tests/e2e/caller.py`) give every answer they get to
`Described.check`. An answer with a field that its route's `gives` lacks, or without one that it names, fails there:
correct the type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator

NOWHERE = frozenset({401, 404, 405})
"""What a path or a method that isn't described answers."""


class Described:
    """One OpenAPI document, and the answers that it allows."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._components = _closed(document["components"])
        self._paths = [
            (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operations)
            for path, operations in document["paths"].items()
        ]
        self._validators: dict[str, Draft202012Validator] = {}

    def check(self, method: str, path: str, status: int, content_type: str, body: str) -> None:
        """Fails unless this is how the route may answer. `path` is without its query."""
        operations = list(self._operations(method, path))
        if not operations:
            assert status in NOWHERE, f"{method} {path} answered {status} but isn't described"
            return
        assert any(self._fits(each, status, content_type, body) for each in operations), (
            f"{method} {path} answered {status} ({content_type}), not as it is described: "
            f"{self._problems(operations[0], status, content_type, body)}\n{body[:2_000]}"
        )

    def _operations(self, method: str, path: str) -> Iterator[Mapping[str, Any]]:
        """More than one where a path leads to several rules: `/v1/batches/<id>` and a fixed word, say."""
        for rule, operations in self._paths:
            if rule.fullmatch(path.rstrip("/")) and method.lower() in operations:
                yield operations[method.lower()]

    def _fits(
        self, operation: Mapping[str, Any], status: int, content_type: str, body: str
    ) -> bool:
        return not self._problems(operation, status, content_type, body)

    def _problems(
        self, operation: Mapping[str, Any], status: int, content_type: str, body: str
    ) -> list[str]:
        responses = operation["responses"]
        answer = responses.get(str(status)) or responses.get(f"{status // 100}XX")
        if answer is None:
            return [f"{status} is none of {', '.join(responses)}"]
        content = answer.get("content", {})
        if not content:
            return [f"there is a body: {body[:80]!r}"] if body else []
        media = content_type.partition(";")[0]
        if media not in content:
            return [f"the content type {media!r} is none of {', '.join(content)}"]
        if media != "application/json":
            return []
        validator = self._validator(content[media]["schema"])
        return [
            f"{'/'.join(map(str, error.path))}: {error.message}"
            for error in validator.iter_errors(json.loads(body))
        ]

    def _validator(self, schema: Mapping[str, Any]) -> Draft202012Validator:
        name = json.dumps(schema, sort_keys=True)
        if name not in self._validators:
            whole = {"components": self._components, **_closed(schema)}
            self._validators[name] = Draft202012Validator(whole)
        return self._validators[name]


def _closed(schema: Any) -> Any:
    """The same schema, but an object has the fields that it describes and no others: clients are to bear with a new
    field, the tests aren't."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        closed.setdefault("additionalProperties", False)
    return closed
