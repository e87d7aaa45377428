"""SageMaker's container contract, kept by the real process on the echo engine, over HTTP and the emulator's AWS."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from offpeak.core.invocation import Outcome
from offpeak.core.shard import ShardStatus
from offpeak.local.processes import ProcessFailed, free_port
from offpeak.wire.invocation import decode_report
from tests.containers.container import Containers, answers, error_of, eventually
from tests.worker.world import chat

pytestmark = pytest.mark.cloud
ECHO = {"OFFPEAK_ENGINE": "echo"}


def test_an_order_goes_in_and_a_report_comes_out(containers: Containers) -> None:
    world = containers.world(chat("one"), chat("two [[status=400]]"), chat("three"))
    with containers.running(ECHO) as container:
        report = container.work(world)
        assert container.stats()["requests"] == 3
    assert report.outcome is Outcome.DONE
    assert (report.counts.completed, report.counts.failed) == (2, 1)
    results = answers(world, report)
    assert [line["custom_id"] for line in results] == ["line-1", "line-2", "line-3"]
    assert results[2]["response"]["body"]["choices"][0]["message"]["content"] == "three"
    assert world.shard.status is ShardStatus.CLAIMED


def test_the_same_order_again_is_superseded(containers: Containers) -> None:
    world = containers.world(chat("one"))
    with containers.running(ECHO) as container:
        assert container.work(world).outcome is Outcome.DONE
        assert container.work(world).outcome is Outcome.SUPERSEDED


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"not JSON", b'{"batch_id":1}'])
def test_what_is_no_order_gets_400(echo: httpx.Client, body: bytes) -> None:
    answer = echo.post("/invocations", content=body)
    assert answer.status_code == 400
    assert error_of(answer)["type"] == "invalid_request_error"


def test_an_order_over_the_limit_gets_400(echo: httpx.Client) -> None:
    answer = echo.post("/invocations", content=b" " * 200_000)
    assert answer.status_code == 400
    assert "128000" in error_of(answer)["message"]


@pytest.fixture(scope="module")
def echo(containers: Containers) -> Iterator[httpx.Client]:
    with containers.running(ECHO) as container:
        yield container.http


def test_until_its_engine_is_ready_it_answers_503(containers: Containers) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    settings = {
        "OFFPEAK_ENGINE": "openai_server", "OFFPEAK_ENGINE_URL": nowhere,
        "OFFPEAK_ENGINE_ALLOWED": "127.0.0.1",
    }  # fmt: skip
    with containers.started(settings) as container:
        eventually(container, lambda: container.ping() == 503)
        answer = container.invoke(containers.world(chat("one")))
        assert answer.status_code == 503
        assert error_of(answer)["code"] == "not_ready"


def test_sigterm_ends_the_shard_with_what_is_done_and_then_the_process(
    containers: Containers,
) -> None:
    world = containers.world(chat("quick"), chat("slow [[sleep=600]]"))
    with containers.running(ECHO) as container, ThreadPoolExecutor() as pool:
        working = pool.submit(container.invoke, world)
        eventually(container, lambda: world.checkpointed() == [1])
        container.process.send(signal.SIGTERM)
        report = decode_report(working.result().content)
        container.process.wait_for_end(60)
    assert (report.outcome, report.counts.completed) == (Outcome.STOPPED, 1)


def test_when_its_engine_dies_the_invocation_fails_and_the_process_ends(
    containers: Containers,
) -> None:
    world = containers.world(chat("one"), chat("two [[sleep=2]] [[die]]"))
    with containers.running(ECHO) as container:
        answer = container.invoke(world)
        assert answer.status_code == 500
        assert error_of(answer)["code"] == "engine_dead"
        assert container.ping() in {503, 0}
        with pytest.raises(ProcessFailed, match="status 1"):
            container.process.wait_for_end(60)
    assert world.checkpointed() == [1]


def test_a_killed_worker_s_checkpointed_lines_are_not_generated_again(
    containers: Containers,
) -> None:
    world = containers.world(*(chat(f"text {n}") for n in range(300)))
    slowly = {**ECHO, "OFFPEAK_ECHO_SECONDS_PER_LINE": "0.3"}
    with containers.running(slowly) as container, ThreadPoolExecutor() as pool:
        working = pool.submit(container.invoke, world)
        eventually(container, lambda: len(world.checkpointed()) >= 64)
        container.process.kill()
        assert isinstance(working.exception(), httpx.TransportError)
    saved = len(world.checkpointed())
    again = world.dispatch_again()
    with containers.running(ECHO) as container:
        report = container.work(again)
        assert container.stats()["requests"] == 300 - saved
    assert (report.outcome, report.resumed_lines) == (Outcome.DONE, saved)
    assert [line["custom_id"] for line in answers(again, report)] == [
        f"line-{n}" for n in range(1, 301)
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [("OFFPEAK_MODEL", "unheard-of"), ("OFFPEAK_ENGINE", "abacus"), ("OFFPEAK_ENGINE_ARGS", "[]"),
     ("OFFPEAK_LEASE_SECONDS", "-1")],
)  # fmt: skip
def test_a_wrong_setting_ends_the_process_and_is_named(
    containers: Containers, name: str, value: str
) -> None:
    failure = pytest.raises(ProcessFailed, match=f"(?s)status 1.*{name}")
    with containers.started({**ECHO, name: value}) as container, failure:
        container.process.wait_for_end(60)
