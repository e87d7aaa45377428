"""What SageMaker does in the account's name, as the endpoint's execution role: reads inputs, writes result objects,
publishes notices, and hands the role's credentials to the container."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.credentials import RefreshableCredentials

from offpeak.local.deploy import session_of

SESSION_SECONDS = 3_600


class Role:
    """An execution role, assumed anew before its credentials expire. `environment` is the administrator's."""

    def __init__(self, arn: str, environment: Mapping[str, str]) -> None:
        self._arn = arn
        self._environment = environment
        self._sts = session_of(environment).client(
            "sts", endpoint_url=environment["AWS_ENDPOINT_URL"]
        )

    def credentials(self) -> dict[str, str]:
        """As a container's credentials endpoint answers them."""
        answer = self._sts.assume_role(
            RoleArn=self._arn, RoleSessionName="SageMaker", DurationSeconds=SESSION_SECONDS
        )["Credentials"]
        return {
            "AccessKeyId": answer["AccessKeyId"],
            "SecretAccessKey": answer["SecretAccessKey"],
            "Token": answer["SessionToken"],
            "Expiration": answer["Expiration"].isoformat(),
        }

    def session(self) -> boto3.Session:
        """A session whose credentials renew themselves."""
        inner = botocore.session.get_session()
        inner._credentials = RefreshableCredentials.create_from_metadata(  # type: ignore[attr-defined]
            self._metadata(), self._metadata, "assume-role"
        )
        return boto3.Session(botocore_session=inner, region_name=self._environment["AWS_REGION"])

    def _metadata(self) -> dict[str, str]:
        got = self.credentials()
        return {
            "access_key": got["AccessKeyId"],
            "secret_key": got["SecretAccessKey"],
            "token": got["Token"],
            "expiry_time": got["Expiration"],
        }


class Results:
    """Synchronous; safe to use from several threads at once."""

    def __init__(self, session: boto3.Session, url: str) -> None:
        self._s3 = session.client("s3", endpoint_url=url)
        self._sns = session.client("sns", endpoint_url=url)

    def read(self, location: str) -> bytes:
        bucket, key = _split(location)
        return bytes(self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    def write(self, location: str, body: bytes, content_type: str) -> None:
        bucket, key = _split(location)
        self._s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)

    def publish(self, topic: str | None, message: Mapping[str, Any]) -> None:
        if topic is not None:
            self._sns.publish(TopicArn=topic, Message=json.dumps(message))


def _split(location: str) -> tuple[str, str]:
    parts = urlsplit(location)
    return parts.netloc, parts.path.lstrip("/")
