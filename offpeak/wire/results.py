r"""A finished line as clients download it, ASCII only: some of them split files on U+2028.

An id depends on the batch and the line alone, so that a line that is finished twice is the same line twice.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import msgspec

from offpeak.core.usage import Usage
from offpeak.wire.usage import read_usage

_NON_ASCII = re.compile(r"[^\x00-\x7f]+")
_HEAD = re.compile(rb'\{"id":"batch_req_[^"]*_([0-9]+)"')
_ANY_JSON = msgspec.json.Decoder(msgspec.Raw)


def render_response(
    *, batch_id: str, line: int, custom_id: str, status_code: int, body: bytes
) -> bytes:
    """The result line of a request that the engine answered, whatever the status; its newline included.

    `body` is the answer's bytes. What is no JSON in UTF-8 (a proxy's error page) becomes a JSON string.
    """
    suffix = _id_suffix(batch_id, line)
    head = b'{"id":"batch_req_%b","custom_id":%b,' % (suffix, _quote(custom_id))
    response = b'"response":{"status_code":%d,"request_id":"req_%b","body":%b},"error":null}\n'
    return head + response % (status_code, suffix, to_ascii_json(body))


def render_error(
    *, batch_id: str, line: int, custom_id: str | None, code: str, message: str
) -> bytes:
    """The result line of a request that never ran, or that the engine was lost with; its newline included.

    `custom_id` is None only for an input line that has none.
    """
    head = b'{"id":"batch_req_%b","custom_id":%b,' % (_id_suffix(batch_id, line), _quote(custom_id))
    return head + b'"response":null,"error":{"code":%b,"message":%b}}\n' % (
        _quote(code),
        _quote(message),
    )


def line_number(result: bytes) -> int:
    """The input line that a result line answers, out of its id. Raises ValueError for what is no result line."""
    head = _HEAD.match(result)
    if head is None:
        raise ValueError(f"This is no result line: {result[:80]!r}.")
    return int(head[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedResult:
    """What a result line says of itself. `error_code` is None for a request that was answered well; the tokens of one
    that was not are nobody's."""

    custom_id: str | None
    error_code: str | None
    usage: Usage
    was_answered: bool = True


class _Response(msgspec.Struct):
    status_code: int
    body: msgspec.Raw


class _Error(msgspec.Struct):
    code: str


class _Result(msgspec.Struct):
    custom_id: str | None
    response: _Response | None
    error: _Error | None


_RESULTS = msgspec.json.Decoder(_Result)


def read_routed(line: bytes) -> RoutedResult:
    """Raises ValueError for what is no result line."""
    result = _RESULTS.decode(line)
    response, code = result.response, result.error.code if result.error else None
    if response is None:
        return RoutedResult(
            custom_id=result.custom_id, error_code=code or "no_response", usage=Usage(),
            was_answered=False,
        )  # fmt: skip
    if response.status_code >= 400:
        code = f"http_{response.status_code}"
        return RoutedResult(custom_id=result.custom_id, error_code=code, usage=Usage())
    return RoutedResult(
        custom_id=result.custom_id, error_code=code, usage=read_usage(bytes(response.body))
    )


def to_ascii_json(body: bytes) -> bytes:
    """The same JSON value on one line, the non-ASCII characters of its strings escaped. Python's NaN becomes null."""
    try:
        text = body.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return _quote(body.decode("utf-8", "replace"))
    try:
        _ANY_JSON.decode(body)
    except (ValueError, RecursionError):
        return _dump_leniently(text)
    if not text.isascii():
        text = _NON_ASCII.sub(lambda run: json.dumps(run[0])[1:-1], text)
    # Between tokens a newline is whitespace, and within a string JSON allows none.
    return text.replace("\n", " ").replace("\r", " ").strip().encode("ascii")


def _dump_leniently(text: str) -> bytes:
    """What msgspec refuses and Python writes all the same: escaped lone surrogates, NaN. Else the text as a string."""
    try:
        value = json.loads(text, parse_constant=lambda _: None)
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")
    except (ValueError, RecursionError):
        return _quote(text)


def _id_suffix(batch_id: str, line: int) -> bytes:
    return f"{batch_id.removeprefix('batch_')}_{line}".encode()


def _quote(text: str | None) -> bytes:
    return json.dumps(text).encode("ascii")
