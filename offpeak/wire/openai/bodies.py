"""What clients send: request bodies as pydantic checks them, and each mistake as OpenAI words it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import ErrorDetails, from_json
from typing_extensions import TypedDict

from offpeak.core.destination import URL_CHARACTERS_MAX
from offpeak.core.errors import InvalidRequest, TooLarge
from offpeak.core.file import EXPIRES_SECONDS_MAX, EXPIRES_SECONDS_MIN
from offpeak.core.ports import PARTS_MAX

JSON_BYTES_MAX = 2 << 20
PARAM_CHARACTERS_MAX = 80
FILE_BYTES_CEILING = 5 * 10**12  # S3's largest object; an account's limit lies lower

Id = Annotated[str, Field(min_length=1, max_length=128)]
Word = Annotated[str, Field(min_length=1, max_length=128)]

Metadata = Annotated[
    Mapping[
        Annotated[str, Field(min_length=1, max_length=64)],
        Annotated[str, Field(max_length=512)],
    ],
    Field(max_length=16),
]


def _printable(name: str) -> str:
    return "".join(c for c in name if c.isprintable()) or "upload"


Filename = Annotated[str, Field(max_length=255), AfterValidator(_printable)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExpiresAfter(Body):
    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=EXPIRES_SECONDS_MIN, le=EXPIRES_SECONDS_MAX)]


class CreateFileForm(Body):
    """The fields beside `file`, and its name."""

    filename: Filename
    purpose: Word
    expires_after: ExpiresAfter | None = None


_Binary = Annotated[
    str, WithJsonSchema({"type": "string", "contentMediaType": "application/octet-stream"})
]
FileForm = TypedDict(
    "FileForm",
    {
        "purpose": Word,
        "expires_after[anchor]": NotRequired[Literal["created_at"]],
        "expires_after[seconds]": NotRequired[
            Annotated[int, Field(ge=EXPIRES_SECONDS_MIN, le=EXPIRES_SECONDS_MAX)]
        ],
        "file": _Binary,
    },
)
"""The form of a plain upload, for its description: what is in it is checked by `parse_form` and `CreateFileForm`."""


class PartForm(TypedDict):
    """The form of an upload's part."""

    data: _Binary


class BeginFileBody(Body):
    """A file that goes straight to S3; `bytes` is its size."""

    filename: Filename
    purpose: Word
    bytes: Annotated[int, Field(ge=0, le=FILE_BYTES_CEILING)]
    expires_after: ExpiresAfter | None = None


class FilePart(Body):
    part_number: Annotated[int, Field(ge=1, le=PARTS_MAX)]
    etag: Word


class CompleteFileBody(Body):
    parts: Annotated[Sequence[FilePart], Field(min_length=1, max_length=PARTS_MAX)]


class CreateUploadBody(Body):
    filename: Filename
    purpose: Word
    bytes: Annotated[int, Field(ge=0, le=FILE_BYTES_CEILING)]
    mime_type: Word
    expires_after: ExpiresAfter | None = None


class CompleteUploadBody(Body):
    part_ids: Annotated[Sequence[Id], Field(max_length=PARTS_MAX)]
    md5: Annotated[str, Field(pattern="^[0-9a-fA-F]{32}$")] | None = None


class CreateBatchBody(Body):
    input_file_id: Id
    endpoint: Word
    completion_window: Word
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None
    on_invalid: Literal["fail", "skip"] = "fail"
    schedule: Literal["now", "offpeak"] | None = None


class DropOptionsBody(Body):
    """What a producer says of an object in the drop folder: a batch's fields, all optional."""

    endpoint: Word | None = None
    completion_window: Word | None = None
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None
    on_invalid: Literal["fail", "skip"] | None = None
    schedule: Literal["now", "offpeak"] | None = None


Url = Annotated[str, Field(min_length=1, max_length=URL_CHARACTERS_MAX)]
EventTypes = Annotated[Sequence[Word], Field(min_length=1, max_length=100)]


class CreateWebhookBody(Body):
    name: Word
    url: Url
    event_types: EventTypes


class ChangeWebhookBody(Body):
    """`enabled` is ours: an endpoint that answered 410 is off until its account turns it on again."""

    name: Word | None = None
    url: Url | None = None
    event_types: EventTypes | None = None
    enabled: bool | None = None


class RotateSecretBody(Body):
    keep_old_secret_active_for_24_hours: bool = False


class RotateCallbackSecretBody(Body):
    """The old one goes on by default: every receiver of the account's callbacks has it."""

    keep_old_secret_active_for_24_hours: bool = True


class ProbeWebhookBody(Body):
    event_type: Word


class EstimateBatchBody(Body):
    """What a batch is created with, as far as an estimate looks at it."""

    input_file_id: Id
    endpoint: Word
    completion_window: Word = "24h"


BodyT = TypeVar("BodyT", bound=Body)


def parse_json(model: type[BodyT], body: bytes) -> BodyT:
    """The body, checked. A field that is null counts as absent. Raises InvalidRequest, TooLarge."""
    if len(body) > JSON_BYTES_MAX:
        raise TooLarge(f"A JSON body has at most {JSON_BYTES_MAX:,} bytes.")
    try:
        fields = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from None
    if not isinstance(fields, dict):
        raise InvalidRequest("The body must be a JSON object.", code="invalid_json")
    given = {name: value for name, value in fields.items() if value is not None}
    return check_body(model, given, strict=True)


def parse_fields(fields: Mapping[str, str], filename: str) -> CreateFileForm:
    """A form's fields; `expires_after[seconds]` is the field `seconds` of `expires_after`. Raises InvalidRequest."""
    nested: dict[str, Any] = {"filename": filename}
    for name, value in fields.items():
        outer, bracket, inner = name.partition("[")
        if bracket and inner.endswith("]"):
            nested.setdefault(outer, {})[inner[:-1]] = value
        else:
            nested[name] = value
    return check_body(CreateFileForm, nested, strict=False)


def check_body(model: type[BodyT], fields: Mapping[str, Any], *, strict: bool) -> BodyT:
    """The fields, checked; those of a form (`strict=False`) are text. Raises InvalidRequest."""
    try:
        return model.model_validate(fields, strict=strict)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False)[0]) from None


_TYPES = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "mapping_type": "an object",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "list_type": "an array",
    "sequence_type": "an array",
    "sequence_str": "an array",
}


def _refusal(detail: ErrorDetails) -> InvalidRequest:
    param = _param(detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return _refuse(
            "missing_required_parameter", f"Missing required parameter: '{param}'.", param
        )
    if kind == "extra_forbidden":
        return _refuse("unknown_parameter", f"Unknown parameter: '{param}'.", param)
    if kind in _TYPES:
        return _refuse(
            "invalid_type", f"Invalid type for '{param}': expected {_TYPES[kind]}.", param
        )
    if kind == "string_too_long":
        message = f"Invalid '{param}': longer than {context['max_length']} characters."
        return _refuse("string_above_max_length", message, param)
    if kind == "too_long":
        message = f"Invalid '{param}': at most {context['max_length']} entries are allowed."
        code = "object_above_max_properties" if param == "metadata" else "array_above_max_length"
        return _refuse(code, message, param)
    return _refuse("invalid_value", f"Invalid value for '{param}': {detail['msg']}.", param)


def _param(path: Sequence[str | int]) -> str:
    """`metadata.topic`, `parts.0.etag`. A key that is itself wrong is not repeated."""
    key_is_wrong = path[-1:] == ("[key]",)
    named = path[:-2] if key_is_wrong else path
    return ".".join(str(step) for step in named)[:PARAM_CHARACTERS_MAX]


def _refuse(code: str, message: str, param: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code=code)
