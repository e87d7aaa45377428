"""Lists: what the query asks for, and the page that answers it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from offpeak.core.errors import InvalidRequest

ANSWER_BYTES_MAX = 5_000_000
"""Lambda answers with at most 6 MB."""
CURSOR_CHARACTERS_MAX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """`after` is the id that the last page ended with."""

    limit: int
    after: str | None
    ascending: bool
    purpose: str | None


def parse_listing(query: Mapping[str, str], *, limit_default: int, limit_max: int) -> Listing:
    """Raises InvalidRequest, which names the parameter."""
    order = query.get("order") or "desc"
    if order not in {"asc", "desc"}:
        raise _invalid("order", "Expected 'asc' or 'desc'")
    after = query.get("after") or None
    if after is not None and len(after) > CURSOR_CHARACTERS_MAX:
        raise _invalid("after", "Expected the id that the last page ended with")
    return Listing(
        limit=_limit(query.get("limit"), limit_default, limit_max),
        after=after,
        ascending=order == "asc",
        purpose=query.get("purpose") or None,
    )


def parse_kind(query: Mapping[str, str]) -> Literal["output", "error"] | None:
    """Which result lines are asked for; None is both. Raises InvalidRequest."""
    match query.get("kind") or None:
        case None:
            return None
        case "output":
            return "output"
        case "error":
            return "error"
        case _:
            raise _invalid("kind", "Expected 'output' or 'error'")


def render_list(objects: Iterable[Mapping[str, Any]], has_more: bool) -> str:
    """The page as JSON. A page that would grow over `ANSWER_BYTES_MAX` ends early and says that there is more."""
    texts: list[str] = []
    ids: list[str] = []
    size = 0
    for rendered in objects:
        text = json.dumps(rendered)
        if texts and size + len(text) > ANSWER_BYTES_MAX:
            has_more = True
            break
        texts.append(text)
        ids.append(rendered["id"])
        size += len(text) + 2
    # The specification wants strings here, of an empty page too.
    ends = {"first_id": ids[0] if ids else "", "last_id": ids[-1] if ids else ""}
    rest = json.dumps({**ends, "has_more": has_more})
    return f'{{"object": "list", "data": [{", ".join(texts)}], {rest[1:]}'


def _limit(text: str | None, default: int, most: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise _invalid("limit", f"Expected a whole number from 1 to {most}")
    return int(text)


def _invalid(param: str, expected: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid value for '{param}'. {expected}.", param=param, code="invalid_value"
    )
