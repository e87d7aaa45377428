"""A deployment in the middle of a batch: the pool's instances are replaced, and every line comes back once."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import boto3
import pytest

from offpeak.aws.connect import Aws
from offpeak.core.shard import ShardStatus
from offpeak.local.cloud import LocalCloud
from offpeak.local.sagemaker.spec import EndpointSpec
from tests.e2e.caller import Caller
from tests.e2e.deployment import sweeping
from tests.e2e.follow import completed, until, until_ended
from tests.e2e.lines import MODEL, assert_each_once_in_input_order, chat_lines, jsonl, parse
from tests.local.endpoint_update import begin_update

pytestmark = [pytest.mark.cloud]

WINDOW = 64  # lines that the echo answers at once
# At this pace the lines take ten minutes, and one window of them five seconds.
SLOW = {"OFFPEAK_ECHO_SECONDS_PER_LINE": "5"}
QUICK = {"OFFPEAK_ECHO_SECONDS_PER_LINE": "0"}
LINES = chat_lines(120 * WINDOW)
UPDATE_SECONDS_MAX = 180


class Updates:
    """Of the pool that serves MODEL."""

    def __init__(self, cloud: LocalCloud) -> None:
        config = json.loads((cloud.folder / "sagemaker.json").read_text())
        [spec] = [
            EndpointSpec(**served["spec"])
            for served in config["endpoints"]
            if served["spec"]["environment"]["OFFPEAK_MODEL"] == MODEL
        ]
        self._spec = spec
        self._cloud = cloud
        self._sagemaker = boto3.client(
            "sagemaker",
            endpoint_url=cloud.environment["AWS_ENDPOINT_URL_SAGEMAKER"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name="us-east-1",
        )

    def update(self, environment: Mapping[str, str]) -> None:
        """Returns when the endpoint is in service with it, and the instances of before are gone."""
        name = f"update-{uuid.uuid4().hex[:8]}"
        before = self.pids()
        begin_update(self._sagemaker, self._spec, name, environment)
        give_up_at = time.monotonic() + UPDATE_SECONDS_MAX
        while self._described()["EndpointConfigName"] != name or before & self.pids():
            assert time.monotonic() < give_up_at, self._described()
            time.sleep(0.2)

    def pids(self) -> set[int]:
        return {w["pid"] for w in self._cloud.workers() if w["endpoint"] == self._spec.name}

    def _described(self) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._sagemaker.describe_endpoint(EndpointName=self._spec.name)
        return answer


@pytest.fixture
def updates(cloud: LocalCloud) -> Iterator[Updates]:
    """Whatever happens, the next test finds an endpoint as it was."""
    updates = Updates(cloud)
    yield updates
    updates.update(QUICK)


def test_an_update_of_the_endpoint_in_the_middle_of_a_batch_loses_no_line_and_doubles_none(
    cloud: LocalCloud, aws: Aws, updates: Updates, new_caller: Callable[[], Caller]
) -> None:
    updates.update(SLOW)
    client = new_caller().sdk()
    file = client.files.create(file=("lines.jsonl", jsonl(LINES)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    until(client, batch.id, completed(WINDOW), 120)
    updates.update(QUICK)
    ended = until_ended(client, batch.id, 240, meanwhile=sweeping(cloud))
    assert ended.status == "completed"
    assert ended.output_file_id is not None
    results = parse(client.files.content(ended.output_file_id).text)
    assert_each_once_in_input_order(LINES, results)
    shards = list(aws.shards.of_run(batch.id, 0))
    assert {shard.status for shard in shards} == {ShardStatus.DONE}
    assert max(shard.attempt for shard in shards) >= 2, "no shard was at work when the update came"
