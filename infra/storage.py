"""Where state lives: one bucket, and a table for each kind of row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from aws_cdk import Duration
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.drops import Drops
from infra.encryption import Encryption, encrypt_secret
from infra.stage import Stage
from offpeak.core.account import KEY_PEPPER
from offpeak.core.drop import DROP_PREFIX

ABANDONED_MULTIPART_DAYS = 2
WORK_DAYS = (
    14  # the longest window is 7 days; the rest is for whoever looks into a batch that went wrong
)
UPLOAD_PARTS_DAYS = 2  # an upload lives an hour
ACCESS_LOG_DAYS = 90


@dataclass(frozen=True, slots=True)
class Key:
    """A DynamoDB key, or an index: its partition and sort attributes. Attribute types are `S` or `N`. An index of the
    clock's is for those that look by time alone for what is due, and nobody else may read it. `includes` are the other
    attributes that an index projects, besides the table's key; None is every one. A write that changes none of them
    leaves the index alone, and costs nothing there."""

    partition: tuple[str, str]
    sort: tuple[str, str] | None = None
    is_of_the_clock: bool = False
    includes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    key: Key
    indexes: Mapping[str, Key]
    expires: bool = False


# All indexes are sparse or small. No reader goes back to the table for the rest of a row: they project everything, but
# for those whose rows change often.
TABLES = {
    "accounts": Schema(
        key=Key(("pk", "S")), indexes={"keys": Key(("account_id", "S"), ("id", "S"))}
    ),
    "files": Schema(
        key=Key(("account_id", "S"), ("id", "S")),
        indexes={"expiring": Key(("expiring", "S"), ("expires_at", "N"), is_of_the_clock=True)},
        expires=True,
    ),
    "batches": Schema(
        key=Key(("account_id", "S"), ("id", "S")),
        indexes={"open": Key(("open", "S"), ("open_key", "S"))},
    ),
    "runs": Schema(
        key=Key(("batch_id", "S"), ("number", "N")),
        indexes={
            "queue": Key(
                ("queue_pool", "S"),
                ("queue_key", "S"),
                includes=(
                    "account_id",
                    "tier",
                    "deadline",
                    "created_at",
                    "shards",
                    "shards_left",
                    "begun",
                    "lines",
                    "input_bytes",
                    "completion_tokens",
                ),
            )
        },
    ),
    "shards": Schema(
        key=Key(("run_id", "S"), ("number", "N")),
        indexes={"open": Key(("open_pool", "S"), ("shard_id", "S"))},
    ),
    # Spread by id, not by account: an account alone may send thousands of requests a second.
    "requests": Schema(
        key=Key(("id", "S")),
        indexes={
            "open_members": Key(("open_group", "S"), ("id", "S")),
            "open_callbacks": Key(
                ("open_callback", "S"), ("expires_at", "N"), is_of_the_clock=True
            ),
        },
        expires=True,
    ),
    "groups": Schema(
        key=Key(("account_id", "S"), ("id", "S")),
        indexes={"open": Key(("open", "S"), ("open_key", "S"))},
        expires=True,
    ),
    "gatherings": Schema(
        key=Key(("lane_id", "S"), ("id", "S")),
        indexes={"open": Key(("open", "S"), ("due_at", "N"))},
        expires=True,
    ),
    "ledger": Schema(
        key=Key(("account_id", "S"), ("id", "S")),
        indexes={"by_time": Key(("account_id", "S"), ("position", "S"))},
    ),
    "pools": Schema(key=Key(("id", "S")), indexes={}),
    "audit": Schema(key=Key(("trail", "S"), ("id", "S")), indexes={}),
    "idempotency": Schema(key=Key(("pk", "S")), indexes={}, expires=True),
    "throttles": Schema(key=Key(("id", "S")), indexes={}, expires=True),
    "webhooks": Schema(key=Key(("account_id", "S"), ("id", "S")), indexes={}),
    "deliveries": Schema(
        key=Key(("destination_id", "S"), ("id", "S")),
        indexes={"due": Key(("due_bucket", "S"), ("due_at", "N"), is_of_the_clock=True)},
        expires=True,
    ),
}


class Storage(Construct):
    """`bucket`, and the `drops` that it tells of; `tables` by the name of what they hold; the `signing_secret` that all
    webhook secrets follow from: without it every receiver would have to be told a new one; the `key_pepper`, without
    which no API key is known any more; and the `key` that all of it is encrypted with, where the stage has one."""

    def __init__(self, scope: Construct, id: str, *, stage: Stage) -> None:
        super().__init__(scope, id)
        self.key: kms.IKey | None = None
        if stage.customer_key:
            self.key = Encryption(self, "Encryption", stage=stage).key
        self.bucket = self._bucket(stage)
        self.tables: Mapping[str, dynamodb.Table] = {
            name: self._table(stage, name, schema) for name, schema in TABLES.items()
        }
        self.signing_secret = secretsmanager.Secret(
            self,
            "SigningSecret",
            description=f"Offpeak {stage.name}: what signs webhooks",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                password_length=64, exclude_punctuation=True
            ),
            removal_policy=stage.removal_policy,
        )
        # By name, as the tables: the operator's command line finds it.
        self.key_pepper = secretsmanager.Secret(
            self,
            "KeyPepper",
            secret_name=stage.named(KEY_PEPPER),
            description=f"Offpeak {stage.name}: what API keys are hashed with",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                password_length=64, exclude_punctuation=True
            ),
            removal_policy=stage.removal_policy,
        )
        for secret in (self.signing_secret, self.key_pepper):
            encrypt_secret(secret, self.key)

    def _bucket(self, stage: Stage) -> s3.Bucket:
        name = stage.bucket_name
        self.drops = Drops(self, "Drops", stage=stage, bucket_name=name, key=self.key)
        bucket = s3.Bucket(
            self,
            "Bucket",
            bucket_name=name,
            enforce_ssl=not stage.emulated,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.KMS if self.key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=self.key,
            # A key for the bucket's objects, asked for now and then instead of for each of them.
            bucket_key_enabled=True if self.key else None,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=stage.removal_policy,
            server_access_logs_bucket=None if stage.emulated else self._log_bucket(stage, name),
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="abandoned-multipart",
                    abort_incomplete_multipart_upload_after=Duration.days(ABANDONED_MULTIPART_DAYS),
                ),
                s3.LifecycleRule(id="work", prefix="work/", expiration=Duration.days(WORK_DAYS)),
                s3.LifecycleRule(
                    id="errors", prefix="errors/", expiration=Duration.days(WORK_DAYS)
                ),
                s3.LifecycleRule(
                    id="drop", prefix=DROP_PREFIX, expiration=Duration.days(stage.drop_days)
                ),
                s3.LifecycleRule(
                    id="upload-parts",
                    prefix="uploads/",
                    expiration=Duration.days(UPLOAD_PARTS_DAYS),
                ),
            ],
        )
        # The construct's own way is a function of CDK's that calls S3; CloudFormation knows the property.
        resource = cast("s3.CfnBucket", bucket.node.default_child)
        resource.notification_configuration = self.drops.notification
        bucket.node.add_dependency(self.drops)
        return bucket

    def _log_bucket(self, stage: Stage, name: str) -> s3.Bucket:
        """With S3's own key: S3 delivers access logs to no other. They hold keys of objects, and no content."""
        return s3.Bucket(
            self,
            "AccessLogs",
            bucket_name=f"{name}-logs",
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            removal_policy=stage.removal_policy,
            lifecycle_rules=[
                s3.LifecycleRule(id="old-logs", expiration=Duration.days(ACCESS_LOG_DAYS))
            ],
        )

    def _table(self, stage: Stage, name: str, schema: Schema) -> dynamodb.Table:
        table = dynamodb.Table(
            self,
            name.capitalize(),
            table_name=stage.named(name),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED if self.key else None,
            encryption_key=self.key,
            partition_key=_attribute(schema.key.partition),
            sort_key=_attribute(schema.key.sort) if schema.key.sort else None,
            time_to_live_attribute="ttl" if schema.expires else None,
            deletion_protection=stage.keep_data,
            removal_policy=stage.removal_policy,
            point_in_time_recovery_specification=None
            if stage.emulated
            else dynamodb.PointInTimeRecoverySpecification(point_in_time_recovery_enabled=True),
        )
        for index, key in schema.indexes.items():
            table.add_global_secondary_index(
                index_name=index,
                partition_key=_attribute(key.partition),
                sort_key=_attribute(key.sort) if key.sort else None,
                projection_type=dynamodb.ProjectionType.ALL
                if key.includes is None
                else dynamodb.ProjectionType.INCLUDE,
                non_key_attributes=None if key.includes is None else list(key.includes),
            )
        return table


_TYPES = {"S": dynamodb.AttributeType.STRING, "N": dynamodb.AttributeType.NUMBER}


def _attribute(named: tuple[str, str]) -> dynamodb.Attribute:
    name, kind = named
    return dynamodb.Attribute(name=name, type=_TYPES[kind])
