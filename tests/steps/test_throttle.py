from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.account import Account, Limits
from offpeak.core.errors import TooManyRequests
from offpeak.memory.clock import FrozenClock
from offpeak.steps.throttle import BURST_SECONDS, REMEMBERED_MAX, Throttle


def _account(id: str = "acct_1", rate: int = 5) -> Account:
    return Account(id=id, name=id, created_at=0, limits=Limits(requests_per_second=rate))


def _taken(throttle: Throttle, account: Account, count: int) -> int:
    taken = 0
    for _ in range(count):
        try:
            throttle.take(account)
        except TooManyRequests:
            continue
        taken += 1
    return taken


def test_a_burst_is_let_through_and_then_what_flows_in() -> None:
    clock = FrozenClock()
    throttle = Throttle(clock=clock)
    assert _taken(throttle, _account(), 100) == 5 * BURST_SECONDS
    clock.advance(3)
    assert _taken(throttle, _account(), 100) == 10  # no more than a bucket holds
    clock.advance(1)
    assert _taken(throttle, _account(), 100) == 5


def test_one_accounts_flood_takes_nothing_from_another() -> None:
    throttle = Throttle(clock=FrozenClock())
    assert _taken(throttle, _account("flood"), 1_000) == 10
    assert _taken(throttle, _account("quiet"), 5) == 5


def test_who_is_turned_away_is_told_when_to_come_again() -> None:
    clock = FrozenClock()
    throttle = Throttle(clock=clock)
    account = _account(rate=1)
    _taken(throttle, account, 10)
    with pytest.raises(TooManyRequests) as caught:
        throttle.take(account)
    clock.advance(caught.value.retry_seconds)
    throttle.take(account)


def test_a_clock_that_is_set_back_gives_nothing_away() -> None:
    clock = FrozenClock()
    throttle = Throttle(clock=clock)
    assert _taken(throttle, _account(), 100) == 10
    clock.seconds -= 60
    assert _taken(throttle, _account(), 100) == 0


def test_what_is_remembered_is_bounded() -> None:
    throttle = Throttle(clock=FrozenClock())
    for n in range(REMEMBERED_MAX + 10):
        throttle.take(_account(f"acct_{n}"))
    assert len(throttle._buckets) == REMEMBERED_MAX


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, 100)), max_size=20),
)
def test_never_more_than_a_bucket_and_what_has_flowed_in(
    rate: int, bursts: list[tuple[float, int]]
) -> None:
    clock = FrozenClock()
    throttle = Throttle(clock=clock)
    account, taken, seconds = _account(rate=rate), 0, 0.0
    for wait, count in bursts:
        clock.advance(wait)
        seconds += wait
        taken += _taken(throttle, account, count)
        assert taken <= rate * BURST_SECONDS + rate * seconds + 1e-3
