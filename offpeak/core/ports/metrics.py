"""What a pool's instances are scaled by, and what its operator is told (CloudWatch).

Four metrics a pool, under the dimensions `Stage` and `Pool`, one datum each a minute:

    WaitingShards      shards        that wait for an instance or hold one: those that ready runs have never dispatched,
                                     and all open ones. Zero means that no instance has anything to do. Always published
                                     (of a run with more than 16 left, up to an eighth too many)
    OldestWaitSeconds  seconds       since the oldest run was planned that has a shard which no worker holds: never
                                     dispatched, dispatched and not claimed, or waiting for another try
    LeastSlackSeconds  seconds       until the earliest deadline of a run that has a shard never dispatched or open;
                                     negative once it has passed. Runs that are closing don't count: they are ending
    FailedShards       attempts      that failed, of the shards that are open now: it rises with each failure, and what
                                     a shard has added goes when the shard ends

The last three are published only while `WaitingShards` is over zero (and `LeastSlackSeconds` while a run has a deadline
to miss), so that an idle pool costs one metric. No datum of theirs means that nothing waits. No datum of
`WaitingShards` means that nobody measured: a pool must not shrink on it.

One metric a stage, under the dimension `Stage` alone: `PlanAgeSeconds`, how old the oldest plan of a model's pools is.

What workers took of their engines, an attempt each, at its end: no datum while nothing runs.

    PromptTokens CachedTokens CompletionTokens ReasoningTokens    tokens, to be summed
    TokensPerSecond                                               prompt and completion tokens, over the attempt's time
    CacheHitRate Occupancy                                        shares from 0 to 1
    LoadSeconds QueuedSeconds DrainSeconds                        see `core/invocation.ShardWork`

What the sweep sees, once a minute while it is over zero:

    AtRiskBatches      batches       with work in this pool that are expected to miss their deadlines

Where requests are counted, under the dimension `Stage` alone, once in five seconds while it lasts:

    UnsharedThrottles  processes     that can't reach what all count requests by, and go by their own counts

How good estimates were, a batch and model each, when it ends: no datum for batches that went past a mark at once.

    EstimateErrorAt10 EstimateErrorAt50    percent of the time from its plan to its end, by which the end was foretold
                                           too early (negative) or too late, at 10 and 50 % of its lines

Of a region's signals, under `Stage` and `Region`, once an hour where there are any or a service is asked:

    SignalFallback     1 while the region goes by its grid's typical year, for want of a fresh signal; else 0
    SignalAgeSeconds   since the signal was issued that it goes by; no datum while it falls back
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from offpeak.core.invocation import ShardWork

NAMESPACE = "Offpeak"
STAGE_DIMENSION, POOL_DIMENSION, REGION_DIMENSION = "Stage", "Pool", "Region"
WAITING_SHARDS = "WaitingShards"
OLDEST_WAIT_SECONDS = "OldestWaitSeconds"
LEAST_SLACK_SECONDS = "LeastSlackSeconds"
FAILED_SHARDS = "FailedShards"
PLAN_AGE_SECONDS = "PlanAgeSeconds"
AT_RISK_BATCHES = "AtRiskBatches"
UNSHARED_THROTTLES = "UnsharedThrottles"
MEASURE_SECONDS = 60
"""How often each pool is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMeasure:
    """One pool at `measured_at` (seconds since the epoch). `least_slack_seconds` is None when no deadline can be
    missed."""

    pool: str
    measured_at: int
    waiting_shards: int = 0
    oldest_wait_seconds: int = 0
    least_slack_seconds: int | None = None
    failed_shards: int = 0

    @property
    def values(self) -> dict[str, int]:
        """What is published, by the metric's name."""
        if self.waiting_shards == 0:
            return {WAITING_SHARDS: 0}
        slack = self.least_slack_seconds
        return {
            WAITING_SHARDS: self.waiting_shards,
            OLDEST_WAIT_SECONDS: self.oldest_wait_seconds,
            FAILED_SHARDS: self.failed_shards,
            **({LEAST_SLACK_SECONDS: slack} if slack is not None else {}),
        }


class Metrics(Protocol):
    def publish(self, *measures: PoolMeasure) -> None:
        """Each measure's values. Publishing a measure twice does no harm as long as a reader takes maxima. A further
        region's pool is measured in that region, where its scaling is."""
        ...

    def publish_plan_age(self, seconds: int, measured_at: int) -> None: ...


def values_of(work: ShardWork) -> dict[str, float]:
    """What is published of an attempt, by the metric's name."""
    measured = {
        "PromptTokens": work.usage.input_tokens, "CachedTokens": work.usage.cached_tokens,
        "CompletionTokens": work.usage.output_tokens,
        "ReasoningTokens": work.usage.reasoning_tokens,
        "TokensPerSecond": work.tokens_per_second, "CacheHitRate": work.cache_hit_rate,
        "Occupancy": work.occupancy, "LoadSeconds": work.load_seconds,
        "QueuedSeconds": work.queued_seconds, "DrainSeconds": work.drain_seconds,
    }  # fmt: skip
    return {name: value for name, value in measured.items() if value is not None}


class WorkMetrics(Protocol):
    def publish_estimates(
        self, pool: str, measured_at: int, errors: Mapping[str, float]
    ) -> None: ...

    def publish_work(self, pool: str, measured_at: int, work: ShardWork) -> None:
        """Each value once. `measured_at` is in seconds since the epoch."""
        ...

    def publish_at_risk(self, pool: str, measured_at: int, batches: int) -> None:
        """How many batches with work in this pool are at risk."""
        ...

    def publish_unshared_throttles(self, measured_at: int) -> None: ...
