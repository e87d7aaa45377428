"""The tokens that a response body says it took, whatever the endpoint."""

from __future__ import annotations

import msgspec

from offpeak.core.usage import Usage


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    """Chat, completions and embeddings count prompt and completion tokens, responses input and output tokens."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
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
    return Usage(
        input_tokens=usage.prompt_tokens or usage.input_tokens or 0,
        cached_tokens=inputs.cached_tokens or 0,
        output_tokens=usage.completion_tokens or usage.output_tokens or 0,
        reasoning_tokens=outputs.reasoning_tokens or 0,
    )
