"""The container's process as SageMaker would run it, with the emulator for its AWS."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from offpeak.core.invocation import ShardReport
from offpeak.local.emulator import Emulator
from offpeak.local.processes import Process, free_port
from offpeak.wire.invocation import decode_report, encode_order
from tests.contract.aws_world import AwsWorld
from tests.worker.world import MODEL, World

ROOT = Path(__file__).parents[2]
ANSWER_SECONDS = 120.0
QUICKLY = {
    "OFFPEAK_LEASE_SECONDS": "6", "OFFPEAK_RENEW_SECONDS": "1", "OFFPEAK_POLL_SECONDS": "0.1",
    "OFFPEAK_CHECKPOINT_SECONDS": "0.1",
}  # fmt: skip
MODELS = f"""
[[model]]
id = "{MODEL}"
pool = "{MODEL}"
source = "nowhere"
context_tokens = 2_048
completion_tokens_default = 32
prices = {{ basis = "base", input = 130_000, output = 400_000 }}
endpoints = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"]
"""


class Container:
    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=ANSWER_SECONDS)

    def ping(self) -> int:
        """The status; 0 when nobody listens."""
        try:
            return self.http.get("/ping").status_code
        except httpx.TransportError:
            return 0

    def invoke(self, world: World) -> httpx.Response:
        return self.http.post("/invocations", content=encode_order(world.order))

    def work(self, world: World) -> ShardReport:
        answer = self.invoke(world)
        assert answer.status_code == 200, answer.text
        assert int(answer.headers["Content-Length"]) == len(answer.content)
        return decode_report(answer.content)

    def stats(self) -> Mapping[str, int]:
        found: Mapping[str, int] = self.http.get("/stats").json()
        return found


class Containers:
    """Starts containers over one bucket and one set of tables, and makes worlds in them."""

    def __init__(self, emulator: Emulator, aws: AwsWorld, folder: Path) -> None:
        self._aws = aws
        self._folder = folder
        (folder / "models.toml").write_text(MODELS)
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            **emulator.environment,
            **aws.environment,
            "OFFPEAK_MODELS": str(folder / "models.toml"),
            "OFFPEAK_MODEL": MODEL,
            "OFFPEAK_BIND_HOST": "127.0.0.1",
            **QUICKLY,
        }

    def world(self, *bodies: Mapping[str, Any], endpoint: str = "/v1/chat/completions") -> World:
        batch_id = f"batch_{uuid.uuid4().hex}"
        return World.of_bodies(*bodies, endpoint=endpoint, memory=self._aws.aws, batch_id=batch_id)

    @contextmanager
    def running(
        self, environment: Mapping[str, str], python: str = sys.executable, seconds: float = 20.0
    ) -> Iterator[Container]:
        """A container that takes work."""
        with self.started(environment, python) as container:
            container.process.wait_until(lambda: container.ping() == 200, seconds)
            yield container

    @contextmanager
    def started(
        self, environment: Mapping[str, str], python: str = sys.executable
    ) -> Iterator[Container]:
        """A container that was started, and perhaps doesn't listen yet."""
        port = free_port()
        process = Process(
            "container", [python, "-m", "containers.vllm.main", "serve"],
            log=self._folder / f"{uuid.uuid4().hex[:8]}.log", cwd=self._folder,
            environment={**self._environment, "SAGEMAKER_BIND_TO_PORT": str(port), **environment},
        )  # fmt: skip
        container = Container(process, port)
        try:
            yield container
        finally:
            container.http.close()
            process.stop(grace_seconds=25)


def answers(world: World, report: ShardReport) -> list[Mapping[str, Any]]:
    """The result of each line, those with errors too, in input order."""
    lines = [line for found in world.results(report) for line in found]
    return sorted(lines, key=lambda line: int(line["custom_id"].removeprefix("line-")))


def error_of(answer: httpx.Response) -> Mapping[str, Any]:
    error: Mapping[str, Any] = json.loads(answer.content)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def eventually(container: Container, check: Callable[[], bool], seconds: float = 60.0) -> None:
    container.process.wait_until(check, seconds)
