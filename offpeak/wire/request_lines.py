"""Request lines as bytes: lines that were checked (`line_checker.py`) are read, lines of our own are written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec

from offpeak.core.request_line import RequestLine

MEDIA = b'_url"'
"""How `image_url` and its siblings end, which only the whole check looks at. In a text the quote is escaped."""


class _Named(msgspec.Struct):
    custom_id: str


class _Owned(msgspec.Struct):
    account_id: str | None = None


_NAMED = msgspec.json.Decoder(_Named)
_OWNED = msgspec.json.Decoder(_Owned)
_RAW_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STRING = msgspec.json.Decoder(str)


def render_request_line(
    custom_id: str, url: str, body: bytes, account_id: str | None = None
) -> bytes:
    """A request line, its newline not included. `body` is JSON on one line; the ids and the URL are ours. A gathering's
    lines have an account each."""
    owner = b"" if account_id is None else b'"account_id":"%b",' % account_id.encode()
    return b'{"custom_id":"%b","method":"POST","url":"%b",%b"body":%b}' % (
        custom_id.encode(), url.encode(), owner, body,
    )  # fmt: skip


def read_account_id(line: bytes) -> str | None:
    """Whose request it is, by a line that we have written: in a caller's own file the field says nothing. Raises
    ValueError for what is no such line."""
    return _OWNED.decode(line).account_id


def read_custom_id(line: bytes) -> str:
    """Of a line that was checked. Raises ValueError if it wasn't."""
    try:
        return _NAMED.decode(line).custom_id
    except RecursionError:
        # The check was made near the bottom of a stack (a function's handler); a new thread's is nearer still.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(_NAMED.decode, line).result().custom_id


def read_line(line: bytes, number: int) -> RequestLine:
    """A line that was checked, for whoever runs it: its body's bytes untouched. Raises ValueError if it wasn't."""
    fields = _RAW_FIELDS.decode(line)
    try:
        body = bytes(fields["body"])
        return RequestLine(
            number=number, custom_id=_STRING.decode(fields["custom_id"]), body=body,
            model=_STRING.decode(_RAW_FIELDS.decode(body)["model"]),
        )  # fmt: skip
    except KeyError as missing:
        raise ValueError(f"Line {number} has no {missing}.") from None
