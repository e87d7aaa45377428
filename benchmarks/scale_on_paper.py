"""The service at two billion requests a day, on paper: rates, the quotas that they meet, dollars, what breaks first.

    make scale-on-paper          (writes the tables into docs/scale.md)

Nothing is entered by hand but what stands in ASSUMED and QUOTAS: what a shard, a batch and a request call is what
`make bench-cost` counted (`results/cost_counts.json`), prices are those of `prices.py`, sizes and limits the code's.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bill import CALL_MS, Bill, dollars, scaled
from benchmarks.cost_model import (
    DEFAULTS,
    GATHERED_LINES,
    MILLION,
    READ_BYTES,
    S3_BYTES_PER_SECOND,
    SHARD_SECONDS,
    Measured,
    batch_bill,
    decode,
    decode_bill,
    kept_dollars,
    million_requests,
    shard_bill,
    ticks_a_shard,
)
from benchmarks.prices import GB, PRICES
from infra.api import SIZE as API_SIZE
from infra.lifecycle import COLLECTED_MAX, COLLECTORS_MAX
from infra.sizes import SIZES
from infra.storage import WORK_DAYS
from offpeak.steps import sweep
from offpeak.worker.settings import WorkerSettings

ROOT = Path(__file__).parent.parent
COUNTS = ROOT / "benchmarks/results/cost_counts.json"
GUIDE = ROOT / "docs/scale.md"
BEGIN, END = "<!-- {}: written by `make scale-on-paper` -->", "<!-- end of {} -->"
DAY = 86_400
SHARD_LINES = DEFAULTS.shard_lines_max


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One thing that is done so often at the peak, and the quota that it meets."""

    component: str
    rate: float
    quota: str
    spread: str
    then: str

    @property
    def share(self) -> float:
        limit = QUOTAS[self.quota].limit
        return self.rate / limit


class Service:
    """The rates that follow. Per second, the mean; `peak` times that in the busiest minute."""

    def __init__(self, measured: Measured, request: Bill, assumed: Assumed = ASSUMED) -> None:
        self.assumed = assumed
        self.measured = measured
        self.request = request
        self.shard = shard_bill(measured, WorkerSettings())
        lines = assumed.requests_a_day * (1 - assumed.stand_alone) / DAY
        self.sent = assumed.requests_a_day * assumed.stand_alone / DAY
        self.batches = lines / assumed.lines_a_batch
        self.gatherings = self.sent / GATHERED_LINES
        self.shards = lines / SHARD_LINES + self.gatherings
        self.lines = lines
        self.open_batches = self.batches * assumed.batch_hours * 3_600
        self.open_shards = self.shards * SHARD_SECONDS

    def per_shard(self, line: str, *callers: str) -> float:
        found = self.shard.items()
        return sum(
            n for (who, what), n in found if what == line and (not callers or who in callers)
        )

    # ── what meets a quota ───────────────────────────────────────────────────────────────────────────────────────────

    def loads(self) -> list[Load]:
        """At the peak, the nearest to its quota first."""
        found = [*self._doors(), *self._state(), *self._flow(), *self._ours()]
        return sorted(found, key=lambda load: -load.share)

    def _doors(self) -> Iterator[Load]:
        peak = self.assumed.peak
        instances = sum(n for _, n, _ in self.gpus())
        yield Load(
            component="SageMaker, instances", rate=peak * instances, quota="gpus", spread="by pool",
            then="quotas asked for ahead, several Regions; the window takes the peak's part",
        )  # fmt: skip
        polls = self.open_batches * self.assumed.polls_a_minute / 60
        calls = 2 * self.sent + 4 * self.batches + polls
        yield Load(
            component="API Gateway", rate=peak * calls, quota="api", spread="–",
            then="a second Region, or stand-alone requests sent as batches",
        )  # fmt: skip
        yield Load(
            component="Lambda", rate=peak * self._functions(calls), quota="concurrency",
            spread="by function", then="ask for more: 10,000 are usual",
        )  # fmt: skip
        moved = self.batches * self.assumed.lines_a_batch / SHARD_LINES
        puts = moved * self.per_shard("s3_write") + self.gatherings * self.per_shard("s3_write")
        yield Load(
            component="S3, `work/`", rate=peak * puts, quota="puts", spread="by batch",
            then="S3 splits a busy prefix by itself; a random first part of the key forestalls it",
        )  # fmt: skip
        yield Load(
            component="S3, reads", rate=peak * self.shards * self.per_shard("s3_read"),
            quota="gets", spread="by batch", then="the same",
        )  # fmt: skip

    def _functions(self, calls: float) -> float:
        """Functions at once: how often each is called, times how long it takes."""
        seconds = {
            name: self.shard.get((name, "lambda_gb_second"), 0.0) / (SIZES[name].memory_mb / 1024)
            for name in ("dispatch_shards", "complete_shard")
        }
        api = self.request.get(("api", "lambda_gb_second"), 0.0) / 2 / (API_SIZE.memory_mb / 1024)
        gathering = self.request.get(("gathering", "lambda_gb_second"), 0.0)
        ingest = self.lines * self.assumed.line_bytes / S3_BYTES_PER_SECOND
        joining = 2 * self.lines * self.assumed.result_bytes / S3_BYTES_PER_SECOND
        return (
            calls * api
            + self.shards * sum(seconds.values())
            + self.sent * gathering
            + ingest
            + joining
        )

    def _state(self) -> Iterator[Load]:
        peak, hot = self.assumed.peak, self.assumed.largest_pool
        writes = self.shards * self.per_shard("dynamodb_write")
        ended = self.request.get(("gathering", "dynamodb_write"), 0.0)
        yield Load(
            component="DynamoDB, shards and runs", rate=peak * writes, quota="table",
            spread="by batch", then="ask for more",
        )  # fmt: skip
        # Into its pool's index a shard is written when it is born and ends, twice each in a transaction, and when it is
        # claimed and renewed.
        indexed = self.shards * (5 + ticks_a_shard(WorkerSettings())["renewal"])
        yield Load(
            component="DynamoDB, a pool's open shards",
            rate=peak * hot * indexed,
            quota="key",
            spread="by pool",
            then="a suffix on the pool's key, and readers that ask for each",
        )
        yield Load(
            component="DynamoDB, dispatchers reading open shards",
            rate=peak * hot * self.shards * self._reads_a_dispatch(peak * hot),
            quota="key_reads",
            spread="by pool",
            then="a count of a pool's open shards instead of their rows; larger shards; two pools for one model",
        )
        yield Load(
            component="DynamoDB, requests", rate=peak * self.sent * (1 + ended), quota="table",
            spread="by request", then="ask for more",
        )  # fmt: skip
        updates = 8 * (self.batches + self.gatherings)
        yield Load(
            component="DynamoDB, open batches", rate=peak * updates, quota="key",
            spread="not: one key holds all", then="a few keys, chosen by the batch's id",
        )  # fmt: skip

    def _reads_a_dispatch(self, share: float) -> float:
        """Units: each dispatch reads the rows of its pool's open shards from the index."""
        return 0.5 * share * self.open_shards * self.measured.rows["shards"] / READ_BYTES

    def _flow(self) -> Iterator[Load]:
        peak = self.assumed.peak
        starts = self.batches + self.gatherings
        transitions = sum(n for (_, line), n in self.measured.batch.items() if line == "transition")
        yield Load(
            component="Step Functions, starts", rate=peak * starts, quota="starts",
            spread="by batch", then="gatherings of more than one shard; ask for more",
        )  # fmt: skip
        yield Load(
            component="Step Functions, transitions", rate=peak * starts * (transitions + 1),
            quota="transitions", spread="by batch", then="ask for more",
        )  # fmt: skip
        yield Load(
            component="Step Functions, answers", rate=peak * starts, quota="tokens",
            spread="by batch", then="ask for more",
        )  # fmt: skip
        yield Load(
            component="Step Functions, open", rate=self.open_batches, quota="executions",
            spread="by batch", then="–",
        )  # fmt: skip
        yield Load(
            component="SQS, asks for dispatch", rate=peak * self.shards, quota="fifo",
            spread="by pool", then="high throughput for the queue: a setting",
        )  # fmt: skip
        yield Load(
            component="SQS, requests", rate=peak * self.sent * 10, quota="in_flight",
            spread="–", then="ask for more",
        )  # fmt: skip
        yield Load(
            component="SNS", rate=peak * self.shards, quota="publishes", spread="–", then="–",
        )  # fmt: skip
        yield Load(
            component="EventBridge", rate=peak * self.batches, quota="events", spread="–", then="–",
        )  # fmt: skip

    def _ours(self) -> Iterator[Load]:
        peak, hot = self.assumed.peak, self.assumed.largest_pool
        each = (2 * CALL_MS["dynamodb"] + CALL_MS["sagemaker"]) / 1_000
        yield Load(
            component="`dispatch_shards`, seconds of work a second", rate=peak * hot * self.shards * each,
            quota="dispatcher", spread="by pool",
            then="larger shards, invocations side by side, or two pools for one model",
        )  # fmt: skip
        collecting = COLLECTED_MAX * CALL_MS["dynamodb"] / 1_000 / 16
        yield Load(
            component="`collect_requests`", rate=peak * self.sent / COLLECTED_MAX * collecting,
            quota="collectors", spread="by lane", then="more collectors, and lanes of an account each",
        )  # fmt: skip
        yield Load(
            component="`sweep`", rate=self.open_batches + self.gatherings * SHARD_SECONDS,
            quota="sweep", spread="not: one function looks at all",
            then="each is looked at less often than every minute; a sweep for each part of the accounts",
        )  # fmt: skip

    # ── dollars ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def gpus(self) -> list[tuple[str, float, float]]:
        """Instances at the mean rate, and their dollars a day."""
        tokens = self.assumed.requests_a_day * self.assumed.output_tokens / DAY
        shares = ((SMALL, self.assumed.small_models), (LARGE, 1 - self.assumed.small_models))
        found = []
        for kind, share in shares:
            instances = tokens * share / float(kind["tokens"])  # type: ignore[arg-type]
            found.append((str(kind["name"]), instances, instances * float(kind["dollars"]) * 24))  # type: ignore[arg-type]
        return found

    def dollars_a_day(self) -> list[tuple[str, float]]:
        assumed = self.assumed
        batches = self.batches * DAY
        of_batch = dollars(batch_bill(self.measured, round(assumed.lines_a_batch)))
        of_lines = dollars(scaled(self.shard, self.lines * DAY / SHARD_LINES))
        sent = self.sent * DAY / MILLION
        requests = dollars(million_requests(self.request, self.measured)) * sent
        polls = self.open_batches * assumed.polls_a_minute * 60 * 24
        # In the largest pool, and in others that are as large together.
        reads = self.shards * DAY * self._reads_a_dispatch(assumed.largest_pool)
        dispatching = reads * PRICES.dynamodb_read
        poll = (
            PRICES.api
            + PRICES.lambda_call
            + self.request.get(("api", "lambda_gb_second"), 0.0) / 2 * PRICES.lambda_gb_second
        )
        lines = self.lines * DAY / MILLION
        kept = kept_dollars(
            self.measured, WorkerSettings(), work_days=WORK_DAYS, gb_month=PRICES.s3_gb_month
        )
        per_day = assumed.requests_a_day * (assumed.line_bytes + assumed.result_bytes) / GB
        fetched = assumed.requests_a_day * assumed.result_bytes * assumed.fetched / GB
        return [
            *((f"GPUs: {name}", each) for name, _, each in self.gpus()),
            ("results fetched over the internet", fetched * EGRESS_GB),
            (
                "inputs and results kept in S3",
                per_day * assumed.kept_days * PRICES.s3_gb_month / 30,
            ),
            ("shards' results and checkpoints in `work/`, until they expire", kept * lines),
            ("stand-alone requests", requests),
            ("batches: shards", of_lines),
            ("batches: themselves", of_batch * batches),
            ("clients that poll their batches", polls * poll),
            ("dispatchers that read the pools' open shards", dispatching),
        ]


# ── the tables ───────────────────────────────────────────────────────────────────────────────────────────────────────


def tables(service: Service) -> dict[str, str]:
    return {
        "assumptions": _table(("assumed", "value"), _assumptions(service.assumed)),
        "rates": _table(("what", "a second", "a day"), _rates(service)),
        "quotas": _table(
            ("component", "at the peak", "AWS's quota, or our own", "of it", "raised?", "partitioned", "what then"),
            [_load(load) for load in service.loads()],
        ),
        "GPUs": _table(
            ("model and instance", "instances, mean", "at the peak", "$ a day"),
            [
                (name, f"{n:,.0f}", f"{n * service.assumed.peak:,.0f}", f"{each:,.0f}")
                for name, n, each in service.gpus()
            ],
        ),
        "dollars": _table(("what", "$ a day", "$ a million requests", "share"), _dollars(service)),
    }  # fmt: skip


def _assumptions(assumed: Assumed) -> list[Sequence[str]]:
    return [
        (why, f"{getattr(assumed, name):,g}".replace("e+09", " billion"))
        for name, why in WHY.items()
    ]


def _rates(service: Service) -> list[Sequence[str]]:
    found = {
        "request lines in batches": service.lines, "stand-alone requests": service.sent,
        "batches": service.batches, "gatherings": service.gatherings, "shards": service.shards,
        "bytes of input, MB": (service.lines + service.sent) * service.assumed.line_bytes / 1e6,
    }  # fmt: skip
    rows: list[Sequence[str]] = [(name, _figure(n), f"{n * DAY:,.0f}") for name, n in found.items()]
    rows.append(("open at once: batches", f"{service.open_batches:,.0f}", ""))
    rows.append(("open at once: shards", f"{service.open_shards:,.0f}", ""))
    return rows


def _load(load: Load) -> Sequence[str]:
    quota = QUOTAS[load.quota]
    return (
        load.component, _figure(load.rate), f"{quota.limit:,g} {quota.unit}", f"{load.share:.1%}",
        "yes" if quota.raised else "no", load.spread, load.then if load.share > 0.2 else "–",
    )  # fmt: skip


def _dollars(service: Service) -> list[Sequence[str]]:
    found = service.dollars_a_day()
    total = sum(each for _, each in found)
    millions = service.assumed.requests_a_day / MILLION
    rows = [
        (name, f"{each:,.0f}", f"{each / millions:,.4f}", f"{each / total:.2%}")
        for name, each in sorted(found, key=lambda row: -row[1])
    ]
    return [*rows, ("**sum**", f"**{total:,.0f}**", f"**{total / millions:,.2f}**", "")]


def _figure(n: float) -> str:
    return f"{n:,.0f}" if n >= 10 else f"{n:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown, figures to the right."""
    numeric = [all(re.match(r"^[\d*.,%–]*$", row[n]) for row in rows) for n in range(len(head))]
    lines = [
        "| " + " | ".join(head) + " |",
        "|" + "|".join("---:" if n else "---" for n in numeric) + "|",
    ]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def put_into(guide: str, service: Service) -> str:
    """The guide with its tables as they are now."""
    for name, table in tables(service).items():
        begin, end = BEGIN.format(name), END.format(name)
        pattern = f"{re.escape(begin)}.*?{re.escape(end)}"
        if not re.search(pattern, guide, re.S):
            raise SystemExit(f"docs/scale.md has no place for {name}.")
        guide = re.sub(pattern, lambda _, t=f"{begin}\n{table}\n{end}": t, guide, flags=re.S)  # type: ignore[misc]
    return guide


def read_counts() -> tuple[Measured, Bill]:
    """What `make bench-cost` counted last, of shards of 1,000 lines: a shard's calls hardly depend on its size."""
    counts = json.loads(COUNTS.read_text())
    return decode(counts["shards"]["1000"]), decode_bill(counts["request"])


def main() -> None:
    service = Service(*read_counts())
    GUIDE.write_text(put_into(GUIDE.read_text(), service))
    for name, table in tables(service).items():
        print(f"{name}\n{table}\n", file=sys.stderr)


if __name__ == "__main__":
    main()
