"""A delivery: one event on its way to one destination, at least once.

                 ┌──────────────── answered 2xx ─────────────────► delivered
    waiting ──claim──► sending                                        │
       ▲               │  │  └── last attempt, 410, or disabled ──► failed
       │               │  └─ refused, unanswered, lease lost ─┐       │
       ├───────────────┴────────── next attempt ◄─────────────┘       │
       └──────────────────────── sent again ◄─────────────────────────┘

The row comes before the message that asks for an attempt, so whatever is lost on the way is found by `due_at`: of a
waiting delivery when somebody must look at it again, of one that is being sent the end of the sender's lease. `attempt`
counts attempts begun, and fences: who asks for an older one asks for nothing. An attempt may come twice all the same
(its answer was lost); the receiver knows it by the event's id.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from offpeak.core.errors import StateConflict
from offpeak.core.ids import EVENT

SCHEDULE_SECONDS = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""When an event is tried, counted from its first attempt. A moment that has passed already is left out."""
JITTER = 0.1
"""Of the time between two moments: so much later an attempt may come, so that a receiver that returns isn't stormed."""
ATTEMPTS_KEPT = 20
REASON_CHARACTERS_MAX = 200
BODY_CHARACTERS_MAX = 100_000
"""Of an event's body; DynamoDB's rows have 400 kB."""


class DeliveryStatus(StrEnum):
    WAITING = "waiting"
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened, once. `body` is JSON, as it is signed and sent."""

    id: str
    type: str
    created_at: int
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """`status_code` is what the receiver answered; without one `error` says why there is none."""

    at: int
    milliseconds: int
    status_code: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery's row; its id is its event's. Times are whole seconds since the epoch. `destination_id` names a
    webhook endpoint, whose URL is looked up at each attempt, or the object that was created with the callback `url`.
    `result_of` is a request whose result is the body, rendered at each attempt: it may be larger than a row, and `body`
    is empty then. `started_at` is when the schedule began, at the first attempt; it begins anew when the delivery is
    sent again."""

    destination_id: str
    id: str
    account_id: str
    event_type: str
    body: str
    created_at: int
    due_at: int
    started_at: int | None = None
    url: str | None = None
    result_of: str | None = None
    status: DeliveryStatus = DeliveryStatus.WAITING
    attempt: int = 0
    attempts: tuple[Attempt, ...] = ()
    ended_at: int | None = None
    version: int = 0

    @property
    def is_open(self) -> bool:
        return self.status in {DeliveryStatus.WAITING, DeliveryStatus.SENDING}

    def claimed(self, attempt: int, now: int, lease_until: int) -> Delivery:
        """Somebody sends it now. Raises StateConflict when attempt `attempt` isn't the next any more."""
        if self.status is not DeliveryStatus.WAITING or self.attempt != attempt:
            raise StateConflict(
                f"Delivery {self.id} is {self.status} after {self.attempt} attempts.",
                code="superseded",
            )
        return replace(
            self, status=DeliveryStatus.SENDING, attempt=attempt + 1, due_at=lease_until,
            started_at=now if self.started_at is None else self.started_at,
        )  # fmt: skip

    def asked_for(self, look_again_at: int) -> Delivery:
        """The next attempt is asked for; when nothing has come of it then, it is asked for again. A sender that held
        the delivery past its lease has lost it."""
        self._require(DeliveryStatus.WAITING, DeliveryStatus.SENDING)
        return replace(self, status=DeliveryStatus.WAITING, due_at=look_again_at)

    def delivered(self, attempt: Attempt, now: int) -> Delivery:
        self._require(DeliveryStatus.SENDING)
        return self._ended(DeliveryStatus.DELIVERED, attempt, now)

    def failed(self, attempt: Attempt, now: int) -> Delivery:
        """It won't be tried again by itself."""
        self._require(DeliveryStatus.SENDING)
        return self._ended(DeliveryStatus.FAILED, attempt, now)

    def retrying(self, attempt: Attempt, look_again_at: int) -> Delivery:
        self._require(DeliveryStatus.SENDING)
        return replace(
            self, status=DeliveryStatus.WAITING, due_at=look_again_at, attempts=self._log(attempt)
        )

    def sent_again(self, look_again_at: int) -> Delivery:
        """Anew, by the whole schedule. Raises StateConflict while it is being sent."""
        if self.status is DeliveryStatus.SENDING:
            raise StateConflict(
                f"Delivery {self.id} is being sent right now.", code="delivery_in_progress"
            )
        return replace(
            self,
            status=DeliveryStatus.WAITING,
            started_at=None,
            due_at=look_again_at,
            ended_at=None,
        )

    def _ended(self, status: DeliveryStatus, attempt: Attempt, now: int) -> Delivery:
        return replace(self, status=status, attempts=self._log(attempt), ended_at=now)

    def _log(self, attempt: Attempt) -> tuple[Attempt, ...]:
        return (*self.attempts, attempt)[-ATTEMPTS_KEPT:]

    def _require(self, *statuses: DeliveryStatus) -> None:
        if self.status not in statuses:
            raise StateConflict(f"Delivery {self.id} is {self.status}.", code="superseded")


def event_id(event_type: str, object_id: str, at: int) -> str:
    """The id of what happened to this object then: whoever tells of it again, tells of the same event. Ids sort by
    time, as all do."""
    digest = hashlib.sha256(f"{event_type} {object_id}".encode()).hexdigest()
    return f"{EVENT}{at * 1_000:012x}{digest[:16]}"


def next_attempt_at(
    delivery: Delivery, attempted_at: int, now: int, retry_after_seconds: int = 0
) -> int | None:
    """When to try again after an attempt that began at `attempted_at`, or None when the schedule has ended. A
    receiver's Retry-After puts it off, at most to the schedule's last moment."""
    start = attempted_at if delivery.started_at is None else delivery.started_at
    ahead = [pair for pair in pairwise(SCHEDULE_SECONDS) if pair[1] > attempted_at - start]
    if not ahead:
        return None
    before, moment = ahead[0]
    late = (
        (moment - before) * JITTER * _fraction(f"{delivery.destination_id} {delivery.id} {moment}")
    )
    planned = max(now, start + moment + int(late))
    return max(planned, min(now + retry_after_seconds, start + SCHEDULE_SECONDS[-1]))


def _fraction(text: str) -> float:
    """From 0 to 1, always the same for one text: jitter that needs no dice."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptAsk:
    """Somebody should make the attempt that follows on `attempt` attempts begun."""

    account_id: str
    destination_id: str
    id: str
    attempt: int


def ask_for(delivery: Delivery) -> AttemptAsk:
    return AttemptAsk(
        account_id=delivery.account_id, destination_id=delivery.destination_id, id=delivery.id,
        attempt=delivery.attempt,
    )  # fmt: skip
