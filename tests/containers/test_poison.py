"""A request line that kills the engine, and with it the container's process: three of them die, the fourth delivers."""

from __future__ import annotations

import pytest

from offpeak.core.invocation import Outcome
from offpeak.wire.invocation import decode_report
from tests.containers.container import Containers, answers, error_of
from tests.worker.world import chat

pytestmark = pytest.mark.cloud
DEATHS = 3
LINES, POISON = 60, 30


def test_the_line_gets_an_engine_error_and_its_neighbours_finish(containers: Containers) -> None:
    texts = [f"text {n}" for n in range(LINES)]
    texts[POISON] += " [[sleep=0.1]] [[die]]"
    world = containers.world(*map(chat, texts))
    for _ in range(DEATHS):
        with containers.running({"OFFPEAK_ENGINE": "echo"}) as container:
            answer = container.invoke(world)
            assert (answer.status_code, error_of(answer)["code"]) == (500, "engine_dead")
            with pytest.raises(Exception, match="status 1"):
                container.process.wait_for_end(30)
        world = world.dispatch_again()
    with containers.running({"OFFPEAK_ENGINE": "echo"}) as container:
        answer = container.invoke(world)
    report = decode_report(answer.content)
    assert report.outcome is Outcome.DONE
    assert (report.counts.completed, report.counts.failed) == (LINES - 1, 1)
    poisoned = answers(world, report)[POISON]
    assert poisoned["error"]["code"] == "engine_error"
    assert poisoned["response"] is None
