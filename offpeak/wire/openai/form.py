"""Multipart forms: the fields and files of a body, in whatever order they come, and in whatever pieces.

`FormReader` says what is in a form while it arrives and holds no file's bytes; `parse_form` is for one that is there as
a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header

from offpeak.core.errors import InvalidRequest

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

PARTS_MAX = 32
FIELD_BYTES_MAX = 8_192
AROUND_FILES_BYTES_MAX = 2 << 20
"""All of a form that is no file's content: fields, headers, boundaries, and what stands before and after."""
FILE_FIELDS = frozenset({"file", "data"})
"""Files even when their part bears no filename."""
NAMELESS = "upload"


@dataclass(frozen=True, slots=True)
class FormField:
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class FileBegun:
    """A file, whose bytes follow until the next event that is none."""

    name: str
    filename: str


FormEvent = FormField | FileBegun | bytes


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
    fields: dict[str, str] = {}
    files: dict[str, tuple[str, bytearray]] = {}
    content = bytearray()
    for event in read_form((body,), content_type):
        match event:
            case FormField(name, value):
                fields[name] = value
            case FileBegun(name, filename):
                content = bytearray()
                files[name] = filename, content
            case _:
                content += event
    whole = {name: FormFile(filename, bytes(held)) for name, (filename, held) in files.items()}
    return Form(fields, whole)


def read_form(pieces: Iterable[bytes], content_type: str | None) -> Iterator[FormEvent]:
    """What is in the form that comes in `pieces`, as it comes. Raises InvalidRequest like `parse_form`."""
    reader = FormReader(content_type)
    for piece in pieces:
        yield from reader.feed(piece)
    reader.close()


def unknown_parameter(name: str) -> InvalidRequest:
    short = name[:80]
    return InvalidRequest(f"Unknown parameter: '{short}'.", param=short, code="unknown_parameter")


def missing_parameter(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
    )


class FormReader:
    """Takes a form's bytes in any pieces. All methods raise InvalidRequest, with code `invalid_multipart` for what is
    no form; at most one field's bytes are held."""

    def __init__(self, content_type: str | None) -> None:
        kind, options = parse_options_header(_latin(content_type or ""))
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise _invalid(
                "Send the body as multipart/form-data, with its boundary in Content-Type."
            )
        self._events: list[FormEvent] = []
        self._names: set[str] = set()
        self._headers: dict[str, str] = {}
        self._name = bytearray()
        self._value = bytearray()
        self._content = bytearray()
        self._field: str | None = None
        self._around_files = 0
        try:
            self._parser = MultipartParser(boundary, self._callbacks())
        except FormParserError as error:
            raise _broken(error) from None

    def feed(self, data: bytes) -> Sequence[FormEvent]:
        """What these bytes, or those before them, have made certain."""
        self._events = []
        self._around_files += len(data)
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _broken(error) from None
        if self._around_files > AROUND_FILES_BYTES_MAX:
            raise _invalid(
                f"The form has more than {AROUND_FILES_BYTES_MAX:,} bytes around its files."
            )
        return self._events

    def close(self) -> None:
        if self._parser.state != MultipartState.END:
            raise _invalid("The multipart body is incomplete: its closing boundary is missing.")

    def _callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_name,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_content,
            "on_part_data": self._add_content,
            "on_part_end": self._end,
        }

    def _begin(self) -> None:
        if len(self._names) >= PARTS_MAX:
            raise _invalid(f"The form has more than {PARTS_MAX} fields.")
        self._headers = {}

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name, self._value = bytearray(), bytearray()

    def _begin_content(self) -> None:
        kind, options = parse_options_header(self._headers.get("content-disposition"))
        if kind != b"form-data" or not options.get(b"name"):
            raise _invalid("A part of the form bears no name.")
        name = _text(options[b"name"], "a field's name")
        if name in self._names:
            raise InvalidRequest(
                f"'{name[:80]}' is given twice.", param=name[:80], code="duplicate_parameter"
            )
        self._names.add(name)
        if b"filename" in options or name in FILE_FIELDS:
            filename = _text(options.get(b"filename", b""), "a file's name") or NAMELESS
            self._field = None
            self._events.append(FileBegun(name, filename))
        else:
            self._field = name
            self._content = bytearray()

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._around_files -= end - start
            self._events.append(data[start:end])
            return
        self._content += data[start:end]
        if len(self._content) > FIELD_BYTES_MAX:
            raise _invalid(f"The field '{self._field[:80]}' has more than {FIELD_BYTES_MAX} bytes.")

    def _end(self) -> None:
        if self._field is not None:
            value = _text(bytes(self._content), f"the field '{self._field[:80]}'")
            self._events.append(FormField(self._field, value))


def _latin(header: str) -> str:
    return header if header.isascii() else header.encode().decode("latin-1")


def _text(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _invalid(f"The multipart body is broken: {what} is not UTF-8.") from None


def _broken(error: FormParserError) -> InvalidRequest:
    return _invalid(f"The multipart body is broken: {error}.")


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(message, code="invalid_multipart")
