from dataclasses import replace

import pytest

from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import Unavailable
from offpeak.core.ports import Add, Save
from offpeak.core.run import CloseReason
from offpeak.core.shard import ShardStatus
from offpeak.steps import dispatch_shards as module
from offpeak.steps.dispatch_shards import dispatch_shards
from offpeak.wire.invocation import decode_order
from tests.steps.simulation import CATALOGUE
from tests.steps.ward import POOL, Ward, notice


@pytest.fixture
def ward() -> Ward:
    ward = Ward(lines=40)
    ward.release()
    return ward


def numbers(orders: list[bytes]) -> list[int]:
    return [decode_order(order).number for order in orders]


def test_only_what_a_pool_can_take_now_is_invoked(ward: Ward) -> None:
    assert numbers(ward.dispatch()) == [0, 1, 2]
    assert ward.dispatch() == []
    ward.complete(notice(1, outcome="failed"))
    assert numbers(ward.dispatch()) == [3]


def test_a_row_is_dispatched_before_it_is_invoked(ward: Ward) -> None:
    seen = []

    class Watching:
        def invoke(self, pool: str, invocation_id: str, order: bytes) -> None:
            shard = ward.shard(decode_order(order).number)
            seen.append((shard.status, shard.invocation_id == invocation_id))

    ward.endpoints = Watching()  # type: ignore[assignment]
    ward.call(dispatch_shards, POOL)
    assert seen == [(ShardStatus.DISPATCHED, True)] * 3
    assert (ward.run.cursor, ward.run.open) == (3, 3)


def test_shards_that_wait_go_first_once_they_are_due(ward: Ward) -> None:
    ward.dispatch()
    ward.complete(notice(2, outcome="failed"))
    ward.clock.advance(10)
    assert numbers(ward.dispatch()) == [3]
    ward.complete(notice(1, outcome="expired"))
    assert numbers(ward.dispatch()) == [1]
    ward.clock.advance(30)
    ward.complete(notice(0, outcome="expired"))
    order = decode_order(ward.dispatch()[0])
    assert (order.number, order.attempt) == (2, 2)  # due since longer


def test_an_endpoint_that_refuses_gets_no_more_and_the_shard_waits(ward: Ward) -> None:
    class Down:
        def invoke(self, pool: str, invocation_id: str, order: bytes) -> None:
            raise Unavailable("Throttled.")

    up = ward.endpoints
    ward.endpoints = Down()  # type: ignore[assignment]
    assert ward.call(dispatch_shards, POOL) == 0
    assert (ward.shard().status, ward.shard().failures) == (ShardStatus.WAITING, 0)
    assert ward.run.cursor == 1
    ward.endpoints = up
    ward.clock.advance(30)
    assert decode_order(ward.dispatch()[0]).attempt == 2


def test_trouble_that_will_not_pass_is_raised_with_the_shard_taken_back(ward: Ward) -> None:
    class Forbidden:
        def invoke(self, pool: str, invocation_id: str, order: bytes) -> None:
            raise PermissionError("Not allowed.")

    ward.endpoints = Forbidden()  # type: ignore[assignment]
    with pytest.raises(PermissionError):
        ward.call(dispatch_shards, POOL)
    assert ward.shard().status is ShardStatus.WAITING


def test_an_invocation_that_arrived_although_it_seemed_refused_keeps_its_claim(ward: Ward) -> None:
    class Late:
        def invoke(self, pool: str, invocation_id: str, order: bytes) -> None:
            shard = ward.shard(decode_order(order).number)
            ward.changes.commit(Save(shard.claimed(1, "w", int(ward.clock.now()) + 180)))
            raise Unavailable("No answer.")

    ward.endpoints = Late()  # type: ignore[assignment]
    ward.call(dispatch_shards, POOL)
    assert ward.shard().status is ShardStatus.CLAIMED


def test_a_closing_run_gets_nothing_dispatched(ward: Ward) -> None:
    ward.dispatch()
    ward.complete(notice(0, outcome="expired"))
    ward.changes.commit(Save(ward.run.closing(CloseReason.CANCELLED, 0)))
    assert ward.dispatch() == []


def test_a_run_with_a_broken_manifest_holds_up_nobody_else(
    ward: Ward, caplog: pytest.LogCaptureFixture
) -> None:
    other = replace(ward.run, batch_id="batch_0", manifest_key="work/broken", version=0)
    ward.writer.put("work/broken", b"{}\n" * 100)
    ward.changes.commit(Add(replace(other, deadline=other.deadline - 1)))
    ward.dispatch()
    assert ward.run.open > 0
    assert "batch_0.0 can't be dispatched" in caplog.text


def test_a_manifest_is_read_once_for_many_shards() -> None:
    ward = Ward(lines=40)
    ward.release()
    reads = []
    read = ward.reader.read

    def counting(
        key: str, start: int = 0, stop: int | None = None, *, etag: str | None = None
    ) -> bytes:
        reads.append(key)
        return read(key, start, stop, etag=etag)

    ward.reader.read = counting  # type: ignore[method-assign]
    red = replace(CATALOGUE.models[0], instances_max=10)
    ward.catalogue = Catalogue((red,))
    assert numbers(ward.dispatch()) == list(range(10))
    assert reads == [ward.run.manifest_key]


def test_one_call_has_a_limit_and_asks_for_another(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARDS_MAX", 2)
    ward.dispatches.asks.clear()
    assert len(ward.dispatch()) == 2
    assert ward.dispatches.asks == [POOL]


def test_a_pool_that_left_the_catalogue_gets_nothing(ward: Ward) -> None:
    assert ward.call(dispatch_shards, "gone") == 0
