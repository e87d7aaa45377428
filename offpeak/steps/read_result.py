"""What a request, or a group of them, came to: small ones as bytes, large ones as a URL of the account's own object.

A shard's results hold many accounts' lines, and a presigned URL can't be narrowed to a range: a large line is copied.
"""

from __future__ import annotations

from dataclasses import dataclass

from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.layout import result_copy_key
from offpeak.core.ports import Groups, Presigner, Reader, Writer
from offpeak.core.request import Request
from offpeak.steps.group_requests import find_group
from offpeak.wire.exxa.results import render_result, render_without_result

INLINE_BYTES_MAX = 4_000_000
"""A function answers with at most 6 MB."""
URL_SECONDS = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Inline:
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    url: str


def read_request_result(
    request: Request, *, reader: Reader, writer: Writer, presigner: Presigner
) -> Inline | Elsewhere:
    """Of a request as `show_request` gives it. Raises StateConflict when it has none yet, NotFound when it is gone."""
    if not request.has_ended:
        raise _not_ready("Request", request.id, request.status)
    result = request.result
    if result is None:
        return Inline(body=render_without_result(request))
    try:
        line = reader.read(result.key, result.start, result.stop)
    except NotFound:
        raise NotFound(f"The result of request {request.id} is not kept any more.") from None
    body = render_result(request, line)
    if len(body) <= INLINE_BYTES_MAX:
        return Inline(body=body)
    key = result_copy_key(request.account_id, request.id)
    writer.put(key, body, "application/json")
    return Elsewhere(url=presigner.download_url(key, URL_SECONDS, f"{request.id}.json"))


def read_group_results(
    account_id: str, group_id: str, *, reader: Reader, groups: Groups, presigner: Presigner,
) -> Inline | Elsewhere:  # fmt: skip
    """JSON Lines. Raises NotFound, StateConflict for a group that goes on."""
    group = find_group(account_id, group_id, groups)
    if not group.has_ended or group.results_key is None:
        raise _not_ready("Batch", group.id, group.shown_status)
    if group.results_bytes > INLINE_BYTES_MAX:
        url = presigner.download_url(group.results_key, URL_SECONDS, f"{group.id}.jsonl")
        return Elsewhere(url=url)
    try:
        return Inline(body=reader.read(group.results_key))
    except NotFound:
        raise NotFound(f"The results of batch {group.id} are not kept any more.") from None


def _not_ready(kind: str, id: str, status: str) -> StateConflict:
    return StateConflict(
        f"{kind} {id} is {status}: its results are not there yet. Look at its status first.",
        code="results_not_ready",
    )
