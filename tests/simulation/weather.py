"""What befalls a world between its callers and its steps: services that throttle, functions that are stopped, handlers
that run twice at once, messages that are lost, executions that fail for good, a deployment under way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import OffpeakError, Unavailable
from offpeak.steps.ingest_drop import ingest_drop
from offpeak.wire.request_records import Reminder, decode_record
from tests.simulation.scenario import Scenario
from tests.steps.interleaving import PORTS, Task
from tests.steps.request_simulation import RequestSimulation
from tests.steps.simulation import RECEIVES_MAX

FUNCTION_SECONDS_MAX = 900
API_SECONDS_MAX = 29
"""A function that answers calls ends when the gateway gives up."""
ROLLING_TICKS = 400
"""How long some functions are of the new version already and others not yet."""
STATE_TRIES_MAX = 4
"""How often a state is tried before its execution fails. AWS tries longer, which no world has the time for."""

_ELSEWHERE = {
    "s3": ("reader", "writer", "multipart", "presigner"),
    "sagemaker": ("endpoints",),
    "sqs": ("dispatches", "request_queue", "group_checks", "callbacks"),
    "stepfunctions": ("workflows",),
    "eventbridge": ("announcements",),
    "receivers": ("destinations",),
    "secrets": ("secrets",),
}
SERVICES = {
    **_ELSEWHERE,
    "dynamodb": tuple(
        port
        for port in (*PORTS, "webhooks", "deliveries")
        if port != "clock" and not any(port in ports for ports in _ELSEWHERE.values())
    ),
}
"""Which ports are refused when a service throttles."""


class Weather(RequestSimulation):
    def __init__(self, scenario: Scenario) -> None:
        super().__init__(
            scenario.seed, scenario.faults, in_chunks=scenario.in_chunks, reorders=scenario.reorders
        )
        self.scenario = scenario
        self.ticks = 0
        self._throttled: dict[str, float] = {}
        self._versions = (self.ports["catalogue"], deployed(self.ports["catalogue"]))

    @property
    def is_calm(self) -> bool:
        return self.ticks >= self.scenario.calm_at

    # ── ports ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def throttle(self, service: str, seconds: int) -> None:
        """Every second call is refused, before it has an effect, for so long."""
        for port in SERVICES[service]:
            self._throttled[port] = self.memory.clock.now() + seconds

    def fails(self, port: str, done: bool) -> bool:
        is_throttled = not done and self._throttled.get(port, 0) > self.memory.clock.now()
        return self.happens(0.5) if is_throttled else super().fails(port, done)

    def is_fatal(self, task: Task) -> bool:
        """Functions have a time limit; instances have none of ours."""
        limit = FUNCTION_SECONDS_MAX if self.is_calm else self.scenario.function_seconds
        if task.process.name == "call":
            limit = min(limit, API_SECONDS_MAX)
        is_late = self.memory.clock.now() - task.process.started > limit
        return (is_late and task.process.name != "worker") or super().is_fatal(task)

    def moment(self, port: str, *, done: bool = False) -> None:
        """An instance that stands still before it writes is the worst: it may have been given up meanwhile."""
        process = self.running().process
        if port == "writer" and process.name == "worker" and self.happens(25 * self.faults.freeze):
            process.frozen_until = self.memory.clock.now() + self.random.choice([100, 400, 900])
        super().moment(port, done=done)

    # ── functions ────────────────────────────────────────────────────────────────────────────────────────────────────

    def call(self, step: Callable[..., Any], *args: Any) -> Any:
        """While a deployment is under way, by one version or the other."""
        since = self.ticks - self.scenario.deploy_at if self.scenario.deploy_at else -1
        is_new = since >= 0 and (since >= ROLLING_TICKS or self.happens(0.5))
        self.ports["catalogue"] = self._versions[is_new]
        return super().call(step, *args)

    def _attempt(self, step: Callable[..., Any], *args: Any) -> Task:
        """Any function may run twice at once: its caller saw the first call time out."""
        if self.happens(self.faults.doubled / 4):
            self.spawn(f"ghost of {_name(step)}", lambda: self.call(step, *args))
        return super()._attempt(step, *args)

    # ── Step Functions ───────────────────────────────────────────────────────────────────────────────────────────────

    def _state(self, step: Callable[..., Any], *args: Any, tries: int | None = None) -> Any:
        """Between two states there may be minutes: a function that is throttled is tried again later and later. Where
        there is a Catch, it gets what was tried `tries` times; otherwise the execution fails, until the sweep redrives
        it."""
        if self.happens(20 * self.faults.freeze):
            self.sleep(self.random.choice([100, 400, 900]))
        failures = 0
        while True:
            if self.happens(self.faults.doubled):
                self.spawn(f"ghost of {_name(step)}", lambda: self.call(step, *args))
            error = (child := self._attempt(step, *args)).error
            if error is None:
                return child.result
            failures += 1
            if tries is not None and failures >= tries:
                raise error if isinstance(error, OffpeakError) else Unavailable("Lambda.Unknown")
            if tries is None and failures % STATE_TRIES_MAX == 0:
                self._fail_execution(args[1])
            self.sleep(5)

    def _fail_execution(self, name: str) -> None:
        failures = self.memory.workflows.failures
        failures.setdefault(name, self.memory.clock.now())
        self.wait(lambda: name not in failures)

    # ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _invoke(self, order: bytes) -> None:
        """SageMaker gives an order to an instance when it has one, which may be long after we gave up on it."""
        if self.happens(self.faults.lost):
            self.sleep(self.random.choice([200, 700]))
        super()._invoke(order)

    def _receive(self, step: Callable[..., Any], *args: Any) -> None:
        """A queue's record comes again when its visibility ends; after some times it is a dead letter. What
        nothing else would find, an operator redrives: an event of the drop folder."""
        for receives in count(1):
            if self._attempt(step, *args).error is None:
                return
            if receives == RECEIVES_MAX and step is not ingest_drop:
                return
            self.sleep(90)

    def _collect(self, texts: list[str], delay: int) -> None:
        """A reminder may be lost for good: what it reminds of is found all the same."""
        if self.happens(self.faults.lost):
            texts = [text for text in texts if not isinstance(decode_record(text), Reminder)]
        if texts:
            super()._collect(texts, delay)


def _name(step: Callable[..., Any]) -> str:
    return str(step.func.__name__) if isinstance(step, partial) else str(step.__name__)


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
