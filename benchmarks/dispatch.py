"""How batches share a pool: what a choice costs, what a dispatch reads, how long ten lines wait beside five million.

    make bench-dispatch BATCHES=500

    choices      the real `choose_runs`, one slot a call as in a busy pool, and fifty; with 10 to 5,000 runs waiting
    reads        the real `dispatch_shards` on the emulator: calls and DynamoDB read units for each shard dispatched,
                 with 5 and with 500 runs of 5,000 shards waiting, of five accounts, the pool full but for one slot
    simulated    500 batches of 5,000 shards, and ten lines behind five million, in simulated time (`simulated_pool`);
                 `fifo` is what the ten lines would wait if runs went in the order in which they came
    local        ten lines from create to completed on the local cloud with the echo engine: beside nothing, and beside
                 a batch that holds every slot it may have; then so many batches at once through the API, none lost

The last line is JSON: `decisions_per_s`, `calls_per_shard`, `read_units_per_shard`, `simulated_delay_s` and
`fifo_delay_s` (the worst of a hundred), `idle_s` and `behind_s` (medians), `batches`, `batches_s`, `lost`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from openai import OpenAI

from benchmarks.bare_stage import STAGE, deploy
from benchmarks.dynamo_units import row_bytes
from benchmarks.simulated_pool import Queue, SimulatedPool, SimulatedRun, large_model, new_run
from benchmarks.small_batch import BATCH_SECONDS_MAX, ENDED, POLL_SECONDS, input_lines
from infra.storage import TABLES
from offpeak.aws.connect import Aws
from offpeak.core.catalogue import Catalogue
from offpeak.core.ports import Add, Save
from offpeak.core.run import Run, RunStatus, Tier
from offpeak.core.shard import PlannedShard, Segment
from offpeak.core.usage import Counts, Usage
from offpeak.local.cloud import LocalCloud
from offpeak.local.emulator import Emulator
from offpeak.local.processes import leave_on_signals
from offpeak.planner.choose_runs import choose_runs
from offpeak.steps.dispatch_shards import dispatch_shards
from offpeak.steps.remembered_accounts import RememberedAccounts
from offpeak.wire.manifest import encode_shard

ROOT = Path(__file__).parent.parent
ACCOUNTS, SHARDS = 5, 5_000
DAY = 86_400
SHARD_SECONDS = 600.0
SHARD_LINES = 2_000
READ_BYTES = 4_096
SECONDS_MAX = 1_800.0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ── choices ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def decisions_per_s(runs: int, slots: int, decisions: int) -> float:
    """`slots` a call. What waits is what the queue shows: of each account as many runs as there are slots."""
    queue = Queue()
    for n in range(runs):
        account_id = f"acct_{n % ACCOUNTS}"
        queue.add(new_run(f"b{n}", account_id, shards=SHARDS, lines=10**7, now=0, deadline=DAY + n))
    shown = queue.first(slots, express=False)
    held = {f"acct_{n}": 12 for n in range(ACCOUNTS)}
    began = time.perf_counter()
    for n in range(decisions // slots):
        choose_runs(
            shown, in_flight=held, weights={}, slots=slots, shards_at_once=60 + slots, seed=str(n)
        )
    return decisions // slots * slots / (time.perf_counter() - began)


def measure_choices(decisions: int) -> float:
    found = {}
    for runs in (10, 500, 5_000):
        found[runs] = decisions_per_s(runs, 1, decisions)
        many = decisions_per_s(runs, 50, decisions)
        say(f"choices: {runs:,} runs waiting: {found[runs]:,.0f}/s, {many:,.0f}/s by fifty a call")
    return found[500]


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Reads:
    """Calls and units of what a client reads. An index is charged for what it projects."""

    def __init__(self, client: Any) -> None:
        self.calls = 0
        self.units = 0.0
        client.meta.events.register("provide-client-params.dynamodb", self._asked)
        client.meta.events.register("after-call.dynamodb", self._answered)

    def _asked(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["asked"] = params

    def _answered(self, parsed: Any, context: dict[str, Any], model: Any, **_: Any) -> None:
        asked = context["asked"]
        if model.name not in ("GetItem", "Query"):
            return
        self.calls += 1
        rows = parsed.get("Items") or [parsed.get("Item") or {}]
        size = sum(row_bytes(_projected(row, asked)) for row in rows)
        share = 1.0 if asked.get("ConsistentRead") else 0.5
        self.units += max(1, -(-size // READ_BYTES)) * share


def _projected(row: dict[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    schema = TABLES[asked["TableName"].removeprefix(f"{STAGE}-")]
    index = schema.indexes.get(asked.get("IndexName", ""))
    if index is None or index.includes is None:
        return row
    keys = [typed[0] for key in (schema.key, index) for typed in (key.partition, key.sort) if typed]
    return {name: value for name, value in row.items() if name in {*keys, *index.includes}}


class QuietEndpoints:
    def invoke(self, pool: str, invocation_id: str, order: bytes) -> None:
        """Nobody works: shards are ended by hand below."""


def reads_per_shard(aws: Aws, runs: int, shards: int) -> tuple[float, float]:
    """Calls and units, while a full pool of 60 dispatches one shard for each that ends."""
    pool = f"pool-{runs}"
    model = replace(large_model(20), pool=pool)
    catalogue = Catalogue((model,))
    segment = Segment(key="files/f", start=0, stop=10, first_line=1, lines=1)
    manifest = b"".join(
        encode_shard(PlannedShard(number=n, segments=(segment,))) for n in range(200)
    )
    aws.writer.put("work/manifest", manifest)
    for n in range(runs):
        aws.changes.commit(
            Add(
                Run(
                    batch_id=f"batch_{runs}_{n:04}", account_id=f"acct_{n % ACCOUNTS}", number=0,
                    model="m", pool=pool, endpoint="/e", manifest_key="work/manifest",
                    manifest_bytes=len(manifest), shards=SHARDS, lines=10**7,
                    deadline=10**10 + n, created_at=0, status=RunStatus.READY,
                )
            )
        )  # fmt: skip
    remembered, reads = RememberedAccounts(), Reads(aws.clients.dynamodb)

    def dispatch() -> int:
        return dispatch_shards(
            pool, clock=aws.clock, catalogue=catalogue, reader=aws.reader, accounts=aws.accounts,
            runs=aws.runs, shards=aws.shards, changes=aws.changes, dispatches=aws.dispatches,
            endpoints=QuietEndpoints(), remembered_accounts=remembered,
        )  # fmt: skip

    while dispatch():
        pass
    before, dispatched = (0, 0.0), 0
    calls, units = 0, 0.0
    for _ in range(shards):
        shard = aws.shards.open(pool)[0]
        done = shard.done(
            counts=Counts(total=shard.lines, completed=shard.lines), usage=Usage(), output=None,
            errors=None, report_key=None,
        )  # fmt: skip
        run = aws.runs.get(shard.batch_id, 0)
        aws.changes.commit(Save(done), Save(run.shard_ended(Counts(), Usage())))
        before = reads.calls, reads.units
        dispatched += dispatch()
        calls, units = calls + reads.calls - before[0], units + reads.units - before[1]
    if dispatched != shards:
        raise SystemExit(f"{dispatched} of {shards} shards were dispatched.")
    return calls / shards, units / shards


def measure_reads(shards: int) -> tuple[float, float]:
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "emulator").mkdir()
        python = ROOT / ".offpeak/venvs/emulator/bin/python"
        with Emulator(python, Path(folder) / "emulator") as emulator:
            kept = dict(os.environ)
            os.environ.update(emulator.environment)
            os.environ.update(deploy(Path(folder)))
            try:
                few, many = (reads_per_shard(Aws.from_environment(), n, shards) for n in (5, 500))
            finally:
                os.environ.clear()
                os.environ.update(kept)
    for runs, (calls, units) in ((5, few), (500, many)):
        say(f"reads: {runs} runs waiting: {calls:.2f} calls, {units:.2f} read units a shard")
    return many


# ── simulated ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _seconds(run: SimulatedRun, random: Random) -> float:
    return random.uniform(20, 60) if run.run.tier is Tier.EXPRESS else SHARD_SECONDS


def simulated_delay() -> tuple[float, float]:
    """Ten lines behind five million on one instance, the worst of a hundred; and what they'd wait in line."""
    pool = SimulatedPool(large_model(1), shard_seconds=_seconds)
    long = new_run("long", "acct", shards=2_500, lines=5_000_000, now=0, deadline=7 * DAY)
    small = [
        new_run(f"s{n}", "acct", shards=1, lines=10, now=1_000 + 700 * n, deadline=2 * DAY)
        for n in range(100)
    ]
    for run in (long, *small):
        pool.submit(run)
    pool.run(until=DAY)
    in_line = 2_500 / pool.model.in_flight_max * SHARD_SECONDS
    worst = max(run.delay for run in small)
    fifo = in_line - small[0].run.created_at
    say(f"simulated: ten lines behind five million wait {worst:.0f} s; in line {fifo:,.0f} s")
    return worst, fifo


def simulated_crowd(batches: int, shards: int) -> None:
    """Every batch gets through, and every account its share."""
    pool = SimulatedPool(large_model(400), shard_seconds=_seconds)
    runs = [
        new_run(
            f"b{n}", f"acct_{n % ACCOUNTS}", shards=shards, lines=shards * SHARD_LINES, now=n,
            deadline=7 * DAY,
        )
        for n in range(batches)
    ]  # fmt: skip
    for run in runs:
        pool.submit(run)
    began = time.perf_counter()
    pool.run()
    seconds = time.perf_counter() - began
    lacking = sum(run.ended_at is None for run in runs)
    if lacking or pool.seen.empty_beside_work:
        raise SystemExit(
            f"{lacking} batches never ended; {pool.seen.empty_beside_work} empty slots."
        )
    say(
        f"simulated: {batches} batches of {shards:,} shards in {seconds:.0f} s: "
        f"{pool.seen.shards / seconds:,.0f} shards/s, {pool.seen.calls:,} calls, none starved"
    )


# ── local ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def create(client: OpenAI, content: bytes) -> str:
    file = client.files.create(file=("lines.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    ).id


def seconds_of(client: OpenAI, content: bytes) -> float:
    """From create to completed."""
    began = time.monotonic()
    batch_id = create(client, content)
    wait_for(client, batch_id, BATCH_SECONDS_MAX)
    return time.monotonic() - began


def wait_for(client: OpenAI, batch_id: str, seconds_max: float) -> None:
    give_up_at = time.monotonic() + seconds_max
    while (batch := client.batches.retrieve(batch_id)).status not in ENDED:
        if time.monotonic() > give_up_at:
            raise SystemExit(f"{batch_id} is {batch.status} after {seconds_max} s.")
        time.sleep(POLL_SECONDS)
    if batch.status != "completed":
        raise SystemExit(f"{batch_id} ended {batch.status}.")


def long_lines(model: str) -> bytes:
    """Two shards whose first lines take for ever, and the beginning of a third."""
    request = json.loads(input_lines(model).splitlines()[0])
    found = []
    for n in range(2 * SHARD_LINES + 1):
        request["custom_id"] = f"line-{n}"
        text = f"[[sleep=3000]] {n}" if n % SHARD_LINES < 20 else f"{n}"
        request["body"]["messages"][0]["content"] = text
        found.append(json.dumps(request).encode())
    return b"\n".join(found)


def measure_local(batches: int, repeats: int) -> dict[str, float]:
    with (
        tempfile.TemporaryDirectory(prefix="offpeak-") as folder,
        LocalCloud(engine="echo", folder=Path(folder), tell=say) as cloud,
    ):
        cloud.wait_for_workers()
        client = OpenAI(base_url=f"{cloud.base_url}/v1", api_key=cloud.api_key, max_retries=2)
        small = input_lines(cloud.model)
        seconds_of(client, small)  # uncounted: it pays for cold starts
        idle = [seconds_of(client, small) for _ in range(repeats)]
        long = create(client, long_lines(cloud.model))
        while sum(worker["in_flight"] for worker in cloud.workers()) < 2:
            time.sleep(0.2)
        behind = [seconds_of(client, small) for _ in range(repeats)]
        client.batches.cancel(long)
        say(f"local: ten lines take {statistics.median(idle):.2f} s beside nothing, ")
        say(f"       {statistics.median(behind):.2f} s beside a batch that holds its slots")
        while client.batches.retrieve(long).status != "cancelled":
            time.sleep(0.5)
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(lambda _: create(client, small), range(batches)))
        say(f"local: {batches} batches created in {time.monotonic() - began:.1f} s")
        for batch_id in ids:
            wait_for(client, batch_id, SECONDS_MAX)
        took = time.monotonic() - began
        outputs = [client.batches.retrieve(batch_id).request_counts for batch_id in ids]
        lost = sum(counts is None or counts.completed != 10 for counts in outputs)
        say(f"local: {batches} batches at once completed in {took:.1f} s, {lost} lost lines")
    return {
        "idle_s": round(statistics.median(idle), 3),
        "behind_s": round(statistics.median(behind), 3),
        "batches": batches, "batches_s": round(took, 1), "lost": lost,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--batches", type=int, default=500, help="at once on the local cloud")
    parser.add_argument("--shards", type=int, default=SHARDS, help="of each simulated batch")
    parser.add_argument("--repeats", type=int, default=10, help="batches of ten lines, each way")
    parser.add_argument("--decisions", type=int, default=20_000, help="that are timed")
    parser.add_argument("--without-local", action="store_true", help="leave the local cloud out")
    asked = parser.parse_args()
    decisions = measure_choices(asked.decisions)
    delay, fifo = simulated_delay()
    simulated_crowd(500, asked.shards)
    with leave_on_signals():
        calls, units = measure_reads(min(50, asked.repeats * 5))
        local = {} if asked.without_local else measure_local(asked.batches, asked.repeats)
    figures = {
        "decisions_per_s": round(decisions), "calls_per_shard": round(calls, 2),
        "read_units_per_shard": round(units, 2), "simulated_delay_s": round(delay, 1),
        "fifo_delay_s": round(fifo), **local,
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
