"""The demo's second half: the first lines of the file through the drop folder, as a producer who calls no API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from offpeak.local.cloud import LocalCloud
from offpeak.local.deploy import session_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LINES_MAX = 4
POLL_SECONDS = 0.25
NAME = "from-make-demo"


def drop_lines(cloud: LocalCloud, path: Path, tell: Callable[[str], None]) -> Mapping[str, Any]:
    """The final status of the file's first lines, put into the folder of the cloud's account."""
    s3 = _s3(cloud)
    stem = f"drop/{cloud.account_id}/{NAME}"
    with path.open("rb") as file:
        body = b"".join(islice(file, LINES_MAX))
    s3.put_object(Bucket=cloud.bucket, Key=f"{stem}.jsonl", Body=body)
    tell(f"Put its first lines into S3 as {stem}.jsonl; nobody calls the API.")
    told = ""
    while True:
        cloud.check()
        found = s3.list_objects_v2(Bucket=cloud.bucket, Prefix=f"{stem}.status.json")
        if found.get("KeyCount"):
            answer = s3.get_object(Bucket=cloud.bucket, Key=f"{stem}.status.json")
            status: Mapping[str, Any] = json.loads(answer["Body"].read())
            line = f"{NAME}.status.json: {status['status']}. {status['message']}"
            if line != told:
                tell(line)
                told = line
            if status["final"]:
                return status
        time.sleep(POLL_SECONDS)


def dropped_results(cloud: LocalCloud, status: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The lines of what lies beside the object."""
    s3 = _s3(cloud)
    return [
        json.loads(line)
        for key in (status["output"], status["errors"])
        if key is not None
        for line in s3.get_object(Bucket=cloud.bucket, Key=key)["Body"].iter_lines()
    ]


def _s3(cloud: LocalCloud) -> S3Client:
    return session_of(cloud.environment).client(
        "s3", endpoint_url=cloud.aws_endpoint_url, config=Config(s3={"addressing_style": "path"})
    )
