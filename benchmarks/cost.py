"""What the control plane costs: real batches on the local cloud, every AWS call recorded and priced.

    make bench-cost

The stacks, handlers, worker and SageMaker stand-in are real; a recorder stands between all of them and the emulator
(`aws_calls.py`), `bill.py` says what each call is billed as, `prices.py` what that costs, `cost_model.py` how shards of
ten minutes and batches of a million lines follow. Per size of shard two batches run; what they differ by, divided, is a
shard, the rest a batch. A third batch with lines that sleep shows what one renewal, poll and checkpoint cost.
A function's time is what a quick invocation took here, through recorder and emulator, or what its calls take in AWS,
whichever is more. What the clock calls anyway is in the idle month. The last line is JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.aws_calls import Call
from benchmarks.bill import (
    SERVICES,
    Bill,
    added,
    bill_of,
    by_service,
    dollars,
    scaled,
)
from benchmarks.cost_meter import ROOT, Meter, Sample, recorded
from benchmarks.cost_model import (
    OF_SHARDS,
    SHARD_SECONDS,
    Measured,
    batch_bill,
    decode_bill,
    encode,
    encode_bill,
    index_moves,
    kept_dollars,
    million_lines,
    million_requests,
    shard_bill,
    ticks_a_shard,
)
from benchmarks.cost_work import run_batch, send_requests
from benchmarks.dynamo_units import row_bytes
from benchmarks.prices import DATE, PRICES
from infra.storage import WORK_DAYS
from offpeak.core.account import Limits
from offpeak.core.throttle import Bucket
from offpeak.local.cloud import STAGE
from offpeak.local.processes import leave_on_signals
from offpeak.worker.settings import WorkerSettings

COUNTS = ROOT / "benchmarks/results/cost_counts.json"
SIZES = {1_000: (2, 8), 5_000: (1, 3)}
"""Lines a shard → shards of the two batches that are compared."""
REQUESTS = (10, 40)
SLEEPS = ("", "[[sleep=4]]", "[[sleep=10]]")
"""Of the lines of the batch that has ticks: some of its lines are done at each of them."""

# ── what it came to ──────────────────────────────────────────────────────────────────────────────────────────────────


def difference(small: Bill, large: Bill, by: int, callers: Collection[str]) -> Bill:
    """What each of `by` more things costs. A line that fell by chance costs nothing, rather than less."""
    names = {name for name in small | large if name[0] in callers}
    return {n: max(0.0, large.get(n, 0.0) - small.get(n, 0.0)) / by for n in names}


def rest(bill: Bill, shard: Bill, shards: int) -> Bill:
    return {n: max(0.0, amount - shards * shard.get(n, 0.0)) for n, amount in bill.items()}


_SHARD = re.compile(r"^work/[^/]+/\d+/\d+/")
_IS_TICK: dict[str, Callable[[Call], bool]] = {
    "renewal": lambda call: any(unit.table == "shards" for unit in call.units),
    "poll": lambda call: any(unit.table == "runs" for unit in call.units),
    "checkpoint": lambda call: "/checkpoints/" in call.resource and call.operation == "PutObject",
}


def without_ticks(calls: Sequence[Call]) -> list[Call]:
    """Without the worker's polls, and without renewals and checkpoints beyond those that every shard has, however short
    it is: its claim, and the checkpoint at its end if it writes one."""
    shards = {found[0] for call in calls if (found := _SHARD.match(call.resource))}
    checkpoints = [
        call for call in calls if call.caller == "worker" and _IS_TICK["checkpoint"](call)
    ]
    of_shard = [sum(c.resource.startswith(shard) for c in checkpoints) for shard in shards]
    kept_checkpoints = min(of_shard, default=0) * len(shards)
    claims = [call for call in calls if call.caller == "worker" and _IS_TICK["renewal"](call)]
    kept = set(map(id, checkpoints[:kept_checkpoints])) | set(map(id, claims[: 2 * len(shards)]))
    ticks = [
        c
        for c in calls
        if c.caller == "worker" and any(is_tick(c) for is_tick in _IS_TICK.values())
    ]
    dropped = set(map(id, ticks)) - kept
    return [call for call in calls if id(call) not in dropped]


def price_ticks(meter: Meter, sample: Sample) -> dict[str, Bill]:
    """One of each. A renewal is a write with the reads that come before it."""
    of_worker = [call for call in sample.calls if call.caller == "worker"]
    ticks = {}
    for tick, is_tick in _IS_TICK.items():
        calls = [call for call in of_worker if is_tick(call)]
        times = (
            sum(call.operation != "GetItem" for call in calls) if tick == "renewal" else len(calls)
        )
        if times < 2:
            raise SystemExit(f"The sleeping shard had {times} of {tick}: too few to price one.")
        ticks[tick] = scaled(bill_of(calls, tells_of_objects=meter.tells_of_objects), 1 / times)
    return ticks


def row_sizes(meter: Meter) -> dict[str, float]:
    """Mean bytes of the rows there are."""
    client = meter.rows
    sizes = {}
    for table in ("shards", "runs", "batches"):
        rows = client.scan(TableName=f"offpeak-{STAGE}-{table}")["Items"]
        sizes[table] = sum(map(row_bytes, rows)) / len(rows)
    return sizes


def measure_shards(
    meter: Meter, folder: Path, lines_a_shard: int, shards: tuple[int, int]
) -> Measured:
    few, many = shards
    slow = meter.sample(lambda: [run_batch(meter, folder, 42, lambda n: SLEEPS[n % 3])])
    samples = []
    for number in shards:
        found = meter.sample(lambda n=number: [run_batch(meter, folder, n * lines_a_shard)])  # type: ignore[misc]
        samples.append(Sample(
            calls=without_ticks(found.calls), invocations=found.invocations,
            transitions=found.transitions,
        ))  # fmt: skip
        print(f"  {number} shards of {lines_a_shard:,} lines: {len(found.calls)} calls", flush=True)
    small, large = map(meter.bill, samples)
    shard = difference(small, large, many - few, OF_SHARDS)
    puts = [c for c in samples[1].calls if c.operation == "PutObject" and _SHARD.match(c.resource)]
    outputs = [c.sent_bytes for c in puts if c.resource.endswith("output.jsonl")]
    kept = sum(c.sent_bytes for c in puts if "/checkpoints/" not in c.resource)
    return Measured(
        lines_a_shard=lines_a_shard, shard=shard, batch=rest(small, shard, few),
        ticks=price_ticks(meter, slow), rows=row_sizes(meter),
        result_bytes=sum(outputs) / len(outputs), work_bytes=kept / many,
        index_moves=(index_moves(many) - index_moves(few)) / (many - few),
    )  # fmt: skip


def measure_sending(meter: Meter) -> Bill:
    """What the API does for one request: it takes it, and gives its result. Leases of the throttle are reckoned: how
    many there are is a matter of how fast the calls follow each other, and here they are slow."""
    few, many = REQUESTS
    send_requests(meter, few)
    bills = []
    for number in REQUESTS:
        sample = meter.sample(lambda n=number: send_requests(meter, n))  # type: ignore[misc]
        bills.append(meter.bill(without_leases(sample)))
        print(f"  {number} stand-alone requests: {len(sample.calls)} calls", flush=True)
    request = difference(bills[0], bills[1], many - few, {"api"})
    leases = request["api", "api"] / Bucket(Limits().requests_per_second).lease
    return added(request, {("api", "dynamodb_write"): leases})


def without_leases(sample: Sample) -> Sample:
    calls = [c for c in sample.calls if all(unit.table != "throttles" for unit in c.units)]
    return replace(sample, calls=calls)


def measure_gathering() -> Bill:
    """What becomes of one request, in collections as large as Lambda makes them: the emulator hands over one by one."""
    with tempfile.TemporaryDirectory(prefix="offpeak-") as folder:
        path = Path(folder) / "bill.json"
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.requests", "--bill", path],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if ran.returncode != 0:
            raise SystemExit(ran.stderr)
        return decode_bill(json.loads(path.read_text()))


def measure() -> tuple[dict[int, Measured], Bill]:
    by_size: dict[int, Measured] = {}
    request: Bill = {}
    for lines_a_shard, shards in SIZES.items():
        print(f"Shards of {lines_a_shard:,} lines", flush=True)
        with (
            tempfile.TemporaryDirectory(prefix="offpeak-") as name,
            recorded(Path(name), lines_a_shard) as meter,
        ):
            run_batch(meter, Path(name), 20)  # cold starts
            by_size[lines_a_shard] = measure_shards(meter, Path(name), lines_a_shard, shards)
            if not request:
                request = measure_sending(meter)
    print("Gathering stand-alone requests", flush=True)
    return by_size, added(request, measure_gathering())


def write_counts(by_size: dict[int, Measured], request: Bill) -> None:
    """For `scale_on_paper.py`, and to see what a change did."""
    shards = {str(lines): encode(measured) for lines, measured in by_size.items()}
    COUNTS.parent.mkdir(exist_ok=True)
    COUNTS.write_text(
        json.dumps({"shards": shards, "request": encode_bill(request)}, indent=1) + "\n"
    )


def usd_idle_month() -> float:
    """The sum in the operator's guide, which tests hold to the templates."""
    guide = (ROOT / "docs/deploy.md").read_text()
    found = re.search(r"^\| \*\*sum\*\* \| \| \*\*([\d.]+)\*\* \|$", guide, re.M)
    if found is None:
        raise SystemExit("docs/deploy.md has no sum of what an idle stage costs.")
    return float(found[1])


def main() -> None:
    with leave_on_signals():
        by_size, request = measure()
    write_counts(by_size, request)
    settings = WorkerSettings()
    columns = {
        f"1 M lines in shards of {n:,}": million_lines(m, settings) for n, m in by_size.items()
    }
    columns["1 M stand-alone requests"] = million_requests(request, by_size[1_000], settings)
    report(columns, by_size, settings)
    figures = [round(dollars(bill), 4) for bill in columns.values()]
    print(json.dumps({
        "usd_per_million_lines_1000": figures[0], "usd_per_million_lines_5000": figures[1],
        "usd_per_million_requests": figures[2], "usd_idle_month": usd_idle_month(),
    }))  # fmt: skip


def report(
    columns: dict[str, Bill], by_size: dict[int, Measured], settings: WorkerSettings
) -> None:
    print(
        f"\nDollars, us-east-1, prices of {DATE}, without free tiers; shards of {SHARD_SECONDS} s"
    )
    print(f"{'':<24}" + "".join(f"{name:>30}" for name in columns))
    shares = [by_service(bill) for bill in columns.values()]
    for service in SERVICES.values():
        if any(share.get(service) for share in shares):
            print(
                f"{service:<24}" + "".join(f"{share.get(service, 0.0):>30.4f}" for share in shares)
            )
    print(f"{'sum':<24}" + "".join(f"{dollars(bill):>30.4f}" for bill in columns.values()))
    for lines, measured in by_size.items():
        shard, batch = shard_bill(measured, settings), batch_bill(measured)
        print(
            f"\nShards of {lines:,}: {dollars(shard) * 1e6:.2f} millionths a shard, {dollars(batch):.4f} a batch of 1 M"
        )
        print_lines(shard, 1e6)
        kept = kept_dollars(measured, settings, work_days=WORK_DAYS, gb_month=PRICES.s3_gb_month)
        print(f"  bytes in work/ for {WORK_DAYS} days, not in the sum: {kept:.4f} a million lines")
    print(f"\nTicks in a shard: {ticks_a_shard(settings)}")


def print_lines(bill: Bill, factor: float) -> None:
    """The dearest lines of a bill."""
    lines = sorted(bill, key=lambda key: -dollars({key: bill[key]}))
    for key in lines[:20]:
        print(
            f"  {key[0]:<18}{key[1]:<18}{bill[key]:>12.4f}{dollars({key: bill[key]}) * factor:>10.2f}"
        )


if __name__ == "__main__":
    main()
