"""Registers a stand-alone request and hands it to the collector.

Row first, then the queue: what fell between them was answered with an error, and a caller who repeats it with the same
Idempotency-Key sends it on its way. Nothing is read: the row is one write, its end will be the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from offpeak.core.account import Account
from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import InvalidRequest, StateConflict
from offpeak.core.ids import REQUEST
from offpeak.core.layout import request_body_key, request_input_key
from offpeak.core.ports import (
    Add,
    Changes,
    Clock,
    Idempotency,
    RequestQueue,
    Requests,
    Writer,
)
from offpeak.core.request import Request
from offpeak.core.window import parse_window
from offpeak.steps.reserve_id import reserve_id
from offpeak.wire.jsonl import LINE_BYTES_MAX
from offpeak.wire.line_checker import BadLine, GoodLine, LineChecker
from offpeak.wire.request_lines import render_request_line
from offpeak.wire.request_records import QUEUED_BODY_BYTES_MAX, RequestRecord, encode_record
from offpeak.wire.results import to_ascii_json

CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """What a caller asks for. `body` is the JSON of a request to `endpoint`; `accent` the dialect it came in, and
    `body_name` what that dialect calls the body, for errors. `callback` is where the result is to be told,
    `kept` JSON that it will tell with it."""

    body: bytes
    endpoint: str = CHAT
    completion_window: str = "24h"
    metadata: Mapping[str, str] | None = None
    callback: str | None = None
    kept: bytes | None = None
    accent: str = "exxa"
    body_name: str = "request_body"


def create_request(
    account: Account,
    new: NewRequest,
    *,
    idempotency_key: str | None,
    clock: Clock,
    catalogue: Catalogue,
    writer: Writer,
    changes: Changes,
    requests: Requests,
    idempotency: Idempotency,
    request_queue: RequestQueue,
) -> Request:
    """The request, registered.

    Raises InvalidRequest for a body that could not run, StateConflict for a reused Idempotency-Key.
    """
    window_seconds = parse_window(new.completion_window)
    body = to_ascii_json(new.body)
    checked = _check(new, body, catalogue)
    request_id = reserve_id(
        REQUEST, account_id=account.id, route="POST /requests", key=idempotency_key,
        request=_meaning(new) if idempotency_key else {}, clock=clock, idempotency=idempotency,
    )  # fmt: skip
    now = int(clock.now())
    request = Request(
        id=request_id, account_id=account.id, model=checked.model.id, endpoint=new.endpoint,
        completion_window=new.completion_window, created_at=now, expires_at=now + window_seconds,
        accent=new.accent, metadata=new.metadata or None, callback=new.callback,
    )  # fmt: skip
    made = _add(request, changes, requests)
    again = made is not request
    if again and made.has_ended:
        return made
    if new.kept is not None:
        writer.put(request_input_key(account.id, made.id), new.kept, "application/json")
    record = RequestRecord(
        id=made.id, account_id=account.id, model=made.model, endpoint=made.endpoint,
        window=window_seconds, deadline=made.expires_at, tokens=checked.completion_tokens,
        again=again, **_carried(made, body, writer),
    )  # fmt: skip
    request_queue.send(encode_record(record))
    return made


def _check(new: NewRequest, body: bytes, catalogue: Catalogue) -> GoodLine:
    """Validated as a line of a file would be. Raises InvalidRequest."""
    if new.endpoint not in {name for model in catalogue.models for name in model.endpoints}:
        raise InvalidRequest(
            f"No model serves {new.endpoint[:80]!r} here.",
            param="endpoint",
            code="invalid_endpoint",
        )
    line = render_request_line("request", new.endpoint, body)
    checked = LineChecker(new.endpoint, catalogue, LINE_BYTES_MAX).check(
        line if len(line) <= LINE_BYTES_MAX else None, 1
    )
    if not isinstance(checked, BadLine):
        return checked
    error = checked.error
    if error.code == "line_too_long":
        raise InvalidRequest(
            f"The request has more than {LINE_BYTES_MAX:,} bytes. Shorten it.",
            param=new.body_name, code="request_too_large",
        )  # fmt: skip
    raise InvalidRequest(
        error.message.replace("'body.", f"'{new.body_name}.").replace("'body'", f"'{new.body_name}'"),
        param=_renamed(error.param, new.body_name), code=error.code,
    )  # fmt: skip


def _renamed(param: str | None, name: str) -> str | None:
    inner = param is not None and (param == "body" or param.startswith("body."))
    return name + param.removeprefix("body") if param and inner else param


def _meaning(new: NewRequest) -> dict[str, Any]:
    return {
        **asdict(new),
        "body": new.body.decode(errors="replace"),
        "kept": None if new.kept is None else new.kept.decode(errors="replace"),
        "metadata": dict(new.metadata or {}),
    }


def _add(request: Request, changes: Changes, requests: Requests) -> Request:
    """Adds the row; when the same request is a step ahead, its row is the answer."""
    try:
        changes.commit(Add(request))
    except StateConflict:
        return requests.get(request.account_id, request.id)
    return request


def _carried(request: Request, body: bytes, writer: Writer) -> dict[str, Any]:
    if len(body) <= QUEUED_BODY_BYTES_MAX:
        return {"body": msgspec.Raw(body)}
    key = request_body_key(request.account_id, request.id)
    writer.put(key, body, "application/json")
    return {"body_key": key}
