"""An asynchronous endpoint: its queue, its instances, and the invocations on their slots."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime

import httpx

from offpeak.local.sagemaker.instance import STOP_GRACE_SECONDS, Instance, Launch
from offpeak.local.sagemaker.invocation import Invocation, Status, notice, test_notification
from offpeak.local.sagemaker.results import Results, Role
from offpeak.local.sagemaker.spec import EndpointSpec

RESTART_SECONDS_MIN, RESTART_SECONDS_MAX = 0.5, 30.0
LOST_GRACE_SECONDS = 0.5
EXPIRY_POLL_SECONDS = 1.0
REASON_CHARS_MAX = 1_024
_log = logging.getLogger("offpeak.local.sagemaker")


class InvocationFailed(Exception):
    """The container answered with an error, too late, or not as SageMaker demands. `body` is what it said."""

    def __init__(self, reason: str, body: bytes = b"") -> None:
        super().__init__(reason[:REASON_CHARS_MAX])
        self.body = body or reason.encode()


class Endpoint:
    """Scales out with its backlog up to the template's maximum and never in: which instance leaves is not ours to
    decide, and an idle worker costs nothing here."""

    def __init__(
        self, spec: EndpointSpec, launch: Launch, role: Role, results: Results, *, eager: bool
    ) -> None:
        self.spec = spec
        self.role = role
        self.instances: list[Instance] = []
        self.created_at = datetime.now(UTC)
        self._launch = launch
        self._results = results
        self._desired = spec.instances_initial if eager else 0
        self._queue: deque[Invocation] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()
        self._numbers = itertools.count()
        self._stopping = False
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=5), limits=httpx.Limits(max_connections=None)
        )

    @property
    def desired(self) -> int:
        return self._desired

    @property
    def backlog(self) -> int:
        """Invocations queued and on instances, as ApproximateBacklogSize counts them."""
        return len(self._queue) + sum(instance.in_flight for instance in self.instances)

    @property
    def ready(self) -> Sequence[Instance]:
        return [instance for instance in self.instances if instance.ready]

    async def serve(self) -> None:
        """Runs until cancelled."""
        hello = test_notification(self.spec)
        for topic in (self.spec.success_topic, self.spec.error_topic):
            await asyncio.to_thread(self._results.publish, topic, hello)
        while True:
            self._wake.clear()
            await self._expire()
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
        await asyncio.gather(*(instance.stop(grace_seconds) for instance in self.instances))
        if self._running:
            await asyncio.wait(self._running, timeout=5)
        for task in (*self._keepers, *self._running):
            task.cancel()
        await self._client.aclose()

    def _scale(self) -> None:
        wanted = math.ceil(self.backlog / self.spec.concurrency)
        self._desired = max(self._desired, min(wanted, self.spec.instances_max))
        while len(self._keepers) < self._desired and not self._stopping:
            self._keepers.append(asyncio.create_task(self._keep_an_instance()))

    async def _keep_an_instance(self) -> None:
        """One place of the endpoint: an instance, and after its death another one."""
        pause = RESTART_SECONDS_MIN
        while not self._stopping:
            instance = Instance(f"{self.spec.name}-{next(self._numbers)}", self._launch)
            _log.info("instance %s starts, pid %d", instance.name, instance.pid)
            self.instances.append(instance)
            watch = asyncio.create_task(instance.watch())
            if await instance.await_ready(self._client):
                _log.info("instance %s is ready", instance.name)
                pause = RESTART_SECONDS_MIN
                self._wake.set()
            await watch
            self.instances.remove(instance)
            if not self._stopping:
                _log.warning("instance %s is gone; the next in %.1f s", instance.name, pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, RESTART_SECONDS_MAX)

    def _hand_out(self) -> None:
        while self._queue and not self._stopping:
            free = [i for i in self.ready if i.in_flight < self.spec.concurrency]
            if not free:
                return
            instance = min(free, key=lambda i: i.in_flight)
            instance.in_flight += 1
            task = asyncio.create_task(self._work(instance, self._queue.popleft()))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _work(self, instance: Instance, invocation: Invocation) -> None:
        try:
            answer = await self._post(instance, invocation)
            await self._succeed(invocation, answer)
        except InvocationFailed as failure:
            await self._fail(invocation, "Failed", str(failure), failure.body)
        except httpx.HTTPError as error:
            if await _is_lost(instance):
                _log.warning("invocation %s is lost with its instance", invocation.inference_id)
            else:
                await self._fail(invocation, "Failed", f"The container hung up: {error!r}", b"")
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

    async def _succeed(self, invocation: Invocation, answer: httpx.Response) -> None:
        content_type = answer.headers.get("content-type", "application/octet-stream")
        location = invocation.output_location(self.spec)
        await asyncio.to_thread(self._results.write, location, answer.content, content_type)
        message = notice(self.spec, invocation, "Completed")
        await asyncio.to_thread(self._results.publish, self.spec.success_topic, message)

    async def _fail(self, invocation: Invocation, status: Status, reason: str, body: bytes) -> None:
        location = invocation.failure_location(self.spec)
        if location is not None and body:
            await asyncio.to_thread(self._results.write, location, body, "text/plain")
        message = notice(self.spec, invocation, status, reason)
        await asyncio.to_thread(self._results.publish, self.spec.error_topic, message)

    async def _expire(self) -> None:
        now = datetime.now(UTC)
        expired = [invocation for invocation in self._queue if invocation.expired(now)]
        for invocation in expired:
            self._queue.remove(invocation)
            reason = f"Expired after {invocation.ttl_seconds} s in the queue (RequestTTLSeconds)."
            await self._fail(invocation, "Expired", reason, b"")


async def _is_lost(instance: Instance) -> bool:
    """Whether the connection broke because the instance died; its death shows a moment later."""
    try:
        await asyncio.wait_for(instance.gone.wait(), LOST_GRACE_SECONDS)
    except TimeoutError:
        return False
    return True
