"""When work may begin: at once, or in the hours that the plan chooses inside its window."""

from __future__ import annotations

from enum import StrEnum


class Schedule(StrEnum):
    """`now`: as soon as a pool can take it. `offpeak`: in the cheapest and cleanest hours that still let it end in its
    completion window, on instances that are full."""

    NOW = "now"
    OFFPEAK = "offpeak"


SCHEDULE_DEFAULT = Schedule.NOW
"""What holds where neither the batch nor its account says anything (docs/decisions/0024-pools-follow-a-plan.md)."""
METADATA_KEY = "offpeak_schedule"
"""The metadata key by which a client that can send no field of ours says it."""
