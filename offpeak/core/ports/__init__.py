"""What the steps and the worker need of the world: synchronous, narrow, with an in-memory and an AWS adapter each.

Every port call may raise Unavailable (the effect may or may not have happened); further errors are named.
State is changed in one way only: `Changes.commit`, all or nothing, each save conditional on the version that was read.
"""

from offpeak.core.ports.audit import Audit
from offpeak.core.ports.dead_letters import DeadLetters
from offpeak.core.ports.deliveries import ASK_DELAY_SECONDS_MAX, Callbacks, Deliveries
from offpeak.core.ports.destinations import (
    ANSWER_BYTES_MAX,
    Answer,
    Destinations,
    Fetched,
    Resolved,
)
from offpeak.core.ports.drops import Drops
from offpeak.core.ports.effects import (
    ORDER_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    Announcements,
    Dispatches,
    Endpoints,
    Workflows,
)
from offpeak.core.ports.ledger import Ledger
from offpeak.core.ports.metrics import Metrics, PoolMeasure, WorkMetrics
from offpeak.core.ports.objects import (
    PART_BYTES_MAX,
    PART_BYTES_MIN,
    PARTS_MAX,
    Clock,
    Multipart,
    ObjectInfo,
    Presigner,
    Reader,
    Writer,
)
from offpeak.core.ports.pools import Bounds, Capacity, InstanceCounts, Pools
from offpeak.core.ports.requests import (
    QUEUE_DELAY_SECONDS_MAX,
    Gatherings,
    GroupChecks,
    GroupClaim,
    Groups,
    Moved,
    RequestQueue,
    Requests,
    Verdict,
)
from offpeak.core.ports.signals import SignalMetrics, Signals, SignalSource
from offpeak.core.ports.state import (
    CHANGES_MAX,
    Accounts,
    Add,
    Batches,
    Changes,
    Claim,
    Files,
    Idempotency,
    Page,
    Row,
    Runs,
    Save,
    Shards,
    is_removal,
)
from offpeak.core.ports.throttles import Throttles
from offpeak.core.ports.tokenizers import TOKENIZER_BYTES_MAX, Tokenizers
from offpeak.core.ports.webhooks import KeyHashes, Secrets, Webhooks

__all__ = [
    "ANSWER_BYTES_MAX",
    "ASK_DELAY_SECONDS_MAX",
    "CHANGES_MAX",
    "ORDER_BYTES_MAX",
    "PARTS_MAX",
    "PART_BYTES_MAX",
    "PART_BYTES_MIN",
    "PAYLOAD_BYTES_MAX",
    "QUEUE_DELAY_SECONDS_MAX",
    "TOKENIZER_BYTES_MAX",
    "Accounts",
    "Add",
    "Announcements",
    "Answer",
    "Audit",
    "Batches",
    "Bounds",
    "Callbacks",
    "Capacity",
    "Changes",
    "Claim",
    "Clock",
    "DeadLetters",
    "Deliveries",
    "Destinations",
    "Dispatches",
    "Drops",
    "Endpoints",
    "Fetched",
    "Files",
    "Gatherings",
    "GroupChecks",
    "GroupClaim",
    "Groups",
    "Idempotency",
    "InstanceCounts",
    "KeyHashes",
    "Ledger",
    "Metrics",
    "Moved",
    "Multipart",
    "ObjectInfo",
    "Page",
    "PoolMeasure",
    "Pools",
    "Presigner",
    "Reader",
    "RequestQueue",
    "Requests",
    "Resolved",
    "Row",
    "Runs",
    "Save",
    "Secrets",
    "Shards",
    "SignalMetrics",
    "SignalSource",
    "Signals",
    "Throttles",
    "Tokenizers",
    "Verdict",
    "Webhooks",
    "WorkMetrics",
    "Workflows",
    "Writer",
    "is_removal",
]
