"""Requests and groups as EXXA's clients read them."""

from __future__ import annotations

from typing import cast

from offpeak.core.group import Group
from offpeak.core.request import Request
from offpeak.wire.exxa.answers import (
    GroupObject,
    GroupStatusObject,
    GroupWord,
    RequestObject,
    RequestStatusObject,
)


def render_request(request: Request) -> RequestObject:
    return {
        "id": request.id,
        "object": "request",
        "status": request.status.value,
        "batch_id": request.group_id,
        "model": request.model,
        "completion_window": request.completion_window,
        "created_at": request.created_at,
        "expires_at": request.expires_at,
        "ended_at": request.ended_at,
        "error": {"code": request.error_code} if request.error_code else None,
        "webhook": request.callback,
        "metadata": None if request.metadata is None else dict(request.metadata),
    }


def render_request_status(request: Request) -> RequestStatusObject:
    return {
        "id": request.id,
        "status": request.status.value,
        "batch_id": request.group_id,
    }


def render_group(group: Group, status: str) -> GroupObject:
    """`status` is the group's own, or `in progress`. The counts are there once it has ended."""
    counts = group.counts
    return {
        "id": group.id,
        "object": "requests_batch",
        "status": cast(GroupWord, str(status)),
        "requests_count": group.members,
        "requests_counts": {
            "total": counts.total,
            "completed": counts.completed,
            "failed": counts.failed,
            "cancelled": counts.total - counts.finished,
        }
        if group.has_ended
        else None,
        "created_at": group.created_at,
        "expires_at": group.expires_at,
        "ended_at": group.ended_at,
        "webhook": group.callback,
        "metadata": None if group.metadata is None else dict(group.metadata),
    }


def render_group_status(group: Group, status: str) -> GroupStatusObject:
    return {"id": group.id, "status": cast(GroupWord, str(status))}
