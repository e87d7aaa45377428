"""Dead-letter queues: moved by hand on the emulator, and by SQS's own tasks, held to its model, where there are any."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from offpeak.aws.dead_letters import SqsDeadLetters
from offpeak.core.dead_letter import DeadQueue, dead_name
from tests.contract.aws_world import AwsWorld

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

PREFIX = "offpeak-prod-"
URL = "https://sqs.us-east-1.amazonaws.com/123456789012/"
ARN = "arn:aws:sqs:us-east-1:123456789012:"
SHARD_ENDED = DeadQueue(meant_for="shard-ended", letters=3)


class OnAws:
    """Queues of one test's own on the emulator."""

    def __init__(self, world: AwsWorld, name: str, *queues: str) -> None:
        self.client: SQSClient = world.sqs
        self.prefix = f"dead-{world.name}-{name}-"
        self.dead_letters = SqsDeadLetters(world.sqs, self.prefix)
        for queue in queues:
            for each in (queue, dead_name(queue)):
                world.sqs.create_queue(
                    QueueName=self.prefix + each,
                    Attributes={"FifoQueue": "true"} if each.endswith(".fifo") else {},
                )

    def url(self, queue: str) -> str:
        return self.client.get_queue_url(QueueName=self.prefix + queue)["QueueUrl"]

    def give_up(self, queue: str, *bodies: object, **more: Any) -> None:
        for body in bodies:
            self.client.send_message(
                QueueUrl=self.url(dead_name(queue)), MessageBody=json.dumps(body), **more
            )

    def received(self, queue: str) -> list[Any]:
        found: list[Any] = []
        while messages := self.client.receive_message(
            QueueUrl=self.url(queue), MaxNumberOfMessages=10, WaitTimeSeconds=1
        ).get("Messages", []):
            for message in messages:
                found.append(json.loads(message["Body"]))
                self.client.delete_message(
                    QueueUrl=self.url(queue), ReceiptHandle=message["ReceiptHandle"]
                )
        return found


@pytest.mark.cloud
def test_what_was_given_up_is_seen_stays_and_goes_back(on_aws: AwsWorld) -> None:
    queues = OnAws(on_aws, "plain", "shard-ended")
    queues.give_up("shard-ended", *range(12))
    [queue] = queues.dead_letters.queues()
    assert (queue.name, queue.letters) == ("shard-ended-dead", 12)
    sample = queues.dead_letters.peek(queue, 10)
    assert 0 < len(sample) <= 10
    assert all(letter.sent_at > 1_700_000_000 for letter in sample)
    assert queues.dead_letters.queues()[0].letters == 12
    assert queues.dead_letters.move(queue) == 12
    assert sorted(queues.received("shard-ended")) == list(range(12))
    assert queues.dead_letters.queues()[0].letters == 0


@pytest.mark.cloud
def test_a_pools_records_go_back_to_its_group_and_one_that_is_moved_twice_comes_once(
    on_aws: AwsWorld,
) -> None:
    queues = OnAws(on_aws, "fifo", "dispatch.fifo")
    group = {"MessageGroupId": "llama", "MessageDeduplicationId": "first"}
    queues.give_up("dispatch.fifo", {"pool": "llama"}, **group)
    [queue] = queues.dead_letters.queues()
    assert queues.dead_letters.move(queue) == 1
    assert queues.received("dispatch.fifo") == [{"pool": "llama"}]


@pytest.mark.cloud
def test_a_record_that_comes_while_others_are_moved_waits_for_the_next_time(
    on_aws: AwsWorld,
) -> None:
    """Else one that fails at once would be moved for ever."""
    queues = OnAws(on_aws, "late", "groups")
    queues.give_up("groups", *range(15))
    assert queues.dead_letters.move(DeadQueue(meant_for="groups", letters=5)) == 10
    assert queues.dead_letters.queues()[0].letters == 5


class Answers:
    """What SQS will say, call by call."""

    def __init__(self) -> None:
        client = boto3.client(
            "sqs", region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
        )
        self.stubber = Stubber(client)
        self.dead_letters = SqsDeadLetters(client, PREFIX)

    def named(self, name: str) -> None:
        url, arn = URL + PREFIX + name, ARN + PREFIX + name
        self.stubber.add_response("get_queue_url", {"QueueUrl": url}, {"QueueName": PREFIX + name})
        self.stubber.add_response(
            "get_queue_attributes", {"Attributes": {"QueueArn": arn}},
            {"QueueUrl": url, "AttributeNames": ["QueueArn"]},
        )  # fmt: skip

    def tasks(self, *statuses: str) -> None:
        self.named("shard-ended-dead")
        self.named("shard-ended")
        self.stubber.add_response(
            "list_message_move_tasks", {"Results": [{"Status": status} for status in statuses]},
            {"SourceArn": ARN + PREFIX + "shard-ended-dead", "MaxResults": 1},
        )  # fmt: skip


@pytest.mark.parametrize("earlier", [[], ["COMPLETED"], ["FAILED"]])
def test_sqs_moves_them_by_itself_where_it_can(earlier: list[str]) -> None:
    """To the queue by name: letters of a topic's or an event's have no queue that they came from."""
    answers = Answers()
    answers.tasks(*earlier)
    answers.stubber.add_response(
        "start_message_move_task", {"TaskHandle": "t"},
        {
            "SourceArn": ARN + PREFIX + "shard-ended-dead",
            "DestinationArn": ARN + PREFIX + "shard-ended",
        },
    )  # fmt: skip
    with answers.stubber:
        assert answers.dead_letters.move(SHARD_ENDED) is None
        answers.stubber.assert_no_pending_responses()


def test_a_move_that_is_under_way_is_left_to_go_on() -> None:
    answers = Answers()
    answers.tasks("RUNNING")
    with answers.stubber:
        assert answers.dead_letters.move(SHARD_ENDED) is None
        answers.stubber.assert_no_pending_responses()


def test_queues_that_this_deployment_does_not_have_are_left_out() -> None:
    answers = Answers()
    for _ in range(7):
        answers.stubber.add_client_error(
            "get_queue_url", "AWS.SimpleQueueService.NonExistentQueue", http_status_code=400
        )
    with answers.stubber:
        assert answers.dead_letters.queues() == []
