"""One HTTP request as a route sees it, and how routes are bound to the resolver."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.event_handler.api_gateway import Router

from offpeak.core.account import Account, Caller, Scope
from offpeak.core.errors import InvalidRequest, NotFound
from offpeak.steps.authenticate import require_scope

ID_CHARACTERS_MAX = 128
ANYBODY = Caller(
    account=Account(id="anybody", name="anybody", created_at=0), key_id="", scope=Scope.READ
)
"""Who calls a route that needs no key: an account that has nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Header names are in lower case. `key_id` is the key that was sent, `action` the route, as `POST /v1/files`."""

    account: Account
    key_id: str
    action: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes

    @property
    def idempotency_key(self) -> str | None:
        return self.headers.get("idempotency-key")


Answer = Callable[..., Response[str]]
"""Takes the Call, and each id in the path by its name."""


AccentName = Literal["OpenAI", "Together", "EXXA", "Hive", "Offpeak"]
TOGETHER: tuple[AccentName, ...] = ("Together",)


@dataclass(frozen=True, slots=True)
class Route:
    """What a path does, and its description: `/openapi.json` and the table in `docs/api.md` are made of these.

    `rule` is a path; `<file_id>` in it stands for one segment. `summary` is one line, for people. `takes` is the
    type of the JSON body, or a mapping from content types to types; `gives` that of the JSON answer, or such a
    mapping, None where there is no body (a redirect); `redirects` where a large answer is elsewhere. A type is a
    pydantic model, a TypedDict, or whatever else pydantic's TypeAdapter takes. `query` is a TypedDict of the
    parameters. `accents` says who speaks so; "Offpeak" are routes of our own. `reserves` is for a POST that honours
    `Idempotency-Key`. `scope` is what a key must cover; None needs no key. `headers` are those of its answer, each with
    what it says.

    After adding one, run `make api-table` (docs/api.md). The API tests hold every answer against `gives`.
    """

    method: str
    rule: str
    answer: Answer
    _: KW_ONLY
    scope: Scope | None
    summary: str
    gives: Any
    takes: Any = None
    query: Any = None
    accents: tuple[AccentName, ...] = ("OpenAI",)
    status: int = 200
    reserves: bool = False
    redirects: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


def bind(routes: Iterable[Route]) -> Router:
    router = Router()  # type: ignore[no-untyped-call]
    for route in routes:
        router.route(route.rule, method=route.method)(_adapted(router, route))
    return router


def _adapted(router: Router, route: Route) -> Callable[..., Response[str]]:
    def adapted(**ids: str) -> Response[str]:
        caller = _caller(router, route)  # who may not, learns nothing of ids either
        for text in ids.values():
            if len(text) > ID_CHARACTERS_MAX:
                raise NotFound(f"There is nothing with the id {text[:40]}….")
        event = router.current_event.raw_event
        call = Call(
            account=caller.account,
            key_id=caller.key_id,
            action=f"{route.method} {route.rule}",
            headers=lower_headers(event),
            query=event.get("queryStringParameters") or {},
            body=_body(event),
        )
        return route.answer(call, **ids)

    return adapted


def _caller(router: Router, route: Route) -> Caller:
    """Whose call it is, by which key. Raises Forbidden where the key may not make it."""
    if route.scope is None:
        return ANYBODY
    caller: Caller = router.context["caller"]
    require_scope(caller, route.scope, f"{route.method} {route.rule}")
    return caller


def lower_headers(event: Mapping[str, Any]) -> dict[str, str]:
    """The event's headers; of one that was sent twice, the last."""
    return {name.lower(): value for name, value in (event.get("headers") or {}).items()}


def _body(event: Mapping[str, Any]) -> bytes:
    text: str = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return text.encode("utf-8", "replace")
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
