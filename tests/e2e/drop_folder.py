"""An account's drop folder, as a producer sees it who has AWS credentials and no API key."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from offpeak.local.cloud import LocalCloud
from tests.e2e.caller import Caller
from tests.e2e.lines import parse

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SECONDS_MAX = 120.0


@dataclass(frozen=True)
class Folder:
    """An account's drop folder, as a producer with AWS credentials sees it."""

    s3: S3Client
    bucket: str
    account_id: str

    def put(self, name: str, body: bytes, **metadata: str) -> str:
        """The object's ETag."""
        answer = self.s3.put_object(
            Bucket=self.bucket, Key=self.key(name), Body=body, Metadata=metadata
        )
        return answer["ETag"].strip('"')

    def key(self, name: str) -> str:
        return f"drop/{self.account_id}/{name}"

    def read(self, name: str) -> bytes | None:
        try:
            return self.s3.get_object(Bucket=self.bucket, Key=self.key(name))["Body"].read()
        except self.s3.exceptions.NoSuchKey:
            return None

    def names(self) -> set[str]:
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=self.key(""))
        return {each["Key"].removeprefix(self.key("")) for each in found.get("Contents", ())}

    def until(self, name: str, reached: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        """The status, as soon as `reached` is true of it."""
        give_up_at = time.monotonic() + SECONDS_MAX
        while True:
            body = self.read(f"{name}.status.json")
            status = json.loads(body) if body else {}
            if status and reached(status):
                return status
            assert time.monotonic() < give_up_at, f"{name}: {status or 'no status'}"
            time.sleep(0.2)

    def until_final(self, name: str) -> Mapping[str, Any]:
        return self.until(name, lambda status: status["final"])

    def results(self, name: str) -> list[dict[str, Any]]:
        body = self.read(name)
        assert body is not None, f"{name} is missing"
        return parse(body)


def folder_of(cloud: LocalCloud, caller: Caller) -> Folder:
    environment = cloud.environment
    s3 = boto3.client(
        "s3",
        endpoint_url=cloud.aws_endpoint_url,
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
        config=Config(s3={"addressing_style": "path"}),
    )
    return Folder(s3, cloud.bucket, caller.account_id)
