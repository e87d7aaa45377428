"""Puts requests into a group, a new one or one that is there: all of a call's, or none.

    the list of ids in S3 ─► the claim opened on the group's row ─► each request claimed ─► committed
                                                                      └─ one refused ────► all released

Only the commit makes members. A call that dies before it holds its requests until the sweep undoes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import NoReturn

from offpeak.core.account import Account
from offpeak.core.errors import InvalidRequest, NotFound, StateConflict, Unavailable
from offpeak.core.group import WINDOW_SECONDS, Group
from offpeak.core.ids import GROUP
from offpeak.core.layout import group_call_key
from offpeak.core.ports import (
    Add,
    Changes,
    Clock,
    GroupChecks,
    GroupClaim,
    Groups,
    Idempotency,
    Moved,
    Requests,
    Verdict,
    Writer,
)
from offpeak.core.request import Request
from offpeak.steps.move_group import Move, move_group
from offpeak.steps.reserve_id import reserve_id
from offpeak.wire.cancelled import encode_ids

NAMED_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGroup:
    request_ids: Sequence[str]
    metadata: Mapping[str, str] | None = None
    callback: str | None = None


def create_group(
    account: Account, new: NewGroup, *, idempotency_key: str | None, clock: Clock, writer: Writer,
    changes: Changes, requests: Requests, groups: Groups, idempotency: Idempotency,
    group_checks: GroupChecks,
) -> Group:  # fmt: skip
    """Raises InvalidRequest that names what can't be grouped, StateConflict for a reused Idempotency-Key."""
    group_id = reserve_id(
        GROUP, account_id=account.id, route="POST /batches of requests", key=idempotency_key,
        request={"requests_ids": list(new.request_ids), "metadata": dict(new.metadata or {})},
        clock=clock, idempotency=idempotency,
    )  # fmt: skip
    now = int(clock.now())
    fresh = Group(
        id=group_id, account_id=account.id, created_at=now, expires_at=now + WINDOW_SECONDS,
        metadata=new.metadata or None, callback=new.callback,
    )  # fmt: skip
    made = _made_before(account.id, group_id, groups) if idempotency_key else None
    if made is not None and made.is_there:
        return made
    if made is not None and made.claims:
        raise Unavailable(f"Batch {group_id} is being made by an earlier call.")
    call = _Call(account.id, made or fresh, now, writer, changes, requests, groups, group_checks)
    return call.make(new.request_ids, is_new=made is None)


def extend_group(
    account: Account, group_id: str, request_ids: Sequence[str], *, clock: Clock, writer: Writer,
    changes: Changes, requests: Requests, groups: Groups, group_checks: GroupChecks,
) -> Group:  # fmt: skip
    """Raises NotFound, StateConflict for a group that has ended, InvalidRequest as above."""
    group = find_group(account.id, group_id, groups)
    now = int(clock.now())
    call = _Call(account.id, group, now, writer, changes, requests, groups, group_checks)
    return call.make(request_ids, is_new=False)


def find_group(account_id: str, group_id: str, groups: Groups) -> Group:
    """One that a call has made. Raises NotFound."""
    group = groups.get(account_id, group_id)
    if not group.is_there:
        raise NotFound(f"There is no batch {group_id}.")
    return group


def _made_before(account_id: str, group_id: str, groups: Groups) -> Group | None:
    try:
        return groups.get(account_id, group_id)
    except NotFound:
        return None


class _Call:
    def __init__(
        self, account_id: str, group: Group, now: int, writer: Writer, changes: Changes,
        requests: Requests, groups: Groups, group_checks: GroupChecks,
    ) -> None:  # fmt: skip
        self._group = group
        self._now = now
        self._writer = writer
        self._changes = changes
        self._requests = requests
        self._groups = groups
        self._checks = group_checks
        self._claim = GroupClaim(account_id=account_id, group_id=group.id, token=token_hex(8))

    def make(self, request_ids: Sequence[str], *, is_new: bool) -> Group:
        _check_ids(request_ids)
        claim = self._claim
        claiming = self._group.claiming(claim.token, self._now)
        key = group_call_key(claim.account_id, claim.group_id, claim.token)
        self._writer.put(key, encode_ids(request_ids), "application/json")
        if is_new:
            self._changes.commit(Add(claiming))
        else:
            self._move(lambda group: group.claiming(claim.token, self._now))
        moved = self._requests.claim(claim, request_ids)
        refused = [
            (request_id, move)
            for request_id, move in zip(request_ids, moved, strict=True)
            if move.verdict is Verdict.REFUSED
        ]
        if refused:
            self._undo(request_ids, refused)
        members = [move.request for move in moved if move.request is not None]
        return self._commit(request_ids, members)

    def _commit(self, request_ids: Sequence[str], members: Sequence[Request]) -> Group:
        token = self._claim.token
        newest = max(member.created_at for member in members)
        try:
            group = self._move(
                lambda group: group.committed(
                    token, members=len(members), first_member=min(request_ids),
                    newest_created_at=newest,
                )
            )  # fmt: skip
        except StateConflict:
            self._release(request_ids)
            raise
        if all(member.has_ended for member in members):
            self._checks.ask(group.account_id, group.id)
        return group

    def _undo(self, request_ids: Sequence[str], refused: Sequence[tuple[str, Moved]]) -> NoReturn:
        self._release(request_ids)
        unknown = [request_id for request_id, move in refused if move.request is None]
        taken = [request_id for request_id, move in refused if move.request is not None]
        parts = []
        if unknown:
            parts.append(f"There is no request {_listed(unknown)}.")
        if taken:
            parts.append(f"In a batch already: {_listed(taken)}.")
        raise InvalidRequest(
            " ".join([*parts, "Nothing was put into a batch by this call."]), param="requests_ids",
            code="request_not_found" if unknown else "request_already_grouped",
        )  # fmt: skip

    def _release(self, request_ids: Sequence[str]) -> None:
        """First the claim is closed to a commit, last it is forgotten: in between the sweep could go on."""
        token = self._claim.token
        self._move(lambda group: group.undoing(token))
        self._requests.release(self._claim, request_ids)
        self._move(lambda group: group.released(token))

    def _move(self, move: Move) -> Group:
        return move_group(
            self._claim.account_id, self._claim.group_id, move, groups=self._groups,
            changes=self._changes,
        )  # fmt: skip


def _check_ids(request_ids: Sequence[str]) -> None:
    if len(set(request_ids)) != len(request_ids):
        seen: set[str] = set()
        twice = [each for each in request_ids if each in seen or seen.add(each)]  # type: ignore[func-returns-value]
        raise InvalidRequest(
            f"Named twice: {_listed(twice)}. Nothing was put into a batch by this call.",
            param="requests_ids", code="duplicate_request",
        )  # fmt: skip


def _listed(ids: Sequence[str]) -> str:
    named = ", ".join(request_id[:80] for request_id in ids[:NAMED_MAX])
    return named if len(ids) <= NAMED_MAX else f"{named} and {len(ids) - NAMED_MAX:,} more"
