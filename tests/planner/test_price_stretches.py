"""Stretches at one price of work: the optimum of a linear program with starts, which is solved beside them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from offpeak.planner.join_starts import Shaping, join_starts
from offpeak.planner.price_stretches import priced_shape

SLOT = 900.0


def shaping(
    prices: list[float], wanted: float, *, most: int = 3, ordered: int = 0, start: float = 1.0
) -> Shaping:
    slots = len(prices)
    return Shaping(
        ordered=ordered, rooms=[[n * SLOT for n in range(most + 1)]] * slots, full=[SLOT] * slots,
        prices=prices, starts=[start * price for price in prices], floors=[0] * slots,
        limits=[most] * slots, due=((slots, wanted),) if wanted else (),
    )  # fmt: skip


def cost(asked: Shaping, shape: list[int]) -> float:
    """Slots and starts, as the program counts them: nothing idled through, nothing let go within a slot."""
    started = np.maximum(0, np.diff([asked.ordered, *shape]))
    return float(np.dot(shape, asked.prices) + np.dot(started, asked.starts))


def optimum(asked: Shaping, wanted: float) -> float:
    """Of divisible instances."""
    slots, most = len(asked.prices), asked.limits[0]
    before = np.eye(slots, k=-1)
    begun = np.hstack([np.eye(slots) - before, -np.eye(slots)])
    room = np.concatenate([np.full(slots, -SLOT), np.zeros(slots)])
    answer = linprog(
        np.concatenate([asked.prices, asked.starts]), A_ub=np.vstack([begun, room]),
        b_ub=[asked.ordered, *[0.0] * (slots - 1), -wanted],
        bounds=[(0, most)] * slots + [(0, None)] * slots,
    )  # fmt: skip
    assert answer.status == 0
    return float(answer.fun)


hours = st.lists(st.integers(1, 20), min_size=6, max_size=20)


@settings(max_examples=60, deadline=None)
@given(hours, st.floats(0.05, 0.95), st.sampled_from([0, 3]), st.sampled_from([0.0, 0.8, 3.0]))
def test_a_shape_is_the_optimum_of_the_work_that_it_has_room_for(
    prices: list[int], share: float, ordered: int, start: float
) -> None:
    asked = shaping(
        [float(price) for price in prices], share * 3 * SLOT * len(prices), ordered=ordered,
        start=start,
    )  # fmt: skip
    shape = priced_shape(asked, 1)
    assert shape is not None
    room = sum(shape) * SLOT
    assert room >= asked.due[-1][1] - 1e-6
    assert cost(asked, shape) == pytest.approx(optimum(asked, room), rel=2e-3)


@settings(max_examples=60, deadline=None)
@given(hours, st.floats(0.1, 0.9), st.sampled_from([0.8, 3.0]))
def test_one_deadlines_work_costs_the_optimum_and_a_part_of_an_instance(
    prices: list[int], share: float, start: float
) -> None:
    most = 12
    asked = shaping(
        [float(price) for price in prices], share * most * SLOT * len(prices), most=most,
        start=start,
    )  # fmt: skip
    shape = join_starts(asked, [most] * len(prices))
    assert sum(shape) * SLOT >= asked.due[-1][1] - 1e-3
    best = optimum(asked, asked.due[-1][1])
    one = max(prices) * (len(prices) + start)
    assert asked.cost(shape) <= best + one


def test_no_work_and_too_much_have_no_shape() -> None:
    assert priced_shape(shaping([1.0] * 6, 0.0), 1) is None
    assert priced_shape(shaping([1.0] * 6, 6 * 3 * SLOT + 1), 1) is None


def test_instances_of_large_pools_change_over_together() -> None:
    asked = shaping([3.0, 1.0, 1.0, 3.0], 20 * SLOT, most=20)
    shape = priced_shape(asked, 5)
    assert shape is not None
    assert {count % 5 for count in shape} == {0}
    assert shape == [0, 10, 10, 0]
