"""Stand-alone requests, their groups, gatherings and queues: the same in memory and on AWS."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.gathering import Gathering
from offpeak.core.ids import ACCOUNT, REQUEST
from offpeak.core.ports import Add, GroupClaim, Save, Verdict
from offpeak.core.request import Request, RequestEnding, RequestStatus, ResultRange
from tests.contract import rows
from tests.contract.worlds import Ports


def completed(request_id: str, start: int = 0) -> RequestEnding:
    return RequestEnding(
        request_id=request_id, status=RequestStatus.COMPLETED, at=rows.NOW + 60,
        result=ResultRange("work/a/output.jsonl", start, start + 10),
    )  # fmt: skip


def failed(request_id: str) -> RequestEnding:
    return RequestEnding(
        request_id=request_id, status=RequestStatus.FAILED, at=rows.NOW, error_code="gone"
    )


def sent(ports: Ports, account_id: str, count: int = 1) -> list[Request]:
    made = [rows.request(account_id, metadata={"n": str(n)} if n else None) for n in range(count)]
    for each in made:
        ports.changes.commit(Add(each))
    return made


def claim_of(account_id: str, token: str = "one") -> GroupClaim:
    return GroupClaim(account_id=account_id, group_id=rows.fresh("group_"), token=token)


def test_a_request_is_read_as_it_was_sent_by_its_account_alone(ports: Ports) -> None:
    mine, theirs = rows.fresh(ACCOUNT), rows.fresh(ACCOUNT)
    [request] = sent(ports, mine)
    assert ports.requests.get(mine, request.id) == replace(request, version=1)
    for account_id, request_id in ((theirs, request.id), (mine, rows.fresh(REQUEST)), (mine, "")):
        with pytest.raises(NotFound):
            ports.requests.get(account_id, request_id)


def test_a_request_takes_its_first_ending_and_no_other(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    [request] = sent(ports, account_id)
    [first] = ports.requests.end([completed(request.id)])
    assert first.verdict is Verdict.CHANGED
    assert first.request == replace(request.ended(completed(request.id)), version=2)
    [again] = ports.requests.end([completed(request.id)])
    assert (again.verdict, again.request) == (Verdict.REPEATED, first.request)
    for other in (completed(request.id, start=10), failed(request.id)):
        [refused] = ports.requests.end([other])
        assert (refused.verdict, refused.request) == (Verdict.REFUSED, first.request)
    assert ports.requests.get(account_id, request.id) == first.request


def test_endings_are_answered_in_their_order_each_by_itself(ports: Ports) -> None:
    requests = sent(ports, rows.fresh(ACCOUNT), 40)
    ids = [request.id for request in requests]
    ids[7] = rows.fresh(REQUEST)
    moved = ports.requests.end([failed(request_id) for request_id in ids])
    assert [move.request.id if move.request else None for move in moved] == [
        None if n == 7 else request_id for n, request_id in enumerate(ids)
    ]
    assert [move.verdict for move in moved].count(Verdict.CHANGED) == 39
    assert not ports.requests.get_many([requests[7].id])[0].has_ended


def test_many_are_read_at_once_and_the_missing_left_out(ports: Ports) -> None:
    requests = sent(ports, rows.fresh(ACCOUNT), 120)
    ids = [request.id for request in requests]
    found = ports.requests.get_many([*ids, rows.fresh(REQUEST), ids[0]])
    assert sorted(request.id for request in found) == ids


def test_a_claim_takes_what_is_free_and_ours_ended_or_not(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    one, ended, taken = sent(ports, account_id, 3)
    [foreign] = sent(ports, rows.fresh(ACCOUNT))
    ports.requests.end([failed(ended.id)])
    ports.requests.claim(claim_of(account_id, "earlier"), [taken.id])
    mine = claim_of(account_id)
    ids = [one.id, ended.id, taken.id, foreign.id, rows.fresh(REQUEST)]
    moved = ports.requests.claim(mine, ids)
    assert [move.verdict for move in moved] == [Verdict.CHANGED] * 2 + [Verdict.REFUSED] * 3
    assert [move.request is None for move in moved] == [False, False, False, True, True]
    again = ports.requests.claim(mine, ids[:2])
    assert [move.verdict for move in again] == [Verdict.REPEATED] * 2
    held = ports.requests.get(account_id, one.id)
    assert (held.group_id, held.claim) == (mine.group_id, mine.token)


def test_a_release_frees_what_the_claim_holds_and_nothing_else(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    one, other = sent(ports, account_id, 2)
    mine, theirs = claim_of(account_id, "mine"), claim_of(account_id, "theirs")
    ports.requests.claim(mine, [one.id])
    ports.requests.claim(theirs, [other.id])
    ports.requests.release(mine, [one.id, other.id, rows.fresh(REQUEST)])
    assert ports.requests.get(account_id, one.id).group_id is None
    assert ports.requests.get(account_id, other.id).group_id == theirs.group_id
    assert not ports.groups.has_open_members(mine.group_id)


def test_a_group_has_open_members_until_the_last_has_ended(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    ids = [request.id for request in sent(ports, account_id, 20)]
    mine = claim_of(account_id)
    assert not ports.groups.has_open_members(mine.group_id)
    ports.requests.claim(mine, ids)
    assert ports.groups.has_open_members(mine.group_id)
    ports.requests.end([failed(request_id) for request_id in ids[:-1]])
    assert ports.groups.has_open_members(mine.group_id)
    ports.requests.end([failed(ids[-1])])
    assert not ports.groups.has_open_members(mine.group_id)


def test_an_ended_request_stays_in_its_group(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    [request] = sent(ports, account_id)
    mine = claim_of(account_id)
    ports.requests.claim(mine, [request.id])
    [moved] = ports.requests.end([completed(request.id)])
    assert moved.request is not None
    assert moved.request.group_id == mine.group_id


def test_requests_with_a_callback_are_found_by_the_end_of_their_window_until_they_end(
    ports: Ports,
) -> None:
    account_id, url = rows.fresh(ACCOUNT), "https://example.com/"
    made = [
        rows.request(account_id, callback=None if n == 2 else url, expires_at=1_000 + n)
        for n in range(5)
    ]
    for each in made:
        ports.changes.commit(Add(each))

    def found(by: int, limit: int = 1_000) -> list[str]:
        mine = {each.id for each in made}
        return [each.id for each in ports.requests.untold(by, limit) if each.id in mine]

    ids = [each.id for each in made]
    assert found(1_003) == [ids[0], ids[1], ids[3]]
    assert found(999) == []
    assert len(ports.requests.untold(1_004, 2)) == 2
    ports.requests.claim(claim_of(account_id), ids)
    ports.requests.end([failed(ids[0]), completed(ids[1])])
    assert found(1_004) == ids[3:]
    ports.requests.end([failed(each) for each in ids])
    assert found(1_004) == []


def test_groups_are_open_until_they_end(ports: Ports) -> None:
    account_id = rows.fresh(ACCOUNT)
    group = rows.group(account_id)
    ports.changes.commit(Add(group))
    stored = ports.groups.get(account_id, group.id)
    assert stored == replace(group, version=1)
    assert group.id in {each.id for each in ports.groups.open()}
    with pytest.raises(NotFound):
        ports.groups.get(rows.fresh(ACCOUNT), group.id)
    ended = stored.ended(counts=stored.counts, results_key="k", results_bytes=1, now=rows.NOW)
    ports.changes.commit(Save(ended))
    assert group.id not in {each.id for each in ports.groups.open()}


def test_a_lane_has_a_newest_gathering_and_those_since_one(ports: Ports) -> None:
    lane, other = rows.lane(), rows.lane()
    assert ports.gatherings.newest(lane.id) is None
    made: list[Gathering] = [rows.gathering(lane) for _ in range(3)]
    ports.changes.commit(*map(Add, made), Add(rows.gathering(other)))
    newest = ports.gatherings.newest(lane.id)
    assert newest is not None
    assert newest.id == made[2].id
    since = [each.id for each in ports.gatherings.since(lane.id, made[1].id)]
    assert since == [each.id for each in made[1:]]
    assert {each.id for each in made} <= {each.id for each in ports.gatherings.open()}


def test_an_append_to_a_gathering_that_was_sealed_meanwhile_is_refused(ports: Ports) -> None:
    lane = rows.lane()
    ports.changes.commit(Add(rows.gathering(lane)))
    found = ports.gatherings.newest(lane.id)
    assert found is not None
    ports.changes.commit(Save(found.appended(rows.collected(), rows.NOW)))
    stale = ports.gatherings.get(lane.id, found.id)
    assert (stale.lines, stale.bytes, stale.due_at) == (3, 30, rows.NOW)
    ports.changes.commit(Save(stale.sealed(rows.NOW)))
    with pytest.raises(StateConflict):
        ports.changes.commit(Save(stale.appended(rows.collected(), rows.NOW)))
    assert not [each for each in ports.gatherings.open() if each.id == found.id]


def test_records_and_checks_are_taken(ports: Ports) -> None:
    ports.request_queue.send('{"id":"req_1"}')
    ports.request_queue.send('{"lane_id":"l"}', 900)
    ports.group_checks.ask("acct_1", "group_1")
