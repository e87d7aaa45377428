"""An asynchronous endpoint: its queue, the fleet that serves it, and the invocations on the instances' slots.

An update is blue/green, as SageMaker's: a new fleet comes up beside the old one, takes over when all of it is ready,
and then the old one's instances get SIGTERM and 30 s. A new fleet that doesn't come up is let go, and nothing changes.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from offpeak.local.sagemaker.fleet import Fleet
from offpeak.local.sagemaker.instance import STOP_GRACE_SECONDS, Instance, Launch
from offpeak.local.sagemaker.invocation import Invocation, Status, notice, test_notification
from offpeak.local.sagemaker.results import Results, Role
from offpeak.local.sagemaker.scaling import Bounds, ScalableTarget
from offpeak.local.sagemaker.spec import EndpointSpec

LOST_GRACE_SECONDS = 0.5
EXPIRY_POLL_SECONDS = 1.0
REASON_CHARS_MAX = 1_024
_log = logging.getLogger("offpeak.local.sagemaker")


class InvocationFailed(Exception):
    """The container answered with an error, too late, or not as SageMaker demands. `body` is what it said."""

    def __init__(self, reason: str, body: bytes = b"") -> None:
        super().__init__(reason[:REASON_CHARS_MAX])
        self.body = body or reason.encode()


class EndpointBusy(Exception):
    """The endpoint is being updated; SageMaker takes no second update until the first has ended."""


class Endpoint:
    """Within the bounds of its scalable target it scales out with its backlog and never in: an idle worker costs
    nothing here. Bounds that leave its capacity outside move it at once. `failure` says why the last update was rolled
    back."""

    def __init__(
        self,
        spec: EndpointSpec,
        launch: Callable[[EndpointSpec], Launch],
        role: Role,
        results: Results,
        *,
        eager: bool,
    ) -> None:
        self.role = role
        self.failure: str | None = None
        self.created_at = self.modified_at = datetime.now(UTC)
        self._launch = launch
        self._results = results
        self._queue: deque[Invocation] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._numbers = itertools.count()
        self._stopping = False
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=5), limits=httpx.Limits(max_connections=None)
        )
        self._fleet = self._new_fleet(spec)
        self._others: list[Fleet] = []
        self._initial = spec.instances_initial if eager else 0
        self._update: asyncio.Task[None] | None = None
        self.target = ScalableTarget(
            Bounds(spec.instances_min if eager else 0, spec.instances_max), self._bound
        )

    @property
    def spec(self) -> EndpointSpec:
        return self._fleet.spec

    @property
    def desired(self) -> int:
        return self._fleet.desired

    @property
    def ready(self) -> Sequence[Instance]:
        return self._fleet.ready

    @property
    def instances(self) -> Sequence[Instance]:
        """Of every fleet: during an update there are two."""
        return [i for fleet in (self._fleet, *self._others) for i in fleet.instances]

    @property
    def updating(self) -> bool:
        return self._update is not None and not self._update.done()

    @property
    def backlog(self) -> int:
        """Invocations queued and on instances, as ApproximateBacklogSize counts them."""
        return len(self._queue) + self._fleet.in_flight

    def update(self, spec: EndpointSpec) -> None:
        """Begins to replace the fleet. Raises EndpointBusy."""
        if self.updating:
            raise EndpointBusy(f"Endpoint {spec.name} is being updated.")
        self._update = asyncio.create_task(self._replace(spec))

    async def serve(self) -> None:
        """Runs until cancelled."""
        self._fleet.grow(self._initial)
        await self._greet()
        while True:
            self._wake.clear()
            await self._expire()
            self.target.act(datetime.now(UTC).timestamp())
            self._scale()
            self._hand_out()
            try:
                await asyncio.wait_for(self._wake.wait(), EXPIRY_POLL_SECONDS)
            except TimeoutError:
                continue

    def submit(self, invocation: Invocation) -> None:
        self._queue.append(invocation)
        self._wake.set()

    async def stop(self, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
        """SIGTERM to every instance, up to the grace, SIGKILL. Results that come meanwhile are still published."""
        self._stopping = True
        fleets = [self._fleet, *self._others]
        if self._update is not None:
            self._update.cancel()
        await asyncio.gather(*(fleet.stop(grace_seconds) for fleet in fleets))
        if self._running:
            await asyncio.wait(self._running, timeout=5)
        for fleet in fleets:
            fleet.abandon()
        for task in self._running:
            task.cancel()
        await self._client.aclose()

    async def _greet(self) -> None:
        """Both topics hear of an endpoint that was created or updated, or whose capacity changes."""
        hello = test_notification(self.spec)
        for topic in (self.spec.success_topic, self.spec.error_topic):
            await asyncio.to_thread(self._results.publish, topic, hello)

    def _new_fleet(self, spec: EndpointSpec) -> Fleet:
        return Fleet(
            spec,
            self._launch(spec),
            client=self._client,
            name=lambda: f"{spec.name}-{next(self._numbers)}",
            changed=self._wake.set,
        )

    async def _replace(self, spec: EndpointSpec) -> None:
        new, old = self._new_fleet(spec), self._fleet
        self._others.append(new)
        new.grow(spec.instances_initial)
        came_up = await new.settle()
        self._others.remove(new)
        if not came_up:
            self.failure = (
                f"An instance of {spec.config_name} did not pass its health check; rolled back."
            )
            _log.warning("%s", self.failure)
            await self._retire(new)
            return
        self.failure, self.modified_at = None, datetime.now(UTC)
        self._fleet = new
        self._wake.set()
        await self._greet()
        await self._retire(old)

    async def _retire(self, fleet: Fleet) -> None:
        self._others.append(fleet)
        await fleet.stop()
        fleet.abandon()
        self._others.remove(fleet)

    def _scale(self) -> None:
        wanted = math.ceil(self.backlog / self.spec.concurrency)
        self._fleet.grow(self.target.bounds.clamp(wanted))

    def _bound(self, bounds: Bounds) -> None:
        before = self._fleet.desired
        self._fleet.shrink(bounds.most)
        self._fleet.grow(bounds.least)
        if self._fleet.desired != before:
            _log.info("%s: %d instances, then %d", self.spec.name, before, self._fleet.desired)
            self._begin(self._greet())

    def _hand_out(self) -> None:
        while self._queue and not self._stopping:
            free = [i for i in self.ready if i.in_flight < self.spec.concurrency]
            if not free:
                return
            instance = min(free, key=lambda i: i.in_flight)
            instance.in_flight += 1
            self._begin(self._work(self.spec, instance, self._queue.popleft()))

    def _begin(self, going_on: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(going_on)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _work(self, spec: EndpointSpec, instance: Instance, invocation: Invocation) -> None:
        try:
            answer = await self._post(instance, invocation)
            await self._succeed(spec, invocation, answer)
        except InvocationFailed as failure:
            await self._fail(spec, invocation, "Failed", str(failure), failure.body)
        except httpx.HTTPError as error:
            if await _is_lost(instance):
                _log.warning("invocation %s is lost with its instance", invocation.inference_id)
            else:
                await self._fail(
                    spec, invocation, "Failed", f"The container hung up: {error!r}", b""
                )
        except Exception:  # noqa: BLE001
            # A fault of the stand-in or the emulator. As with SageMaker's own, nobody is told.
            _log.exception("invocation %s is lost", invocation.inference_id)
        finally:
            instance.in_flight -= 1
            self._wake.set()

    async def _post(self, instance: Instance, invocation: Invocation) -> httpx.Response:
        body = invocation.body
        if invocation.input_location is not None:
            body = await asyncio.to_thread(self._results.read, invocation.input_location)
        try:
            async with asyncio.timeout(invocation.timeout_seconds):
                answer = await self._client.post(
                    f"{instance.url}/invocations", content=body, headers=invocation.headers
                )
        except TimeoutError:
            raise InvocationFailed(
                f"No answer within {invocation.timeout_seconds} s (InvocationTimeoutSeconds)."
            ) from None
        if "content-length" not in answer.headers:
            raise InvocationFailed("The container's answer lacks Content-Length.")
        if not answer.is_success:
            raise InvocationFailed(
                f"Received server error ({answer.status_code}) from primary with message "
                f'"{answer.text[:500]}"',
                answer.content,
            )
        return answer

    async def _succeed(
        self, spec: EndpointSpec, invocation: Invocation, answer: httpx.Response
    ) -> None:
        content_type = answer.headers.get("content-type", "application/octet-stream")
        location = invocation.output_location(spec)
        await asyncio.to_thread(self._results.write, location, answer.content, content_type)
        message = notice(spec, invocation, "Completed")
        await asyncio.to_thread(self._results.publish, spec.success_topic, message)

    async def _fail(
        self, spec: EndpointSpec, invocation: Invocation, status: Status, reason: str, body: bytes
    ) -> None:
        location = invocation.failure_location(spec)
        if location is not None and body:
            await asyncio.to_thread(self._results.write, location, body, "text/plain")
        message = notice(spec, invocation, status, reason)
        await asyncio.to_thread(self._results.publish, spec.error_topic, message)

    async def _expire(self) -> None:
        now = datetime.now(UTC)
        expired = [invocation for invocation in self._queue if invocation.expired(now)]
        for invocation in expired:
            self._queue.remove(invocation)
            reason = f"Expired after {invocation.ttl_seconds} s in the queue (RequestTTLSeconds)."
            await self._fail(self.spec, invocation, "Expired", reason, b"")


async def _is_lost(instance: Instance) -> bool:
    """Whether the connection broke because the instance died; its death shows a moment later."""
    try:
        await asyncio.wait_for(instance.gone.wait(), LOST_GRACE_SECONDS)
    except TimeoutError:
        return False
    return True
