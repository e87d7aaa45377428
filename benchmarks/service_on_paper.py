"""A service under an assumed load: the rates that follow, what of it meets which quota, dollars.

What a shard, a batch and a request call is what `make bench-cost` counted; sizes and limits are the code's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.assumptions import ASSUMED, EGRESS_GB, LARGE, QUOTAS, SMALL, Assumed
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
    kept_dollars,
    million_requests,
    shard_bill,
    ticks_a_shard,
)
from benchmarks.prices import GB, PRICES
from infra.api import SIZE as API_SIZE
from infra.lifecycle import COLLECTED_MAX
from infra.sizes import SIZES
from infra.storage import WORK_DAYS
from offpeak.worker.settings import WorkerSettings

DAY = 86_400
SHARD_LINES = DEFAULTS.shard_lines_max


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
