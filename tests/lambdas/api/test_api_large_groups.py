"""EXXA's batches of thousands of requests: 10,000 ids a call, extended again and again, all of a call's or none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from offpeak.core.group import MEMBERS_A_CALL_MAX, WINDOW_SECONDS
from offpeak.core.ids import REQUEST
from offpeak.core.ports import Add
from offpeak.core.request import RequestEnding, RequestStatus, ResultRange
from offpeak.steps.finalize_group import finalize_group
from offpeak.wire.results import render_response
from tests.contract import rows
from tests.lambdas.api.client import Client, World

EXTENSION_SECONDS = 3_600
ANSWER = b'{"choices":[{"message":{"role":"assistant","content":"%b"}}]}' % (b"x" * 200)


def registered(world: World, count: int, account_id: str = "acct_alice") -> list[str]:
    """Their ids, sent at the world's time, without their way through the queue."""
    now = int(world.clock.now())
    made = [
        rows.request(account_id, created_at=now, expires_at=now + WINDOW_SECONDS)
        for _ in range(count)
    ]
    for each in made:
        world.changes.commit(Add(each))
    return [each.id for each in made]


def grouped(world: World, ids: list[str]) -> set[str | None]:
    """The groups that they are in, if only by a claim."""
    return {request.group_id for request in world.requests.get_many(ids)}


def answer_all(world: World, ids: list[str]) -> None:
    """As a shard's results would."""
    lines = [
        render_response(
            batch_id="gather_1", line=number, custom_id=each, status_code=200, body=ANSWER
        )
        for number, each in enumerate(ids, 1)
    ]
    world.writer.put("work/gather_1/output.jsonl", b"".join(lines))
    start, endings = 0, []
    for each, line in zip(ids, lines, strict=True):
        where = ResultRange("work/gather_1/output.jsonl", start, start + len(line))
        start += len(line)
        endings.append(
            RequestEnding(
                request_id=each, status=RequestStatus.COMPLETED,
                at=int(world.clock.now()), result=where,
            )
        )  # fmt: skip
    world.requests.end(endings)


def finalize(world: World, group_id: str) -> None:
    finalize_group(
        "acct_alice", group_id, clock=world.clock, catalogue=world.catalogue, reader=world.reader,
        writer=world.writer, multipart=world.multipart, changes=world.changes,
        requests=world.requests, groups=world.groups, callbacks=world.callbacks,
    )  # fmt: skip


def test_a_batch_takes_ten_thousand_ids_a_call_and_grows_until_it_has_ended(world: World) -> None:
    client = Client(world)
    calls = []
    for number in range(3):
        world.clock.advance(EXTENSION_SECONDS)
        calls.append(registered(world, MEMBERS_A_CALL_MAX if number < 2 else 7))
    ids = [each for call in calls for each in call]
    group = client.post("/v1/batches", {"requests_ids": calls[0]}).json
    path = f"/v1/batches/{group['id']}"
    for call in calls[1:]:
        group = client.post(f"{path}/requests", {"requests_ids": call}).json
    assert group["requests_count"] == 20_007
    assert grouped(world, ids) == {group["id"]}
    # The window is that of the last request that was put in, whenever it was put in.
    last = max(request.created_at for request in world.requests.get_many(calls[2]))
    assert group["expires_at"] == last + WINDOW_SECONDS

    answer_all(world, ids)
    finalize(world, group["id"])
    assert client.get(f"{path}/status").json["status"] == "completed"
    elsewhere = client.get(f"{path}/results")
    assert elsewhere.status == 302, "7 MB are more than a function may answer"
    body = world.presigner.get(elsewhere.headers["location"])
    assert len(body) > 4_000_000
    assert [json.loads(line)["id"] for line in body.splitlines()] == ids
    late = registered(world, 1)
    client.post(f"{path}/requests", {"requests_ids": late}).error(409, "batch_completed")
    assert grouped(world, late) == {None}


def unknown(_: World) -> str:
    return rows.fresh(REQUEST)


def foreign(world: World) -> str:
    return registered(world, 1, "acct_bob")[0]


def taken(world: World) -> str:
    [other] = registered(world, 1)
    Client(world).post("/v1/batches", {"requests_ids": [other]})
    return other


@pytest.mark.parametrize(
    ("bad_one", "code"),
    [
        (unknown, "request_not_found"),
        (foreign, "request_not_found"),
        (taken, "request_already_grouped"),
    ],
)
def test_one_bad_id_in_ten_thousand_is_named_and_nothing_of_the_call_is_grouped(
    world: World, bad_one: Any, code: str
) -> None:
    client = Client(world)
    ids = registered(world, MEMBERS_A_CALL_MAX - 1)
    first = registered(world, 1)
    group = client.post("/v1/batches", {"requests_ids": first}).json
    bad = bad_one(world)
    asked = {"requests_ids": [*ids[:5_000], bad, *ids[5_000:]]}
    for path in ("/v1/batches", f"/v1/batches/{group['id']}/requests"):
        error = client.post(path, asked).error(400, code)
        assert bad in error["message"]
        assert ids[0] not in error["message"]
        assert grouped(world, ids) == {None}
    assert client.get(f"/v1/batches/{group['id']}").json["requests_count"] == 1
    good = client.post(f"/v1/batches/{group['id']}/requests", {"requests_ids": ids}).json
    assert good["requests_count"] == MEMBERS_A_CALL_MAX, "what was let go can be grouped"


def test_more_than_ten_thousand_ids_are_for_another_call(world: World) -> None:
    ids = registered(world, MEMBERS_A_CALL_MAX + 1)
    answer = Client(world).post("/v1/batches", {"requests_ids": ids})
    assert answer.status == 400
    assert answer.json["error"]["param"] == "requests_ids"
    assert "10000" in answer.json["error"]["message"].replace(",", "")
    assert grouped(world, ids) == {None}


def test_a_member_that_was_sent_early_does_not_shorten_the_batchs_window(world: World) -> None:
    client = Client(world)
    [early] = registered(world, 1)
    world.clock.advance(EXTENSION_SECONDS)
    [late] = registered(world, 1)
    group = client.post("/v1/batches", {"requests_ids": [late]}).json
    path = f"/v1/batches/{group['id']}/requests"
    assert client.post(path, {"requests_ids": [early]}).json["expires_at"] == group["expires_at"]
    row = world.requests.get("acct_alice", late)
    assert group["expires_at"] == row.created_at + WINDOW_SECONDS
