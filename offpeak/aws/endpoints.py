"""Shards handed to SageMaker's asynchronous endpoints, one endpoint a pool, the order in the call itself. The pool's id
says which region's endpoint that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from offpeak.aws.errors import translated
from offpeak.core.errors import TooLarge
from offpeak.core.pool import split_pool
from offpeak.core.ports import ORDER_BYTES_MAX

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

INVOCATION_SECONDS_MAX = 3_600
"""SageMaker's own maximum; the worker stops itself before."""
QUEUE_SECONDS_MAX = 21_600
"""Likewise. What waits longer on the endpoint's queue is dropped, and its shard's lease has ended long before."""


class SageMakerEndpoints:
    """`client` gives a region's; None is the home region's."""

    def __init__(self, client: Callable[[str | None], SageMakerRuntimeClient], prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    def invoke(self, pool: str, invocation_id: str, order: bytes) -> None:
        if len(order) > ORDER_BYTES_MAX:
            raise TooLarge(f"An order has at most {ORDER_BYTES_MAX} bytes, not {len(order)}.")
        name, region = split_pool(pool)
        with translated(f"endpoint of pool {pool}"):
            self._client(region).invoke_endpoint_async(
                EndpointName=self._prefix + name,
                Body=order,
                ContentType="application/json",
                InferenceId=invocation_id,
                InvocationTimeoutSeconds=INVOCATION_SECONDS_MAX,
                RequestTTLSeconds=QUEUE_SECONDS_MAX,
            )
