"""Kill -9 of the functions that put lines and results in order: before their first call, and after their last write."""

from __future__ import annotations

import pytest

from offpeak.memory.memory import Memory
from offpeak.planner.cut_results import AssemblyLimits
from offpeak.steps.finalize_batch import Finalized, finalize_batch
from tests.e2e.caller import Caller
from tests.e2e.lines import chat_line, chat_lines, shuffled_questions
from tests.faults.books import assert_nothing_lost
from tests.faults.crossing import At
from tests.faults.faulty_cloud import SHARD_LINES_MAX, FaultyCloud

pytestmark = [pytest.mark.cloud]

IN_CHUNKS = AssemblyLimits(call_bytes_max=0, streams_max=1)
"""Every shard's results are a chunk to sort, though they are few: the functions' own limits are 256 MiB."""


def test_lines_are_reordered_though_those_who_do_it_die(faulty: FaultyCloud) -> None:
    caller = faulty.new_caller("reordered")
    lines = shuffled_questions(documents=40, of_each=2, characters=8_000)
    assert len(lines) > 2 * SHARD_LINES_MAX
    deaths = faulty.kill_at(
        At(caller="reorder_shards"),
        At(caller="reorder_shards", operation="PutObject", resource=r"\.index$", answered=True),
    )
    batch_id = faulty.begin(caller, lines)
    assert not assert_nothing_lost(faulty.aws, caller, faulty.ended(caller, batch_id), lines)
    assert [run.is_reordered for run in faulty.aws.runs.of_batch(batch_id)] == [True]
    assert [str(death.at) for death in deaths if not death.is_reached] == []


def test_results_are_put_together_though_those_who_do_it_die(faulty: FaultyCloud) -> None:
    """Finalised by the test, with limits so small that there are chunks, while the function that would have done it in
    one call is held; the chunks are the deployed function's, called as the state calls it."""
    caller = faulty.new_caller("assembled")
    lines = [
        *chat_lines(SHARD_LINES_MAX),
        chat_line("refused", "Hello.", "nobody/knows-it"),
        chat_line("failing", "[[status=400]]"),
        *chat_lines(5, "last"),
    ]
    held = faulty.hold(At(caller="finalize_batch"))
    batch_id = faulty.begin(caller, lines, on_invalid="skip")
    held.wait()
    places = [
        At(caller="assemble_results"),
        At(caller="assemble_results", operation="PutObject", resource="/sort/", answered=True),
        At(caller="assemble_results", operation="PutObject", resource="/parts/", answered=True),
    ]
    deaths = faulty.kill_at(*places)
    levels: list[set[str]] = []
    while chunks := _finalize(faulty, caller, batch_id).chunks:
        levels.append({chunk.level for chunk in chunks})
        for chunk in chunks:
            event = {
                "account_id": caller.account_id, "batch_id": batch_id, "kind": chunk.kind,
                "level": chunk.level, "number": chunk.number, "start": chunk.start, "stop": chunk.stop,
            }  # fmt: skip
            faulty.call_as_a_state("assemble-results", event)
    held.release()
    assert set().union(*levels) == {"sort", "parts"}
    errors = assert_nothing_lost(faulty.aws, caller, faulty.ended(caller, batch_id), lines)
    assert set(errors) == {"refused", "failing"}
    assert [str(death.at) for death in deaths if not death.is_reached] == []


def _finalize(faulty: FaultyCloud, caller: Caller, batch_id: str) -> Finalized:
    aws, nobody = faulty.aws, Memory()  # no request asks for this batch, so nobody is told of any
    return finalize_batch(
        caller.account_id, batch_id, clock=aws.clock, reader=aws.reader, writer=aws.writer,
        multipart=aws.multipart, accounts=aws.accounts, batches=aws.batches, runs=aws.runs,
        shards=aws.shards, changes=aws.changes, requests=aws.requests, ledger=aws.ledger,
        group_checks=nobody.group_checks, callbacks=nobody.callbacks, assembly_limits=IN_CHUNKS,
    )  # fmt: skip
