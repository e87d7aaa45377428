"""The dead-letter queues of a deployment on SQS. Their records go back by a message-move task of SQS's own, or one by
one where there is none (the local cloud's emulator)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from offpeak.aws.errors import code_of, translated
from offpeak.core.dead_letter import FIFO, READERS, DeadLetter, DeadQueue, dead_name

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

RECEIVE_MAX = 10
HELD_SECONDS = 60
"""How long a record that is moved by hand is hidden from others who move."""
_NO_TASKS = frozenset(
    {"InvalidAction", "UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation"}
)
_MISSING = frozenset({"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"})


class SqsDeadLetters:
    """`prefix` is what the deployment's queues are called before their names: `offpeak-prod-`."""

    def __init__(self, client: SQSClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    def queues(self) -> Sequence[DeadQueue]:
        found = ((name, self._letters(name)) for name in READERS)
        return [DeadQueue(meant_for=name, letters=n) for name, n in found if n is not None]

    def peek(self, queue: DeadQueue, limit: int) -> Sequence[DeadLetter]:
        url = self._url(queue.name)
        found: dict[str, DeadLetter] = {}
        with translated(f"queue {queue.name}"):
            while len(found) < limit:
                messages = self._receive(url, min(RECEIVE_MAX, limit - len(found)), hidden=0)
                seen = {message["MessageId"]: _letter(message) for message in messages}
                if not seen.keys() - found.keys():
                    break
                found |= seen
        return list(found.values())

    def move(self, queue: DeadQueue) -> int | None:
        dead, target = self._arn(queue.name), self._arn(queue.meant_for)
        with translated(f"queue {queue.name}"):
            try:
                tasks = self._client.list_message_move_tasks(SourceArn=dead, MaxResults=1)
                if not any(task.get("Status") == "RUNNING" for task in tasks.get("Results", ())):
                    self._client.start_message_move_task(SourceArn=dead, DestinationArn=target)
            except ClientError as error:
                if code_of(error) not in _NO_TASKS:
                    raise
                return self._move_by_hand(queue)
        return None

    def _move_by_hand(self, queue: DeadQueue) -> int:
        """Sent first, deleted second. At most as many as there were: what fails again comes back while this goes on."""
        source, target = self._url(queue.name), self._url(queue.meant_for)
        moved = 0
        while moved < queue.letters:
            messages = self._receive(source, RECEIVE_MAX, hidden=HELD_SECONDS)
            for message in messages:
                self._client.send_message(QueueUrl=target, **_again(message, queue.meant_for))
                self._client.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
                moved += 1
            if not messages:
                break
        return moved

    def _receive(self, url: str, limit: int, *, hidden: int) -> Sequence[MessageTypeDef]:
        return self._client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=limit, VisibilityTimeout=hidden, WaitTimeSeconds=1,
            MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"],
        ).get("Messages", [])  # fmt: skip

    def _letters(self, name: str) -> int | None:
        """None for a queue that this deployment doesn't have."""
        with translated(f"queue {name}"):
            try:
                url = self._url(dead_name(name))
            except ClientError as error:
                if code_of(error) in _MISSING:
                    return None
                raise
            return self._attribute(url, "ApproximateNumberOfMessages")

    def _url(self, name: str) -> str:
        return self._client.get_queue_url(QueueName=self._prefix + name)["QueueUrl"]

    def _arn(self, name: str) -> str:
        with translated(f"queue {name}"):
            found = self._client.get_queue_attributes(
                QueueUrl=self._url(name), AttributeNames=["QueueArn"]
            )
        return found["Attributes"]["QueueArn"]

    def _attribute(self, url: str, name: Any) -> int:
        found = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        return int(found["Attributes"][name])


def _letter(message: MessageTypeDef) -> DeadLetter:
    attributes = message.get("Attributes", {})
    return DeadLetter(
        id=message["MessageId"], body=message["Body"],
        sent_at=int(attributes.get("SentTimestamp", 0)) // 1_000,
    )  # fmt: skip


def _again(message: MessageTypeDef, queue: str) -> dict[str, Any]:
    """What it is sent with. In a FIFO queue under an id that follows from its own: moved twice, it comes once."""
    attributes = message.get("Attributes", {})
    sent: dict[str, Any] = {"MessageBody": message["Body"]}
    if group := attributes.get("MessageGroupId"):
        sent["MessageGroupId"] = group
    if queue.endswith(FIFO):
        sent["MessageDeduplicationId"] = hashlib.sha256(message["MessageId"].encode()).hexdigest()
    if own := message.get("MessageAttributes"):
        sent["MessageAttributes"] = own
    return sent
