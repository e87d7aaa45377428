"""What a function gave up is shown to an operator, and given back on demand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from offpeak.local.cloud import LocalCloud
from tests.e2e.command import offpeak

pytestmark = [pytest.mark.cloud]

DEAD = "offpeak-local-dispatch-dead.fifo"


@pytest.fixture
def sqs(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    return boto3.client("sqs")


def test_a_dead_letter_is_shown_by_its_names_and_moved_only_with_yes(
    cloud: LocalCloud, sqs: Any, tmp_path: Path
) -> None:
    url = sqs.get_queue_url(QueueName=DEAD)["QueueUrl"]
    sqs.send_message(
        QueueUrl=url, MessageGroupId="nobody", MessageDeduplicationId="one",
        MessageBody=json.dumps({"pool": "nobody", "prompt": "what nobody may read"}),
    )  # fmt: skip

    def redrive(*arguments: str) -> tuple[Any, str]:
        ran = offpeak(
            "redrive", "dispatch", "--stage", "local", "--json", *arguments,
            environment=cloud.environment, cwd=tmp_path,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert "nobody may read" not in ran.stdout + ran.stderr
        return json.loads(ran.stdout), ran.stderr

    for _ in range(2):
        [queue], said = redrive()
        assert (queue["queue"], queue["function"]) == ("dispatch-dead.fifo", "dispatch_shards")
        assert (queue["records"], queue["sample"][0]["pool"]) == (1, "nobody")
        assert "offpeak redrive --yes" in said
    _, said = redrive("--yes")
    assert "1 moved" in said
    assert redrive("--yes") == ([], "Nothing was given up.\n")
