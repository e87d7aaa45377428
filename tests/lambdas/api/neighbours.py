"""Two accounts that have one of everything, so that each can be tried with the other's ids."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from offpeak.core.batch import BatchStatus
from offpeak.core.file import FileStatus
from offpeak.core.ports import Add, Save
from offpeak.core.request import RequestEnding, RequestStatus, ResultRange
from offpeak.core.usage import Counts
from offpeak.steps.tell_ending import tell_request
from offpeak.wire.results import render_response
from tests.contract import rows
from tests.lambdas.api.client import Client, Field, World
from tests.lambdas.api.test_api_hive import sent
from tests.lambdas.api.test_api_requests import send as send_request

LINES = b'{"custom_id": "a", "body": {"model": "chat"}}\n'
HOOK = {"name": "ops", "url": "https://hooks.example.com/a", "event_types": ["batch.completed"]}


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What one account has: ids by what they name, and where an upload of Together's goes on."""

    ids: dict[str, str]
    multipart_id: str

    def made_up(self) -> dict[str, str]:
        """Ids that name nothing, born when these were."""
        return {what: unknown(one) for what, one in self.ids.items()}


def unknown(one: str) -> str:
    """As long, of the same kind and time, and nobody's."""
    return one[:-4] + ("0000" if one[-4:] != "0000" else "1111")


def settle(world: World, name: str) -> Holdings:
    """Gives the account one of everything, in each state that an answer could give away; and no throttle, for the time
    of these tests stands still."""
    account = world.accounts.get(f"acct_{name}")
    unthrottled = replace(account.limits, requests_per_second=10**9)
    world.changes.commit(Save(replace(account, limits=unthrottled)))
    client = Client(world, f"sk-{name}")
    files = _files(client)
    uploads = _uploads(client)
    batches, output = _batches(client, files["file"])
    multipart = client.post(
        "/together/v1/files/multipart/initiate",
        {"purpose": "batch-api", "file_name": "a.jsonl", "file_size": 5, "num_parts": 1},
    ).json
    hook, delivery = _hook(client, batches["ended batch"])
    key = world.accounts.keys(f"acct_{name}")[0].id
    ids = {
        **files, **uploads, **batches, **_requests(client), **output,
        "file in parts": multipart["file_id"], "webhook": hook, "delivery": delivery,
        "key": key, "account": f"acct_{name}",
    }  # fmt: skip
    return Holdings(ids=ids, multipart_id=multipart["upload_id"])


def _files(client: Client) -> dict[str, str]:
    begun = client.post("/v1/files", {"filename": "b.jsonl", "purpose": "batch", "bytes": 9}).json
    put = client.send(
        "POST", "/together/v1/files",
        urlencode({"purpose": "batch-api", "file_name": "c.jsonl"}).encode(),
        content_type="application/x-www-form-urlencoded",
    )  # fmt: skip
    return {
        "file": client.upload(LINES)["id"],
        "begun file": begun["id"],
        "file to put": put.headers["x-together-file-id"],
    }


def _uploads(client: Client) -> dict[str, str]:
    ids: dict[str, str] = {}
    for what, ends in (("upload", False), ("ended upload", True)):
        new = {"filename": "d.jsonl", "purpose": "batch", "bytes": 2, "mime_type": "text/plain"}
        upload = client.post("/v1/uploads", new).json["id"]
        part = client.post_form(f"/v1/uploads/{upload}/parts", Field("data", b"{}", "x")).json["id"]
        if ends:
            client.post(f"/v1/uploads/{upload}/complete", {"part_ids": [part]})
        ids |= {what: upload, f"part of {what}": part}
    return ids


def _batches(client: Client, file_id: str) -> tuple[dict[str, str], dict[str, str]]:
    world, account_id = client.world, f"acct_{client.secret.removeprefix('sk-')}"
    open_id, ended_id = (client.create_batch(file_id).json["id"] for _ in range(2))
    output = rows.file(
        account_id, purpose="batch_output", key=f"results/{ended_id}/output.jsonl",
        status=FileStatus.PROCESSED, filename="output.jsonl",
    )  # fmt: skip
    world.writer.put(output.key, b"{}\n", "application/jsonl")
    now = int(world.clock.now())
    ended = replace(
        world.batches.get(account_id, ended_id), status=BatchStatus.COMPLETED, completed_at=now,
        output_file_id=output.id, counts=Counts(total=1, completed=1),
    )  # fmt: skip
    world.changes.commit(Add(output), Save(ended))
    return {"batch": open_id, "ended batch": ended_id}, {"output": output.id}


def _requests(client: Client) -> dict[str, str]:
    world = client.world
    open_id, ended_id, grouped = (send_request(client).json["id"] for _ in range(3))
    task, ended_task = sent(client), sent(client)
    for each in (ended_id, ended_task):
        _end(world, each)
    group = client.post("/v1/batches", {"requests_ids": [grouped]}).json["id"]
    return {
        "request": open_id, "ended request": ended_id, "member": grouped, "task": task,
        "ended task": ended_task, "group": group,
    }  # fmt: skip


def _end(world: World, request_id: str) -> None:
    """As a shard's result ends it."""
    line = render_response(
        batch_id="gather_1", line=1, custom_id=request_id, status_code=200,
        body=b'{"choices":[{"message":{"role":"assistant","content":"secret"}}]}',
    )  # fmt: skip
    key = f"work/gather_1/{request_id}.jsonl"
    world.writer.put(key, line, "application/jsonl")
    ending = RequestEnding(
        request_id=request_id, status=RequestStatus.COMPLETED, at=int(world.clock.now()),
        result=ResultRange(key, 0, len(line)),
    )  # fmt: skip
    (moved,) = world.requests.end([ending])
    assert moved.request is not None
    tell_request(moved.request, clock=world.clock, changes=world.changes, callbacks=world.callbacks)


def _hook(client: Client, batch_id: str) -> tuple[str, str]:
    world, account_id = client.world, f"acct_{client.secret.removeprefix('sk-')}"
    hook: str = client.post("/v1/webhook_endpoints", HOOK).json["id"]
    row = rows.delivery(account_id, destination_id=hook)
    world.changes.commit(Add(replace(row, body=f'{{"data": {{"id": "{batch_id}"}}}}')))
    return hook, row.id


def belongings(world: World, account_id: str) -> dict[str, Any]:
    """All that is stored of an account: rows, objects, and what is under way for it."""
    ids = {
        row.id
        for kind in world.changes._tables.rows.values()
        for row in kind.values()
        if getattr(row, "account_id", getattr(row, "id", "")) == account_id
    }
    stored = {
        f"{kind.__name__} {key}": row
        for kind, found in world.changes._tables.rows.items()
        for key, row in found.items()
        if account_id in (getattr(row, "account_id", ""), *key) or ids & set(key)
    }
    objects = {
        each.key: each.etag
        for each in world.reader.list("")
        if account_id in each.key or any(one in each.key for one in ids)
    }
    asks = [ask for ask, _ in world.callbacks.asks if ask.account_id == account_id]
    return {
        "rows": stored,
        "objects": objects,
        "callbacks": asks,
        "posts": len(world.destinations.posts),
    }
