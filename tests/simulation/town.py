"""A scenario in a world: batches, requests, receivers of callbacks, and what befalls them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from offpeak.core import ids
from offpeak.core.account import Account, Billing
from offpeak.core.batch import Batch
from offpeak.core.catalogue import Catalogue
from offpeak.core.delivery import AttemptAsk
from offpeak.core.errors import Unavailable
from offpeak.core.ports import Add, Answer
from offpeak.core.webhook import EVENT_TYPES, Webhook
from offpeak.planner.byte_ranges import workflow_input
from offpeak.steps import cancel_request, collect_requests
from offpeak.steps.add_credits import add_credits
from offpeak.steps.cancel_batch import cancel_batch
from offpeak.steps.deliver_callbacks import Outcome, deliver_callbacks
from offpeak.steps.queue_deliveries import queue_deliveries
from offpeak.steps.requeue_deliveries import requeue_deliveries
from offpeak.wire.request_records import Reminder, decode_record
from tests.simulation.history import History
from tests.simulation.instances import Instances
from tests.simulation.scenario import BatchPlan, Scenario
from tests.steps.interleaving import CALM, Port, Task
from tests.steps.request_simulation import ALICE, RequestSimulation
from tests.steps.simulation import ENDPOINT, RECEIVES_MAX, request

TICKS_MAX = 80_000
FUNCTION_SECONDS_MAX = 900
RECEIVER = "https://hooks.example.org/done"
ACCOUNTS = {
    "off": Account(id="acct_off", name="off", created_at=0),
    "meter": Account(id="acct_meter", name="meter", created_at=0, billing=Billing.METER),
    "enforce": Account(id="acct_enforce", name="enforce", created_at=0, billing=Billing.ENFORCE),
    "poor": Account(id="acct_poor", name="poor", created_at=0, billing=Billing.ENFORCE),
}
CREDIT_MICRODOLLARS = 10_000_000


class Town(RequestSimulation):
    """`batch_ids` has each plan's batch, once there is one."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario.seed, scenario.faults)
        self.scenario = scenario
        self.history = History(self.memory)
        for name in ("webhooks", "deliveries", "secrets", "destinations"):
            self.ports[name] = Port(name, getattr(self.memory, name), self)
        self.instances = Instances(self)
        self.worker = self.instances  # type: ignore[assignment]  # works orders just so
        self.throttled: dict[str, float] = {}
        self.request_ids: list[str] = []
        self.group_answers: list[Any] = []
        self.other_answers: list[Any] = []
        self._ticks = 0
        self._excused: set[str] = set()
        self.ports["multipart"] = _Multipart(self)
        self._asks_posted = 0
        self._announced = 0
        self._requeued_at = 0.0
        self._settle_town()

    def _settle_town(self) -> None:
        now = int(self.memory.clock.now())
        for account in ACCOUNTS.values():
            webhook = Webhook(
                id=f"whe_{account.name}", account_id=account.id, name="ops", url=f"{RECEIVER}/{account.name}",
                event_types=EVENT_TYPES, secret_hint="whsec_…", created_at=now, updated_at=now,
            )  # fmt: skip
            self.memory.changes.commit(Add(account), Add(webhook))
        add_credits(
            "acct_enforce", CREDIT_MICRODOLLARS, note="", reference="start", clock=self.memory.clock,
            ledger=self.memory.ledger, changes=self.memory.changes,
        )  # fmt: skip
        answers: dict[str, list[Any]] = {
            "well": [],
            "slow to accept": [Answer(status_code=500), Answer(status_code=503)],
            "silent at first": [Unavailable("No answer.")] * 3,
        }
        at_first = answers[self.scenario.receiver]
        for account in ACCOUNTS.values():
            url = f"{RECEIVER}/{account.name}"
            self.memory.destinations.answers[url] = [*at_first, Answer(status_code=200)]
        self.memory.destinations.answers[RECEIVER] = [*at_first, Answer(status_code=200)]
        for number, plan in enumerate(self.scenario.batches):
            self._submit(number, plan)
        self.request_ids = [
            self.send(ALICE, f"request {n}", callback=RECEIVER if n % 2 else None)
            for n in range(self.scenario.requests)
        ]

    # ── the weather ──────────────────────────────────────────────────────────────────────────────────────────────────

    def fails(self, port: str) -> bool:
        is_throttled = self.throttled.get(port, 0) > self.memory.clock.now()
        return self.happens(0.5) if is_throttled else super().fails(port)

    def is_fatal(self, task: Task) -> bool:
        """Functions have a time limit; instances have none of ours."""
        is_late = self.memory.clock.now() - task.process.started > FUNCTION_SECONDS_MAX
        return (is_late and task.process.name != "worker") or super().is_fatal(task)

    def moment(self, port: str) -> None:
        """An instance that stands still before it writes is the worst: it may have been given up meanwhile."""
        process = self.running().process
        if port == "writer" and process.name == "worker" and self.happens(25 * self.faults.freeze):
            process.frozen_until = self.memory.clock.now() + self.random.choice([100, 400, 900])
        super().moment(port)

    # ── the clockwork ────────────────────────────────────────────────────────────────────────────────────────────────

    def live(self) -> None:
        """Until all has ended and nobody has anything left to do. Raises AssertionError when that never comes."""
        for self._ticks in range(TICKS_MAX):
            if self._ticks == self.scenario.calm_at:
                self.faults = CALM
            self._befall(self._ticks)
            self._deliver()
            now = self.memory.clock.now()
            able = [
                task for task in self.tasks if task.is_able and task.process.frozen_until <= now
            ]
            if not able and not self.tasks and self._has_ended():
                return
            if not able or self.happens(0.005):
                self._pass_time()
            else:
                self.resume(self.random.choice(able))
        raise AssertionError(
            f"never ends: {sorted({task.name for task in self.tasks})}, {self._open()}"
        )

    def _has_ended(self) -> bool:
        told = {batch.id for _, batch in self.memory.announcements.announced}
        ids = [self.batch_id_of(number) for number in range(len(self.scenario.batches))]
        rows = self.memory.requests.get_many(self.request_ids) if self.request_ids else []
        return (
            self._ticks > self.scenario.group_at * bool(self.scenario.grouped)
            and all(batch_id in told for batch_id in ids)
            and all(row.has_ended for row in rows)
            and not self._open()
            and not list(self.memory.groups.open())
            and not self.memory.deliveries.due(2**40, limit=1)
        )

    def _befall(self, tick: int) -> None:
        scenario = self.scenario
        for at, port, seconds in scenario.throttles:
            if at == tick:
                self.throttled[port] = self.memory.clock.now() + seconds
        if tick in scenario.signals:
            self.instances.terminate()
        if tick in scenario.jumps:
            deadlines = [batch.expires_at for batch in self._open()]
            self.memory.clock.advance(
                max(0, min(deadlines, default=0) + 1 - self.memory.clock.now())
            )
        if tick and tick == scenario.deploy_at:
            self.ports["catalogue"] = deployed(self.ports["catalogue"])
            self.instances.terminate()
        for number, plan in enumerate(scenario.batches):
            if tick and tick == plan.cancel_at and (batch := self.find_batch(number)):
                self.spawn(
                    f"cancel {number}", partial(self.call, cancel_batch, batch.account_id, batch.id)
                )
        if tick and tick == scenario.group_at and scenario.grouped:
            self.group(ALICE, self.request_ids[: scenario.grouped], self.group_answers)
            for number in scenario.cancelled_requests:
                self.cancel_request(ALICE, self.request_ids[number], self.other_answers)

    def _invoke(self, order: bytes) -> None:
        """SageMaker gives an order to an instance when it has one, which may be long after we gave up on it."""
        if self.happens(self.faults.lost):
            self.sleep(self.random.choice([200, 700]))
        super()._invoke(order)

    def _state(self, step: Callable[..., Any], *args: Any, tries: int | None = None) -> Any:
        """Between two states there may be minutes: a function that is throttled is tried again later and later."""
        if self.happens(20 * self.faults.freeze):
            self.sleep(self.random.choice([100, 400, 900]))
        return super()._state(step, *args, tries=tries)

    def _receive(self, step: Callable[..., Any], *args: Any) -> None:
        """A queue's record comes again when its visibility ends, not at once."""
        for _ in range(RECEIVES_MAX):
            if self._attempt(step, *args).error is None:
                return
            self.sleep(90)

    def _collect(self, texts: list[str], delay: int) -> None:
        """A reminder may end among the dead letters. A request that does is found by its own deadline."""
        if self.happens(self.faults.lost):
            texts = [text for text in texts if not isinstance(decode_record(text), Reminder)]
        if texts:
            super()._collect(texts, delay)

    def _deliver(self) -> None:
        super()._deliver()
        for ask, delay in self.memory.callbacks.asks[self._asks_posted :]:
            for _ in range(self._copies()):
                self.spawn("callbacks' queue", partial(self._send, ask, delay), mortal=False)
        self._asks_posted = len(self.memory.callbacks.asks)
        for _, batch in self.memory.announcements.announced[self._announced :]:
            for _ in range(2 if self.happens(self.faults.doubled) else 1):
                told = partial(self._tell, batch.account_id, batch.id)
                self.spawn("announcements' queue", told, mortal=False)
        self._announced = len(self.memory.announcements.announced)

    def _tell(self, account_id: str, batch_id: str) -> None:
        """EventBridge gives a record to its queue until it is taken in."""
        while self._attempt(queue_deliveries, account_id, batch_id).error is not None:
            self.sleep(60)

    def _send(self, ask: AttemptAsk, delay: int) -> None:
        self.sleep(delay)
        for _ in range(5):
            child = self._attempt(deliver_callbacks, [ask])
            if child.error is None and Outcome.BROKEN not in child.result:
                return
            self.sleep(360)

    def _pass_time(self) -> None:
        super()._pass_time()
        if self.memory.clock.now() - self._requeued_at >= 60:
            self._requeued_at = self.memory.clock.now()
            self.spawn("requeue_deliveries", partial(self.call, requeue_deliveries))

    # ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _submit(self, number: int, plan: BatchPlan) -> None:
        lines = lines_of(number, plan)
        if plan.dropped:
            self.drop(f"drop/acct_1/{number}.jsonl", b"".join(line + b"\n" for line in lines))
            return
        account, now = ACCOUNTS[plan.billing], int(self.memory.clock.now())
        batch_id = f"batch_{number}"
        key = f"files/{account.id}/{batch_id}"
        content = b"".join(line + b"\n" for line in lines)
        self.memory.writer.put(key, content)
        batch = Batch(
            id=batch_id, account_id=account.id, input_file_id="file-1", input_key=key,
            input_bytes=len(content), endpoint=ENDPOINT, completion_window="24h", created_at=now,
            expires_at=now + plan.window_seconds, on_invalid="skip" if plan.skips else "fail",
        )  # fmt: skip
        self.memory.changes.commit(Add(batch))
        if not self.happens(self.faults.lost):
            self.memory.workflows.start(batch_id, workflow_input(batch))

    @property
    def webhooks(self) -> list[Webhook]:
        return self.memory.changes._tables.select(Webhook, lambda _: True)

    def model_of(self, batch: Batch, line: int) -> str:
        """The model that this line of the batch's input asks for."""
        for number, plan in enumerate(self.scenario.batches):
            if self.batch_id_of(number) == batch.id:
                return {"r": "red", "b": "blue"}[plan.models[line - 1]]
        raise LookupError(f"{batch.id} is of no plan.")

    def orphan_uploads(self) -> list[str]:
        """Multipart uploads left open by somebody who neither died nor was refused the abort."""
        return [each for each in self.memory.multipart.open_ids if each not in self._excused]

    def find_batch(self, number: int) -> Batch | None:
        """The plan's, once its producer's object or its caller's call has made one."""
        rows = self.memory.changes._tables.select(Batch, lambda _: True)
        key = f"drop/acct_1/{number}.jsonl"
        found = [
            row for row in rows if row.id == f"batch_{number}" or (row.drop and row.drop.key == key)
        ]
        return found[0] if found else None

    def batch_id_of(self, number: int) -> str:
        found = self.find_batch(number)
        return found.id if found else "none yet"


class _Multipart(Port):
    """Knows whose upload was left open because its owner could do nothing about it: the bucket's lifecycle does."""

    def __init__(self, town: Town) -> None:
        super().__init__("multipart", town.memory.multipart, town)
        self._town = town

    def __getattr__(self, method: str) -> Callable[..., Any]:
        ported = super().__getattr__(method)
        target = self._town.memory.multipart

        def call(*args: Any, **kwargs: Any) -> Any:
            before = set(target.open_ids)
            try:
                return ported(*args, **kwargs)
            except BaseException:
                left = set(target.open_ids) if method == "begin" else set(args[1:2])
                self._town._excused |= left - before if method == "begin" else left
                raise

        return call


def lines_of(number: int, plan: BatchPlan) -> list[bytes]:
    words = {"g": "hi", "p": "poison", "u": "unlucky", "s": "slow", "d": "hi"}
    lines = []
    for at, (kind, model) in enumerate(zip(plan.kinds, plan.models, strict=True)):
        name = f"{number}-{at}"
        custom_id = f"{number}-first" if kind == "d" else name
        prompt = f"{name} {words.get(kind)}"
        lines.append(
            b"{}" if kind == "b" else request(custom_id, {"r": "red", "b": "blue"}[model], prompt)
        )
    return lines


def deployed(catalogue: Catalogue) -> Catalogue:
    """The next version's: shards of another size, everything dearer."""
    return Catalogue(
        tuple(
            replace(
                model,
                shard_lines_max=6,
                prices=replace(model.prices, output=2 * model.prices.output),
            )
            for model in catalogue.models
        )
    )


@contextmanager
def chosen_by(seed: int) -> Iterator[None]:
    """Whatever else is random is the seed's too: ids, and the pauses between a worker's tries."""
    chance = Random(f"ids {seed}")
    drawn = SimpleNamespace(token_hex=lambda count: chance.randbytes(count).hex())
    state = random.getstate()
    random.seed(seed)
    try:
        with (
            patch.object(ids, "secrets", drawn),
            patch.object(cancel_request, "token_hex", drawn.token_hex),
            patch.object(collect_requests, "token_hex", drawn.token_hex),
        ):
            yield
    finally:
        random.setstate(state)
