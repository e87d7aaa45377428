"""The ports of one deployment, bound to the names in the environment. Nothing is made before it is used, so that a
function needs only the variables and permissions of the ports it touches."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import offpeak
from offpeak.aws.accounts import DynamoAccounts
from offpeak.aws.announcements import EventBridgeAnnouncements
from offpeak.aws.audit import DynamoAudit
from offpeak.aws.batches import DynamoBatches
from offpeak.aws.capacity import SageMakerCapacity
from offpeak.aws.changes import DynamoChanges
from offpeak.aws.clients import Clients
from offpeak.aws.clock import SystemClock
from offpeak.aws.dead_letters import SqsDeadLetters
from offpeak.aws.deliveries import DynamoDeliveries, SqsCallbacks
from offpeak.aws.destinations import HttpDestinations
from offpeak.aws.dispatches import SqsDispatches
from offpeak.aws.drops import SqsDrops
from offpeak.aws.endpoints import SageMakerEndpoints
from offpeak.aws.errors import translated
from offpeak.aws.files import DynamoFiles
from offpeak.aws.gatherings import DynamoGatherings
from offpeak.aws.groups import DynamoGroups
from offpeak.aws.idempotency import DynamoIdempotency
from offpeak.aws.ledger import DynamoLedger
from offpeak.aws.metrics import CloudWatchMetrics
from offpeak.aws.objects import S3Multipart, S3Presigner, S3Reader, S3Writer
from offpeak.aws.pools import DynamoPools
from offpeak.aws.queues import SqsGroupChecks, SqsRequestQueue
from offpeak.aws.requests import DynamoRequests
from offpeak.aws.runs import DynamoRuns
from offpeak.aws.shards import DynamoShards
from offpeak.aws.signal_sources import ElectricityMaps, WattTime
from offpeak.aws.table import Table
from offpeak.aws.throttles import DynamoThrottles
from offpeak.aws.tokenizers import StagedTokenizers
from offpeak.aws.webhooks import DynamoWebhooks, ManagedKeyHashes, ManagedSecrets
from offpeak.aws.work_metrics import LoggedMetrics
from offpeak.aws.workflows import StepFunctions
from offpeak.core.catalogue import Catalogue, parse_catalogue
from offpeak.core.destination import Reach
from offpeak.core.errors import NotFound

MADE_IN = Path(offpeak.__file__).parent.parent


class SettingMissing(RuntimeError):
    """A port was used whose variable this process was not given."""


class Aws:
    """An attribute per port, named as the steps name their parameters. Safe to use from many threads."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        home = environment.get("OFFPEAK_HOME_REGION") or os.environ.get("AWS_REGION")
        self.clients = Clients(home)
        self.clock = SystemClock()

    @classmethod
    def from_environment(cls) -> Aws:
        return cls(os.environ)

    @cached_property
    def catalogue(self) -> Catalogue:
        path = MADE_IN / self._environment.get("OFFPEAK_MODELS", "models.toml")
        pools = self._environment.get("OFFPEAK_POOLS")
        return parse_catalogue(
            path.read_text(), None if pools is None else frozenset(pools.split(","))
        )

    @cached_property
    def reader(self) -> S3Reader:
        return S3Reader(self.clients.s3, self._bucket)

    @cached_property
    def writer(self) -> S3Writer:
        return S3Writer(self.clients.s3, self._bucket)

    @cached_property
    def multipart(self) -> S3Multipart:
        return S3Multipart(self.clients.s3, self._bucket)

    @cached_property
    def presigner(self) -> S3Presigner:
        return S3Presigner(self.clients.s3, self._bucket)

    @cached_property
    def changes(self) -> DynamoChanges:
        return DynamoChanges(self.clients.dynamodb, self._table_name)

    @cached_property
    def accounts(self) -> DynamoAccounts:
        return DynamoAccounts(self._table("accounts"))

    @cached_property
    def files(self) -> DynamoFiles:
        return DynamoFiles(self._table("files"))

    @cached_property
    def batches(self) -> DynamoBatches:
        return DynamoBatches(self._table("batches"))

    @cached_property
    def runs(self) -> DynamoRuns:
        return DynamoRuns(self._table("runs"))

    @cached_property
    def shards(self) -> DynamoShards:
        return DynamoShards(self._table("shards"))

    @cached_property
    def pools(self) -> DynamoPools:
        return DynamoPools(self._table("pools"))

    @cached_property
    def requests(self) -> DynamoRequests:
        return DynamoRequests(self._table("requests"))

    @cached_property
    def groups(self) -> DynamoGroups:
        return DynamoGroups(self._table("groups"), self._table("requests"))

    @cached_property
    def gatherings(self) -> DynamoGatherings:
        return DynamoGatherings(self._table("gatherings"))

    @cached_property
    def request_queue(self) -> SqsRequestQueue:
        return SqsRequestQueue(self.clients.sqs, self._setting("OFFPEAK_REQUEST_QUEUE_URL"))

    @cached_property
    def group_checks(self) -> SqsGroupChecks:
        return SqsGroupChecks(self.clients.sqs, self._setting("OFFPEAK_GROUP_QUEUE_URL"))

    @cached_property
    def ledger(self) -> DynamoLedger:
        return DynamoLedger(self._table("ledger"))

    @cached_property
    def audit(self) -> DynamoAudit:
        return DynamoAudit(self._table("audit"))

    @cached_property
    def idempotency(self) -> DynamoIdempotency:
        return DynamoIdempotency(self._table("idempotency"), self.clock)

    @cached_property
    def throttles(self) -> DynamoThrottles:
        return DynamoThrottles(self._table("throttles"))

    @cached_property
    def workflows(self) -> StepFunctions:
        return StepFunctions(self.clients.stepfunctions, self._setting("OFFPEAK_STATE_MACHINE_ARN"))

    @cached_property
    def dispatches(self) -> SqsDispatches:
        return SqsDispatches(self.clients.sqs, self._setting("OFFPEAK_DISPATCH_QUEUE_URL"))

    @cached_property
    def dead_letters(self) -> SqsDeadLetters:
        return SqsDeadLetters(self.clients.sqs, f"offpeak-{self._setting('OFFPEAK_STAGE')}-")

    @cached_property
    def drops(self) -> SqsDrops:
        return SqsDrops(self.clients.sqs, self._setting("OFFPEAK_DROP_QUEUE_URL"), self._bucket)

    @cached_property
    def endpoints(self) -> SageMakerEndpoints:
        return SageMakerEndpoints(
            self.clients.sagemaker_runtime, self._setting("OFFPEAK_ENDPOINT_PREFIX")
        )

    @cached_property
    def capacity(self) -> SageMakerCapacity:
        return SageMakerCapacity(
            self.clients.autoscaling,
            self.clients.sagemaker,
            self._setting("OFFPEAK_ENDPOINT_PREFIX"),
        )

    @cached_property
    def announcements(self) -> EventBridgeAnnouncements:
        return EventBridgeAnnouncements(self.clients.events, self._setting("OFFPEAK_EVENT_BUS"))

    def secret(self, name: str) -> str:
        """The text of a secret in Secrets Manager, by its name or ARN. Raises NotFound."""
        client = self.clients.secretsmanager
        with translated(f"secret {name}"):
            try:
                return client.get_secret_value(SecretId=name)["SecretString"].strip()
            except client.exceptions.ResourceNotFoundException:
                raise NotFound(f"There is no secret {name}.") from None

    @cached_property
    def identity(self) -> str:
        """The ARN of whose credentials these are."""
        with translated("the caller's identity"):
            return self.clients.sts.get_caller_identity()["Arn"]

    @cached_property
    def work_metrics(self) -> LoggedMetrics:
        return LoggedMetrics(self._setting("OFFPEAK_STAGE"))

    @cached_property
    def metrics(self) -> CloudWatchMetrics:
        return CloudWatchMetrics(self.clients.cloudwatch, self._setting("OFFPEAK_STAGE"))

    @cached_property
    def webhooks(self) -> DynamoWebhooks:
        return DynamoWebhooks(self._table("webhooks"))

    @cached_property
    def deliveries(self) -> DynamoDeliveries:
        return DynamoDeliveries(self._table("deliveries"))

    @cached_property
    def callbacks(self) -> SqsCallbacks:
        return SqsCallbacks(self.clients.sqs, self._setting("OFFPEAK_CALLBACK_QUEUE_URL"))

    @cached_property
    def secrets(self) -> ManagedSecrets:
        return ManagedSecrets(self.clients.secretsmanager, self._setting("OFFPEAK_SIGNING_SECRET"))

    @cached_property
    def key_hashes(self) -> ManagedKeyHashes:
        return ManagedKeyHashes(self.clients.secretsmanager, self._setting("OFFPEAK_KEY_PEPPER"))

    @cached_property
    def destinations(self) -> HttpDestinations:
        return HttpDestinations(Reach(self._environment.get("OFFPEAK_REACH", Reach.PUBLIC)))

    @property
    def region(self) -> str:
        """The home region: where control plane and data are."""
        return self.clients.home_region

    @cached_property
    def signal_sources(self) -> Sequence[ElectricityMaps | WattTime]:
        """The services that there is a secret for. A key is read when it is used, so that a new one counts at once."""
        maps = self._environment.get("OFFPEAK_ELECTRICITY_MAPS_SECRET")
        watt = self._environment.get("OFFPEAK_WATTTIME_SECRET")
        return (
            *((ElectricityMaps(lambda: self.secret(maps)),) if maps else ()),
            *((WattTime(lambda: self.secret(watt)),) if watt else ()),
        )

    @cached_property
    def tokenizers(self) -> StagedTokenizers:
        return StagedTokenizers(self.reader)

    def _table(self, name: str) -> Table:
        return Table(self.clients.dynamodb, self._table_name(name))

    def _table_name(self, name: str) -> str:
        return self._setting(f"OFFPEAK_TABLE_{name.upper()}")

    @property
    def _bucket(self) -> str:
        return self._setting("OFFPEAK_BUCKET")

    def _setting(self, name: str) -> str:
        value = self._environment.get(name)
        if not value:
            raise SettingMissing(f"The environment variable {name} is not set.")
        return value
