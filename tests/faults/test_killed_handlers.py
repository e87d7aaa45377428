"""Kill -9 of the functions' processes: each of a batch's road once before its first call to AWS, and once when its last
write has gone through and nobody has heard of it; consumers of queues with their records in their hands."""

from __future__ import annotations

import openai
import pytest

from tests.e2e.lines import chat_line, chat_lines, jsonl
from tests.e2e.receiver import receiving
from tests.faults.books import assert_nothing_lost
from tests.faults.crossing import At
from tests.faults.faulty_cloud import CLAIM_SECONDS, FaultyCloud

pytestmark = [pytest.mark.cloud]

LINES = [*chat_lines(12, "quick"), chat_line("failing", "[[status=400]]")]
WRITE = "TransactWriteItems|PutItem|UpdateItem|PutObject"
STEPS = ("validate_range", "plan_shards", "close_batch", "finalize_batch", "announce_batch")
CONSUMERS = ("dispatch_shards", "complete_shard", "queue_deliveries", "deliver_callbacks")
# Not release_runs before it has done its work: the emulator doesn't notice that the starter of a task token died. Nor
# deliver_callbacks after its claim of an attempt: that is taken up again when the claim runs out, minutes later.
BEFORE = [At(caller=name) for name in (*STEPS, *CONSUMERS)]
AFTER = [
    At(caller="validate_range", operation="PutObject", answered=True),
    At(caller="plan_shards", operation=WRITE, resource="^$", answered=True),
    At(caller="release_runs", operation="SendMessage", answered=True),
    At(caller="dispatch_shards", operation="TransactWriteItems", answered=True),
    At(caller="complete_shard", operation="TransactWriteItems", answered=True),
    At(caller="close_batch", operation=".*", answered=True),
    At(caller="finalize_batch", operation="TransactWriteItems|PutItem", answered=True),
    At(caller="announce_batch", operation="PutEvents", answered=True),
    At(caller="queue_deliveries", operation="SendMessage.*", answered=True),
]


@pytest.mark.parametrize("places", [BEFORE, AFTER], ids=["before", "after"])
def test_every_function_dies_once_and_the_batch_ends_as_if_none_had(
    faulty: FaultyCloud, places: list[At]
) -> None:
    caller = faulty.new_caller("handlers")
    with receiving() as receiver:
        caller.sdk().webhooks.create(
            name="faults", url=receiver.url("/done"), event_types=["batch.completed"]
        )
        deaths = faulty.kill_at(*places)
        batch_id = faulty.begin(caller, LINES)
        ended = faulty.ended(caller, batch_id, CLAIM_SECONDS)
        errors = assert_nothing_lost(faulty.aws, caller, ended, LINES)
        received = receiver.wait_for("/done")
    assert set(errors) == {"failing"}
    assert batch_id.encode() in received[0].body
    assert [str(death.at) for death in deaths if not death.is_reached] == []


def test_the_api_dies_when_the_batch_is_made_and_asking_again_makes_no_second_one(
    faulty: FaultyCloud,
) -> None:
    caller = faulty.new_caller("api")
    client = caller.sdk()
    file = client.files.create(file=("lines.jsonl", jsonl(LINES)), purpose="batch")
    deaths = faulty.kill_at(
        At(caller="api", operation="StartExecution"),
        At(caller="api", operation="StartExecution", answered=True),
    )
    batch = None
    for _ in range(5):
        try:
            batch = client.with_options(max_retries=0).batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h",
                extra_headers={"Idempotency-Key": caller.account_id},
            )  # fmt: skip
            break
        except openai.InternalServerError:
            continue
    assert batch is not None
    assert all(death.is_reached for death in deaths)
    assert [listed.id for listed in client.batches.list()] == [batch.id]
    assert_nothing_lost(faulty.aws, caller, faulty.ended(caller, batch.id), LINES)


def test_the_harvest_dies_twice_and_the_third_does_its_work(faulty: FaultyCloud) -> None:
    caller = faulty.new_caller("harvest")
    gated = [chat_line(f"gated-{n}", f"[[gate]] {n}") for n in range(4)]
    batch_id = faulty.begin(caller, [*LINES, *gated])
    faulty.until(
        caller.sdk(), batch_id,
        lambda b: b.request_counts is not None and b.request_counts.failed == 1,
    )  # fmt: skip
    deaths = faulty.kill_at(
        At(caller="harvest_shards", operation="PutObject", answered=True),
        At(caller="harvest_shards", operation="TransactWriteItems|PutItem|UpdateItem"),
    )
    caller.sdk().batches.cancel(batch_id)
    ended = faulty.ended(caller, batch_id)
    errors = assert_nothing_lost(faulty.aws, caller, ended, [*LINES, *gated], status="cancelled")
    assert set(errors) >= {line["custom_id"] for line in gated}
    assert [str(death.at) for death in deaths if not death.is_reached] == []
