"""What Together's clients send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal
from urllib.parse import parse_qsl

from pydantic import Field

from offpeak.core.errors import InvalidRequest
from offpeak.wire.openai.bodies import (
    FILE_BYTES_CEILING,
    Body,
    Filename,
    FilePart,
    Id,
    Word,
    check_body,
)
from offpeak.wire.openai.form import PARTS_MAX as FIELDS_MAX
from offpeak.wire.openai.form import parse_form

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART_PARTS_MAX = 250  # the SDKs' own; each part's URL is up to 2 kB of the answer
PURPOSE: Literal["batch-api"] = "batch-api"


class UploadFields(Body):
    """Announces a file whose bytes are then PUT. SDK 1.x sends it urlencoded, later ones as a multipart form."""

    purpose: Word
    file_name: Filename
    file_type: Word = "jsonl"
    checksum: Word | None = None


class InitiateMultipartBody(Body):
    """`file_size` in bytes; each of `num_parts` has as many, the last may have less."""

    purpose: Word
    file_name: Filename
    file_size: Annotated[int, Field(ge=1, le=FILE_BYTES_CEILING)]
    num_parts: Annotated[int, Field(ge=1, le=MULTIPART_PARTS_MAX)]
    file_type: Word = "jsonl"
    checksum: Word | None = None


class CompleteMultipartBody(Body):
    upload_id: Annotated[str, Field(min_length=1, max_length=2_048)]
    file_id: Id
    parts: Annotated[Sequence[FilePart], Field(min_length=1, max_length=MULTIPART_PARTS_MAX)]


class AbortMultipartBody(Body):
    upload_id: Annotated[str, Field(min_length=1, max_length=2_048)]
    file_id: Id


class CreateJobBody(Body):
    """`model_id` and `priority` are taken, and have no effect: each line names its model, and the window orders.
    `schedule` is ours; what isn't said, the account's defaults say."""

    input_file_id: Id
    endpoint: Word = "/v1/chat/completions"
    completion_window: Word | None = None
    schedule: Literal["now", "offpeak"] | None = None
    model_id: Word | None = None
    priority: int | None = None


def parse_upload(body: bytes, content_type: str) -> UploadFields:
    """Raises InvalidRequest."""
    if content_type.lower().startswith(URLENCODED):
        return check_body(UploadFields, _urlencoded(body), strict=False)
    return check_body(UploadFields, parse_form(body, content_type).fields, strict=False)


def _urlencoded(body: bytes) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=FIELDS_MAX
        )
    except ValueError:
        raise InvalidRequest("The body is not a valid form.", code="invalid_form") from None
    return dict(pairs)
