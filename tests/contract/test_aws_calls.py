"""What our adapters send to SageMaker and CloudWatch, at its largest, held to botocore's service models.

The stacks' own calls are in tests/infra/test_infra_aws_models.py, `offpeak pools pin`'s in its test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from offpeak.aws.endpoints import SageMakerEndpoints
from offpeak.aws.metrics import DATA_MAX, CloudWatchMetrics
from offpeak.core.ids import BATCH, new_id
from offpeak.core.ports import ORDER_BYTES_MAX, PoolMeasure
from tests.aws_models import faults

Calls = list[tuple[str, dict[str, Any]]]
POOL = "p" * 40
MANY = 1_000_000


def recorded(
    service: str, responses: list[tuple[str, dict[str, Any]]], use: Callable[[Any], None]
) -> Calls:
    """The calls that `use` makes with a client of `service`, whose answers are `responses` by method, in order."""
    client = boto3.client(
        service, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"  # type: ignore[call-overload]
    )  # fmt: skip
    calls: Calls = []
    client.meta.events.register(
        f"provide-client-params.{client.meta.service_model.service_id.hyphenize()}",
        lambda params, model, **_: calls.append((model.name, dict(params))),
    )
    with Stubber(client) as stubber:
        for method, response in responses:
            stubber.add_response(method, response)
        use(client)
        stubber.assert_no_pending_responses()
    assert calls
    return calls


def test_the_longest_invocation_is_one_that_sagemaker_takes() -> None:
    invocation_id = f"{new_id(BATCH, 0.0)}.{99}.{MANY}.{99_999}"
    [(operation, sent)] = recorded(
        "sagemaker-runtime",
        [("invoke_endpoint_async", {"InferenceId": invocation_id})],
        lambda client: SageMakerEndpoints(lambda _: client, "offpeak-aaaaaaaaaaaa-").invoke(
            POOL, invocation_id, b"x" * ORDER_BYTES_MAX
        ),
    )
    assert faults("sagemaker-runtime", operation, sent) == []
    assert sent["EndpointName"] == f"offpeak-aaaaaaaaaaaa-{POOL}"


@pytest.mark.parametrize("pools", [1, 250, 251, 1_000])
def test_every_publication_is_one_that_cloudwatch_takes(pools: int) -> None:
    measures = [
        PoolMeasure(
            pool=f"{POOL[:35]}{n}", measured_at=1_790_000_000, waiting_shards=MANY,
            oldest_wait_seconds=604_800, least_slack_seconds=-604_800, failed_shards=MANY,
        )
        for n in range(pools)
    ]  # fmt: skip
    calls = recorded(
        "cloudwatch",
        [("put_metric_data", {})] * -(-4 * pools // DATA_MAX),
        lambda client: CloudWatchMetrics(lambda _: client, "aaaaaaaaaaaa").publish(*measures),
    )
    assert sum(len(sent["MetricData"]) for _, sent in calls) == 4 * pools
    for operation, sent in calls:
        assert faults("cloudwatch", operation, sent) == []
        assert len(sent["MetricData"]) <= DATA_MAX
        assert len(str(sent)) < 1_000_000  # PutMetricData's own limit on a request
