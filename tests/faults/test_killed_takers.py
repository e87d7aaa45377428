"""Kill -9 of the functions that take in what lies or waits somewhere: objects in the drop folder, stand-alone requests,
callbacks to be sent. Each dies before its first call, and when its last write has gone through."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import pytest

from offpeak.core.delivery import Delivery, DeliveryStatus
from offpeak.core.errors import StateConflict
from offpeak.core.ledger import EVER, EntryKind
from offpeak.core.ports import Save
from tests.e2e.caller import Caller
from tests.e2e.drop_folder import folder_of
from tests.e2e.lines import MODEL, assert_each_once_in_input_order, chat_line, chat_lines, jsonl
from tests.e2e.receiver import receiving
from tests.faults.books import assert_nothing_lost
from tests.faults.crossing import At
from tests.faults.faulty_cloud import FaultyCloud, until_found

pytestmark = [pytest.mark.cloud]

LINES = [*chat_lines(8, "dropped"), chat_line("failing", "[[status=400]]")]
ROW = "TransactWriteItems|PutItem|UpdateItem"
STATUS = r"\.status\.json$"


def test_an_object_whose_functions_die_is_one_batch_and_its_results_lie_beside_it(
    faulty: FaultyCloud,
) -> None:
    caller = faulty.new_caller("drop")
    folder = folder_of(faulty.cloud, caller)
    deaths = faulty.kill_at(
        At(caller="ingest_drop"),
        At(caller="ingest_drop", operation="PutObject", resource=STATUS, answered=True),
        At(caller="deliver_drop"),
        At(caller="deliver_drop", operation="PutObject", resource=STATUS, answered=True),
    )
    folder.put("lines.jsonl", jsonl(LINES))
    told = folder.until("lines", lambda status: status["batch"] is not None)
    ended = faulty.ended(caller, told["batch"]["id"])
    assert set(assert_nothing_lost(faulty.aws, caller, ended, LINES)) == {"failing"}
    assert folder.until_final("lines")["status"] == "completed"
    until_found(lambda: all(death.is_reached for death in deaths))
    beside = [folder.results(f"lines.{kind}.jsonl") for kind in ("output", "errors")]
    assert_each_once_in_input_order(LINES, *beside)
    assert [batch.id for batch in caller.sdk().batches.list()] == [ended.id]


def test_a_request_whose_collectors_die_is_worked_once_and_paid_once(faulty: FaultyCloud) -> None:
    caller = faulty.new_caller("collected")
    text = f"[[gate]] {caller.account_id}"
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 16}
    deaths = faulty.kill_at(
        At(caller="collect_requests"),
        At(caller="collect_requests", operation=ROW, answered=True),
    )
    made = caller.call("POST", "/requests", json={"request_body": body}).json()
    until_found(lambda: all(death.is_reached for death in deaths))
    faulty.engine.open_gate()

    def status() -> str:
        return str(caller.call("GET", f"/requests/{made['id']}/status").json()["status"])

    until_found(
        lambda: status() == "completed",
        meanwhile=lambda: faulty.call_as_a_clock("sweep-requests"), pause=1.0,
    )  # fmt: skip
    assert faulty.engine.asked(text) == 1
    # A request has its result a moment before its shard is settled.
    until_found(lambda: EntryKind.SETTLE in _kinds(faulty, caller))
    assert _kinds(faulty, caller) == [EntryKind.CREDIT, EntryKind.SETTLE]


def test_a_sender_that_dies_with_a_callback_in_its_hands_loses_none(faulty: FaultyCloud) -> None:
    """It had claimed the attempt, and nobody else may make it before its lease is over: two minutes, here none."""
    caller = faulty.new_caller("sender")
    with receiving() as receiver:
        webhook = caller.sdk().webhooks.create(
            name="faults", url=receiver.url("/done"), event_types=["batch.completed"]
        )
        [death] = faulty.kill_at(At(caller="deliver_callbacks", operation=ROW, answered=True))
        batch_id = faulty.begin(caller, LINES)
        faulty.ended(caller, batch_id)
        death.wait()

        def let_the_lease_pass() -> None:
            page = faulty.aws.deliveries.list(caller.account_id, webhook.id, limit=10, after=None)
            for delivery in page.rows:
                _expire(faulty, delivery)
            faulty.call_as_a_clock("requeue-deliveries")

        until_found(lambda: receiver.at("/done"), meanwhile=let_the_lease_pass, pause=1.0)
        assert batch_id.encode() in receiver.at("/done")[0].body


def _expire(faulty: FaultyCloud, delivery: Delivery) -> None:
    if delivery.status is DeliveryStatus.SENDING:
        now = int(faulty.aws.clock.now())
        with suppress(StateConflict):  # its sender lives, and has just ended it
            faulty.aws.changes.commit(Save(replace(delivery, due_at=now)))


def _kinds(faulty: FaultyCloud, caller: Caller) -> Sequence[EntryKind]:
    page = faulty.aws.ledger.entries(
        caller.account_id, start=0, stop=EVER, limit=100, after=None, ascending=True
    )
    return [entry.kind for entry in page.rows]
