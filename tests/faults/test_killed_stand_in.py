"""Kill -9 of SageMaker's stand-in: its queue, its notices and every instance with all that they were doing are lost."""

from __future__ import annotations

import pytest

from tests.e2e.follow import completed
from tests.e2e.lines import chat_line, chat_lines
from tests.faults.books import assert_nothing_lost
from tests.faults.crossing import At
from tests.faults.faulty_cloud import CLAIM_SECONDS, FaultyCloud

pytestmark = [pytest.mark.cloud]

QUICK = chat_lines(20, "quick")
GATED = [chat_line(f"gated-{n}", f"[[gate]] {n}") for n in range(4)]
SAGEMAKER = "sagemaker"


def test_what_was_on_its_instances_and_in_its_queue_is_sent_again(faulty: FaultyCloud) -> None:
    """More batches than slots: some are worked, some wait in the endpoint's queue, some with us."""
    callers = [faulty.new_caller(f"region-{n}") for n in range(4)]
    lines = [*QUICK, *GATED]
    batches = [faulty.begin(caller, lines) for caller in callers]
    faulty.until(callers[0].sdk(), batches[0], completed(len(QUICK)))
    faulty.cloud.programs.crash(SAGEMAKER)
    faulty.engine.open_gate()
    faulty.cloud.programs.restart(SAGEMAKER)
    for caller, batch_id in zip(callers, batches, strict=True):
        ended = faulty.ended(caller, batch_id, CLAIM_SECONDS)
        assert not assert_nothing_lost(faulty.aws, caller, ended, lines)


def test_a_notice_that_was_never_sent_costs_an_attempt_and_no_line(faulty: FaultyCloud) -> None:
    caller = faulty.new_caller("notice")
    death = faulty.halt(At(caller=SAGEMAKER, operation="Publish"))
    batch_id = faulty.begin(caller, QUICK)
    death.wait()
    faulty.cloud.programs.crash(SAGEMAKER)
    death.release()
    faulty.cloud.programs.restart(SAGEMAKER)
    assert not assert_nothing_lost(faulty.aws, caller, faulty.ended(caller, batch_id), QUICK)
