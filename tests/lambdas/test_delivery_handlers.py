"""The handlers of deliveries, given what SQS and the clock give them, through a whole day of an injected clock."""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict
from typing import Any

import pytest

from offpeak.core.delivery import JITTER, SCHEDULE_SECONDS
from offpeak.core.errors import Unavailable
from offpeak.core.ports import Answer
from tests.lambdas.test_lifecycle_handlers import Context
from tests.steps.post_office import ACCOUNT, BATCH, PostOffice

URL = "https://r1.example.com/"


class Functions:
    """Calls the handlers over one office: records of its queue when they may come, and the clock each minute."""

    def __init__(self, office: PostOffice, monkeypatch: pytest.MonkeyPatch) -> None:
        self.office = office
        self._patch = monkeypatch

    def call(self, function: str, event: dict[str, Any]) -> Any:
        module = importlib.import_module(f"lambdas.{function}.handler")
        self._patch.setattr(module, "aws", self.office)
        return module.handler(json.loads(json.dumps(event)), Context())

    def announce(self) -> Any:
        event = {
            "detail-type": "batch.completed", "source": "offpeak",
            "detail": {"account_id": ACCOUNT, "batch_id": BATCH, "status": "completed"},
        }  # fmt: skip
        return self.call("queue_deliveries", records(json.dumps(event)))

    def pass_time(self, seconds: int) -> None:
        """Second by second where something may come, minute by minute else."""
        end = self.office.clock.now() + seconds
        while self.office.clock.now() < end:
            asks = self.office.receive()
            if asks:
                bodies = [json.dumps(asdict(ask)) for ask in asks]
                answer = self.call("deliver_callbacks", records(*bodies))
                assert answer == {"batchItemFailures": []}
            if self.office.clock.now() % 60 == 0:
                self.call("requeue_deliveries", {"source": "aws.events"})
            self.office.clock.advance(1)


def records(*bodies: str) -> dict[str, Any]:
    return {"Records": [{"messageId": f"m{n}", "body": body} for n, body in enumerate(bodies)]}


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> Functions:
    office = PostOffice()
    office.add_webhook(1)
    office.clock.seconds = 1_790_000_040.0  # a full minute
    return Functions(office, monkeypatch)


def test_a_receiver_that_is_down_for_a_day_is_tried_by_the_schedule_and_then_given_up(
    functions: Functions,
) -> None:
    office = functions.office
    office.destinations.answers[URL] = [Unavailable("There was no answer in time.")]
    assert functions.announce() == {"batchItemFailures": []}
    start = office.clock.now()
    functions.pass_time(86_400 + 7_200)
    found = office.delivery_to("whe_1")
    assert found.status == "failed"
    moments = [attempt.at - start for attempt in found.attempts]
    assert len(moments) == len(SCHEDULE_SECONDS)
    before = 0
    for moment, planned in zip(moments, SCHEDULE_SECONDS, strict=True):
        late_most = JITTER * (planned - before) + 60  # the minute finds what the queue can't hold
        assert planned <= moment <= planned + late_most
        before = planned
    assert len(office.destinations.posts) == 10
    functions.pass_time(7_200)
    assert len(office.destinations.posts) == 10


def test_a_receiver_that_comes_back_hears_of_the_event_once(functions: Functions) -> None:
    office = functions.office
    office.destinations.answers[URL] = [*[Answer(status_code=503)] * 4, Answer(status_code=200)]
    functions.announce()
    functions.announce()
    functions.pass_time(10_000)
    assert office.delivery_to("whe_1").status == "delivered"
    assert len(office.destinations.posts) == 5


def test_what_is_no_ask_comes_again_and_holds_up_no_other(functions: Functions) -> None:
    functions.announce()
    (ask,) = functions.office.receive()
    answer = functions.call("deliver_callbacks", records("{}", json.dumps(asdict(ask)), "not json"))
    assert [each["itemIdentifier"] for each in answer["batchItemFailures"]] == ["m0", "m2"]
    assert functions.office.delivery_to("whe_1").status == "delivered"


def test_an_announcement_that_fails_is_named_alone(functions: Functions) -> None:
    good = json.dumps({"detail": {"account_id": ACCOUNT, "batch_id": BATCH}})
    lost = json.dumps({"detail": {"account_id": ACCOUNT, "batch_id": "batch_unknown"}})
    answer = functions.call("queue_deliveries", records(lost, good))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert functions.office.delivery_to("whe_1").is_open
