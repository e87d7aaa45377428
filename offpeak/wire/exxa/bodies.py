"""What EXXA's clients send. Its `/v1/batches` is OpenAI's, too: a body that names `requests_ids` is EXXA's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from offpeak.core.group import MEMBERS_A_CALL_MAX
from offpeak.wire.openai.bodies import Body, Id, Word

CALLBACK_CHARACTERS_MAX = 2_048

Metadata = Annotated[
    Mapping[
        Annotated[str, Field(min_length=1, max_length=64)], Annotated[str, Field(max_length=512)]
    ],
    Field(max_length=16),
]
Callback = Annotated[str, Field(min_length=1, max_length=CALLBACK_CHARACTERS_MAX)]


class CreateRequestBody(Body):
    request_body: dict[str, Any]
    metadata: Metadata | None = None
    completion_window: Word = "24h"
    webhook: Callback | None = None


RequestIds = Annotated[Sequence[Id], Field(min_length=1, max_length=MEMBERS_A_CALL_MAX)]


class CreateGroupBody(Body):
    requests_ids: RequestIds
    metadata: Metadata | None = None
    webhook: Callback | None = None


class ExtendGroupBody(Body):
    requests_ids: RequestIds
