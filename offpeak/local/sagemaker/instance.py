"""An instance: a process of the container's `main.py`, from its start over `/ping` to its end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from offpeak.local.processes import Process, free_port

PING_POLL_SECONDS = 0.1
PING_TIMEOUT_SECONDS = 2.0
WATCH_SECONDS = 0.05
STOP_GRACE_SECONDS = 30.0
NICENESS = 10
"""An engine takes every core. Here the control plane lives beside it, and would not answer for seconds at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How an instance is started. It listens on a port of its own, told by SAGEMAKER_BIND_TO_PORT."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    ready_seconds_max: float = 900.0


class Instance:
    """`ready` once `/ping` has answered 200. `gone` is set when the process has ended, whoever ended it."""

    def __init__(self, name: str, launch: Launch) -> None:
        self.name = name
        self.ready = False
        self.in_flight = 0
        self.gone = asyncio.Event()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._ready_seconds_max = launch.ready_seconds_max
        self._process = Process(
            name,
            launch.command,
            log=launch.log,
            environment={
                **launch.environment,
                "SAGEMAKER_BIND_TO_PORT": str(port),
                "OFFPEAK_BIND_HOST": "127.0.0.1",
            },
            cwd=launch.folder,
            death_signal=signal.SIGKILL,
            niceness=NICENESS,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    async def watch(self) -> None:
        """Returns when the process has ended."""
        while self._process.running:  # noqa: ASYNC110 - a process sets no Event
            await asyncio.sleep(WATCH_SECONDS)
        self._process.kill()  # its children must not outlive it
        self.ready = False
        self.gone.set()

    async def await_ready(self, client: httpx.AsyncClient) -> bool:
        """Polls `/ping`. False when the process ended, or was killed because it took too long."""
        deadline = asyncio.get_running_loop().time() + self._ready_seconds_max
        while not self.gone.is_set():
            if asyncio.get_running_loop().time() > deadline:
                self.kill()
                return False
            if await self._pings(client):
                self.ready = True
                return True
            await asyncio.sleep(PING_POLL_SECONDS)
        return False

    async def _pings(self, client: httpx.AsyncClient) -> bool:
        try:
            answer = await client.get(f"{self.url}/ping", timeout=PING_TIMEOUT_SECONDS)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    def send(self, number: signal.Signals) -> None:
        """Whoever is told to stop gets nothing more to do: SageMaker sends SIGTERM to instances that are out of use."""
        if number is signal.SIGTERM:
            self.ready = False
        self._process.send(number)

    def kill(self) -> None:
        """The instance is lost: every process on it, at once."""
        self._process.kill()

    async def stop(self, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
        """SIGTERM, then SIGKILL after the grace, as SageMaker does. `watch` must be running."""
        self.ready = False
        self._process.terminate()
        try:
            await asyncio.wait_for(self.gone.wait(), grace_seconds)
        except TimeoutError:
            self._process.kill()
