"""A group of requests: what EXXA calls a batch. Nobody waits for it to be made, and it can grow until it has ended.

    registered ──its last member ended──► completed
        └── cancel ──► cancelling ──its last member ended──► cancelled

A call puts up to `MEMBERS_A_CALL_MAX` requests in. It writes the list of their ids, opens its claim on the group's row,
claims the requests one by one, and commits: only then are they members. A call that finds one request that is unknown,
foreign or in a group releases what it has claimed, and so does the sweep for a call that died: first it marks the claim
`undoing`, so that a late commit finds it gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from offpeak.core.errors import StateConflict
from offpeak.core.usage import Counts

MEMBERS_A_CALL_MAX = 10_000
CALLS_MAX = 10_000
"""Their tokens are the row, which DynamoDB holds 400 kB of: so a group has up to 100 million members."""
WINDOW_SECONDS = 86_400
"""A group's window ends so long after the submission of its last included request."""
CLAIM_SECONDS_MAX = 120
"""A call that has not committed by then has died: a function that answers calls ends after 29 s."""


class GroupStatus(StrEnum):
    REGISTERED = "registered"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenClaim:
    """A call that is under way: its token, since when, and whether it is being undone."""

    token: str
    since: int
    undoing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group's row. `calls` are the tokens of the committed calls, in order: each has its list of ids in S3.
    Without one the group isn't there yet, for anybody. `first_member` is the oldest member."""

    id: str
    account_id: str
    created_at: int
    expires_at: int
    metadata: Mapping[str, str] | None = None
    callback: str | None = None
    status: GroupStatus = GroupStatus.REGISTERED
    members: int = 0
    calls: tuple[str, ...] = ()
    claims: tuple[OpenClaim, ...] = ()
    first_member: str | None = None
    counts: Counts = Counts()
    results_key: str | None = None
    results_bytes: int = 0
    cancelled_at: int | None = None
    ended_at: int | None = None
    version: int = 0

    @property
    def is_there(self) -> bool:
        return bool(self.calls)

    @property
    def has_ended(self) -> bool:
        return self.status in (GroupStatus.CANCELLED, GroupStatus.COMPLETED)

    def claiming(self, token: str, now: int) -> Group:
        """Raises StateConflict for a group that takes no more members."""
        if self.status is not GroupStatus.REGISTERED:
            raise StateConflict(
                f"Batch {self.id} is {self.shown_status}; it takes no more requests.",
                code=f"batch_{self.shown_status}",
            )
        if len(self.calls) + len(self.claims) >= CALLS_MAX:
            raise StateConflict(
                f"Batch {self.id} was extended {CALLS_MAX:,} times; it takes no more calls. "
                "Put more requests into each, or make another batch.",
                code="batch_calls_limit",
            )
        return replace(self, claims=(*self.claims, OpenClaim(token=token, since=now)))

    def committed(
        self, token: str, *, members: int, first_member: str, newest_created_at: int
    ) -> Group:
        """Raises StateConflict when the claim was undone meanwhile, or the group cancelled."""
        if self.status is not GroupStatus.REGISTERED or not self._holds(token):
            raise StateConflict(
                f"Batch {self.id} was changed while requests were put into it. Send them again.",
                code="claim_lost",
            )
        first = min(self.first_member or first_member, first_member)
        return replace(
            self, calls=(*self.calls, token), claims=self._without(token),
            members=self.members + members, first_member=first,
            expires_at=max(self.expires_at, newest_created_at + WINDOW_SECONDS),
        )  # fmt: skip

    def undoing(self, token: str) -> Group:
        """From here on the claim can't be committed any more."""
        claims = (replace(c, undoing=True) if c.token == token else c for c in self.claims)
        return replace(self, claims=tuple(claims))

    def released(self, token: str) -> Group:
        """Nothing is held under the claim any more."""
        return replace(self, claims=self._without(token))

    def cancelling(self, now: int) -> Group:
        if self.has_ended:
            raise StateConflict(f"Batch {self.id} is {self.status}.", code=f"batch_{self.status}")
        return replace(self, status=GroupStatus.CANCELLING, cancelled_at=self.cancelled_at or now)

    def ended(self, *, counts: Counts, results_key: str, results_bytes: int, now: int) -> Group:
        """Raises StateConflict for a group that has ended, or that a call is adding to right now."""
        if self.has_ended or self.claims:
            raise StateConflict(f"Batch {self.id} is {self.status}, {len(self.claims)} calls open.")
        cancelled = self.status is GroupStatus.CANCELLING
        return replace(
            self, status=GroupStatus.CANCELLED if cancelled else GroupStatus.COMPLETED,
            counts=counts, results_key=results_key, results_bytes=results_bytes, ended_at=now,
        )  # fmt: skip

    @property
    def shown_status(self) -> str:
        """As EXXA's clients know it: a cancelled group is cancelled from the first moment."""
        cancelled = self.status is GroupStatus.CANCELLING
        return GroupStatus.CANCELLED if cancelled else self.status

    def _holds(self, token: str) -> bool:
        return any(claim.token == token and not claim.undoing for claim in self.claims)

    def _without(self, token: str) -> tuple[OpenClaim, ...]:
        return tuple(claim for claim in self.claims if claim.token != token)
