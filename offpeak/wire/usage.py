"""The tokens that a response body says it took, whatever the endpoint."""

from __future__ import annotations

from typing import Annotated

import msgspec

from offpeak.core.usage import Usage

TOKENS_MAX = 1_000_000_000
"""Of one answer, far above any context. An engine that says more, or less than none, is broken; nobody pays for that,
and no row could hold the sum."""

_Tokens = Annotated[int, msgspec.Meta(ge=0, le=TOKENS_MAX)] | None


class _InputDetails(msgspec.Struct):
    cached_tokens: _Tokens = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: _Tokens = None


class _Usage(msgspec.Struct):
    """Chat, completions and embeddings count prompt and completion tokens, responses input and output tokens."""

    prompt_tokens: _Tokens = None
    completion_tokens: _Tokens = None
    input_tokens: _Tokens = None
    output_tokens: _Tokens = None
    prompt_tokens_details: _InputDetails | None = None
    input_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Body(msgspec.Struct):
    usage: _Usage | None = None


_BODIES = msgspec.json.Decoder(_Body)


def read_usage(body: bytes) -> Usage:
    """The tokens that a response body says it took; none when it doesn't say, or says it in a way of its own."""
    try:
        usage = _BODIES.decode(body).usage or _Usage()
    except (ValueError, RecursionError):
        return Usage()
    inputs = usage.prompt_tokens_details or usage.input_tokens_details or _InputDetails()
    outputs = usage.completion_tokens_details or usage.output_tokens_details or _OutputDetails()
    read = usage.prompt_tokens or usage.input_tokens or 0
    written = usage.completion_tokens or usage.output_tokens or 0
    return Usage(
        input_tokens=read,
        cached_tokens=min(read, inputs.cached_tokens or 0),
        output_tokens=written,
        reasoning_tokens=min(written, outputs.reasoning_tokens or 0),
    )
