"""Makes the attempts that are asked for: claims each, signs it, sends it, and writes down what came of it.

Destinations are served side by side, the deliveries to one of them one after the other. One that doesn't answer is
asked once a call: the rest of its deliveries are put off, so that a dead receiver costs seconds, and nobody else any.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from offpeak.core.delivery import (
    REASON_CHARACTERS_MAX,
    Attempt,
    AttemptAsk,
    Delivery,
    ask_for,
    next_attempt_at,
)
from offpeak.core.errors import InvalidRequest, NotFound, OffpeakError, StateConflict, Unavailable
from offpeak.core.ports import (
    ASK_DELAY_SECONDS_MAX,
    Answer,
    Callbacks,
    Changes,
    Clock,
    Deliveries,
    Destinations,
    Reader,
    Requests,
    Save,
    Secrets,
    Webhooks,
)
from offpeak.core.webhook import GONE, CallbackSecret, Webhook
from offpeak.steps.callback_body import callback_body
from offpeak.steps.queue_delivery import LOOK_AGAIN_SECONDS
from offpeak.wire.events import signed_headers

logger = logging.getLogger(__name__)
LEASE_SECONDS = 120
"""How long a sender holds a delivery: far longer than one exchange may take."""
PUT_OFF_SECONDS = 30
TRIES_MAX = 3


class Outcome(StrEnum):
    """What became of an ask. superseded: the attempt was made already, or the delivery has ended. put_off: its
    destination didn't answer another one just now. broken: our own side failed, and the ask should come again."""

    DELIVERED = "delivered"
    RETRYING = "retrying"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    PUT_OFF = "put_off"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Route:
    """Where a delivery goes, what is sent, and the secrets that sign it."""

    url: str
    secrets: Sequence[str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """The destination is gone or disabled, or what it was to get: nothing is sent."""

    reason: str


def deliver_callbacks(
    asks: Sequence[AttemptAsk], *, clock: Clock, webhooks: Webhooks, deliveries: Deliveries,
    changes: Changes, callbacks: Callbacks, secrets: Secrets, destinations: Destinations,
    requests: Requests, reader: Reader,
) -> Sequence[Outcome]:  # fmt: skip
    """What became of each ask, in their order."""
    sender = _Sender(
        clock, webhooks, deliveries, changes, callbacks, secrets, destinations, requests, reader
    )
    groups: dict[str, list[int]] = defaultdict(list)
    for number, ask in enumerate(asks):
        groups[ask.destination_id].append(number)
    outcomes = [Outcome.BROKEN] * len(asks)
    if not groups:
        return outcomes
    with ThreadPoolExecutor(len(groups)) as threads:
        served = threads.map(lambda group: sender.serve([asks[n] for n in group]), groups.values())
        for numbers, found in zip(groups.values(), served, strict=True):
            for number, outcome in zip(numbers, found, strict=True):
                outcomes[number] = outcome
    return outcomes


class _Sender:
    def __init__(
        self, clock: Clock, webhooks: Webhooks, deliveries: Deliveries, changes: Changes,
        callbacks: Callbacks, secrets: Secrets, destinations: Destinations, requests: Requests,
        reader: Reader,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._changes = changes
        self._callbacks = callbacks
        self._secrets = secrets
        self._destinations = destinations
        self._requests = requests
        self._reader = reader

    def serve(self, asks: Sequence[AttemptAsk]) -> Sequence[Outcome]:
        """Those of one destination."""
        outcomes: list[Outcome] = []
        answers = True
        for ask in asks:
            try:
                if answers:
                    outcome, answers = self._attempt(ask)
                else:
                    self._callbacks.ask(ask, PUT_OFF_SECONDS)
                    outcome = Outcome.PUT_OFF
            except OffpeakError:
                logger.exception("delivery %s: our side failed", ask.id)
                outcome = Outcome.BROKEN
            outcomes.append(outcome)
        return outcomes

    def _attempt(self, ask: AttemptAsk) -> tuple[Outcome, bool]:
        """What became of it, and whether the destination answers."""
        try:
            found = self._deliveries.get(ask.account_id, ask.destination_id, ask.id)
        except NotFound:
            return Outcome.SUPERSEDED, True
        route = self._route(found)
        delivery = self._claim(found, ask.attempt)
        if delivery is None:
            return Outcome.SUPERSEDED, True
        started = self._clock.now()
        if isinstance(route, Closed):
            return self._end(delivery, self._log(started, None, route.reason)), True
        answer, error, answers = None, None, True
        try:
            answer = self._send(delivery, route)
        except InvalidRequest as refusal:
            error = refusal.message
        except Unavailable as silence:
            error, answers = silence.message, False
        attempt = self._log(started, answer, error)
        if answer is not None and 200 <= answer.status_code < 300:
            self._save(delivery.delivered(attempt, int(self._clock.now())))
            return Outcome.DELIVERED, True
        if answer is not None and answer.status_code == 410:
            self._disable(delivery)
            return self._end(delivery, attempt), True
        retry_after = answer.retry_after_seconds if answer else 0
        return self._retry(delivery, attempt, retry_after), answers

    def _route(self, delivery: Delivery) -> Route | Closed:
        if delivery.url is not None:
            own = self._webhooks.callback_secret(delivery.account_id)
            try:
                body = callback_body(delivery, requests=self._requests, reader=self._reader)
            except NotFound as missing:
                return Closed(missing.message)
            return Route(
                delivery.url, callback_secrets(own, self._secrets, self._clock.now()), body
            )
        try:
            webhook = self._webhooks.get(delivery.account_id, delivery.destination_id)
        except NotFound:
            return Closed("The endpoint was deleted.")
        if not webhook.is_enabled:
            return Closed("The endpoint is disabled.")
        secrets = secrets_of(webhook, self._secrets, self._clock.now())
        return Route(webhook.url, secrets, delivery.body.encode())

    def _claim(self, found: Delivery, attempt: int) -> Delivery | None:
        """The delivery, ours for the length of a lease; None when the attempt is somebody else's, or was."""
        with suppress(StateConflict):
            now = int(self._clock.now())
            claimed = found.claimed(attempt, now, now + LEASE_SECONDS)
            self._changes.commit(Save(claimed))
            return replace(claimed, version=claimed.version + 1)
        return None

    def _send(self, delivery: Delivery, route: Route) -> Answer:
        headers = signed_headers(
            delivery.id, route.body, secrets=route.secrets, now=self._clock.now()
        )
        return self._destinations.post(route.url, headers, route.body)

    def _disable(self, delivery: Delivery) -> None:
        """410: the receiver wants to hear no more."""
        for _ in range(TRIES_MAX):
            with suppress(StateConflict):
                with suppress(NotFound):
                    webhook = self._webhooks.get(delivery.account_id, delivery.destination_id)
                    disabled = webhook.disabled(GONE, int(self._clock.now()))
                    if disabled != webhook:
                        self._changes.commit(Save(disabled))
                return

    def _retry(self, delivery: Delivery, attempt: Attempt, retry_after_seconds: int) -> Outcome:
        now = int(self._clock.now())
        due_at = next_attempt_at(delivery, attempt.at, now, retry_after_seconds)
        if due_at is None:
            return self._end(delivery, attempt)
        near = due_at - now <= ASK_DELAY_SECONDS_MAX
        # What the queue can't hold that long, the minute asks for.
        waiting = delivery.retrying(attempt, due_at + LOOK_AGAIN_SECONDS if near else due_at)
        if self._save(waiting) and near:
            self._callbacks.ask(ask_for(waiting), max(0, due_at - now))
        return Outcome.RETRYING

    def _end(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        self._save(delivery.failed(attempt, int(self._clock.now())))
        return Outcome.FAILED

    def _save(self, delivery: Delivery) -> bool:
        """False when the lease was lost meanwhile: then another attempt comes, which the receiver knows by its id."""
        try:
            self._changes.commit(Save(delivery))
        except StateConflict:
            return False
        return True

    def _log(self, started: float, answer: Answer | None, error: str | None) -> Attempt:
        return Attempt(
            at=int(started),
            milliseconds=round((self._clock.now() - started) * 1_000),
            status_code=None if answer is None else answer.status_code,
            error=None if error is None else error[:REASON_CHARACTERS_MAX],
        )


def secrets_of(webhook: Webhook, secrets: Secrets, now: float) -> Sequence[str]:
    """The endpoint's secret, and for a day after a rotation the one before."""
    generations = webhook.signing_generations(now)
    return [secrets.webhook_secret(webhook.id, generation) for generation in generations]


def callback_secrets(own: CallbackSecret, secrets: Secrets, now: float) -> Sequence[str]:
    """The account's secret, in the same way."""
    generations = own.signing_generations(now)
    return [secrets.webhook_secret(own.account_id, generation) for generation in generations]
