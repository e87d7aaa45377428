"""Real vLLM on the CPU behind the whole road: a batch of every kind of request, and a worker that is killed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from offpeak.aws.connect import Aws
from offpeak.core.layout import shard_prefix
from offpeak.local.cloud import LocalCloud
from offpeak.wire.checkpoints import decode_records
from tests.e2e.deployment import connect, make_caller, sweeping
from tests.e2e.follow import until_ended
from tests.e2e.lines import assert_each_once_in_input_order, chat_line, jsonl, parse

pytestmark = [
    pytest.mark.cloud,
    pytest.mark.vllm,
    pytest.mark.timeout(600),
]

ROOT = Path(__file__).parent.parent.parent
DEMO = ROOT / "examples" / "demo.jsonl"
LEASE_SECONDS = 30  # two cores are the engine's while it generates: renewals may come late
WORKER = {
    "OFFPEAK_LEASE_SECONDS": str(LEASE_SECONDS),
    "OFFPEAK_RENEW_SECONDS": "2",
    "OFFPEAK_POLL_SECONDS": "2",
    "OFFPEAK_CHECKPOINT_SECONDS": "1",
    "OFFPEAK_WINDOW_MAX": "16",  # so that lines end one after the other
}
TOKENS = 700
LINES = [
    chat_line(f"long-{n:03}", f"Count from {n}.", max_tokens=TOKENS, ignore_eos=True, seed=n)
    for n in range(320)
]


@pytest.fixture(scope="module")
def vllm_python() -> Path:
    """The interpreter of vLLM's venv, made by `make test`. OFFPEAK_VLLM_PYTHON names another."""
    python = Path(os.environ.get("OFFPEAK_VLLM_PYTHON", ROOT / ".offpeak/venvs/vllm/bin/python"))
    if not python.exists():
        pytest.fail(f"vLLM's venv is missing ({python}): run `make setup-vllm`.")
    return python


@pytest.fixture(scope="module")
def vllm_cloud(
    emulator_python: Path, vllm_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalCloud]:
    with LocalCloud(
        engine="vllm",
        folder=tmp_path_factory.mktemp("vllm"),
        worker=WORKER,
        emulator_python=emulator_python,
        worker_python=vllm_python,
    ) as cloud:
        cloud.wait_for_workers(300)
        yield cloud


@pytest.fixture(scope="module")
def ports(vllm_cloud: LocalCloud) -> Aws:
    return connect(vllm_cloud)


def test_the_example_file_runs_on_real_vllm(vllm_cloud: LocalCloud, ports: Aws) -> None:
    client = make_caller(vllm_cloud, ports, "demo").sdk()
    lines = [json.loads(line) for line in DEMO.read_text().splitlines()]
    file = client.files.create(file=DEMO, purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    ended = until_ended(client, batch.id, 180)
    assert (ended.status, ended.error_file_id) == ("completed", None)
    assert ended.output_file_id is not None
    results = parse(client.files.content(ended.output_file_id).text)
    assert_each_once_in_input_order(lines, results)
    bodies = {line["custom_id"]: line["response"]["body"] for line in results}
    assert len(bodies["sample-01"]["choices"]) == 3
    assert bodies["logprobs-01"]["choices"][0]["logprobs"]["content"]
    for line in lines:
        most = line["body"]["max_tokens"] * line["body"].get("n", 1)
        assert 0 < bodies[line["custom_id"]]["usage"]["completion_tokens"] <= most
    assert ended.usage is not None
    assert ended.usage.output_tokens == sum(
        b["usage"]["completion_tokens"] for b in bodies.values()
    )


def test_a_killed_worker_s_checkpointed_lines_are_not_generated_again(
    vllm_cloud: LocalCloud, ports: Aws
) -> None:
    cloud, caller = vllm_cloud, make_caller(vllm_cloud, ports, "killed")
    client = caller.sdk()
    file = client.files.create(file=("lines.jsonl", jsonl(LINES)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    [worker] = cloud.workers()
    _wait_for_checkpoint(ports, batch.id)  # not for the API's counts: they come seconds later
    cloud.signal_worker(worker["pid"], "SIGKILL")
    _wait_until_gone(cloud, worker["pid"])
    kept = _checkpointed(ports, batch.id)
    assert 0 < len(kept) < len(LINES), "it was killed in the middle"

    ended = until_ended(client, batch.id, 300, meanwhile=sweeping(cloud))
    assert ended.status == "completed"
    assert ended.output_file_id is not None
    results = parse(client.files.content(ended.output_file_id).text)
    assert_each_once_in_input_order(LINES, results)
    assert ports.shards.get(batch.id, 0, 0).attempt == 2

    [successor] = cloud.workers()
    assert successor["pid"] != worker["pid"]
    counted = httpx.get(f"{successor['url']}/stats", timeout=5).json()
    assert counted["finished_requests"] == len(LINES) - len(kept)
    assert counted["generated_tokens"] == TOKENS * (len(LINES) - len(kept))
    assert ended.usage is not None
    assert ended.usage.output_tokens == TOKENS * len(LINES)


def _wait_for_checkpoint(aws: Aws, batch_id: str) -> None:
    give_up_at = time.monotonic() + 120
    while not _checkpointed(aws, batch_id):
        assert time.monotonic() < give_up_at, "no checkpoint was written"
        time.sleep(0.1)


def _wait_until_gone(cloud: LocalCloud, pid: int) -> None:
    give_up_at = time.monotonic() + 30
    while any(worker["pid"] == pid for worker in cloud.workers()):
        assert time.monotonic() < give_up_at, "the killed worker is still listed"
        time.sleep(0.2)


def _checkpointed(aws: Aws, batch_id: str) -> Sequence[int]:
    """Numbers of the lines that the first shard's checkpoints hold."""
    prefix = f"{shard_prefix(batch_id, 0, 0)}checkpoints/"
    found: set[int] = set()
    for item in aws.reader.list(prefix):
        found.update(record.number for record in decode_records([aws.reader.read(item.key)]))
    return sorted(found)
