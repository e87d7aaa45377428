"""What the API needs of the world: `Aws` has it, and so has anything else with these attributes."""

from __future__ import annotations

from typing import Protocol

from offpeak.core.catalogue import Catalogue
from offpeak.core.ports import (
    Accounts,
    Announcements,
    Batches,
    Callbacks,
    Changes,
    Clock,
    Deliveries,
    Destinations,
    Dispatches,
    Files,
    Gatherings,
    GroupChecks,
    Groups,
    Idempotency,
    KeyHashes,
    Ledger,
    Multipart,
    Presigner,
    Reader,
    RequestQueue,
    Requests,
    Runs,
    Secrets,
    Shards,
    Tokenizers,
    Webhooks,
    Workflows,
    Writer,
)


class Ports(Protocol):
    @property
    def clock(self) -> Clock: ...
    @property
    def region(self) -> str: ...
    @property
    def reader(self) -> Reader: ...
    @property
    def writer(self) -> Writer: ...
    @property
    def multipart(self) -> Multipart: ...
    @property
    def presigner(self) -> Presigner: ...
    @property
    def changes(self) -> Changes: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def key_hashes(self) -> KeyHashes: ...
    @property
    def files(self) -> Files: ...
    @property
    def batches(self) -> Batches: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def shards(self) -> Shards: ...
    @property
    def requests(self) -> Requests: ...
    @property
    def groups(self) -> Groups: ...
    @property
    def gatherings(self) -> Gatherings: ...
    @property
    def request_queue(self) -> RequestQueue: ...
    @property
    def group_checks(self) -> GroupChecks: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def idempotency(self) -> Idempotency: ...
    @property
    def workflows(self) -> Workflows: ...
    @property
    def dispatches(self) -> Dispatches: ...
    @property
    def announcements(self) -> Announcements: ...
    @property
    def webhooks(self) -> Webhooks: ...
    @property
    def secrets(self) -> Secrets: ...
    @property
    def deliveries(self) -> Deliveries: ...
    @property
    def callbacks(self) -> Callbacks: ...
    @property
    def destinations(self) -> Destinations: ...
    @property
    def tokenizers(self) -> Tokenizers: ...
    @property
    def catalogue(self) -> Catalogue: ...
