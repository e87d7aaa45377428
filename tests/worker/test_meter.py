"""What a report says of an attempt: its own tokens, the seconds of its phases, the engine's occupancy meanwhile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from typing import Any

from offpeak.aws.work_metrics import LoggedMetrics
from offpeak.core.invocation import Outcome, ShardWork
from offpeak.core.usage import Usage
from offpeak.wire.invocation import decode_report, encode_report
from offpeak.worker.engine import EngineLimits
from offpeak.worker.engines.echo import EchoEngine
from offpeak.worker.meter import Meter
from tests.worker.test_run_shard import Halting, run
from tests.worker.world import MODEL, QUICK, World


class Counted(EchoEngine):
    """An engine of ten sequences whose counters say what they are told to."""

    def __init__(self) -> None:
        super().__init__(MODEL)
        self.counters: dict[str, int] = {}

    @property
    def limits(self) -> EngineLimits:
        return EngineLimits(requests=20, sequences=10)

    def stats(self) -> Mapping[str, int]:
        return dict(self.counters)


def test_a_report_counts_what_this_attempt_did_and_not_what_others_had_done() -> None:
    world = World.of(*(f"text {n}" for n in range(12)))
    first = run(
        world,
        Halting(7),
        replace(QUICK, shard_seconds_max=1.0, drain_seconds=0.1, line_seconds_max=600),
    )
    assert (first.outcome, first.work.usage.input_tokens) == (Outcome.PARTIAL, 14)
    second = run(world.dispatch_again())
    assert second.work.usage == Usage(input_tokens=10, output_tokens=10)
    assert second.usage == Usage(input_tokens=24, output_tokens=24)
    assert second.work.tokens_per_second > 0
    assert 0 <= second.work.load_seconds <= second.seconds
    assert decode_report(encode_report(second)) == second


def test_what_refused_lines_took_is_work_too_though_nobody_pays_for_it() -> None:
    report = run(World.of("good", "bad [[status=400]]"))
    assert report.usage == report.work.usage == Usage(input_tokens=1, output_tokens=1)


def test_occupancy_and_queue_are_what_the_engine_did_meanwhile() -> None:
    engine = Counted()
    engine.counters = {"running_ms": 1_000, "queued_ms": 500, "finished_requests": 5}
    meter = Meter(engine, now=100.0)
    engine.counters = {"running_ms": 61_000, "queued_ms": 2_500, "finished_requests": 9}
    usage = Usage(input_tokens=800, cached_tokens=600, output_tokens=200)
    assert meter.read(110.0, usage, 101.5, 109.0) == ShardWork(
        usage=usage, tokens_per_second=100.0, cache_hit_rate=0.75, load_seconds=1.5,
        drain_seconds=1.0, occupancy=0.6, queued_seconds=0.5,
    )  # fmt: skip


def test_an_engine_that_does_not_say_is_not_guessed_at() -> None:
    work = run(World.of("one")).work
    assert (work.occupancy, work.queued_seconds) == (None, None)


def test_a_shard_s_metrics_are_one_line_of_the_embedded_format() -> None:
    out = StringIO()
    usage = Usage(input_tokens=800, cached_tokens=600, output_tokens=200, reasoning_tokens=50)
    work = ShardWork(usage=usage, tokens_per_second=100.0, cache_hit_rate=0.75, queued_seconds=0.5)
    LoggedMetrics("prod", out).publish_work("llama", 1_790_000_000, work)
    (line,) = map(json.loads, out.getvalue().splitlines())
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], line["_aws"]["Timestamp"]) == ("Offpeak", 1_790_000_000_000)
    assert directive["Dimensions"] == [["Stage", "Pool"]]
    assert (line["Stage"], line["Pool"]) == ("prod", "llama")
    units: dict[str, Any] = {each["Name"]: each["Unit"] for each in directive["Metrics"]}
    assert {name: line[name] for name in units} == {
        "PromptTokens": 800, "CachedTokens": 600, "CompletionTokens": 200, "ReasoningTokens": 50,
        "TokensPerSecond": 100.0, "CacheHitRate": 0.75, "QueuedSeconds": 0.5, "LoadSeconds": 0.0,
        "DrainSeconds": 0.0,
    }  # fmt: skip
    assert units["TokensPerSecond"] == "Count/Second"
    assert units["QueuedSeconds"] == "Seconds"


def test_a_report_of_an_older_worker_is_read() -> None:
    report = json.loads(encode_report(run(World.of("one"))))
    del report["work"]
    assert decode_report(json.dumps(report).encode()).work == ShardWork()
