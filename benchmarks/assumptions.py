"""What `scale_on_paper.py` doesn't count but is told: who asks for what, AWS's quotas, what GPUs do and cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infra.lifecycle import COLLECTORS_MAX
from offpeak.steps import sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What nobody has measured: who asks what. A share is of one."""

    requests_a_day: float = 2e9
    peak: float = 2.0
    stand_alone: float = 0.05
    lines_a_batch: float = 50_000
    batch_hours: float = 6
    polls_a_minute: float = 1
    largest_pool: float = 0.5
    line_bytes: float = 2_100
    result_bytes: float = 1_500
    output_tokens: float = 300
    small_models: float = 0.8
    kept_days: float = 30
    fetched: float = 1.0


ASSUMED = Assumed()
WHY: Mapping[str, str] = {
    "requests_a_day": "requests a day, lines of batches and stand-alone ones",
    "peak": "the busiest minute over the mean",
    "stand_alone": "share that is sent one by one",
    "lines_a_batch": "lines a batch, the mean",
    "batch_hours": "hours from a batch's creation to its end",
    "polls_a_minute": "a client's looks at its open batch, a minute",
    "largest_pool": "share of the busiest model",
    "line_bytes": "bytes a request line",
    "result_bytes": "bytes a result line",
    "output_tokens": "tokens generated a request",
    "small_models": "share of requests for 8B models; the rest are for 70B ones",
    "kept_days": "days that inputs and results are kept",
    "fetched": "share of results fetched over the internet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """`raised`: whether AWS raises it on request."""

    limit: float
    unit: str
    raised: bool


# Of an account and Region, us-east-1, 2026-09. From AWS's quota pages; those of S3, DynamoDB's keys and SQS from its
# developer guides.
QUOTAS: Mapping[str, Quota] = {
    "api": Quota(limit=10_000, unit="requests/s", raised=True),
    "concurrency": Quota(limit=1_000, unit="functions at once", raised=True),
    "table": Quota(limit=40_000, unit="write units/s a table", raised=True),
    "key": Quota(limit=1_000, unit="write units/s a key", raised=False),
    "key_reads": Quota(limit=3_000, unit="read units/s a key", raised=False),
    "fifo": Quota(limit=300, unit="sends/s a queue", raised=True),
    "in_flight": Quota(limit=120_000, unit="messages in flight a queue", raised=True),
    "starts": Quota(limit=300, unit="executions started/s", raised=True),
    "transitions": Quota(limit=5_000, unit="transitions/s", raised=True),
    "tokens": Quota(limit=500, unit="task tokens answered/s", raised=True),
    "executions": Quota(limit=1_000_000, unit="open executions", raised=True),
    "puts": Quota(limit=3_500, unit="writes/s a prefix", raised=False),
    "gets": Quota(limit=5_500, unit="reads/s a prefix", raised=False),
    "publishes": Quota(limit=30_000, unit="publishes/s", raised=True),
    "events": Quota(limit=10_000, unit="events/s", raised=True),
    "dispatcher": Quota(limit=1, unit="dispatcher at a time a pool", raised=False),
    "collectors": Quota(limit=COLLECTORS_MAX, unit="collectors at once", raised=False),
    "sweep": Quota(limit=sweep.BATCHES_MAX, unit="batches looked at a minute", raised=False),
    # New accounts have none; this is what is usually granted at the first asking.
    "gpus": Quota(limit=20, unit="GPU instances", raised=True),
}
EGRESS_GB = 0.05
"""Dollars, at volume; the first 10 TB a month are dearer."""
# Output tokens a second of one GPU, and of eight, from MLPerf v5.1 offline on vLLM; SageMaker's price of the instance.
SMALL = {"name": "8B, FP8, on ml.p5.4xlarge (H100)", "tokens": 5_777, "dollars": 7.912}
LARGE = {"name": "70B, FP8, on ml.p5.48xlarge (8 × H100)", "tokens": 22_820, "dollars": 63.30}
