"""What Hive's clients send: a text, where to call back, and options."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from offpeak.core.destination import URL_CHARACTERS_MAX
from offpeak.wire.openai.bodies import Body, Word

METADATA_CHARACTERS_MAX = 8_192
HISTORY_MAX = 10_000
_HISTORY_TAKES = "an array of objects with 'role' and 'content', or a string that holds one as JSON"


class Said(Body):
    role: Literal["system", "user", "assistant"]
    content: str


def _history(value: Any) -> Any:
    """The page's cURL example has a string there: JSON in it is read, and an empty one is no history."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return []
    try:
        history = json.loads(value)
    except (ValueError, RecursionError):
        history = None
    if not isinstance(history, list):
        raise PydanticCustomError("history", f"it takes {_HISTORY_TAKES}")
    return history


def _small(value: Any) -> Any:
    if len(json.dumps(value)) > METADATA_CHARACTERS_MAX:
        raise PydanticCustomError(
            "metadata", f"it has more than {METADATA_CHARACTERS_MAX:,} characters as JSON"
        )
    return value


History = Annotated[Sequence[Said] | str, Field(max_length=HISTORY_MAX)]


class Options(Body):
    """`model` is ours: an id or an alias of `GET /v1/models`. `top_p` and `temperature` lie between 0 and 1."""

    model: Word | None = None
    system_prompt: str | None = None
    prompt_history: Annotated[
        Sequence[Said] | None, BeforeValidator(_history, json_schema_input_type=History | None)
    ] = Field(default=None, max_length=HISTORY_MAX)
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None


class TaskBody(Body):
    """`metadata` is any JSON, and comes back with the callback as it is."""

    text_data: Annotated[str, Field(min_length=1)]
    callback_url: Annotated[str, Field(min_length=1, max_length=URL_CHARACTERS_MAX)]
    options: Options = Options()
    metadata: Annotated[str | Mapping[str, Any] | None, BeforeValidator(_small)] = None
