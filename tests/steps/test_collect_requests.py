"""The collector: what it appends, when a gathering is sealed, and that a crash has no request worked twice."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from offpeak.core.catalogue import Catalogue
from offpeak.core.delivery import Delivery
from offpeak.core.gathering import Gathering, Lane
from offpeak.core.ports import ObjectInfo
from offpeak.core.pricing import batch_prices
from offpeak.core.request import RequestStatus
from offpeak.memory.memory import Memory
from offpeak.steps.collect_requests import Received, collect_requests
from offpeak.steps.create_request import NewRequest, create_request
from offpeak.wire.request_lines import read_account_id, read_custom_id
from offpeak.wire.request_records import Reminder, encode_record
from offpeak.wire.segments import read_lines
from tests.steps.request_simulation import ALICE, BOB
from tests.steps.simulation import CATALOGUE, ENDPOINT, PRICES

LANE = Lane(model="red", pool="red-pool", endpoint=ENDPOINT, window_seconds=86_400)


class Desk(Memory):
    """Requests are sent, and collected as records come."""

    catalogue = CATALOGUE

    def send(
        self,
        count: int = 1,
        account: Any = ALICE,
        prompt: str = "hi",
        limits: dict[str, int] | None = None,
        **more: Any,
    ) -> list[str]:
        body = json.dumps({"model": "red", "prompt": prompt, **(limits or {})}).encode()
        return [
            create_request(
                account, NewRequest(body=body, endpoint=ENDPOINT, **more), idempotency_key=None,
                clock=self.clock, catalogue=self.catalogue, writer=self.writer,
                changes=self.changes, requests=self.requests, idempotency=self.idempotency,
                request_queue=self.request_queue,
            ).id
            for _ in range(count)
        ]  # fmt: skip

    def records(self) -> list[str]:
        """What lies in the queue, which is empty then."""
        texts = [text for text, _ in self.request_queue.records]
        self.request_queue.records.clear()
        return texts

    def collect(self, texts: list[str], receives: int = 1) -> list[str]:
        received = [
            Received(record_id=f"m{n}", text=text, receives=receives)
            for n, text in enumerate(texts)
        ]
        return collect_requests(
            received, clock=self.clock, catalogue=self.catalogue, reader=self.reader,
            writer=self.writer, changes=self.changes, requests=self.requests,
            gatherings=self.gatherings, runs=self.runs, shards=self.shards,
            workflows=self.workflows, request_queue=self.request_queue, callbacks=self.callbacks,
        )  # fmt: skip

    @property
    def gathering(self) -> Gathering:
        found = self.gatherings.newest(LANE.id)
        assert found is not None
        return found

    def collected(self) -> list[str]:
        """The ids in the segments of all gatherings, in order."""
        return [
            read_custom_id(
                self.reader.read(f"work/segments/{s.name}.jsonl", s.start, s.stop).splitlines()[n]
            )
            for gathering in self.gatherings.since(LANE.id, "")
            for s in gathering.segments
            for n in range(s.lines)
        ]


def test_requests_of_all_accounts_gather_in_one_lane() -> None:
    desk = Desk()
    ids = desk.send() + desk.send(account=BOB)
    assert desk.collect(desk.records()) == []
    assert desk.collected() == ids
    assert (desk.gathering.lines, desk.gathering.is_open) == (2, True)


def test_windows_have_lanes_of_their_own() -> None:
    desk = Desk()
    desk.send(completion_window="48h")
    desk.collect(desk.records())
    assert desk.gatherings.newest(LANE.id) is None


def test_a_record_that_comes_again_after_a_crash_is_collected_once() -> None:
    desk = Desk()
    ids = desk.send(2)
    texts = desk.records()
    desk.collect(texts)
    more = desk.send()
    desk.collect([*texts, *desk.records()], receives=2)
    assert desk.collected() == ids + more


def test_a_record_that_comes_again_after_its_gathering_was_sealed_is_collected_once() -> None:
    desk = Desk()
    ids = desk.send(4)  # a full shard
    texts = desk.records()
    desk.collect(texts)
    assert not desk.gathering.is_open
    desk.collect(texts, receives=2)
    assert desk.collected() == ids


def test_a_record_twice_in_one_collection_is_collected_once() -> None:
    desk = Desk()
    [only] = desk.send()
    [text] = desk.records()
    desk.collect([text, text])
    assert desk.collected() == [only]


def test_a_full_shard_is_sealed_at_once_and_a_small_one_when_it_is_due() -> None:
    desk = Desk()
    desk.send(2)
    desk.collect(desk.records())
    [(reminder, delay)] = desk.request_queue.records
    assert delay == desk.gathering.due_at - int(desk.clock.now()) + 1
    desk.request_queue.records.clear()
    desk.collect([reminder])
    assert desk.gathering.is_open, "it was sealed before its time"
    assert desk.request_queue.records, "nobody would look again"
    desk.clock.advance(delay)
    desk.collect([reminder])
    assert not desk.gathering.is_open
    desk.send(4)
    desk.collect([text for text, _ in desk.request_queue.records if "body" in text])
    assert not desk.gathering.is_open


def test_a_sealed_gathering_is_a_batch_whose_run_has_every_line_once() -> None:
    desk = Desk()
    ids = desk.send(9)
    desk.collect(desk.records())
    gathering = desk.gathering
    run = desk.runs.get(gathering.id, 0)
    assert (run.lines, run.deadline) == (9, gathering.first_deadline)
    assert gathering.id in desk.workflows.started
    assert desk.workflows.started[gathering.id]["ranges"] == []
    from offpeak.wire.manifest import iterate_shards

    shards = [s for s, _, _ in iterate_shards([desk.reader.read(run.manifest_key)])]
    assert len(shards) == run.shards
    numbered = [each for s in shards for each in read_lines(desk.reader, s.segments)]
    assert [number for number, _ in numbered] == list(range(1, 10))
    assert [read_custom_id(line) for _, line in numbered] == ids
    assert {read_account_id(line) for _, line in numbered} == {ALICE.id}


def test_sealings_of_two_versions_at_once_write_over_no_manifest_of_each_other() -> None:
    desk = Desk()
    for _ in range(2):
        desk.send()
        desk.collect([text for text in desk.records() if "body" in text])
    reminder = encode_record(Reminder(lane_id=LANE.id, gathering_id=desk.gathering.id))
    desk.clock.advance(86_400)
    put = desk.writer.put

    def overtaken(key: str, *rest: Any) -> ObjectInfo:
        if "manifest" in key:
            desk.writer.put = put  # type: ignore[method-assign]
            desk.catalogue = Catalogue(
                tuple(replace(model, shard_lines_max=1) for model in CATALOGUE.models)
            )
            desk.collect([reminder])
        return put(key, *rest)

    desk.writer.put = overtaken  # type: ignore[assignment, method-assign]
    desk.collect([reminder])
    run = desk.runs.get(desk.gathering.id, 0)
    from offpeak.wire.manifest import iterate_shards

    shards = [s for s, _, _ in iterate_shards([desk.reader.read(run.manifest_key)])]
    assert (len(shards), run.shards, sum(s.lines for s in shards)) == (2, 2, 2)


def test_a_request_that_waited_in_the_queue_for_all_of_its_window_is_failed() -> None:
    desk = Desk()
    [late] = desk.send()
    desk.clock.advance(86_400)
    desk.collect(desk.records())
    row = desk.requests.get(ALICE.id, late)
    assert (row.status, row.error_code) == (RequestStatus.FAILED, "request_expired")
    assert desk.gatherings.newest(LANE.id) is None


def test_a_gathering_s_run_has_the_prices_and_the_tokens_of_its_requests() -> None:
    """Without a limit a completion may generate 16 tokens."""
    desk = Desk()
    desk.send(2)
    desk.send(limits={"max_tokens": 60, "n": 2})
    desk.send(limits={"max_tokens": 8})
    desk.collect(desk.records())
    run = desk.runs.get(desk.gathering.id, 0)
    assert run.completion_tokens == 2 * 16 + 2 * 60 + 8
    assert run.input_bytes == desk.gathering.bytes > 0
    assert run.prices == batch_prices(PRICES["red"])
    lines = [
        desk.reader.read(f"work/segments/{s.name}.jsonl", s.start, s.stop)
        for s in desk.gathering.segments
    ]
    sent = [json.loads(line)["body"] for segment in lines for line in segment.splitlines()]
    assert [body.get("max_tokens") for body in sent] == [None, None, 60, 8], "left to the engine"


def test_one_that_waited_too_long_is_told_of_once_however_often_its_record_comes() -> None:
    desk = Desk()
    url = "https://hooks.example.org/done"
    [late] = desk.send(callback=url)
    desk.send()
    desk.clock.advance(86_400)
    texts = desk.records()
    for receives in (1, 2, 3):
        desk.collect(texts, receives)
        desk.clock.advance(360)
    [told] = desk.changes._tables.select(Delivery, lambda _: True)
    assert (told.destination_id, told.url, told.event_type) == (late, url, "request.failed")


def test_a_large_body_is_fetched_and_a_record_that_makes_no_sense_is_given_back() -> None:
    desk = Desk()
    [large] = desk.send(prompt="x" * 300_000)
    [text] = desk.records()
    assert len(text) < 1_000
    assert desk.collect([text, "{}", "not json"]) == ["m1", "m2"]
    assert desk.collected() == [large]
