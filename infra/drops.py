"""From S3's event of a new object in the drop folder to the queue that `ingest_drop` reads."""

from __future__ import annotations

from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from infra.rights import Resources
from offpeak.core.drop import RESERVED_SUFFIXES
from offpeak.core.layout import OWN_PREFIXES


class Drops(Construct):
    """A rule on the account's default bus, where S3 tells of objects.

    Its pattern excludes what lies elsewhere in the bucket, and what is named as our results. EventBridge can't ask of
    one field that it begins so *and* doesn't end so; but everything in the bucket begins with one of a few prefixes.
    """

    def __init__(self, scope: Construct, id: str, *, resources: Resources) -> None:
        super().__init__(scope, id)
        stage = resources.stage
        excluded = [
            *(f"{prefix}*" for prefix in OWN_PREFIXES),
            *(f"*{suffix}" for suffix in RESERVED_SUFFIXES),
        ]
        events.Rule(
            self,
            "Rule",
            rule_name=stage.named("drops"),
            description="Objects that were put into the drop folder",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [resources.bucket.bucket_name]},
                    "object": {"key": [{"anything-but": {"wildcard": excluded}}]},
                },
            ),
            targets=[targets.SqsQueue(resources.drop_queue)],
        )
