"""What Hive's routes answer, as types: for mypy, for `/openapi.json`, and for the tests that hold answers to it."""

from __future__ import annotations

from typing_extensions import TypedDict

from offpeak.core.request import Request
from offpeak.wire.exxa.answers import ErrorCode, RequestWord


class TaskReceived(TypedDict):
    """`id` and `task_id` are the request's, `project_id` the account's."""

    id: str
    task_id: str
    message: str
    project_id: str


class TaskObject(TypedDict):
    """A task as it is now. Times are seconds since the epoch."""

    id: str
    task_id: str
    project_id: str
    status: RequestWord
    model: str
    callback_url: str | None
    created_at: int
    expires_at: int
    ended_at: int | None
    error: ErrorCode | None


class CallbackAsked(TypedDict):
    id: str
    task_id: str
    message: str


def render_received(request: Request) -> TaskReceived:
    return {
        "id": request.id,
        "task_id": request.id,
        "message": "We received your task.",
        "project_id": request.account_id,
    }


def render_task(request: Request) -> TaskObject:
    return {
        "id": request.id,
        "task_id": request.id,
        "project_id": request.account_id,
        "status": request.status.value,
        "model": request.model,
        "callback_url": request.callback,
        "created_at": request.created_at,
        "expires_at": request.expires_at,
        "ended_at": request.ended_at,
        "error": {"code": request.error_code} if request.error_code else None,
    }


def render_callback_asked(request: Request) -> CallbackAsked:
    return {"id": request.id, "task_id": request.id, "message": "The callback is on its way."}
