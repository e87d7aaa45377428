"""Answers with what it was asked: deterministic, at a settable speed. For tests and dry runs, without a model.

A word of the prompt may ask for a fault:

    [[status=429]]   answers with this status           [[sleep=2.5]]   takes so many seconds more
    [[die]]          the engine dies, for every request
    [[memory=64]]    takes so many MiB while it answers
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from offpeak.wire.usage import read_usage
from offpeak.worker.engine import EngineAnswer, EngineDead, EngineLimits, error_answer

EMBEDDING_DIMENSIONS = 8
CREATED = 1_767_225_600
"""Answers are the same at any time, so they can't carry one."""
_FAULT = re.compile(r"\[\[(status|sleep|die|memory)(?:=([0-9.]+))?\]\]")


class EchoEngine:
    def __init__(self, model: str, seconds_per_line: float = 0.0, window: int = 64) -> None:
        self._model = model
        self._seconds_per_line = seconds_per_line
        self._window = window
        self._dead = False
        self._counters: Counter[str] = Counter()

    @property
    def limits(self) -> EngineLimits:
        return EngineLimits(requests=self._window)

    async def start(self) -> None: ...

    async def ready(self) -> bool:
        return not self._dead

    async def run(self, endpoint: str, body: Mapping[str, Any], *, priority: int) -> EngineAnswer:  # noqa: ARG002 - all at once
        if self._dead:
            raise EngineDead("The echo has died away.")
        render = _ENDPOINTS.get(endpoint)
        if render is None:
            return error_answer(404, f"The echo doesn't serve {endpoint}.")
        try:
            prompts = _prompts(body)
        except (KeyError, TypeError, IndexError):
            return error_answer(400, f"The body is no request for {endpoint}.")
        faults = dict(fault for text in prompts if "[[" in text for fault in _FAULT.findall(text))
        self._counters["requests"] += 1
        taken = bytes(int(faults.get("memory") or 0) << 20)
        await asyncio.sleep(self._seconds_per_line + float(faults.get("sleep") or 0))
        del taken
        if "die" in faults:
            self._dead = True
            raise EngineDead("The echo was asked to die.")
        if status := int(faults.get("status") or 0):
            return error_answer(status, "The echo was asked for this status.", kind="echo_error")
        answer = msgspec.json.encode({"model": self._model, **render(prompts)})
        return EngineAnswer(status_code=200, body=answer, usage=read_usage(answer))

    async def stop(self) -> None: ...

    def stats(self) -> Mapping[str, int]:
        return dict(self._counters)


def _prompts(body: Mapping[str, Any]) -> list[str]:
    """The texts to answer: the last message's, the prompts', or the inputs'."""
    if "messages" in body:
        return [_text(body["messages"][-1]["content"])]
    asked = body["prompt"] if "prompt" in body else body["input"]
    if isinstance(asked, list) and asked and isinstance(asked[0], dict):
        return [_text(asked[-1]["content"])]
    return [_text(each) for each in asked] if isinstance(asked, list) else [_text(asked)]


def _text(content: Any) -> str:
    """Of images, which the worker has made data URLs, their type and size."""
    if isinstance(content, list):
        return " ".join(part.get("text") or _seen(part.get("image_url")) for part in content)
    return str(content)


def _seen(image: Any) -> str:
    url = image.get("url", "") if isinstance(image, dict) else image
    head, comma, data = str(url or "").partition(";base64,")
    return f"[{head.removeprefix('data:')}, {len(b64decode(data))} bytes]" if comma else ""


def _words(texts: list[str]) -> int:
    return sum(len(text.split()) for text in texts)


def _usage(prompts: list[str]) -> dict[str, Any]:
    words = _words(prompts)
    return {
        "prompt_tokens": words, "completion_tokens": words, "total_tokens": 2 * words,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }  # fmt: skip


def _digest(prompts: list[str]) -> str:
    return hashlib.sha256("\0".join(prompts).encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _chat(prompts: list[str]) -> dict[str, Any]:
    message = {"role": "assistant", "content": prompts[0], "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {
        "id": f"chatcmpl-{_digest(prompts)}", "object": "chat.completion", "created": CREATED,
        "choices": [choice], "usage": _usage(prompts),
    }  # fmt: skip


def _completion(prompts: list[str]) -> dict[str, Any]:
    choices = [
        {"index": index, "text": text, "logprobs": None, "finish_reason": "stop"}
        for index, text in enumerate(prompts)
    ]
    return {
        "id": f"cmpl-{_digest(prompts)}", "object": "text_completion", "created": CREATED,
        "choices": choices, "usage": _usage(prompts),
    }  # fmt: skip


def _embeddings(prompts: list[str]) -> dict[str, Any]:
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(text)}
        for index, text in enumerate(prompts)
    ]
    words = _words(prompts)
    usage = {"prompt_tokens": words, "total_tokens": words}
    return {"object": "list", "data": data, "usage": usage}


def _vector(text: str) -> list[float]:
    """A unit vector that depends on the text alone."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    raw = [byte - 127.5 for byte in digest[:EMBEDDING_DIMENSIONS]]
    norm = sum(value * value for value in raw) ** 0.5
    return [value / norm for value in raw]


def _response(prompts: list[str]) -> dict[str, Any]:
    digest, words = _digest(prompts), _words(prompts)
    content = {"type": "output_text", "text": prompts[0], "annotations": []}
    message = {
        "id": f"msg_{digest}", "type": "message", "role": "assistant", "status": "completed",
        "content": [content],
    }  # fmt: skip
    usage = {
        "input_tokens": words,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": words, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 2 * words,
    }  # fmt: skip
    return {
        "id": f"resp_{digest}", "object": "response", "created_at": CREATED,
        "status": "completed", "error": None, "incomplete_details": None, "instructions": None,
        "metadata": {}, "output": [message], "parallel_tool_calls": True, "temperature": None,
        "tool_choice": "auto", "tools": [], "top_p": None, "usage": usage,
    }  # fmt: skip


_ENDPOINTS = {
    "/v1/chat/completions": _chat,
    "/v1/completions": _completion,
    "/v1/embeddings": _embeddings,
    "/v1/responses": _response,
}
