"""What passes a throttle: in one process, in many that share buckets, and where nothing can be shared."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.account import Account, Caller, Limits, Scope
from offpeak.core.errors import TooManyRequests, Unavailable
from offpeak.core.throttle import BURST_SECONDS, Bucket, Taken
from offpeak.memory.clock import FrozenClock
from offpeak.memory.memory import Memory
from offpeak.steps.throttle import ALONE_SECONDS, LEASE_SECONDS, REMEMBERED_MAX, Throttle

RATES = st.integers(1, 400)
MOMENTS = st.lists(st.tuples(st.floats(0, 3), st.integers(0, 7), st.integers(0, 300)), max_size=25)
"""Seconds that pass, which process is asked next, and how often."""


class Counted:
    """The shared buckets, and how often they were asked."""

    def __init__(self, memory: Memory) -> None:
        self._throttles = memory.throttles
        self.calls = 0

    def take(self, *args: Any, **more: Any) -> Taken:
        self.calls += 1
        return self._throttles.take(*args, **more)


class Unreachable:
    def __init__(self) -> None:
        self.calls = 0

    def take(self, *_: Any, **__: Any) -> Taken:
        self.calls += 1
        raise Unavailable("No answer.")


def _caller(id: str = "acct_1", rate: int = 5, key_rate: int | None = None) -> Caller:
    account = Account(id=id, name=id, created_at=0, limits=Limits(requests_per_second=rate))
    return Caller(account=account, key_id="key_1", scope=Scope.READ, requests_per_second=key_rate)


def _throttle(clock: FrozenClock | None = None) -> Throttle:
    memory = Memory(clock)
    return Throttle(clock=memory.clock, throttles=memory.throttles)


def _taken(throttle: Throttle, caller: Caller, count: int) -> int:
    taken = 0
    for _ in range(count):
        try:
            throttle.take(caller)
        except TooManyRequests:
            continue
        taken += 1
    return taken


def test_a_burst_is_let_through_and_then_what_flows_in() -> None:
    clock = FrozenClock()
    throttle = _throttle(clock)
    assert _taken(throttle, _caller(), 100) == 5 * BURST_SECONDS
    clock.advance(3)
    assert _taken(throttle, _caller(), 100) == 10  # no more than a bucket holds
    clock.advance(1)
    assert _taken(throttle, _caller(), 100) == 5


def test_one_accounts_flood_takes_nothing_from_another() -> None:
    throttle = _throttle()
    assert _taken(throttle, _caller("flood"), 1_000) == 10
    assert _taken(throttle, _caller("quiet"), 5) == 5


def test_a_key_with_a_limit_of_its_own_keeps_to_it_and_leaves_the_rest_to_others() -> None:
    throttle = _throttle()
    assert _taken(throttle, _caller(rate=5, key_rate=1), 100) == 2
    assert _taken(throttle, _caller(rate=5), 100) == 8
    with pytest.raises(TooManyRequests, match="This API key sends more than 1 requests a second"):
        throttle.take(_caller(rate=5, key_rate=1))


def test_who_is_turned_away_is_told_when_to_come_again() -> None:
    clock = FrozenClock()
    throttle = _throttle(clock)
    caller = _caller(rate=1)
    _taken(throttle, caller, 10)
    with pytest.raises(TooManyRequests) as caught:
        throttle.take(caller)
    clock.advance(caught.value.retry_seconds)
    throttle.take(caller)


def test_a_clock_that_is_set_back_gives_nothing_away() -> None:
    clock = FrozenClock()
    throttle = _throttle(clock)
    assert _taken(throttle, _caller(), 100) == 10
    clock.seconds -= 60
    assert _taken(throttle, _caller(), 100) == 0


def test_what_is_remembered_is_bounded() -> None:
    throttle = _throttle()
    for n in range(REMEMBERED_MAX + 10):
        throttle.take(_caller(f"acct_{n}"))
    assert len(throttle._pockets) == REMEMBERED_MAX


# ── many processes ───────────────────────────────────────────────────────────────────────────────────────────────────


@given(RATES, MOMENTS)
def test_all_processes_together_pass_no_more_than_a_bucket_and_what_has_flowed_in(
    rate: int, moments: list[tuple[float, int, int]]
) -> None:
    memory = Memory(FrozenClock())
    processes = [Throttle(clock=memory.clock, throttles=memory.throttles) for _ in range(8)]
    caller, passed, seconds = _caller(rate=rate), 0, 0.0
    for wait, number, count in moments:
        memory.clock.advance(wait)
        seconds += wait
        passed += _taken(processes[number], caller, count)
        assert passed <= rate * BURST_SECONDS + rate * seconds + 1e-3


@given(RATES, MOMENTS)
def test_who_keeps_to_its_rate_is_never_refused_whichever_process_it_meets(
    rate: int, moments: list[tuple[float, int, int]]
) -> None:
    """With bursts of no more than half a bucket, a second's worth, less what eight processes may hold of it."""
    memory = Memory(FrozenClock())
    processes = [Throttle(clock=memory.clock, throttles=memory.throttles) for _ in range(8)]
    most = rate - 8 * (Bucket(rate).pinch - 1)
    caller, free = _caller(rate=rate), float(most)
    for wait, number, wanted in moments:
        memory.clock.advance(wait)
        # A token is rounded up to a microsecond, and a clock's seconds are floats.
        free = min(most, free + wait * rate * (1 - 1e-3))
        count = min(wanted, int(free))
        free -= count
        for n in range(count):
            processes[(number + n) % 8].take(caller)


@pytest.mark.parametrize(("processes", "rate"), [(1, 100), (20, 100), (20, 1_000), (8, 5)])
def test_a_flood_gets_the_rate_and_costs_few_calls(processes: int, rate: int) -> None:
    memory = Memory(FrozenClock())
    counted = Counted(memory)
    side = [Throttle(clock=memory.clock, throttles=counted) for _ in range(processes)]
    caller, passed = _caller(rate=rate), 0
    for _ in range(1_000):  # ten seconds, in which ten times as much is sent as may pass
        memory.clock.advance(0.01)
        sent = max(1, rate // processes // 10)
        passed += sum(_taken(process, caller, sent) for process in side)
    assert 10 * rate < passed <= (10 + BURST_SECONDS) * rate
    assert counted.calls < 10 * (min(rate, 100) + 4 * processes)


def test_a_client_within_its_rate_costs_a_call_for_ten_requests() -> None:
    memory = Memory(FrozenClock())
    counted = Counted(memory)
    throttle = Throttle(clock=memory.clock, throttles=counted)
    for _ in range(1_000):
        memory.clock.advance(0.02)
        throttle.take(_caller(rate=100))
    assert counted.calls == 100


def test_what_is_leased_is_void_after_a_while() -> None:
    memory = Memory(FrozenClock())
    counted = Counted(memory)
    throttle = Throttle(clock=memory.clock, throttles=counted)
    throttle.take(_caller(rate=100))
    memory.clock.advance(LEASE_SECONDS)
    throttle.take(_caller(rate=100))
    assert counted.calls == 2


# ── out of reach ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_shared_buckets_each_process_goes_by_its_own_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    memory, unreachable = Memory(FrozenClock()), Unreachable()
    throttle = Throttle(clock=memory.clock, throttles=unreachable, work_metrics=memory.work_metrics)
    assert _taken(throttle, _caller(rate=100), 1_000) == 100 * BURST_SECONDS
    assert unreachable.calls == 1
    assert len(memory.work_metrics.unshared_throttles) == 1
    assert Counter(record.levelname for record in caplog.records) == {"WARNING": 1}
    memory.clock.advance(ALONE_SECONDS)
    assert _taken(throttle, _caller(rate=100), 1) == 1
    assert unreachable.calls == 2


def test_once_they_answer_again_the_shared_buckets_count() -> None:
    memory = Memory(FrozenClock())
    throttle = Throttle(clock=memory.clock, throttles=Unreachable())
    other = Throttle(clock=memory.clock, throttles=memory.throttles)
    caller = _caller(rate=10)
    throttle.take(caller)
    throttle._throttles = memory.throttles
    memory.clock.advance(ALONE_SECONDS)
    assert _taken(other, caller, 100) == 20
    assert _taken(throttle, caller, 100) == 0
