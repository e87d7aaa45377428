"""Token buckets that processes share: a number that grows by what is taken, where enough is there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from offpeak.core.ids import ACCOUNT
from offpeak.core.throttle import Bucket, Taken
from tests.contract import rows
from tests.contract.worlds import Ports

NOW = rows.NOW * 1_000_000
FLOOR = NOW - 1_000
"""A bucket that holds ten, at 100 each."""


def take(
    ports: Ports, bucket: str, cost_us: int = 100, *, latest: int | None = None, floor: int = FLOOR,
    seen: int | None = None,
) -> Taken:  # fmt: skip
    latest = NOW - cost_us if latest is None else latest
    return ports.throttles.take(bucket, cost_us, floor=floor, latest=latest, seen=seen)


@pytest.mark.parametrize("seen", [None, FLOOR - 1, FLOOR, NOW, NOW + 10**9])
def test_a_bucket_gives_what_is_in_it_whatever_was_seen(ports: Ports, seen: int | None) -> None:
    bucket = rows.fresh(ACCOUNT)
    for n in range(10):
        spent = FLOOR + 100 * (n + 1)
        assert take(ports, bucket, seen=seen) == Taken(is_taken=True, spent_until=spent)
    assert take(ports, bucket, seen=seen) == Taken(is_taken=False, spent_until=NOW)
    assert take(ports, rows.fresh(ACCOUNT), seen=seen).is_taken


def test_what_must_be_left_is_left(ports: Ports) -> None:
    bucket = rows.fresh(ACCOUNT)
    assert take(ports, bucket, 300, latest=NOW - 800).is_taken
    assert take(ports, bucket, 300, latest=NOW - 800) == Taken(
        is_taken=False, spent_until=FLOOR + 300
    )
    assert take(ports, bucket, 700).is_taken
    assert not take(ports, bucket).is_taken


def test_it_fills_up_to_its_depth_and_no_further(ports: Ports) -> None:
    bucket, later = rows.fresh(ACCOUNT), 10**9
    assert take(ports, bucket, 1_000).is_taken
    assert take(ports, bucket, 1_000, floor=FLOOR + later, latest=NOW + later - 1_000) == Taken(
        is_taken=True, spent_until=NOW + later
    )
    assert not take(ports, bucket, floor=FLOOR + later, latest=NOW + later - 100).is_taken


def test_more_than_a_bucket_holds_is_never_there(ports: Ports) -> None:
    assert not take(ports, rows.fresh(ACCOUNT), 1_100).is_taken


def test_of_many_at_once_as_many_are_served_as_there_are_tokens(ports: Ports) -> None:
    bucket = rows.fresh(ACCOUNT)
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: take(ports, bucket), range(24)))
    assert sum(each.is_taken for each in taken) == 10


def test_the_number_says_how_much_is_in_it() -> None:
    bucket = Bucket(5)
    assert (bucket.depth, bucket.token_us, bucket.lease) == (10, 200_000, 1)
    assert bucket.level(None, NOW) == 10
    assert bucket.level(NOW - 10**9, NOW) == 10
    assert bucket.level(NOW - 400_000, NOW) == 2
    assert bucket.level(NOW, NOW) == 0
    assert bucket.level(NOW + 200_000, NOW) == -1
