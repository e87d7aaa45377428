"""What AWS asks in us-east-1, in dollars, without free tiers. AWS's price pages and Price List, read in 2026-09; a
deployment elsewhere, or with discounts, changes them here."""

from __future__ import annotations

from dataclasses import dataclass

DATE = "2026-09"
REGION = "us-east-1"
MILLION = 1e6
GB = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """A call, a unit, a GB-second, a transition, a GB, a GB-month. arm64 where functions are concerned."""

    s3_write: float = 5.00 / MILLION  # PUT, COPY, POST, LIST, and each part
    s3_read: float = 0.40 / MILLION  # GET, HEAD and all else; DELETE and ABORT are free
    s3_event: float = (
        1.00 / MILLION
    )  # to EventBridge, where a bucket tells it of every object: "opt-in data events"
    s3_gb_month: float = 0.023
    dynamodb_write: float = 0.625 / MILLION
    dynamodb_read: float = 0.125 / MILLION
    sqs: float = 0.40 / MILLION  # a request of up to 64 KB
    sqs_fifo: float = 0.50 / MILLION
    sns: float = 0.50 / MILLION  # a publish of up to 64 KB; deliveries to SQS are SQS's
    events: float = 1.00 / MILLION  # an event of up to 64 KB on a bus of one's own
    transition: float = 25.00 / MILLION
    trace: float = 5.00 / MILLION
    lambda_call: float = 0.20 / MILLION
    lambda_gb_second: float = 16.67 / MILLION * 0.8
    api: float = 3.50 / MILLION
    metrics_call: float = 0.01 / 1_000
    logs_gb: float = 0.50
    secret_call: float = 0.05 / 10_000


PRICES = Prices()

S3_WRITES = frozenset(
    {
        "PutObject", "PostObject", "CopyObject", "UploadPart", "UploadPartCopy", "ListObjectsV2",
        "CreateMultipartUpload", "CompleteMultipartUpload",
    }
)  # fmt: skip
S3_FREE = frozenset({"DeleteObject", "DeleteObjects", "AbortMultipartUpload"})
S3_READS = frozenset({"GetObject", "HeadObject"})
S3_CREATIONS = frozenset({"PutObject", "PostObject", "CopyObject", "CompleteMultipartUpload"})
"""What makes an object, and so an event where the bucket tells of them."""
CHUNK_BYTES = 65_536
"""Queues, topics and buses bill a payload by chunks of this size."""
FREE_SERVICES = frozenset({"sts", "sagemaker"})
"""Credentials; and an asynchronous invocation, which is billed by its instance alone."""
