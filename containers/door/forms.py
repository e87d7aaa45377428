"""A form with one file in it, whose bytes go on to where they belong while the rest is still to come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from offpeak.steps.received_object import ReceivedObject
from offpeak.wire.openai.form import (
    FileBegun,
    FormEvent,
    FormField,
    missing_parameter,
    unknown_parameter,
)


@dataclass(frozen=True, slots=True)
class ReceivedForm:
    """The fields beside the file, and its name."""

    fields: Mapping[str, str]
    filename: str


def receive_form(
    events: Iterable[FormEvent],
    file_field: str,
    received: ReceivedObject,
    *,
    check_field: Callable[[str, str], None],
    check_bytes: Callable[[int], None],
) -> ReceivedForm:
    """Writes the file to `received`. Each field and each piece of the file is checked as it comes, so that what is
    wrong is refused before 10 GB have followed it. Raises InvalidRequest, and what the checks raise."""
    fields: dict[str, str] = {}
    filename: str | None = None
    for event in events:
        match event:
            case FormField(name, value):
                check_field(name, value)
                fields[name] = value
            case FileBegun(name, sent_as):
                if name != file_field:
                    raise unknown_parameter(name)
                filename = sent_as
            case _:
                check_bytes(received.bytes + len(event))
                received.write(event)
    if filename is None:
        raise missing_parameter(file_field)
    return ReceivedForm(fields, filename)
