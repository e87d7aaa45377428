"""`vllm serve` beside a container: what a user would otherwise ask, for comparing its answers with the worker's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from offpeak.local.processes import Process, free_port
from tests.containers.container import ROOT
from tests.worker.world import MODEL

START_SECONDS = 180.0
ON_A_CPU = {
    "dtype": "bfloat16", "enforce-eager": True, "block-size": 32, "max-model-len": 2_048,
    "max-num-seqs": 16,
}  # fmt: skip
# What differs between two answers to one request, whoever gives them: names (of the engine, too), times, the cache.
_OWN = frozenset({"id", "created", "system_fingerprint", "prompt_tokens_details"})


def vllm_settings(model: Path, engine_args: Mapping[str, Any]) -> dict[str, str]:
    """A container's environment for vLLM on this machine's CPU, offline."""
    return {
        "OFFPEAK_ENGINE": "vllm", "OFFPEAK_MODEL_PATH": str(model),
        "OFFPEAK_ENGINE_ARGS": json.dumps(engine_args),
        "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "auto",
        "HOME": os.environ["HOME"],
    }  # fmt: skip


class Server:
    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=120)

    def ask(self, endpoint: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        answer = self._http.post(endpoint, json=body)
        return answer.status_code, answer.json()

    def is_ready(self) -> bool:
        try:
            return self._http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def close(self) -> None:
        self._http.close()


@contextmanager
def vllm_serve(
    python: str, model: str, arguments: Mapping[str, Any], environment: Mapping[str, str],
    folder: Path, seconds: float,
) -> Iterator[Server]:  # fmt: skip
    port = free_port()
    flags = []
    for name, value in arguments.items():
        text = value if isinstance(value, str) else json.dumps(value)
        flags += [f"--{name}"] if value is True else [f"--{name}", text]
    process = Process(
        "vllm serve",
        [python, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port),
         "--model", model, "--served-model-name", MODEL, *flags],
        log=folder / f"vllm-serve-{port}.log", cwd=folder,
        environment={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip
    server = Server(f"http://127.0.0.1:{port}")
    try:
        process.wait_until(server.is_ready, seconds)
        yield server
    finally:
        server.close()
        process.stop(grace_seconds=25)


def comparable(answer: Any) -> Any:
    """The answer without what no two answers have in common."""
    if isinstance(answer, dict):
        return {name: comparable(value) for name, value in answer.items() if name not in _OWN}
    return [comparable(each) for each in answer] if isinstance(answer, list) else answer
