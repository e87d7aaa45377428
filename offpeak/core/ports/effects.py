"""Effects (Step Functions, SQS, SageMaker, EventBridge)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from offpeak.core.batch import Batch
from offpeak.core.completion import Completion

PAYLOAD_BYTES_MAX = 262_144
"""What a Step Functions state may hold, as JSON."""


class Workflows(Protocol):
    def start(self, name: str, payload: Mapping[str, Any]) -> None:
        """Starts `process_batch` once per name: a second start of the same name does nothing."""
        ...

    def failed(self, *, ended_after: float, ended_before: float) -> Iterator[str]:
        """The names of executions that failed for good in between, or ran out of time, and were not set going again:
        thousands at most, in no order. May lag behind by a moment."""
        ...

    def redrive(self, name: str, *, ended_before: float) -> bool:
        """Whether an execution that failed for good before this time was set going again, at the state that failed.

        One that runs, has succeeded or was stopped by hand is left as it is, and so is a name that isn't known. Raises
        Unavailable for one that can't be set going any more (14 days after its end).
        """
        ...

    def answer(self, task_token: str, output: Mapping[str, Any]) -> None:
        """Answers a waiting state. One that was answered or has timed out counts as answered."""
        ...


class Dispatches(Protocol):
    def ask(self, pool: str) -> None:
        """Somebody should dispatch to this pool soon. Asking twice does no harm."""
        ...


ORDER_BYTES_MAX = 128_000
"""What InvokeEndpointAsync takes inline."""


class Endpoints(Protocol):
    def invoke(self, pool: str, invocation_id: str, order: bytes) -> None:
        """Hands `order` (at most 128,000 bytes) to the pool's async endpoint. May be lost or doubled on its way.

        Raises TooLarge for a longer one.
        """
        ...


class Announcements(Protocol):
    def announce(self, kind: str, batch: Batch, completion: Completion | None = None) -> None:
        """Tells the outside that a batch's lines run (`batch.in_progress`, with when they will be done, if anybody can
        tell), that it may miss its deadline (`batch.at_risk`), or that it ended (`batch.completed`, `batch.failed`,
        …). At least once."""
        ...
