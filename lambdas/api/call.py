"""One HTTP request as a route sees it, and how routes are bound to the resolver."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.event_handler.api_gateway import Router

from offpeak.core.account import Account
from offpeak.core.errors import InvalidRequest, NotFound

ID_CHARACTERS_MAX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Header names are in lower case."""

    account: Account
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes

    @property
    def idempotency_key(self) -> str | None:
        return self.headers.get("idempotency-key")


Answer = Callable[..., Response[str]]
"""Takes the Call, and each id in the path by its name."""


@dataclass(frozen=True, slots=True)
class Route:
    """`rule` is a path; `<file_id>` in it stands for one segment."""

    method: str
    rule: str
    answer: Answer


def bind(routes: Iterable[Route]) -> Router:
    router = Router()  # type: ignore[no-untyped-call]
    for route in routes:
        router.route(route.rule, method=route.method)(_adapted(router, route.answer))
    return router


def _adapted(router: Router, answer: Answer) -> Callable[..., Response[str]]:
    def adapted(**ids: str) -> Response[str]:
        for text in ids.values():
            if len(text) > ID_CHARACTERS_MAX:
                raise NotFound(f"There is nothing with the id {text[:40]}….")
        event = router.current_event.raw_event
        call = Call(
            account=router.context["account"],
            headers=lower_headers(event),
            query=event.get("queryStringParameters") or {},
            body=_body(event),
        )
        return answer(call, **ids)

    return adapted


def lower_headers(event: Mapping[str, Any]) -> dict[str, str]:
    """The event's headers; of one that was sent twice, the last."""
    return {name.lower(): value for name, value in (event.get("headers") or {}).items()}


def _body(event: Mapping[str, Any]) -> bytes:
    text: str = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise InvalidRequest("The body can't be decoded.", code="invalid_body") from None


def json_response(
    content: Mapping[str, Any] | str, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response[str]:
    """`content` as JSON, or JSON that is already text."""
    body = content if isinstance(content, str) else json.dumps(content)
    return Response(
        status_code=status,
        content_type=content_types.APPLICATION_JSON,
        body=body,
        headers=dict(headers or {}),
    )


def redirect(url: str) -> Response[str]:
    return Response(
        status_code=302, body="", headers={"Location": url, "Cache-Control": "no-store"}
    )
