"""How large each function is, and how long it may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Memory decides the share of a CPU: 1,769 MB is one."""

    memory_mb: int
    timeout_seconds: int


# A range is 64 MiB and ingest runs at the speed of one core, so one whole vCPU and no more. Planning and closing hold
# sorted hashes or a run's rows; finalising moves 256 MiB by itself, assembling holds a block of each of 128 sources.
SIZES: Mapping[str, Size] = {
    # S3 gives a function 40–75 MB/s: half a vCPU checks more than twice that.
    "validate_range": Size(memory_mb=1_024, timeout_seconds=600),
    "plan_shards": Size(memory_mb=1_769, timeout_seconds=900),
    # A chunk of 192 MiB is held and sorted; the rest of the vCPU's memory is room for lines that are many and short.
    "reorder_shards": Size(memory_mb=1_769, timeout_seconds=600),
    "release_runs": Size(memory_mb=512, timeout_seconds=60),
    "dispatch_shards": Size(memory_mb=512, timeout_seconds=60),
    # Ten notices a call, and hardly anything but waiting; a gathering's has a row to write for each of its lines.
    "complete_shard": Size(memory_mb=512, timeout_seconds=120),
    "close_batch": Size(memory_mb=1_024, timeout_seconds=300),
    "harvest_shards": Size(memory_mb=1_769, timeout_seconds=900),
    # Bytes on their way from S3 to S3, four parts at once.
    "finalize_batch": Size(memory_mb=1_024, timeout_seconds=900),
    "assemble_results": Size(memory_mb=1_024, timeout_seconds=900),
    "announce_batch": Size(memory_mb=256, timeout_seconds=30),
    "fail_batch": Size(memory_mb=256, timeout_seconds=60),
    # Bodies of up to 32 MB at once, and their lines.
    "collect_requests": Size(memory_mb=1_024, timeout_seconds=60),
    "finalize_group": Size(memory_mb=1_769, timeout_seconds=900),
    "sweep_requests": Size(memory_mb=512, timeout_seconds=55),
    "sweep": Size(memory_mb=512, timeout_seconds=55),  # the next sweep starts after 60
    # A packed object is unpacked here, 10 GB in some minutes; results of any size are copied by S3 itself.
    "ingest_drop": Size(memory_mb=1_769, timeout_seconds=900),
    "show_drops": Size(memory_mb=512, timeout_seconds=55),
    "deliver_drop": Size(memory_mb=1_024, timeout_seconds=900),
    "expire_files": Size(memory_mb=512, timeout_seconds=240),
    # Two services, a region after the other, each given some twenty seconds.
    "fetch_signals": Size(memory_mb=256, timeout_seconds=300),
    "measure_pools": Size(memory_mb=512, timeout_seconds=55),  # likewise
    # A plan of 2,000 deadlines and three regions takes a second or two of half a core.
    "plan_capacity": Size(memory_mb=1_024, timeout_seconds=55),
    "queue_deliveries": Size(memory_mb=512, timeout_seconds=60),
    # Ten records; when all are for one receiver that takes nearly ten seconds each.
    "deliver_callbacks": Size(memory_mb=512, timeout_seconds=180),
    "requeue_deliveries": Size(memory_mb=512, timeout_seconds=55),
}
