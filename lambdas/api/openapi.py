"""The API's description, OpenAPI 3.1, generated from the routes: what they take and give, as their types say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from aws_lambda_powertools.event_handler import Response
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from lambdas.api.call import Call, Route, json_response
from offpeak import __version__
from offpeak.wire.http_errors import ErrorBody

JSON = "application/json"
_REF = "#/components/schemas/{model}"
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same request answers what the first one made, for a day.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_SECURITY: Mapping[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Authorization: Token KEY`, as Hive's clients send it.",
    },
    "x_api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_REDIRECT: Mapping[str, Any] = {
    "description": "Go there, without the key.",
    "headers": {"Location": {"schema": {"type": "string", "format": "uri"}}},
}
_Place = tuple[str, str, str]
"""Whose schema: the route's method and rule, and `takes <content type>`, `gives` or `errors`."""


def described(routes: Sequence[Route]) -> tuple[Route, ...]:
    """The routes, and one that describes them all, itself included."""

    def show(_: Call) -> Response[str]:
        return json_response(document())

    @cache
    def document() -> str:
        return json.dumps(describe(everything))

    itself = Route(
        "GET",
        "/openapi.json",
        show,
        summary="Describe this API (OpenAPI 3.1).",
        gives=dict[str, Any],
        accents=("Offpeak",),
        scope=None,
    )
    everything = (*routes, itself)
    return everything


def describe(routes: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI document of these routes."""
    schemas, components = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operations = paths.setdefault(_path(route.rule), {})
        operations[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Offpeak",
            "version": __version__,
            "description": "Batches of LLM requests. The tags say whose clients speak a route.",
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SECURITY},
        "security": [{name: []} for name in _SECURITY],
    }


def _schemas(routes: Iterable[Route]) -> tuple[Mapping[_Place, Any], Mapping[str, Any]]:
    """A schema for each place, and the named ones that they refer to."""
    wanted: list[tuple[_Place, JsonSchemaMode, TypeAdapter[Any]]] = []
    for route in routes:
        for part, type_ in _types(route):
            answered = part.startswith(("gives", "errors"))
            place = (route.method, route.rule, part)
            wanted.append(
                (place, "serialization" if answered else "validation", TypeAdapter(type_))
            )
    found, whole = TypeAdapter.json_schemas(wanted, ref_template=_REF)
    return {place: schema for (place, _), schema in found.items()}, whole.get("$defs", {})


def _types(route: Route) -> Iterable[tuple[str, Any]]:
    for content_type, taken in _bodies(route).items():
        yield f"takes {content_type}", taken
    for content_type, given in _answers(route).items():
        yield f"gives {content_type}", given
    yield "errors", ErrorBody


def _bodies(route: Route) -> Mapping[str, Any]:
    if route.takes is None:
        return {}
    return route.takes if isinstance(route.takes, Mapping) else {JSON: route.takes}


def _answers(route: Route) -> Mapping[str, Any]:
    if route.gives is None:
        return {}
    return route.gives if isinstance(route.gives, Mapping) else {JSON: route.gives}


def _operation(route: Route, schemas: Mapping[_Place, Any]) -> dict[str, Any]:
    def schema(part: str) -> Any:
        return schemas.get((route.method, route.rule, part))

    operation: dict[str, Any] = {
        "operationId": "_".join([route.method.lower(), *re.findall(r"\w+", route.rule)]),
        "summary": route.summary,
        "tags": list(route.accents),
        "parameters": _parameters(route),
        "responses": {
            str(route.status): _success(
                route, {kind: {"schema": schema(f"gives {kind}")} for kind in _answers(route)}
            ),
            **({"302": _REDIRECT} if route.redirects else {}),
            **{status: _content("An error.", schema("errors")) for status in ("4XX", "5XX")},
        },
    }
    bodies = {kind: {"schema": schema(f"takes {kind}")} for kind in _bodies(route)}
    if bodies:
        operation["requestBody"] = {"required": True, "content": bodies}
    if route.scope is None:
        operation["security"] = []
    else:
        operation["x-offpeak-scope"] = route.scope
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    query = {} if route.query is None else TypeAdapter(route.query).json_schema()
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"<(\w+)>", route.rule)
    ]
    in_query = [
        {
            "name": name,
            "in": "query",
            "required": name in query.get("required", ()),
            "schema": field,
        }
        for name, field in query.get("properties", {}).items()
    ]
    return [*in_path, *in_query, *([_IDEMPOTENCY_KEY] if route.reserves else [])]


def _success(route: Route, content: Mapping[str, Any]) -> Mapping[str, Any]:
    if content:
        headers = {
            name: {"description": meaning, "schema": {"type": "string"}}
            for name, meaning in route.headers.items()
        }
        shown = {"headers": headers} if headers else {}
        return {"description": "It worked.", "content": content, **shown}
    if 300 <= route.status < 400:
        return _REDIRECT
    return {"description": "It worked."}


def _content(description: str, schema: Any) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _path(rule: str) -> str:
    return re.sub(r"<(\w+)>", r"{\1}", rule)
