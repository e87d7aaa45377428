"""Multipart forms: the fields and files of a body, in whatever order they come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header

from offpeak.core.errors import InvalidRequest

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

PARTS_MAX = 32
FIELD_BYTES_MAX = 8_192
FILE_FIELDS = frozenset({"file", "data"})
"""Files even when their part bears no filename."""
NAMELESS = "upload"


@dataclass(frozen=True, slots=True)
class FormFile:
    filename: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Form:
    fields: Mapping[str, str]
    files: Mapping[str, FormFile]


def parse_form(body: bytes, content_type: str | None) -> Form:
    """The form in `body`. Raises InvalidRequest, with code `invalid_multipart`, for anything that isn't one."""
    kind, options = parse_options_header(_latin(content_type or ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise _invalid("Send the body as multipart/form-data, with its boundary in Content-Type.")
    collector = _Collector()
    try:
        parser = MultipartParser(boundary, collector.callbacks())
        parser.write(body)
    except FormParserError as error:
        raise _invalid(f"The multipart body is broken: {error}.") from None
    if parser.state != MultipartState.END:
        raise _invalid("The multipart body is incomplete: its closing boundary is missing.")
    return Form(collector.fields, collector.files)


class _Collector:
    """What the parser finds, part by part."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.files: dict[str, FormFile] = {}
        self._headers: dict[str, str] = {}
        self._name = bytearray()
        self._value = bytearray()
        self._content = bytearray()

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_name,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_part_data": self._add_content,
            "on_part_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.fields) + len(self.files) >= PARTS_MAX:
            raise _invalid(f"The form has more than {PARTS_MAX} fields.")
        self._headers = {}
        self._content = bytearray()

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name, self._value = bytearray(), bytearray()

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def _end(self) -> None:
        kind, options = parse_options_header(self._headers.get("content-disposition"))
        if kind != b"form-data" or not options.get(b"name"):
            raise _invalid("A part of the form bears no name.")
        name = _text(options[b"name"], "a field's name")
        if name in self.fields or name in self.files:
            raise InvalidRequest(
                f"'{name[:80]}' is given twice.", param=name[:80], code="duplicate_parameter"
            )
        if b"filename" in options or name in FILE_FIELDS:
            filename = _text(options.get(b"filename", b""), "a file's name") or NAMELESS
            self.files[name] = FormFile(filename, bytes(self._content))
            return
        if len(self._content) > FIELD_BYTES_MAX:
            raise _invalid(f"The field '{name[:80]}' has more than {FIELD_BYTES_MAX} bytes.")
        self.fields[name] = _text(bytes(self._content), f"the field '{name[:80]}'")


def _latin(header: str) -> str:
    return header if header.isascii() else header.encode().decode("latin-1")


def _text(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _invalid(f"The multipart body is broken: {what} is not UTF-8.") from None


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(message, code="invalid_multipart")
