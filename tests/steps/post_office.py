"""A small world for deliveries: an account with endpoints, an ended batch, and a queue that keeps its delays."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.delivery import AttemptAsk, Delivery
from offpeak.core.ports import Add
from offpeak.core.webhook import EVENT_TYPES, Webhook
from offpeak.memory.memory import Memory

ACCOUNT, BATCH = "acct_1", "batch_1"


class PostOffice(Memory):
    """`queue` holds what was asked for and when it may come, as SQS would; `receive` takes what may come by now."""

    def __init__(self) -> None:
        super().__init__()
        now = int(self.clock.now())
        self.batch = Batch(
            id=BATCH, account_id=ACCOUNT, input_file_id="file-1", input_key="k", input_bytes=1,
            endpoint="/v1/chat/completions", completion_window="24h", created_at=now - 60,
            expires_at=now + 86_400, status=BatchStatus.COMPLETED, completed_at=now,
        )  # fmt: skip
        self.changes.commit(Add(self.batch))
        self.queue: list[tuple[float, AttemptAsk]] = []
        self.loses = False

    def call(self, step: Callable[..., Any], *args: Any, **more: Any) -> Any:
        """The step with the ports that it asks for."""
        parameters = inspect.signature(step).parameters.values()
        wanted = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and hasattr(self, p.name)]
        answer = step(*args, **{name: getattr(self, name) for name in wanted}, **more)
        self._post()
        return answer

    def _post(self) -> None:
        asks, self.callbacks.asks = self.callbacks.asks, []
        if not self.loses:
            self.queue += [(self.clock.now() + delay, ask) for ask, delay in asks]

    def receive(self) -> list[AttemptAsk]:
        """In no order that anybody may rely on."""
        self._post()
        now = self.clock.now()
        ready = [ask for at, ask in self.queue if at <= now]
        self.queue = [(at, ask) for at, ask in self.queue if at > now]
        return ready

    def add_webhook(self, number: int = 1, **fields: Any) -> Webhook:
        now = int(self.clock.now())
        webhook = Webhook(
            id=f"whe_{number}", account_id=ACCOUNT, name="ops", url=f"https://r{number}.example.com/",
            event_types=EVENT_TYPES, secret_hint="whsec_…", created_at=now, updated_at=now,
        )  # fmt: skip
        self.changes.commit(Add(replace(webhook, **fields)))
        return self.webhooks.get(fields.get("account_id", ACCOUNT), webhook.id)

    def deliveries_to(self, destination_id: str) -> list[Delivery]:
        page = self.deliveries.list(ACCOUNT, destination_id, limit=100, after=None)
        return list(page.rows)

    def delivery_to(self, destination_id: str) -> Delivery:
        (found,) = self.deliveries_to(destination_id)
        return found
