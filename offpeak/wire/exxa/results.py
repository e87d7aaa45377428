r"""Results as EXXA's clients read them: a JSON object for each request, in a group's file one a line.

    {"id": "req_…", "status": "completed", "metadata", "response": {"status_code", "request_id", "body"}, "error": null}

What the engine answered is passed on byte for byte out of the shard's result line, which names the request first.
"""

from __future__ import annotations

import msgspec

from offpeak.core.errors import Unavailable
from offpeak.core.request import Request, RequestStatus

_MESSAGES = {
    "request_cancelled": "The request was cancelled before it was finished.",
    "request_expired": "The request could not be finished before its completion window expired.",
}
_RESPONSE = b',"response":'


def render_result(request: Request, line: bytes) -> bytes:
    """`line` is the shard's result line. Its newline included, as in what is returned."""
    cut = line.find(_RESPONSE)
    if cut < 0:
        raise Unavailable(f"The result of request {request.id} can't be read.")
    return _head(request) + line[cut:]


def render_without_result(request: Request) -> bytes:
    """For a request that has no result line: cancelled, or lost."""
    code = request.error_code or "no_result"
    error = {"code": code, "message": _MESSAGES.get(code, f"The request is {request.status}.")}
    return _head(request) + b',"response":null,"error":%b}\n' % msgspec.json.encode(error)


def _head(request: Request) -> bytes:
    """An object's beginning, its fields that the line doesn't have."""
    status = request.status if request.has_ended else RequestStatus.IN_PROGRESS
    fields = {"id": request.id, "status": status, "metadata": request.metadata}
    return _ascii(msgspec.json.encode(fields))[:-1]


def _ascii(encoded: bytes) -> bytes:
    """msgspec writes UTF-8: some clients split lines on U+2028."""
    if encoded.isascii():
        return encoded
    text = encoded.decode()
    return "".join(c if c.isascii() else _escape(c) for c in text).encode("ascii")


def _escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))
