"""From calls to the lines of AWS's bill. A line is named as its price is in `prices.Prices`.

What the emulator does inside itself never passes the recorder, and is reckoned: a topic and a bus send to a queue, a
queue that a function listens to is received from and deleted from once an invocation.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from benchmarks.aws_calls import Call
from benchmarks.dynamo_units import UnknownCall
from benchmarks.prices import (
    CHUNK_BYTES,
    FREE_SERVICES,
    GB,
    PRICES,
    S3_CREATIONS,
    S3_FREE,
    S3_READS,
    S3_WRITES,
    Prices,
)

Bill = dict[tuple[str, str], float]
"""(who, line) → how much of it."""
SERVICES = {
    "s3": "S3", "dynamodb": "DynamoDB", "sqs": "SQS", "sns": "SNS", "events": "EventBridge",
    "transition": "Step Functions", "trace": "X-Ray", "lambda": "Lambda", "api": "API Gateway",
    "metrics": "CloudWatch metrics", "logs": "CloudWatch Logs", "secret": "Secrets Manager",
}  # fmt: skip
CLOCKED = frozenset(
    {"sweep", "show_drops", "sweep_requests", "requeue_deliveries", "expire_files", "measure_pools"}
)
"""Called by the clock, whatever there is to do: their idle calls are in the idle month."""
FIFO_LISTENERS = frozenset({"dispatch_shards"})
LISTENERS = FIFO_LISTENERS | {
    "complete_shard", "ingest_drop", "finalize_group", "collect_requests", "queue_deliveries",
    "deliver_callbacks",
}  # fmt: skip
LOG_EVENT_BYTES = 26
ACCESS_LOG_BYTES = 400
"""API Gateway's own line about a request."""
# What a call takes from a function beside it in AWS, milliseconds: on the slow side of what is usual, since a function
# is billed while it waits.
CALL_MS: Mapping[str, float] = {
    "dynamodb": 8, "s3": 35, "sqs": 12, "sns": 20, "events": 20, "states": 30, "sagemaker": 60,
    "secretsmanager": 20, "monitoring": 20,
}  # fmt: skip
OWN_MS = 10.0
"""What is left of an invocation without its calls."""
_REPORT = re.compile(r"Duration: ([\d.]+) ms\s+Billed Duration: [\d.]+ ms\s+Memory Size: (\d+) MB")


def service_of(line: str) -> str:
    return SERVICES[line.partition("_")[0]]


def dollars(bill: Bill, prices: Prices = PRICES) -> float:
    return sum(amount * float(getattr(prices, line)) for (_, line), amount in bill.items())


def by_service(bill: Bill) -> dict[str, float]:
    """Dollars, the dearest first."""
    sums: defaultdict[str, float] = defaultdict(float)
    for (who, line), amount in bill.items():
        sums[service_of(line)] += dollars({(who, line): amount})
    return dict(sorted(sums.items(), key=lambda found: -found[1]))


def scaled(bill: Bill, factor: float) -> Bill:
    return {key: amount * factor for key, amount in bill.items()}


def added(*bills: Bill) -> Bill:
    total: defaultdict[tuple[str, str], float] = defaultdict(float)
    for bill in bills:
        for key, amount in bill.items():
            total[key] += amount
    return dict(total)


def without_refused(calls: Iterable[Call]) -> list[Call]:
    """Without writes that somebody else's came before. Here shards of a second end at the same moment; those of ten
    minutes seldom do."""
    return [
        call for call in calls if call.service != "dynamodb" or call.status < HTTPStatus.BAD_REQUEST
    ]


def bill_of(calls: Iterable[Call], *, tells_of_objects: bool) -> Bill:
    """`tells_of_objects`: the bucket tells EventBridge of each object, of its making and, in `work/`, of its expiry.

    Raises UnknownCall for what has no price: a meter that passes over a call is none.
    """
    bill: defaultdict[tuple[str, str], float] = defaultdict(float)
    for call in calls:
        for line, amount in _lines(call, tells_of_objects):
            bill[call.caller, line] += amount
    return dict(bill)


def _lines(call: Call, tells_of_objects: bool) -> list[tuple[str, float]]:
    chunks = max(1, -(-call.sent_bytes // CHUNK_BYTES))
    found: list[tuple[str, float]] = []
    match call.service:
        case "s3":
            found = _object_lines(call, tells_of_objects)
        case "dynamodb" if call.units or call.operation == "BatchGetItem":
            found = [("dynamodb_write", unit.writes) for unit in call.units]
            found += [("dynamodb_read", unit.reads) for unit in call.units]
        case "sqs":
            found = [("sqs_fifo" if call.resource.endswith(".fifo") else "sqs", chunks)]
        case "sns" | "events":
            found = [(call.service, chunks), ("sqs", chunks)]
        case "states":
            found = [("trace", 1.0)] if call.operation == "StartExecution" else []
        case "secretsmanager":
            found = [("secret_call", 1.0)]
        case "monitoring":
            found = [("metrics_call", 1.0)]
        case service if service not in FREE_SERVICES:
            raise UnknownCall(f"{service} {call.operation} has no price here.")
    return found


def _object_lines(call: Call, tells_of_objects: bool) -> list[tuple[str, float]]:
    if call.operation in S3_FREE:
        return []
    if call.operation in S3_READS:
        return [("s3_read", 1.0)]
    if call.operation not in S3_WRITES:
        raise UnknownCall(f"S3's {call.operation} has no price here.")
    lines = [("s3_write", 1.0)]
    if tells_of_objects and call.operation in S3_CREATIONS:
        lines.append(("s3_event", 2.0 if call.resource.startswith("work/") else 1.0))
    return lines


# ── functions ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocations:
    """Of one function: how often, how long a quick one took (a fifth were quicker), its memory, what it logged in all.

    A quick one, because the rest says how busy this machine was.
    """

    times: int
    quick_ms: float
    memory_mb: int
    log_bytes: int


def read_invocations(messages: Iterable[str]) -> Invocations | None:
    """From the log of one function, as Lambda writes it; None when it was never called."""
    took, memory, size = [], 0, 0
    for message in messages:
        size += len(message.encode()) + LOG_EVENT_BYTES
        if found := _REPORT.search(message):
            took.append(float(found[1]))
            memory = int(found[2])
    if not took:
        return None
    return Invocations(
        times=len(took), quick_ms=sorted(took)[len(took) // 5], memory_mb=memory, log_bytes=size
    )


def billed_ms(found: Invocations, calls: Iterable[Call]) -> float:
    """Of one invocation: what it took here, through recorder and emulator, or what its calls take in AWS — whichever
    is more."""
    waited = sum(CALL_MS.get(call.service, 0.0) for call in calls)
    return max(found.quick_ms, OWN_MS + waited / found.times)


def bill_functions(invocations: Mapping[str, Invocations], calls: Iterable[Call]) -> Bill:
    """The functions' time, logs and queues; the requests that API Gateway passed on."""
    by_caller: defaultdict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_caller[call.caller].append(call)
    bill: Bill = {}
    for name, found in invocations.items():
        seconds = billed_ms(found, by_caller[name]) / 1000 * found.times
        lines: dict[str, float] = {
            "lambda_call": found.times,
            "lambda_gb_second": seconds * found.memory_mb / 1024,
            "logs_gb": found.log_bytes / GB,
        }
        if name == "api":
            lines["api"] = found.times
            lines["logs_gb"] += found.times * ACCESS_LOG_BYTES / GB
        if name in LISTENERS:
            lines["sqs_fifo" if name in FIFO_LISTENERS else "sqs"] = 2 * found.times
        bill.update({(name, line): amount for line, amount in lines.items()})
    return bill
