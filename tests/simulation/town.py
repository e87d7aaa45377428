"""A scenario in a world: batches, requests, receivers of callbacks, and what befalls them."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, TypeVar
from unittest.mock import patch

from offpeak.core.account import Account, Billing, Limits
from offpeak.core.batch import Batch
from offpeak.core.delivery import AttemptAsk
from offpeak.core.errors import Unavailable
from offpeak.core.ports import Add, Answer
from offpeak.core.request import Request
from offpeak.core.webhook import BATCH_AT_RISK, EVENT_TYPES, Webhook
from offpeak.core.window import parse_window
from offpeak.planner import byte_ranges
from offpeak.steps import create_batch
from offpeak.steps.add_credits import add_credits
from offpeak.steps.deliver_callbacks import Outcome, deliver_callbacks
from offpeak.steps.queue_deliveries import queue_deliveries
from offpeak.steps.requeue_deliveries import requeue_deliveries
from offpeak.steps.show_request import LOST_SECONDS
from tests.simulation.callers import RECEIVER, Callers, lines_of
from tests.simulation.history import History
from tests.simulation.instances import Instances
from tests.simulation.scenario import BatchPlan, Scenario
from tests.simulation.weather import Weather
from tests.steps.interleaving import CALM, Port, Task

T = TypeVar("T")
TICKS_MAX = 45_000
ACCOUNTS = {
    "off": Account(id="acct_off", name="off", created_at=0),
    "meter": Account(id="acct_meter", name="meter", created_at=0, billing=Billing.METER),
    "enforce": Account(id="acct_enforce", name="enforce", created_at=0, billing=Billing.ENFORCE),
    "poor": Account(id="acct_poor", name="poor", created_at=0, billing=Billing.ENFORCE),
}
CREDITS_MICRODOLLARS = {"enforce": 10_000_000, "poor": 200_000}
"""The poor account has what it takes to ask for work, which is less than most batches are estimated at."""


class Town(Weather):
    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        # In calm weather time passes when all wait for it, so that no lease runs out beside a living worker.
        self._haste = 0.0 if scenario.is_calm else 0.005
        self.history = History(self.memory, scenario.tokens_max)
        limits = Limits(enqueued_tokens_max=scenario.tokens_max or None)
        accounts = {name: replace(each, limits=limits) for name, each in ACCOUNTS.items()}
        for name in ("webhooks", "deliveries", "secrets", "destinations"):
            self.ports[name] = Port(name, getattr(self.memory, name), self)
        self.ports["multipart"] = _Multipart(self)
        self.instances = Instances(self, is_slow=scenario.is_calm)
        self.worker = self.instances  # type: ignore[assignment]  # works orders just so
        self.callers = Callers(self, accounts)
        self._asks_posted = 0
        self._announced = 0
        self._requeued_at = 0.0
        self._settle_town(accounts.values())

    def _settle_town(self, accounts: Collection[Account]) -> None:
        now = int(self.memory.clock.now())
        for account in accounts:
            webhook = Webhook(
                id=f"whe_{account.name}", account_id=account.id, name="ops", url=f"{RECEIVER}/{account.name}",
                event_types=EVENT_TYPES, secret_hint="whsec_…", created_at=now, updated_at=now,
            )  # fmt: skip
            self.memory.changes.commit(Add(account), Add(webhook))
        for name, microdollars in CREDITS_MICRODOLLARS.items():
            add_credits(
                f"acct_{name}", microdollars, note="", reference="start", clock=self.memory.clock,
                ledger=self.memory.ledger, changes=self.memory.changes,
            )  # fmt: skip
        answers: dict[str, list[Any]] = {
            "well": [],
            "slow to accept": [Answer(status_code=500), Answer(status_code=503)],
            "silent at first": [Unavailable("No answer.")] * 3,
        }
        at_first = answers[self.scenario.receiver]
        for account in accounts:
            url = f"{RECEIVER}/{account.name}"
            self.memory.destinations.answers[url] = [*at_first, Answer(status_code=200)]
        self.memory.destinations.answers[RECEIVER] = [*at_first, Answer(status_code=200)]
        for number, plan in enumerate(self.scenario.batches):
            self._submit(number, plan)
        for number, kind in enumerate(self.scenario.requests):
            self.callers.send(number, kind)

    # ── the clockwork ────────────────────────────────────────────────────────────────────────────────────────────────

    def live(self) -> None:
        """Until all has ended and nobody has anything left to do. Raises AssertionError when that never comes."""
        for self.ticks in range(TICKS_MAX):
            if self.ticks == self.scenario.calm_at:
                self.faults = CALM
            self._befall(self.ticks)
            self._deliver()
            now = self.memory.clock.now()
            able = [
                task for task in self.tasks if task.is_able and task.process.frozen_until <= now
            ]
            if not able and not self.tasks and self._has_ended():
                return
            if not able or self.happens(self._haste):
                self._pass_time()
            else:
                self.resume(self.random.choice(able))
        raise AssertionError(f"{sorted({task.name for task in self.tasks})}, {self._unended()}")

    def _has_ended(self) -> bool:
        scenario = self.scenario
        return (
            self.ticks > max(scenario.group_at, scenario.cancel_group_at)
            and not self._unended()
            and not self._untold()
        )

    def _untold(self) -> list[Request]:
        """Of those whose id nobody knows, since their caller had given up: a callback is waited for all the same."""
        rows: list[Request] = self.rows(Request)
        return [row for row in rows if row.callback and not self.has_been_told(row)]

    def _unended(self) -> list[object]:
        """Whoever calls is a task, and gone when it was answered."""
        announced = self.memory.announcements.announced
        told = {batch.id for kind, batch in announced if kind != BATCH_AT_RISK}
        found = {
            number: self.find_batch(number)
            for number in range(len(self.scenario.batches))
            if number not in self.callers.refused
        }
        rows = self.memory.requests.get_many(list(self.callers.request_ids.values()))
        return [
            *(
                batch or number
                for number, batch in found.items()
                if not batch or batch.id not in told
            ),
            *(row for row in rows if not self.has_been_told(row)),
            *self._open(),
            *self.memory.groups.open(),
            *self.memory.gatherings.open(),
            *self.memory.deliveries.due(2**40, limit=1),
        ]

    def has_been_told(self, row: Request) -> bool:
        """Whether its owner knows what became of it. One that nobody is to be told of may just read as expired."""
        is_over = row.expires_at + LOST_SECONDS < self.memory.clock.now()
        return row.has_ended or (row.callback is None and is_over)

    def _befall(self, tick: int) -> None:
        self._strike(tick)
        scenario = self.scenario
        for number, (at, microdollars) in enumerate(scenario.credits):
            if at == tick:
                self.callers.pay(ACCOUNTS["enforce"], microdollars, f"payment {number}")
        for number, plan in enumerate(scenario.batches):
            if tick and tick in (plan.cancel_at, plan.delete_input_at):
                self._turn_up(number, plan, tick)
        if tick and tick == scenario.group_at:
            last = scenario.grouped + scenario.extended
            numbers = range(scenario.grouped)
            self.callers.group(numbers, range(scenario.grouped, last), scenario.has_rival)
            for number in scenario.cancelled_requests:
                self.callers.cancel_request(number)
        if tick and tick == scenario.cancel_group_at:
            self.callers.cancel_group()

    def _strike(self, tick: int) -> None:
        scenario = self.scenario
        for at, service, seconds in scenario.throttles:
            if at == tick:
                self.throttle(service, seconds)
        if tick in scenario.signals or (tick and tick == scenario.deploy_at):
            self.instances.terminate()
        if tick in scenario.jumps:
            deadlines = [batch.expires_at for batch in self._open()]
            self.memory.clock.advance(
                max(0, min(deadlines, default=0) + 1 - self.memory.clock.now())
            )

    def _turn_up(self, number: int, plan: BatchPlan, tick: int) -> None:
        """A batch's owner has another wish."""
        batch = self.find_batch(number)
        if batch and tick == plan.cancel_at:
            self.callers.cancel(batch)
        if batch and tick == plan.delete_input_at:
            self.callers.delete_input(batch)

    def _deliver(self) -> None:
        super()._deliver()
        for ask, delay in self.memory.callbacks.asks[self._asks_posted :]:
            for _ in range(self._copies()):
                self.spawn("callbacks' queue", partial(self._send, ask, delay), mortal=False)
        self._asks_posted = len(self.memory.callbacks.asks)
        for kind, batch in self.memory.announcements.announced[self._announced :]:
            for _ in range(2 if self.happens(self.faults.doubled) else 1):
                told = partial(self._tell, batch.account_id, batch.id, kind)
                self.spawn("announcements' queue", told, mortal=False)
        self._announced = len(self.memory.announcements.announced)

    def _tell(self, account_id: str, batch_id: str, kind: str) -> None:
        """EventBridge gives a record to its queue until it is taken in."""
        while self._attempt(queue_deliveries, account_id, batch_id, kind).error is not None:
            self.sleep(60)

    def _send(self, ask: AttemptAsk, delay: int) -> None:
        self.sleep(delay)
        for _ in range(5):
            child = self._attempt(deliver_callbacks, [ask])
            if child.error is None and Outcome.BROKEN not in child.result:
                return
            self.sleep(360)

    def _pass_time(self) -> None:
        if self.is_calm and not self.tasks:
            self.memory.clock.advance(600)  # a day may have to pass until something counts as lost
        super()._pass_time()
        if self.memory.clock.now() - self._requeued_at >= 60:
            self._requeued_at = self.memory.clock.now()
            self.spawn("requeue_deliveries", partial(self.call, requeue_deliveries))

    # ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _submit(self, number: int, plan: BatchPlan) -> None:
        if plan.dropped:
            content = b"".join(line + b"\n" for line in lines_of(number, plan))
            self.drop(f"drop/acct_1/{number}.jsonl", content)
        else:
            self.callers.submit(number, plan)

    def find_batch(self, number: int) -> Batch | None:
        """The plan's, once its producer's object or its caller's call has made one."""
        return next(iter(self.batches_of(number)), None)

    def batches_of(self, number: int) -> list[Batch]:
        key, wanted = f"drop/acct_1/{number}.jsonl", {"plan": str(number)}
        return self.memory.changes._tables.select(
            Batch, lambda row: row.metadata == wanted or bool(row.drop and row.drop.key == key)
        )

    def model_of(self, batch: Batch, line: int) -> str:
        """The model that this line of the batch's input asks for."""
        for number, plan in enumerate(self.scenario.batches):
            if self.find_batch(number) == batch:
                return {"r": "red", "b": "blue"}[plan.models[line - 1]]
        raise LookupError(f"{batch.id} is of no plan.")

    @property
    def webhooks(self) -> list[Webhook]:
        return self.rows(Webhook)

    def rows(self, kind: type[T]) -> list[T]:
        return self.memory.changes._tables.select(kind, lambda _: True)

    def orphan_uploads(self) -> list[str]:
        """Multipart uploads left open by somebody who neither died nor was refused the abort."""
        found: list[str] = self.ports["multipart"].orphans()
        return found


class _Multipart(Port):
    """Knows whose upload was left open because its owner could do nothing about it: the bucket's lifecycle does. Its
    owner died; or was refused the abort; or can't tell whether the plan that names the upload was stored."""

    def __init__(self, town: Town) -> None:
        super().__init__("multipart", town.memory.multipart, town)
        self._owners: dict[str, Task] = {}
        self._keys: dict[str, str] = {}
        self._town = town
        self._aged: set[str] = set()
        self._excused: set[str] = set()

    def orphans(self) -> list[str]:
        return [
            each
            for each in self._target.open_ids
            if each in self._owners and each not in self._excused and not self._is_excused(each)
        ]

    def _give_up(self, key: str, multipart_id: str) -> None:
        """As the bucket's lifecycle does, in days; only what is planned may be under way so long."""
        self._town.sleep(self._town.random.choice([1, 10, 60]))
        if key.startswith("results/"):
            self._target.abort(key, multipart_id)

    def _is_excused(self, multipart_id: str) -> bool:
        owner, key = self._owners[multipart_id], self._keys[multipart_id]
        is_planned = key.startswith("results/")
        return owner.dead or (is_planned and isinstance(owner.error, Unavailable))

    def __getattr__(self, method: str) -> Callable[..., Any]:
        ported = super().__getattr__(method)

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                result = ported(*args, **kwargs)
            except BaseException:
                self._excused.update(args[1:2])
                raise
            if method == "begin":
                self._owners[result] = self._world.running().process
                self._keys[result] = args[0]
                if self._town.scenario.uploads_age and args[0] not in self._aged:
                    self._aged.add(args[0])
                    self._town.spawn(
                        "lifecycle", lambda: self._give_up(args[0], result), mortal=False
                    )
            return result

        return call


@contextmanager
def chosen_by(scenario: Scenario) -> Iterator[None]:
    """Whatever else is random is the seed's too: ids, and the pauses between a worker's tries. Windows may be shorter
    than callers can ask for, and a file is validated in ranges smaller than any."""
    state = random.getstate()
    random.seed(scenario.seed)
    with ExitStack() as patches:
        patches.callback(random.setstate, state)
        patches.enter_context(patch.object(secrets, "_sysrand", Random(f"ids {scenario.seed}")))
        patches.enter_context(patch.object(byte_ranges, "RANGE_BYTES", scenario.range_bytes))
        patches.enter_context(patch.object(create_batch, "parse_window", _seconds))
        yield


def _seconds(window: str) -> int:
    return int(window[:-1]) if window.endswith("s") else parse_window(window)
