"""A full disk: the worker doesn't write to one, its log aside, and a log that can't be written stops nothing."""

from __future__ import annotations

import pytest

from tests.e2e.lines import chat_line, chat_lines
from tests.faults.books import assert_nothing_lost
from tests.faults.crossing import At
from tests.faults.faulty_cloud import FaultyCloud

pytestmark = [pytest.mark.cloud]

GATED = [chat_line(f"gated-{n}", f"[[gate]] {n}") for n in range(4)]
LINES = [*chat_lines(20, "line"), *GATED]
FULL_DISK = (
    "ulimit -f 0",  # no file may grow: EFBIG at the first byte
    "exec >/dev/full 2>&1",  # the log: ENOSPC at every write
    "export TMPDIR=/nonexistent HOME=/nonexistent PYTHONDONTWRITEBYTECODE=1",
)


def test_a_worker_that_can_t_write_a_byte_reads_checkpoints_and_writes_its_results(
    faulty: FaultyCloud,
) -> None:
    caller = faulty.new_caller("disk")
    with faulty.launching(*FULL_DISK):
        checkpoint = faulty.halt(
            At(caller="worker", operation="PutObject", resource="/checkpoints/", answered=True)
        )
        batch_id = faulty.begin(caller, LINES)
        checkpoint.wait()
        checkpoint.release()
        faulty.engine.open_gate()
        ended = faulty.ended(caller, batch_id)
        assert not assert_nothing_lost(faulty.aws, caller, ended, LINES)
        assert faulty.aws.shards.get(batch_id, 0, 0).attempt == 1
