"""One small world: all ports over one shared state, under one lock."""

from __future__ import annotations

from pathlib import Path
from threading import RLock

from offpeak.core.ports import SignalSource
from offpeak.memory.audit import MemoryAudit
from offpeak.memory.bucket_on_files import BucketOnFiles
from offpeak.memory.clock import FrozenClock
from offpeak.memory.dead_letters import MemoryDeadLetters
from offpeak.memory.effects import (
    MemoryAnnouncements,
    MemoryCapacity,
    MemoryDispatches,
    MemoryDrops,
    MemoryEndpoints,
    MemoryGroupChecks,
    MemoryMetrics,
    MemoryRequestQueue,
    MemoryWorkflows,
    MemoryWorkMetrics,
)
from offpeak.memory.ledger import MemoryLedger
from offpeak.memory.multipart_on_files import FilesMultipart
from offpeak.memory.objects import (
    Bucket,
    MemoryMultipart,
    MemoryPresigner,
    MemoryReader,
    MemoryWriter,
)
from offpeak.memory.objects_on_files import FilesReader, FilesWriter
from offpeak.memory.requests import MemoryGatherings, MemoryGroups, MemoryRequests
from offpeak.memory.rows import (
    MemoryAccounts,
    MemoryBatches,
    MemoryChanges,
    MemoryFiles,
    MemoryIdempotency,
    MemoryPools,
    MemoryRuns,
    MemoryShards,
    Tables,
)
from offpeak.memory.throttles import MemoryThrottles
from offpeak.memory.tokenizers import MemoryTokenizers
from offpeak.memory.webhooks import (
    MemoryCallbacks,
    MemoryDeliveries,
    MemoryDestinations,
    MemoryKeyHashes,
    MemorySecrets,
    MemoryWebhooks,
)


class Memory:
    """An attribute per port, named as the steps name their parameters. With a `directory`, objects are files in it."""

    reader: MemoryReader | FilesReader
    writer: MemoryWriter | FilesWriter
    multipart: MemoryMultipart | FilesMultipart

    def __init__(self, clock: FrozenClock | None = None, *, directory: Path | None = None) -> None:
        lock = RLock()
        tables = Tables(lock)
        self.clock = clock or FrozenClock()
        self.region = "us-east-1"
        self.signal_sources: list[SignalSource] = []
        if directory is None:
            bucket = Bucket(lock)
            self.reader = MemoryReader(bucket)
            self.writer = MemoryWriter(bucket)
            self.multipart = MemoryMultipart(bucket)
        else:
            files = BucketOnFiles(directory)
            self.reader = FilesReader(files)
            self.writer = FilesWriter(files)
            self.multipart = FilesMultipart(files)
        self.presigner = MemoryPresigner(self.reader, self.writer, self.multipart, self.clock)
        self.tokenizers = MemoryTokenizers(self.reader)
        self.changes = MemoryChanges(tables)
        self.accounts = MemoryAccounts(tables)
        self.files = MemoryFiles(tables)
        self.batches = MemoryBatches(tables)
        self.runs = MemoryRuns(tables)
        self.shards = MemoryShards(tables)
        self.pools = MemoryPools(tables)
        self.requests = MemoryRequests(tables)
        self.groups = MemoryGroups(tables)
        self.gatherings = MemoryGatherings(tables)
        self.ledger = MemoryLedger(tables)
        self.audit = MemoryAudit(tables)
        self.idempotency = MemoryIdempotency(lock, self.clock)
        self.throttles = MemoryThrottles(lock)
        self.workflows = MemoryWorkflows(lock)
        self.dispatches = MemoryDispatches(lock)
        self.drops = MemoryDrops(lock)
        self.endpoints = MemoryEndpoints(lock)
        self.capacity = MemoryCapacity(lock)
        self.announcements = MemoryAnnouncements(lock)
        self.metrics = MemoryMetrics(lock)
        self.dead_letters = MemoryDeadLetters()
        self.work_metrics = MemoryWorkMetrics()
        self.request_queue = MemoryRequestQueue(lock)
        self.group_checks = MemoryGroupChecks(lock)
        self.webhooks = MemoryWebhooks(tables)
        self.secrets = MemorySecrets()
        self.key_hashes = MemoryKeyHashes()
        self.deliveries = MemoryDeliveries(tables)
        self.callbacks = MemoryCallbacks(lock)
        self.destinations = MemoryDestinations(lock)
