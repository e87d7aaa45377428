import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.planner.fair_shares import fair_shares

ACCOUNTS = st.dictionaries(
    st.sampled_from("abcdefgh"), st.tuples(st.integers(1, 200), st.integers(1, 9)), min_size=1
)


def shares(slots: int, accounts: dict[str, tuple[int, int]]) -> dict[str, float]:
    wanted = {each: want for each, (want, _) in accounts.items()}
    weights = {each: float(weight) for each, (_, weight) in accounts.items()}
    return dict(fair_shares(slots, wanted, weights))


def test_equal_weights_share_equally_and_what_one_does_not_want_goes_to_the_others() -> None:
    assert shares(9, {"a": (100, 1), "b": (100, 1), "c": (1, 1)}) == {"a": 4, "b": 4, "c": 1}


def test_shares_go_by_weight() -> None:
    assert shares(8, {"a": (100, 3), "b": (100, 1)}) == {"a": 6, "b": 2}
    assert shares(1, {"a": (100, 3), "b": (100, 1)}) == {"a": 0.75, "b": 0.25}


@given(st.integers(0, 100), ACCOUNTS)
def test_all_slots_are_shared_out_unless_nobody_wants_them(
    slots: int, accounts: dict[str, tuple[int, int]]
) -> None:
    found = shares(slots, accounts)
    assert sum(found.values()) == pytest.approx(
        min(slots, sum(want for want, _ in accounts.values()))
    )
    assert all(found[each] <= want + 1e-9 for each, (want, _) in accounts.items())


@given(st.integers(1, 100), ACCOUNTS)
def test_who_wants_more_than_it_gets_has_as_much_for_its_weight_as_anybody(
    slots: int, accounts: dict[str, tuple[int, int]]
) -> None:
    found = shares(slots, accounts)
    level = {each: found[each] / weight for each, (_, weight) in accounts.items()}
    for each, (want, _) in accounts.items():
        if found[each] < want - 1e-6:
            assert level[each] >= max(level.values()) - 1e-6


@given(st.integers(1, 100), ACCOUNTS)
def test_nobody_is_left_without_a_share(slots: int, accounts: dict[str, tuple[int, int]]) -> None:
    assert all(share > 0 for share in shares(slots, accounts).values())
