"""The queues between the functions, and the topics by which SageMaker tells of shards that ended."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.encryption import encrypt_queue, encrypt_topic
from infra.sizes import SIZES
from infra.stage import Stage

RECEIVES_MAX = 5
DEAD_DAYS = 14
VISIBLE_AFTER_TIMEOUTS = 6
"""What AWS advises: it leaves Lambda time to try again while the function is throttled."""
# Who asks for dispatch has just changed a row, and the dispatcher reads an index that follows a moment later.
INDEX_LAG_SECONDS = 1


class Queues(Construct):
    """`dispatch` asks for a pool's next shards; `shard_ended` holds SageMaker's notices; `requests` are stand-alone, on
    their way to a shard; `groups` asks whether one has ended; `batch_ended` holds what the event bus announces,
    `callbacks` the attempts to deliver it. `dead` are the names of the queues that hold what was given up."""

    def __init__(
        self, scope: Construct, id: str, *, stage: Stage, key: kms.IKey | None = None
    ) -> None:
        super().__init__(scope, id)
        self._key = key
        self.dead: list[str] = []
        self.dead_of: dict[sqs.IQueue, sqs.Queue] = {}
        # Twice the function's time, not the usual six times: while a record is in flight its pool's group stands still.
        self.dispatch = self._queue(stage, "Dispatch", "dispatch.fifo", "dispatch_shards", times=2)
        self.shard_ended = self._queue(stage, "ShardEnded", "shard-ended", "complete_shard")
        self.batch_ended = self._queue(stage, "BatchEnded", "batch-ended", "queue_deliveries")
        self.callbacks = self._queue(stage, "Callbacks", "callbacks", "deliver_callbacks")
        self.requests = self._queue(stage, "Requests", "requests", "collect_requests")
        self.groups = self._queue(stage, "Groups", "groups", "finalize_group")

    def _queue(
        self, stage: Stage, id: str, name: str, reader: str, *, times: int = VISIBLE_AFTER_TIMEOUTS
    ) -> sqs.Queue:
        """`reader` is the function that reads it. A record is visible again after so many `times` of its timeout."""
        fifo = True if name.endswith(".fifo") else None
        stem = name.removesuffix(".fifo")
        dead_name = stage.named(f"{stem}-dead{'.fifo' if fifo else ''}")
        self.dead.append(dead_name)
        dead = sqs.Queue(
            self,
            f"{id}Dead",
            queue_name=dead_name,
            fifo=fifo,
            retention_period=Duration.days(DEAD_DAYS),
            enforce_ssl=not stage.emulated,
        )
        queue = sqs.Queue(
            self,
            id,
            queue_name=stage.named(name),
            fifo=fifo,
            visibility_timeout=Duration.seconds(times * SIZES[reader].timeout_seconds),
            delivery_delay=Duration.seconds(INDEX_LAG_SECONDS)
            if fifo and not stage.emulated
            else None,
            enforce_ssl=not stage.emulated,
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=RECEIVES_MAX),
        )
        for each in (queue, dead):
            encrypt_queue(each, self._key)
        self.dead_of[queue] = dead
        return queue


class Notices(Construct):
    """The topics that every endpoint publishes to when an invocation ends, on their way to one queue; `dead` takes what
    could not be put into it."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        queue: sqs.IQueue,
        dead: sqs.IQueue,
        key: kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._key = key
        self.success = self._topic(stage, "Success", "shard-success", queue, dead)
        self.failure = self._topic(stage, "Failure", "shard-failure", queue, dead)

    def _topic(
        self, stage: Stage, id: str, name: str, queue: sqs.IQueue, dead: sqs.IQueue
    ) -> sns.Topic:
        topic = sns.Topic(
            self, id, topic_name=stage.named(name), enforce_ssl=None if stage.emulated else True
        )
        encrypt_topic(topic, self._key)
        topic.add_subscription(
            subscriptions.SqsSubscription(queue, raw_message_delivery=True, dead_letter_queue=dead)
        )
        return topic
