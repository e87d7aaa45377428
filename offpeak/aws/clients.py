"""A process's clients of AWS services: how long they wait, how often they try again, how many calls run at once.

Each is made when it is first needed: a cold start pays for those alone that its function uses."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Literal, TypeVar

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_application_autoscaling import ApplicationAutoScalingClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_sts import STSClient

T = TypeVar("T")
ByRegion = Callable[[str | None], T]
"""The client of a region; of None, that of the home region."""

ATTEMPTS_MAX = 5
CONNECTIONS_MAX = 64
"""At once and per service: the worker's threads read, renew and checkpoint side by side."""


class Clients:
    """An attribute per service, in the region `home`. Safe to use from many threads."""

    def __init__(self, home: str | None) -> None:
        self._lock = Lock()
        self._session = boto3.Session(region_name=home)

    @property
    def home_region(self) -> str:
        return self._session.region_name or ""

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        with self._lock:
            return self._session.client("dynamodb", config=_config(read_seconds=5))

    @cached_property
    def sqs(self) -> SQSClient:
        with self._lock:
            return self._session.client("sqs", config=_config(read_seconds=10))

    @cached_property
    def s3(self) -> S3Client:
        """Checksums only where S3 requires them: a multipart upload that declares one refuses the parts that clients
        send to presigned URLs without."""
        for_s3 = Config(
            signature_version="s3v4",
            s3={"addressing_style": _addressing_style()},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        with self._lock:
            return self._session.client("s3", config=_config(read_seconds=60).merge(for_s3))

    @cached_property
    def stepfunctions(self) -> SFNClient:
        with self._lock:
            return self._session.client("stepfunctions", config=_config(read_seconds=10))

    @cached_property
    def events(self) -> EventBridgeClient:
        with self._lock:
            return self._session.client("events", config=_config(read_seconds=10))

    @cached_property
    def secretsmanager(self) -> SecretsManagerClient:
        with self._lock:
            return self._session.client("secretsmanager", config=_config(read_seconds=10))

    @cached_property
    def sts(self) -> STSClient:
        with self._lock:
            return self._session.client("sts", config=_config(read_seconds=10))

    @cached_property
    def sagemaker_runtime(self) -> ByRegion[SageMakerRuntimeClient]:
        def make(region: str | None) -> SageMakerRuntimeClient:
            config = _config(read_seconds=15)
            return self._session.client("sagemaker-runtime", region_name=region, config=config)

        return self._by_region(make)

    @cached_property
    def sagemaker(self) -> ByRegion[SageMakerClient]:
        def make(region: str | None) -> SageMakerClient:
            config = _config(read_seconds=10)
            return self._session.client("sagemaker", region_name=region, config=config)

        return self._by_region(make)

    @cached_property
    def autoscaling(self) -> ByRegion[ApplicationAutoScalingClient]:
        def make(region: str | None) -> ApplicationAutoScalingClient:
            config = _config(read_seconds=10)
            return self._session.client(
                "application-autoscaling", region_name=region, config=config
            )

        return self._by_region(make)

    @cached_property
    def cloudwatch(self) -> ByRegion[CloudWatchClient]:
        def make(region: str | None) -> CloudWatchClient:
            config = _config(read_seconds=10)
            return self._session.client("cloudwatch", region_name=region, config=config)

        return self._by_region(make)

    def _by_region(self, make: ByRegion[T]) -> ByRegion[T]:
        """One client a region: home's at once, another's when it is first needed."""
        made: dict[str | None, T] = {}

        def client(region: str | None) -> T:
            with self._lock:
                if region not in made:
                    made[region] = make(region)
            return made[region]

        client(None)
        return client


def _addressing_style() -> Literal["path", "virtual"]:
    """An endpoint of one's own (an emulator, a proxy) has no name per bucket."""
    own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return "path" if own else "virtual"


def _config(*, read_seconds: int) -> Config:
    return Config(
        connect_timeout=3,
        read_timeout=read_seconds,
        max_pool_connections=CONNECTIONS_MAX,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS_MAX},
        user_agent_extra="offpeak",
    )
