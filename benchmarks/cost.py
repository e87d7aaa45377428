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
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx

from benchmarks.aws_calls import Call, Recorder
from benchmarks.bill import (
    CLOCKED,
    SERVICES,
    Bill,
    Invocations,
    added,
    bill_functions,
    bill_of,
    by_service,
    dollars,
    read_invocations,
    scaled,
    without_refused,
)
from benchmarks.cost_model import (
    LINE_BYTES,
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
from benchmarks.dynamo_units import row_bytes
from benchmarks.prices import DATE, PRICES
from infra.storage import WORK_DAYS
from offpeak.cli.client import Api
from offpeak.cli.settings import Settings
from offpeak.cli.upload import upload_file
from offpeak.local.cloud import STAGE, LocalCloud
from offpeak.local.processes import leave_on_signals
from offpeak.worker.settings import WorkerSettings

ROOT = Path(__file__).parent.parent
COUNTS = ROOT / "benchmarks/results/cost_counts.json"
SIZES = {1_000: (2, 8), 5_000: (1, 3)}
"""Lines a shard → shards of the two batches that are compared."""
REQUESTS = (10, 40)
TICK_SECONDS = 3
TRIES_MAX = 10
SLEEPS = ("", "[[sleep=4]]", "[[sleep=10]]")
"""Of the lines of the batch that has ticks: some of its lines are done at each of them."""
SECONDS_MAX = 240.0
QUIET_SECONDS = 2.0
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
# Long enough that a shard of a second has none of them, and the sleeping one some.
WORKER = {
    "OFFPEAK_LEASE_SECONDS": "120",
    "OFFPEAK_RENEW_SECONDS": str(TICK_SECONDS),
    "OFFPEAK_POLL_SECONDS": str(TICK_SECONDS),
    "OFFPEAK_CHECKPOINT_SECONDS": str(TICK_SECONDS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was called between two moments, by events alone."""

    calls: Sequence[Call]
    invocations: dict[str, Invocations]
    transitions: int


class Meter:
    """A local cloud with a recorder in it."""

    def __init__(self, cloud: LocalCloud, recorder: Recorder) -> None:
        self.cloud = cloud
        self._recorder = recorder
        settings = Settings(base_url=cloud.base_url, api_key=cloud.api_key)
        self.api = Api(settings)
        self._opened = ExitStack()
        self._opened.callback(self.api.__exit__)
        self._logs = self._client("logs")
        self._states = self._client("stepfunctions")
        self.rows = self._client("dynamodb")
        s3 = self._client("s3")
        asked = s3.get_bucket_notification_configuration(Bucket=cloud.bucket)
        self.tells_of_objects = "EventBridgeConfiguration" in asked

    def close(self) -> None:
        self._opened.close()

    def _client(self, name: str) -> Any:
        environment = self.cloud.environment
        client = boto3.client(
            name,  # type: ignore[call-overload]
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_REGION"],
        )
        self._opened.callback(client.close)
        return client

    def sample(self, work: Callable[[], list[str]]) -> Sample:
        """Of `work`, which answers the ids of the batches that it waited for, and of what comes after it by itself."""
        self._wait_until_quiet()
        start, started_ms = len(self._recorder), int(time.time() * 1000)
        batches = work()
        self._wait_until_quiet()
        calls = [call for call in self._recorder.calls(start) if call.caller not in CLOCKED]
        invocations = self._invocations(started_ms)
        return Sample(
            calls=calls, invocations=invocations,
            transitions=sum(map(self._transitions, batches)),
        )  # fmt: skip

    def bill(self, sample: Sample) -> Bill:
        return added(
            bill_of(without_refused(sample.calls), tells_of_objects=self.tells_of_objects),
            bill_functions(sample.invocations, sample.calls),
            {("process_batch", "transition"): float(sample.transitions)},
        )

    def _wait_until_quiet(self) -> None:
        """Announcements, deliveries and the last asks for dispatch come after a batch has ended."""
        give_up_at = time.monotonic() + SECONDS_MAX
        seen, quiet_since = -1, time.monotonic()
        while time.monotonic() - quiet_since < QUIET_SECONDS:
            if time.monotonic() > give_up_at:
                raise SystemExit("The local cloud does not come to rest.")
            time.sleep(0.2)
            calls = self._recorder.calls()
            found = sum(call.caller not in CLOCKED | {"worker"} for call in calls)
            if found != seen:
                seen, quiet_since = found, time.monotonic()

    def _invocations(self, since_ms: int) -> dict[str, Invocations]:
        found = {}
        for folder in sorted(path.name for path in (ROOT / "lambdas").iterdir() if path.is_dir()):
            if folder in CLOCKED or folder.startswith("_"):
                continue
            messages = self._messages(
                f"/aws/lambda/offpeak-{STAGE}-{folder.replace('_', '-')}", since_ms
            )
            invocations = read_invocations(messages)
            if invocations:
                found[folder] = invocations
        return found

    def _messages(self, group: str, since_ms: int) -> list[str]:
        try:
            pages = self._logs.get_paginator("filter_log_events").paginate(
                logGroupName=group, startTime=since_ms
            )
            return [event["message"] for page in pages for event in page["events"]]
        except self._logs.exceptions.ResourceNotFoundException:
            return []

    def _transitions(self, batch_id: str) -> int:
        """States entered, and the tries of those that were tried again."""
        machine = next(
            found["stateMachineArn"]
            for found in self._states.list_state_machines()["stateMachines"]
        )
        arn = machine.replace(":stateMachine:", ":execution:") + f":{batch_id}"
        pages = self._states.get_paginator("get_execution_history").paginate(executionArn=arn)
        kinds: list[str] = [event["type"] for page in pages for event in page["events"]]
        retried = sum(kind in ("LambdaFunctionFailed", "TaskFailed") for kind in kinds)
        return sum(kind.endswith("StateEntered") for kind in kinds) + int(retried)


# ── what runs ────────────────────────────────────────────────────────────────────────────────────────────────────────


def input_line(model: str, number: int, words: str = "") -> bytes:
    text = f"Question {number} {words}: ".ljust(
        LINE_BYTES - 190, "why is the sky blue? "[number % 7]
    )
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    line = {
        "custom_id": f"line-{number}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": body,
    }
    return json.dumps(line).encode() + b"\n"


def run_batch(
    meter: Meter, folder: Path, lines: int, words: Callable[[int], str] = lambda _: ""
) -> str:
    """Uploads, creates, waits; the batch's id."""
    path = folder / "input.jsonl"
    with path.open("wb") as file:
        file.writelines(input_line(meter.cloud.model, n, words(n)) for n in range(lines))
    uploaded = upload_file(meter.api, path, lambda _: None)
    asked = {
        "input_file_id": uploaded["id"], "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }  # fmt: skip
    batch = meter.api.post("/v1/batches", asked)
    # Looked at in the table, not by the API: how often a client asks is its own affair.
    rows = meter.rows
    key = {"account_id": {"S": meter.cloud.account_id}, "id": {"S": batch["id"]}}
    give_up_at = time.monotonic() + SECONDS_MAX
    while time.monotonic() < give_up_at:
        row = rows.get_item(TableName=f"offpeak-{STAGE}-batches", Key=key, ConsistentRead=True)[
            "Item"
        ]
        if row["status"]["S"] in ENDED:
            break
        meter.cloud.check()
        time.sleep(0.3)
    if row["status"]["S"] != "completed":
        raise SystemExit(f"{batch['id']} is {row['status']['S']} after {SECONDS_MAX:.0f} s.")
    return str(batch["id"])


def send_requests(meter: Meter, number: int) -> list[str]:
    """Sends them, waits until all are answered, and fetches each result once. No batch of the account comes of it."""
    http = httpx.Client(
        base_url=meter.cloud.base_url, headers={"X-API-Key": meter.cloud.api_key}, timeout=60
    )

    def send(n: int) -> str:
        messages = [{"role": "user", "content": f"Question {n}: what is {n} and {n}? " * 5}]
        body = {"request_body": {"model": meter.cloud.model, "messages": messages}}
        return str(persistent(lambda: http.post("/v1/requests", json=body)).json()["id"])

    rows = meter.rows

    def wait(request_id: str) -> None:
        give_up_at = time.monotonic() + SECONDS_MAX
        key = {"id": {"S": request_id}}
        while time.monotonic() < give_up_at:
            found = rows.get_item(TableName=f"offpeak-{STAGE}-requests", Key=key)["Item"]
            if found["status"]["S"] == "completed":
                return
            time.sleep(0.3)
        raise SystemExit(f"Request {request_id} was not answered.")

    with http:
        ids = [send(n) for n in range(number)]
        for request_id in ids:
            wait(request_id)
            persistent(lambda i=request_id: http.get(f"/v1/requests/{i}"))  # type: ignore[misc]
    return []


def persistent(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Asks again where the gateway gave up: on a busy machine a function's cold start may take longer than its 29 s."""
    for _ in range(TRIES_MAX):
        answer = ask()
        if answer.status_code < 500:
            return answer.raise_for_status()
        time.sleep(1)
    raise SystemExit(f"The API answers {answer.status_code}: {answer.text}")


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
    """What the API does for one request: it takes it, and gives its result."""
    few, many = REQUESTS
    send_requests(meter, few)
    bills = []
    for number in REQUESTS:
        sample = meter.sample(lambda n=number: send_requests(meter, n))  # type: ignore[misc]
        bills.append(meter.bill(sample))
        print(f"  {number} stand-alone requests: {len(sample.calls)} calls", flush=True)
    return difference(bills[0], bills[1], many - few, {"api"})


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


class recorded:  # noqa: N801 - a context, used as one
    """A local cloud whose shards have so many lines, and a recorder in it."""

    def __init__(self, folder: Path, lines_a_shard: int) -> None:
        self._recorder: Recorder | None = None
        self._cloud = LocalCloud(
            engine="echo", folder=folder / "cloud", worker=WORKER, between=self._stand_between,
            model_fields={"shard_lines_max": lines_a_shard, "shard_bytes_max": 1 << 30},
        )  # fmt: skip

    def _stand_between(self, url: str) -> str:
        self._recorder = Recorder(url, lambda table: table.removeprefix(f"offpeak-{STAGE}-"))
        return self._recorder.__enter__().url

    def __enter__(self) -> Meter:
        cloud = self._cloud.__enter__()
        cloud.wait_for_workers()
        assert self._recorder is not None
        self._meter = Meter(cloud, self._recorder)
        return self._meter

    def __exit__(self, *error: Any) -> None:
        self._meter.close()
        self._cloud.__exit__(*error)
        if self._recorder is not None:
            self._recorder.__exit__(*error)


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
