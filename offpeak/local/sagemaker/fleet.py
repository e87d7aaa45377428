"""The instances that serve one endpoint configuration: as many as are wanted, each replaced when it dies. Which of them
leave when fewer are wanted is left to chance, as with SageMaker."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import httpx

from offpeak.local.sagemaker.instance import STOP_GRACE_SECONDS, Instance, Launch
from offpeak.local.sagemaker.spec import EndpointSpec

RESTART_SECONDS_MIN, RESTART_SECONDS_MAX = 0.5, 30.0
SETTLE_POLL_SECONDS = 0.1
_log = logging.getLogger("offpeak.local.sagemaker")


class Place:
    """One of the fleet's, held by an instance and after its death by another one, until it is given up."""

    def __init__(self) -> None:
        self.instance: Instance | None = None
        self.given_up = asyncio.Event()


class Fleet:
    """`changed` is called when an instance has become ready; `name` gives each instance its own."""

    def __init__(
        self,
        spec: EndpointSpec,
        launch: Launch,
        *,
        client: httpx.AsyncClient,
        name: Callable[[], str],
        changed: Callable[[], None],
    ) -> None:
        self.spec = spec
        self.instances: list[Instance] = []
        self.desired = 0
        self._launch = launch
        self._client = client
        self._name = name
        self._changed = changed
        self._places: list[Place] = []
        self._keepers: set[asyncio.Task[None]] = set()
        self._random = random.Random(spec.name)
        self._failed_starts = 0
        self._stopping = False

    @property
    def ready(self) -> Sequence[Instance]:
        return [instance for instance in self.instances if instance.ready]

    @property
    def in_flight(self) -> int:
        return sum(instance.in_flight for instance in self.instances)

    def grow(self, desired: int) -> None:
        """To at least so many instances."""
        self.desired = max(self.desired, desired)
        while len(self._places) < self.desired and not self._stopping:
            place = Place()
            self._places.append(place)
            self._keep(self._keep_an_instance(place))

    def shrink(self, desired: int) -> None:
        """To at most so many: those that leave get SIGTERM and the grace."""
        self.desired = min(self.desired, desired)
        surplus = max(0, len(self._places) - self.desired)
        for place in self._random.sample(self._places, surplus):
            self._places.remove(place)
            place.given_up.set()
            if place.instance is not None:
                _log.info("instance %s leaves", place.instance.name)
                self._keep(place.instance.stop())
        self._changed()

    async def settle(self) -> bool:
        """Whether all of its instances came up; False as soon as one of them has ended or run out of time before."""
        while len(self.ready) < self.desired and not self._failed_starts:  # noqa: ASYNC110
            await asyncio.sleep(SETTLE_POLL_SECONDS)
        return not self._failed_starts

    async def stop(self, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
        """SIGTERM to every instance, up to the grace, SIGKILL. Their last answers may still be on their way."""
        self._stopping = True
        await asyncio.gather(*(instance.stop(grace_seconds) for instance in self.instances))

    def abandon(self) -> None:
        for task in list(self._keepers):
            task.cancel()

    def _keep(self, going_on: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(going_on)
        self._keepers.add(task)
        task.add_done_callback(self._keepers.discard)

    async def _keep_an_instance(self, place: Place) -> None:
        pause = RESTART_SECONDS_MIN
        while not self._stopping and not place.given_up.is_set():
            instance = place.instance = Instance(self._name(), self._launch)
            _log.info("instance %s starts, pid %d", instance.name, instance.pid)
            self.instances.append(instance)
            watch = asyncio.create_task(instance.watch())
            if await instance.await_ready(self._client):
                _log.info("instance %s is ready", instance.name)
                pause = RESTART_SECONDS_MIN
                self._changed()
            elif not place.given_up.is_set():
                self._failed_starts += 1
            await watch
            self.instances.remove(instance)
            self._changed()
            if place.given_up.is_set():
                return
            if not self._stopping:
                _log.warning("instance %s is gone; the next in %.1f s", instance.name, pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, RESTART_SECONDS_MAX)
