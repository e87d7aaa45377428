r"""What a task's callback says, in Hive's shape:

    {"id", "project_id", "metadata", "status": [{"status": {"code": "0", "message": "SUCCESS"}, "response": {
        "input": {"id", "created_on", "model", "project_id", "text_data", "options"},
        "output": [{"text", "finish_reason"}], "usage": {"prompt_tokens", "completion_tokens", "total_tokens"}}}]}

A task that failed has another code than "0", what went wrong as the message, an empty output and no usage.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from offpeak.core.errors import Unavailable
from offpeak.core.request import Request, RequestStatus

SUCCESS = {"code": "0", "message": "SUCCESS"}
FAILED = "1"
"""The code of what failed before the engine answered. What the engine refused has its HTTP status."""
_MESSAGES = {
    "request_cancelled": "The request was cancelled before it was finished.",
    "request_expired": "The request could not be finished before its completion window expired.",
}


def keep_input(fields: Mapping[str, Any]) -> bytes:
    """A task's body as its callback gives it back, without what only says where that goes."""
    kept = {name: value for name, value in fields.items() if name != "callback_url"}
    return json.dumps(kept, separators=(",", ":")).encode("ascii")


def render_callback(request: Request, kept: bytes, line: bytes | None) -> bytes:
    """`kept` is what `keep_input` made, `line` the shard's result line where there is one. ASCII.

    Raises Unavailable for a line that can't be read.
    """
    task: dict[str, Any] = json.loads(kept)
    status, output, usage = _outcome(request, line)
    told = {
        "id": request.id,
        "project_id": request.account_id,
        "metadata": task.pop("metadata", None),
        "status": [
            {
                "status": status,
                "response": {
                    "input": {
                        "id": request.id,
                        "created_on": datetime.fromtimestamp(request.created_at, UTC).isoformat(),
                        "model": request.model,
                        "project_id": request.account_id,
                        **task,
                    },
                    "output": output,
                    "usage": usage,
                },
            }
        ],
    }
    return json.dumps(told, separators=(",", ":")).encode("ascii")


def _outcome(
    request: Request, line: bytes | None
) -> tuple[dict[str, str], list[dict[str, Any]], Mapping[str, Any] | None]:
    """Status, output, usage."""
    if line is None:
        code = request.error_code or "no_result"
        return _failed(FAILED, _MESSAGES.get(code, f"The request is {request.status}: {code}."))
    try:
        result = json.loads(line)
        if result["response"] is None:
            return _failed(FAILED, str(result["error"]["message"]))
        answered, body = int(result["response"]["status_code"]), result["response"]["body"]
        if request.status is not RequestStatus.COMPLETED:
            return _failed(str(answered), _message(body))
        return SUCCESS, list(_texts(body)), body.get("usage")
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Unavailable(f"The result of request {request.id} can't be read.") from None


def _failed(code: str, message: str) -> tuple[dict[str, str], list[dict[str, Any]], None]:
    return {"code": code, "message": message}, [], None


def _texts(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for choice in body["choices"]:
        yield {
            "text": choice["message"]["content"],
            "finish_reason": choice.get("finish_reason"),
        }


def _message(body: Any) -> str:
    """What the engine said: OpenAI's envelope, vLLM's older bare one, or whatever it was."""
    if isinstance(body, dict):
        error = body.get("error", body)
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            return str(error["message"])
    return body if isinstance(body, str) else json.dumps(body)
