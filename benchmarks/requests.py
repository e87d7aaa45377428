"""What a stand-alone request costs, from POST to its result, through the real handlers and the real worker.

    make bench-requests

The functions' handlers and the worker run in this process, on the AWS emulator; queues are polled as Lambda would, in
collections of up to 1,000. Every DynamoDB call is counted as DynamoDB charges it (`dynamo_units.py`).
`writes_per_request` and `reads_per_request` are all of it, divided: the requests' own rows, and their share of
gatherings, runs, shards and the batch. `requests_per_s` is how fast one process takes POSTs on this emulator, which
writes some hundred rows a second: a figure to compare with itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any

from benchmarks.aws_calls import Call, Recorder
from benchmarks.bare_stage import STAGE, deploy, named
from benchmarks.bill import CALL_MS, Bill, added, bill_of, scaled
from benchmarks.cost_model import encode_bill
from benchmarks.dynamo_units import CapacityMeter
from lambdas.api.app import build_app
from offpeak.aws.connect import Aws
from offpeak.core.gathering import GATHERING_ACCOUNT
from offpeak.core.ports import Save
from offpeak.local.emulator import Emulator
from offpeak.steps.create_key import create_key
from offpeak.wire.invocation import decode_order, encode_report
from offpeak.worker.engines.echo import EchoEngine
from offpeak.worker.instance import Instance
from offpeak.worker.ports import WorkerPorts
from offpeak.worker.settings import WorkerSettings

ROOT = Path(__file__).parent.parent
REQUESTS, COLLECTION = 2_000, 1_000
RATE_MAX = 1_000
GATHERING = "gathering"
_OF_QUEUES = frozenset({"ReceiveMessage", "DeleteMessage"})


class Meter:
    """Counts what a client's calls are charged as, by table."""

    def __init__(self) -> None:
        self.writes: Counter[str] = Counter()
        self.reads: Counter[str] = Counter()
        self._capacity = CapacityMeter(named)
        self._lock = Lock()  # adapters ask from several threads at once

    def watch(self, client: Any) -> None:
        client.meta.events.register("provide-client-params.dynamodb", self._asked)
        client.meta.events.register("after-call.dynamodb", self._answered)

    def _asked(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["asked"] = params

    def _answered(
        self, http_response: Any, parsed: Any, context: dict[str, Any], model: Any, **_: Any
    ) -> None:
        ok = http_response.status_code == HTTPStatus.OK
        with self._lock:
            for units in self._capacity.count(model.name, context["asked"], parsed, ok=ok):
                self.writes[units.table] += units.writes  # type: ignore[assignment]
                self.reads[units.table] += units.reads  # type: ignore[assignment]


# ── the world ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Endpoints:
    """Keeps orders, for the worker below."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, bytes]] = []

    def invoke(self, pool: str, invocation_id: str, order: bytes) -> None:  # noqa: ARG002
        self.orders.append((invocation_id, order))


class Context:
    function_name = invoked_function_arn = aws_request_id = "bench"
    memory_limit_in_mb = 1_024


# ── the road ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def post_all(aws: Aws, secret: str) -> tuple[list[str], float]:
    """The ids, and requests a second."""
    app = build_app(aws)
    ids: list[str] = []
    started = time.perf_counter()
    for n in range(REQUESTS):
        messages = [{"role": "user", "content": f"Question {n}: what is {n} and {n}? " * 5}]
        body = {"request_body": {"model": "bench/echo", "messages": messages}}
        event = {
            "resource": "/{proxy+}", "path": "/v1/requests", "httpMethod": "POST",
            "headers": {"X-API-Key": secret, "Content-Type": "application/json"},
            "queryStringParameters": None, "requestContext": {"requestId": "r", "stage": "v1"},
            "body": json.dumps(body), "isBase64Encoded": False,
        }  # fmt: skip
        answer = app(event, None)
        if answer["statusCode"] != 201:
            raise SystemExit(answer["body"])
        ids.append(json.loads(answer["body"])["id"])
    return ids, REQUESTS / (time.perf_counter() - started)


def receive(sqs: Any, url: str) -> list[dict[str, Any]]:
    """A collection of records, as Lambda hands them over."""
    records: list[dict[str, Any]] = []
    while len(records) < COLLECTION:
        found = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["ApproximateReceiveCount"]
        ).get("Messages", [])
        if not found:
            break
        for message in found:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            records.append(
                {
                    "messageId": message["MessageId"], "body": message["Body"],
                    "attributes": message["Attributes"],
                }
            )  # fmt: skip
    return records


def collect_all(aws: Aws, handler: Any, sqs: Any, url: str) -> list[str]:
    """Until every gathering is sealed; their ids."""
    give_up_at = time.monotonic() + 120
    while time.monotonic() < give_up_at:
        records = receive(sqs, url)
        if records:
            answer = handler.handler({"Records": records}, Context())
            if answer["batchItemFailures"]:
                raise SystemExit(f"{len(answer['batchItemFailures'])} records were not taken in.")
            continue
        batches = [batch.id for batch in aws.batches.open()]
        if batches and not list(aws.gatherings.open()):
            return batches
        time.sleep(0.2)
    raise SystemExit("The gatherings were not sealed in two minutes.")


async def work_all(aws: Aws, orders: list[tuple[str, bytes]]) -> list[str]:
    """Works the orders; the notices that SageMaker would send."""
    ports = WorkerPorts(
        clock=aws.clock, reader=aws.reader, writer=aws.writer, changes=aws.changes, runs=aws.runs,
        shards=aws.shards,
    )  # fmt: skip
    instance = Instance(
        model="bench/echo", name="bench", load=lambda: EchoEngine("bench/echo"), ports=ports,
        settings=WorkerSettings(),
    )  # fmt: skip
    await instance.start()
    notices = []
    for invocation_id, order in orders:
        report = await instance.work(decode_order(order))
        key = f"work/invocations/{invocation_id}.out"
        aws.writer.put(key, encode_report(report))
        notices.append(
            json.dumps(
                {
                    "eventName": "InferenceResult", "invocationStatus": "Completed",
                    "inferenceId": invocation_id,
                    "responseParameters": {"outputLocation": f"s3://{STAGE}/{key}"},
                }
            )
        )  # fmt: skip
    await instance.close()
    return notices


def run_all(aws: Aws, batches: list[str], handlers: dict[str, Any]) -> None:
    """What `process_batch` and the queues would call, in their order."""
    endpoints = Endpoints()
    aws.__dict__["endpoints"] = endpoints
    for batch_id in batches:
        event = {"account_id": GATHERING_ACCOUNT, "batch_id": batch_id}
        handlers["release_runs"].handler({**event, "task_token": f"token-{batch_id}"}, Context())
    while True:
        seen = len(endpoints.orders)
        record = {"messageId": "m", "body": json.dumps({"pool": "echo"})}
        handlers["dispatch_shards"].handler({"Records": [record]}, Context())
        if len(endpoints.orders) == seen:
            break
        for notice in asyncio.run(work_all(aws, endpoints.orders[seen:])):
            handlers["complete_shard"].complete(notice)
    for batch_id in batches:
        event = {"account_id": GATHERING_ACCOUNT, "batch_id": batch_id}
        handlers["close_batch"].handler(event, Context())
        handlers["finalize_batch"].handler(event, Context())


def measure(folder: Path, recorder: Recorder | None = None) -> tuple[dict[str, float], Bill]:
    """The figures; with a recorder, what everything after the POSTs is billed as, a request."""
    os.environ.update(deploy(folder))
    os.environ["OFFPEAK_BUCKET"] = STAGE
    # After the environment is set: a handler makes its ports when it is imported.
    from importlib import import_module  # noqa: PLC0415

    aws = Aws.from_environment()
    names = ("collect_requests", "release_runs", "dispatch_shards", "complete_shard")
    handlers = {
        name: import_module(f"lambdas.{name}.handler")
        for name in (*names, "close_batch", "finalize_batch")
    }
    for handler in handlers.values():
        setattr(handler, "aws", aws)  # noqa: B010
    made = create_key(
        "bench", "bench", make_account=True, clock=aws.clock, accounts=aws.accounts,
        changes=aws.changes, key_hashes=aws.key_hashes,
    )  # fmt: skip
    # What one process can send on a fast machine is more than an account may by default.
    account = aws.accounts.get(made.account.id)
    limits = replace(account.limits, requests_per_second=RATE_MAX)
    aws.changes.commit(Save(replace(account, limits=limits)))
    aws.__dict__["workflows"] = _QuietWorkflows(aws.workflows)
    meter = Meter()
    meter.watch(aws.clients.dynamodb)
    ids, rate = post_all(aws, made.secret)
    sent = len(recorder) if recorder else 0
    url = os.environ["OFFPEAK_REQUEST_QUEUE_URL"]
    run_all(aws, collect_all(aws, handlers["collect_requests"], aws.clients.sqs, url), handlers)
    bill = scaled(bill_gathering(recorder.calls(sent)), 1 / REQUESTS) if recorder else {}
    writes, reads = Counter(meter.writes), Counter(meter.reads)  # without the check that follows
    lacking = [r.id for r in aws.requests.get_many(ids) if r.status != "completed"]
    if lacking:
        raise SystemExit(f"{len(lacking)} of {REQUESTS} requests were not completed.")
    for what, counted in (("writes", writes), ("reads", reads)):
        shares = {table: round(count / REQUESTS, 4) for table, count in counted.items() if count}
        print(f"{what} a request, by table: {shares}", file=sys.stderr)
    return {
        "requests_per_s": round(rate, 1),
        "writes_per_request": round(writes.total() / REQUESTS, 4),
        "reads_per_request": round(reads.total() / REQUESTS, 4),
    }, bill


def bill_gathering(calls: list[Call]) -> Bill:
    """As if functions had made the calls: they wait for each, at a GB of memory. Lambda itself reads the queue, ten
    records a call; half as many are reckoned."""
    own = [replace(c, caller=GATHERING) for c in calls if c.operation not in _OF_QUEUES]
    waited = sum(CALL_MS.get(call.service, 0.0) for call in own) / 1_000
    return added(
        bill_of(own, tells_of_objects=False),
        {(GATHERING, "lambda_gb_second"): waited, (GATHERING, "sqs"): REQUESTS * 2 / 5},
    )


class _QuietWorkflows:
    """Starts for real; answers no token, since none waits."""

    def __init__(self, workflows: Any) -> None:
        self._workflows = workflows

    def start(self, name: str, payload: Any) -> None:
        self._workflows.start(name, payload)

    def answer(self, task_token: str, output: Any) -> None:
        """Nobody waits."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-requests")
    parser.add_argument(
        "--bill", type=Path, help="write what a request is billed as into this file"
    )
    options = parser.parse_args()
    python = ROOT / ".offpeak/venvs/emulator/bin/python"
    logging.disable(logging.CRITICAL)  # the handlers' lines would drown the figures
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        (folder / "emulator").mkdir()
        emulator = opened.enter_context(Emulator(python, folder / "emulator"))
        os.environ.update(emulator.environment)
        recorder = None
        if options.bill:
            recorder = opened.enter_context(Recorder(emulator.url, named))
            os.environ["AWS_ENDPOINT_URL"] = recorder.url
        figures, bill = measure(folder, recorder)
        if options.bill:
            options.bill.write_text(json.dumps(encode_bill(bill)))
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
