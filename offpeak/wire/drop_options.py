"""What a producer says of a dropped object, in its metadata (`x-amz-meta-…`) and in a sidecar file beside it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_core import from_json, to_json

from offpeak.core.errors import InvalidRequest
from offpeak.wire.openai.bodies import DropOptionsBody, parse_json

SIDECAR_BYTES_MAX = 64 * 2**10
METADATA_PREFIX = "metadata_"
FIELDS = frozenset(DropOptionsBody.model_fields)


def parse_options(metadata: Mapping[str, str], sidecar: bytes | None) -> DropOptionsBody:
    """The sidecar's fields go over those of the object's metadata. Raises InvalidRequest, which says where.

    In the sidecar every field counts; of metadata only names of ours do, for tools that copy objects add their own.
    """
    of_object = _parse(to_json(_fields(metadata)), "the object's metadata")
    if sidecar is None:
        return of_object
    of_sidecar = _parse(sidecar, "the sidecar file")
    given = {name: value for name in FIELDS if (value := getattr(of_sidecar, name)) is not None}
    return of_object.model_copy(update=given)


def parse_typed(pairs: Mapping[str, str]) -> DropOptionsBody:
    """As `parse_options` of metadata that somebody typed: here a name that is none of ours is a typo."""
    for name in pairs:
        field = name.lower().replace("-", "_")
        if field not in FIELDS and not field.startswith(METADATA_PREFIX):
            known = ", ".join(sorted(each.replace("_", "-") for each in FIELDS))
            raise InvalidRequest(f"There is no option {name!r}; there are {known} and metadata-….")
    return parse_options(pairs, None)


def _parse(body: bytes, where: str) -> DropOptionsBody:
    try:
        return parse_json(DropOptionsBody, body)
    except InvalidRequest as error:
        raise InvalidRequest(
            f"In {where}: {error.message}", param=error.param, code=error.code
        ) from None


def _fields(metadata: Mapping[str, str]) -> dict[str, object]:
    """From `output-expires-after: 86400`, `metadata: {"team": "search"}`, `metadata-team: search`."""
    fields: dict[str, object] = {}
    pairs: dict[str, str] = {}
    for name, value in sorted(metadata.items()):
        field = name.lower().replace("-", "_")
        if field.startswith(METADATA_PREFIX):
            pairs[name[len(METADATA_PREFIX) :]] = value
        elif field == "metadata":
            fields[field] = _json(value)
        elif field == "output_expires_after":
            fields[field] = {"anchor": "created_at", "seconds": _whole(value)}
        elif field in FIELDS:
            fields[field] = value
    if pairs:
        whole = fields.get("metadata", {})
        fields["metadata"] = {**whole, **pairs} if isinstance(whole, dict) else whole
    return fields


def _json(value: str) -> object:
    try:
        parsed: object = from_json(value)
    except ValueError:
        return value  # and is refused as what it is: no object
    return parsed


def _whole(value: str) -> int | str:
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 12 else value
