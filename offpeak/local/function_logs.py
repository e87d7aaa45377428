"""What the functions logged, out of the emulator's CloudWatch and into files: the emulator forgets it when it stops."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

PREFIX = "/aws/lambda/"
EVENTS_MAX = 10_000


def save_logs(environment: Mapping[str, str], folder: Path) -> None:
    """One file per function, its first 10,000 lines. An emulator that doesn't answer any more has nothing to save."""
    logs = boto3.client(
        "logs",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
        config=Config(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 1}),
    )
    try:
        for group in logs.describe_log_groups(logGroupNamePrefix=PREFIX)["logGroups"]:
            name = group["logGroupName"]
            pages = logs.get_paginator("filter_log_events").paginate(
                logGroupName=name, PaginationConfig={"MaxItems": EVENTS_MAX}
            )
            messages = [event["message"].rstrip() for page in pages for event in page["events"]]
            if messages:
                path = folder / f"{name.removeprefix(PREFIX)}.log"
                path.write_text("\n".join(messages) + "\n")
    except (BotoCoreError, ClientError):
        return
