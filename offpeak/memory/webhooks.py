"""Webhook endpoints and deliveries in memory, and an internet that answers as it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import RLock

from offpeak.core.account import hash_secret
from offpeak.core.delivery import AttemptAsk, Delivery
from offpeak.core.destination import Reach, check_addresses, parse_destination
from offpeak.core.errors import InvalidRequest, NotFound, OffpeakError, TooLarge
from offpeak.core.ports import ASK_DELAY_SECONDS_MAX, Answer, Fetched, Page, Resolved
from offpeak.core.webhook import CallbackSecret, Webhook, derive_secret
from offpeak.memory.rows import Tables, page_of

MASTER_SECRET = b"only in memory, where nothing is secret"
PEPPER = b"and nothing needs pepper"
PUBLIC_ADDRESS = "93.184.215.14"


class MemoryWebhooks:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, account_id: str, webhook_id: str) -> Webhook:
        return self._tables.find(Webhook, account_id, webhook_id)

    def of_account(self, account_id: str) -> Sequence[Webhook]:
        return self._tables.select(Webhook, lambda webhook: webhook.account_id == account_id)

    def callback_secret(self, account_id: str) -> CallbackSecret:
        try:
            return self._tables.find(CallbackSecret, account_id)
        except NotFound:
            return CallbackSecret(account_id=account_id)


class MemorySecrets:
    def webhook_secret(self, owner: str, generation: int) -> str:
        return derive_secret(MASTER_SECRET, owner, generation)


class MemoryKeyHashes:
    def hash_key(self, secret: str) -> str:
        return hash_secret(secret, PEPPER)


class MemoryDeliveries:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, account_id: str, destination_id: str, delivery_id: str) -> Delivery:
        asked = (account_id, destination_id, delivery_id)
        for found in self._tables.select(Delivery, lambda d: d.id == delivery_id):
            if (found.account_id, found.destination_id, found.id) == asked:
                return found
        raise NotFound(f"There is no delivery {delivery_id}.")

    def list(
        self, account_id: str, destination_id: str, *, limit: int, after: str | None
    ) -> Page[Delivery]:
        mine = (account_id, destination_id)
        found = self._tables.select(Delivery, lambda d: (d.account_id, d.destination_id) == mine)
        return page_of(found, limit=limit, after=after, ascending=False)

    def due(self, now: int, *, limit: int) -> Sequence[Delivery]:
        found = self._tables.select(Delivery, lambda d: d.is_open and d.due_at <= now)
        return sorted(found, key=lambda delivery: delivery.due_at)[:limit]


class MemoryCallbacks:
    """`asks` are the attempts that were asked for, with their delays in seconds, in order."""

    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self.asks: list[tuple[AttemptAsk, int]] = []

    def ask(self, ask: AttemptAsk, delay_seconds: int = 0) -> None:
        if not 0 <= delay_seconds <= ASK_DELAY_SECONDS_MAX:
            raise ValueError(f"A delay is 0 to {ASK_DELAY_SECONDS_MAX} s, not {delay_seconds}.")
        with self._lock:
            self.asks.append((ask, delay_seconds))


@dataclass(frozen=True, slots=True)
class Post:
    url: str
    headers: Mapping[str, str]
    body: bytes


class MemoryDestinations:
    """`answers` are what a URL answers, one after the other, the last for ever; 200 without any. `addresses` are what
    a host stands for; one public address without any. `posts` are what arrived, `pages` what is there to be fetched."""

    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self.reach = Reach.PUBLIC
        self.addresses: dict[str, list[str]] = {}
        self.answers: dict[str, list[Answer | OffpeakError]] = {}
        self.posts: list[Post] = []
        self.pages: dict[str, Fetched] = {}

    def check(self, url: str, *, param: str = "url") -> None:
        self.resolve(url, param=param)

    def resolve(self, url: str, *, param: str = "url") -> Resolved:
        destination = parse_destination(url, self.reach, param=param)
        host = destination.host
        if host.endswith(".nowhere"):
            raise InvalidRequest(
                f"The host {host} is not known.", param=param, code="destination_unknown"
            )
        addresses = self.addresses.get(host, [PUBLIC_ADDRESS])
        check_addresses(addresses, self.reach, param=param)
        return Resolved(destination=destination, addresses=addresses)

    def get(
        self, url: str, headers: Mapping[str, str], *, bytes_max: int, seconds_max: float,
        param: str = "url",
    ) -> Fetched:  # fmt: skip
        del headers, seconds_max
        self.check(url, param=param)
        page = self.pages.get(url, Fetched(status_code=404, content=b""))
        if len(page.content) > bytes_max:
            raise TooLarge(f"It has more than {bytes_max:,} bytes.", param=param)
        return page

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self.check(url)
        with self._lock:
            self.posts.append(Post(url, dict(headers), body))
            answers = self.answers.get(url, [Answer(status_code=200)])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, OffpeakError):
            raise answer
        return answer
