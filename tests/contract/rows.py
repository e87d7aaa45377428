"""Rows to store, under fresh ids: the tests share their tables and never see each other's rows."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from typing import Any

from offpeak.core.account import Account, ApiKey, hash_secret, new_secret
from offpeak.core.batch import Batch
from offpeak.core.delivery import Delivery
from offpeak.core.file import File, Upload
from offpeak.core.gathering import Collected, GatheredSegment, Gathering, Lane
from offpeak.core.group import Group
from offpeak.core.ids import (
    ACCOUNT,
    BATCH,
    EVENT,
    FILE,
    GATHERING,
    GROUP,
    KEY,
    REQUEST,
    UPLOAD,
    WEBHOOK,
    new_id,
)
from offpeak.core.ledger import Balance, Entry, EntryKind, ModelUsage
from offpeak.core.request import Request
from offpeak.core.run import Run
from offpeak.core.shard import Shard, ShardStatus
from offpeak.core.usage import Usage
from offpeak.core.webhook import Webhook

NOW = 1_790_000_000
_moments = itertools.count()


def fresh(prefix: str) -> str:
    """A new id; each sorts after the one before."""
    return new_id(prefix, time.time() + next(_moments) / 1000)


def account(**fields: Any) -> Account:
    return replace(Account(id=fresh(ACCOUNT), name="research", created_at=NOW), **fields)


def api_key(account_id: str, **fields: Any) -> ApiKey:
    secret = new_secret()
    row = ApiKey(
        hash=hash_secret(secret, b"pepper"),
        id=fresh(KEY),
        account_id=account_id,
        name="ci",
        last4=secret[-4:],
        created_at=NOW,
    )
    return replace(row, **fields)


def file(account_id: str, **fields: Any) -> File:
    file_id = fresh(FILE)
    row = File(
        id=file_id,
        account_id=account_id,
        filename="requests.jsonl",
        purpose="batch",
        bytes=12,
        key=f"files/{account_id}/{file_id}",
        created_at=NOW,
    )
    return replace(row, **fields)


def upload(account_id: str, **fields: Any) -> Upload:
    row = Upload(
        id=fresh(UPLOAD),
        account_id=account_id,
        filename="requests.jsonl",
        purpose="batch",
        mime_type="application/jsonl",
        bytes=12,
        created_at=NOW,
        expires_at=NOW + 3_600,
    )
    return replace(row, **fields)


def batch(account_id: str, **fields: Any) -> Batch:
    row = Batch(
        id=fresh(BATCH),
        account_id=account_id,
        input_file_id="file-1",
        input_key="files/a/file-1",
        input_bytes=12,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        created_at=NOW,
        expires_at=NOW + 86_400,
    )
    return replace(row, **fields)


def run(batch_id: str, number: int = 0, **fields: Any) -> Run:
    row = Run(
        batch_id=batch_id,
        account_id="acct_1",
        number=number,
        model="tiny",
        pool="tiny",
        endpoint="/v1/chat/completions",
        manifest_key=f"work/{batch_id}/{number}/manifest.jsonl",
        manifest_bytes=100,
        shards=2,
        lines=10,
        deadline=NOW + 86_400,
        created_at=NOW,
    )
    return replace(row, **fields)


def shard(batch_id: str, run: int = 0, number: int = 0, **fields: Any) -> Shard:
    row = Shard(
        batch_id=batch_id,
        account_id="acct_1",
        run=run,
        number=number,
        pool="tiny",
        manifest_start=0,
        manifest_stop=50,
        first_line=1,
        last_line=5,
        lines=5,
        status=ShardStatus.DISPATCHED,
        attempt=1,
        due_at=NOW + 180,
    )
    return replace(row, **fields)


def request(account_id: str, **fields: Any) -> Request:
    row = Request(
        id=fresh(REQUEST),
        account_id=account_id,
        model="tiny",
        endpoint="/v1/chat/completions",
        completion_window="24h",
        created_at=NOW,
        expires_at=NOW + 86_400,
    )
    return replace(row, **fields)


def webhook(account_id: str, **fields: Any) -> Webhook:
    row = Webhook(
        id=fresh(WEBHOOK),
        account_id=account_id,
        name="ops",
        url="https://example.com/hook",
        event_types=("batch.completed",),
        secret_hint="whsec_…abcde",
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(row, **fields)


def group(account_id: str, **fields: Any) -> Group:
    row = Group(
        id=fresh(GROUP), account_id=account_id, created_at=NOW, expires_at=NOW + 86_400,
        calls=("call",), members=1,
    )  # fmt: skip
    return replace(row, **fields)


def gathering(lane: Lane, **fields: Any) -> Gathering:
    row = Gathering(id=fresh(GATHERING), lane=lane, opened_at=NOW, due_at=NOW + 300)
    return replace(row, **fields)


def lane() -> Lane:
    return Lane(
        model=fresh("model-"), pool="tiny", endpoint="/v1/chat/completions", window_seconds=86_400
    )


def collected(**fields: Any) -> Collected:
    segment = GatheredSegment(name="segment", start=0, stop=30, lines=3)
    row = Collected(
        segments=(segment,), oldest="req_1", newest="req_3", first_deadline=NOW + 5,
        last_deadline=NOW + 9, completion_tokens=300,
    )  # fmt: skip
    return replace(row, **fields)


def delivery(account_id: str, **fields: Any) -> Delivery:
    row = Delivery(
        destination_id=fresh(WEBHOOK),
        id=fresh(EVENT),
        account_id=account_id,
        event_type="batch.completed",
        body="{}",
        created_at=NOW,
        due_at=NOW,
    )
    return replace(row, **fields)


def balance(account_id: str, **fields: Any) -> Balance:
    return replace(Balance(account_id=account_id, microdollars=5), **fields)


def entry(account_id: str, **fields: Any) -> Entry:
    batch_id = fresh(BATCH)
    row = Entry(
        account_id=account_id,
        id=f"settle:{batch_id}",
        kind=EntryKind.SETTLE,
        microdollars=-7,
        at=NOW,
        source=batch_id,
        models=(
            ModelUsage(
                model="tiny",
                requests=2,
                input_bytes=100,
                usage=Usage(input_tokens=5, cached_tokens=1, output_tokens=2),
                cost_microdollars=7,
                foretold_off=(None, -12),
            ),
        ),
    )
    return replace(row, **fields)
