"""Stand-alone requests, each under its id alone, so that writes spread over the table however many one account sends.

The sparse index `open_members` holds the members of groups that have not ended, each group's spread over some keys;
`open_callbacks` the requests that have not ended and have a callback to tell, by the end of their window. A request
that has neither is in no index: its two writes are two write units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar
from zlib import crc32

from botocore.exceptions import ClientError

from offpeak.aws.errors import code_of, translated
from offpeak.aws.items import Item, from_item, to_attributes, to_item
from offpeak.aws.table import Table
from offpeak.core.errors import NotFound
from offpeak.core.ports import GroupClaim, Moved, Verdict
from offpeak.core.request import KEPT_SECONDS, Request, RequestEnding, RequestStatus

AT_ONCE = 32
GET_ROWS_MAX = 100
GROUP_KEYS = CALLBACK_KEYS = 8
"""A partition takes 1,000 writes a second: so many of them lie under one group's open members, and under the requests
with callbacks."""

T = TypeVar("T")
R = TypeVar("R")

_END = "SET #status = :status, #ended_at = :at{result}{error_code} ADD #version :one REMOVE #open_group, #open_callback"
_CLAIM = "SET #group_id = :group_id, #claim = :claim{open_group} ADD #version :one"
_RELEASE = "REMOVE #group_id, #claim, #open_group ADD #version :one"


def request_to_item(request: Request) -> Item:
    is_open_member = request.group_id is not None and not request.has_ended
    return to_item(
        request,
        ttl=request.expires_at + KEPT_SECONDS,
        open_group=_open_key(request.group_id, request.id) if is_open_member else None,
        open_callback=_callback_key(request.id)
        if request.callback is not None and not request.has_ended
        else None,
    )


def request_from_item(item: Item) -> Request:
    return from_item(item, Request)


class DynamoRequests:
    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, account_id: str, request_id: str) -> Request:
        found = request_from_item(self._table.get(f"request {request_id}", id=request_id))
        if found.account_id != account_id:
            raise NotFound(f"There is no request {request_id}.")
        return found

    def get_many(self, request_ids: Sequence[str]) -> Sequence[Request]:
        ids = list(dict.fromkeys(request_ids))
        chunks = [ids[n : n + GET_ROWS_MAX] for n in range(0, len(ids), GET_ROWS_MAX)]
        return [request for found in _each(self._get_chunk, chunks) for request in found]

    def _get_chunk(self, request_ids: Sequence[str]) -> list[Request]:
        found: list[Request] = []
        asked: Any = {
            self._table.name: {
                "Keys": [to_attributes({"id": each}) for each in request_ids],
                "ConsistentRead": True,
            }
        }
        while asked:
            with translated("requests"):
                answer = self._table.client.batch_get_item(RequestItems=asked)
            found += map(request_from_item, answer["Responses"].get(self._table.name, ()))
            asked = answer.get("UnprocessedKeys")
        return found

    def untold(self, window_ended_by: int, limit: int) -> Sequence[Request]:
        found: list[Request] = []
        for number in range(CALLBACK_KEYS):
            late = self._table.query(
                "#open_callback = :key AND #expires_at <= :by",
                {":key": str(number), ":by": window_ended_by},
                index="open_callbacks", page_rows=limit,
            )  # fmt: skip
            found += map(request_from_item, islice(late, limit))
        return sorted(found, key=lambda request: (request.expires_at, request.id))[:limit]

    def end(self, endings: Sequence[RequestEnding]) -> Sequence[Moved]:
        return _each(self._end, endings)

    def _end(self, ending: RequestEnding) -> Moved:
        result = to_item(ending.result) if ending.result else None
        moved = self._update(
            ending.request_id,
            _END.format(
                result=", #result = :result" if result else "",
                error_code=", #error_code = :error_code" if ending.error_code else "",
            ),
            "#status = :registered",
            {
                ":status": ending.status, ":at": ending.at, ":registered": RequestStatus.REGISTERED,
                ":error_code": ending.error_code,
            },
            {":result": {"M": result}} if result else {},
        )  # fmt: skip
        if moved.verdict is Verdict.REFUSED and moved.request and moved.request.ended_as(ending):
            return Moved(verdict=Verdict.REPEATED, request=moved.request)
        return moved

    def claim(self, claim: GroupClaim, request_ids: Sequence[str]) -> Sequence[Moved]:
        return _each(lambda request_id: self._claim(claim, request_id), request_ids)

    def _claim(self, claim: GroupClaim, request_id: str) -> Moved:
        moved = self._claim_as(claim, request_id, is_open=True)
        found = moved.request
        if moved.verdict is Verdict.CHANGED or found is None:
            return moved
        if found.account_id != claim.account_id:
            return Moved(verdict=Verdict.REFUSED, request=None)
        if found.claim == claim.token:
            return Moved(verdict=Verdict.REPEATED, request=found)
        if found.group_id is None and found.has_ended:
            return self._claim_as(claim, request_id, is_open=False)
        return moved

    def _claim_as(self, claim: GroupClaim, request_id: str, *, is_open: bool) -> Moved:
        open_key = _open_key(claim.group_id, request_id) if is_open else None
        return self._update(
            request_id,
            _CLAIM.format(open_group=", #open_group = :open_group" if is_open else ""),
            "#account_id = :account_id AND attribute_not_exists(#group_id)"
            + (" AND #status = :registered" if is_open else ""),
            {
                ":group_id": claim.group_id, ":claim": claim.token, ":account_id": claim.account_id,
                ":open_group": open_key,
                ":registered": RequestStatus.REGISTERED if is_open else None,
            },
        )  # fmt: skip

    def release(self, claim: GroupClaim, request_ids: Sequence[str]) -> None:
        def release(request_id: str) -> Moved:
            return self._update(request_id, _RELEASE, "#claim = :claim", {":claim": claim.token})

        _each(release, request_ids)

    def _update(
        self, request_id: str, change: str, condition: str, values: Mapping[str, Any],
        more: Mapping[str, Any] | None = None,
    ) -> Moved:  # fmt: skip
        words = f"{change} {condition}".replace("(", " ").replace(")", " ").replace(",", " ")
        with translated(f"request {request_id[:100]}"):
            try:
                answer = self._table.client.update_item(
                    TableName=self._table.name,
                    Key=to_attributes({"id": request_id}),
                    UpdateExpression=change,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={
                        word: word[1:] for word in words.split() if word.startswith("#")
                    },
                    ExpressionAttributeValues={
                        **to_attributes({**values, **_one(change)}), **(more or {})
                    },
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )  # fmt: skip
            except ClientError as error:
                if code_of(error) != "ConditionalCheckFailedException":
                    raise
                found: Any = error.response.get("Item")
                row = request_from_item(found) if found else None
                return Moved(verdict=Verdict.REFUSED, request=row)
        return Moved(verdict=Verdict.CHANGED, request=request_from_item(answer["Attributes"]))


def open_keys(group_id: str) -> Iterator[str]:
    """Where a group's open members lie in the index."""
    return (f"{group_id}#{n}" for n in range(GROUP_KEYS))


def _callback_key(request_id: str) -> str:
    return str(crc32(request_id.encode()) % CALLBACK_KEYS)


def _open_key(group_id: str | None, request_id: str) -> str:
    return f"{group_id}#{crc32(request_id.encode()) % GROUP_KEYS}"


def _one(change: str) -> dict[str, int]:
    return {":one": 1} if ":one" in change else {}


def _each(call: Callable[[T], R], over: Sequence[T]) -> list[R]:
    """In their order, several at once where there are several."""
    if len(over) <= 1:
        return [call(each) for each in over]
    with ThreadPoolExecutor(min(AT_ONCE, len(over))) as threads:
        return list(threads.map(call, over))
