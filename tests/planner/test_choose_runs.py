from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.queued_run import QueuedRun
from offpeak.core.run import Tier
from offpeak.planner.choose_runs import URGENT_SHARE, choose_runs
from offpeak.planner.fair_shares import fair_shares

NOW = 1_000_000
DAY = 86_400


def run(
    id: str, *, account: str = "a", tier: Tier = Tier.LONG, left: int = 100,
    deadline: int = NOW + DAY,
) -> QueuedRun:  # fmt: skip
    return QueuedRun(
        batch_id=id, number=0, account_id=account, tier=tier, deadline=deadline, created_at=0,
        shards=max(100, left), shards_left=left,
    )  # fmt: skip


def choose(
    *waiting: QueuedRun, slots: int = 1, express_slots: int = 0,
    in_flight: dict[str, int] | None = None, weights: dict[str, float] | None = None,
    shards_at_once: int = 10, seed: str = "seed",
) -> list[str]:  # fmt: skip
    chosen = choose_runs(
        waiting, in_flight=in_flight or {}, weights=weights or {}, slots=slots,
        express_slots=express_slots, shards_at_once=shards_at_once, seed=seed,
    )  # fmt: skip
    return [each.batch_id for each in chosen]


RUNS = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.sampled_from(Tier), st.integers(0, 40),
        st.integers(NOW - 100, NOW + 7 * DAY),
    ),
    max_size=12,
).map(
    lambda rows: [
        run(f"b{n}", account=account, tier=tier, left=left, deadline=deadline)
        for n, (account, tier, left, deadline) in enumerate(rows)
    ]
)  # fmt: skip
IN_FLIGHT = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 10))
WEIGHTS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9).map(float))


@given(RUNS, IN_FLIGHT, WEIGHTS, st.integers(0, 60), st.integers(0, 5), st.text())
def test_no_slot_stays_empty_while_work_is_ready_and_no_shard_goes_twice(
    waiting: list[QueuedRun], in_flight: dict[str, int], weights: dict[str, float], slots: int,
    express_slots: int, seed: str,
) -> None:  # fmt: skip
    chosen = Counter(
        choose(
            *waiting, slots=slots, express_slots=express_slots, in_flight=in_flight,
            weights=weights, seed=seed,
        )
    )  # fmt: skip
    left = {each.batch_id: each.shards_left for each in waiting}
    express = sum(each.shards_left for each in waiting if each.tier is Tier.EXPRESS)
    with_own_slot = min(express_slots, express)
    assert chosen.total() == with_own_slot + min(slots, sum(left.values()) - with_own_slot)
    assert all(chosen[each] <= left[each] for each in chosen)


@given(RUNS, IN_FLIGHT, WEIGHTS, st.integers(0, 60), st.randoms())
def test_the_order_in_which_runs_are_found_does_not_matter(
    waiting: list[QueuedRun], in_flight: dict[str, int], weights: dict[str, float], slots: int,
    random: Random,
) -> None:  # fmt: skip
    shuffled = list(waiting)
    random.shuffle(shuffled)
    asked = {"slots": slots, "in_flight": in_flight, "weights": weights}
    assert choose(*shuffled, **asked) == choose(*waiting, **asked)  # type: ignore[arg-type]


@given(RUNS, IN_FLIGHT, WEIGHTS, st.integers(1, 60), st.text())
def test_no_account_goes_past_its_share_while_another_lacks_some_of_its_own(
    waiting: list[QueuedRun], in_flight: dict[str, int], weights: dict[str, float], slots: int,
    seed: str,
) -> None:  # fmt: skip
    at_once = max(1, slots + sum(in_flight.values()))
    owner = {each.batch_id: each.account_id for each in waiting}
    chosen = choose(
        *waiting, slots=slots, in_flight=in_flight, weights=weights, seed=seed,
        shards_at_once=at_once,
    )  # fmt: skip
    given_to = Counter(owner[each] for each in chosen)
    left: Counter[str] = Counter()
    for each in waiting:
        left[each.account_id] += each.shards_left
    wanted = left + Counter(in_flight)
    urgent = {w.account_id for w in waiting if w.tier is Tier.LATE and w.shards_left}
    weight = {a: weights.get(a, 1.0) * (URGENT_SHARE if a in urgent else 1) for a in wanted}
    share = fair_shares(at_once, wanted, weight)
    for rich in given_to:
        before_last = in_flight.get(rich, 0) + given_to[rich] - 1
        for poor in left:
            if given_to[poor] < left[poor]:
                lacks = share[poor] - in_flight.get(poor, 0) - given_to[poor]
                assert lacks < 1 or before_last < share[rich]


def test_slots_go_by_weight() -> None:
    runs = [run("one", account="a", left=1_000), run("three", account="b", left=1_000)]
    chosen = choose(*runs, slots=40, shards_at_once=40, weights={"b": 3.0})
    assert Counter(chosen) == {"one": 10, "three": 30}


def test_an_account_with_a_late_run_gets_four_times_the_share() -> None:
    late = run("late", account="a", tier=Tier.LATE)
    patient = run("patient", account="b")
    assert Counter(choose(late, patient, slots=50, shards_at_once=50)) == {
        "late": 40,
        "patient": 10,
    }


def test_an_account_that_holds_less_than_its_share_comes_before_the_most_urgent_other() -> None:
    late = run("late", account="a", tier=Tier.LATE)
    patient = run("patient", account="b")
    assert choose(late, patient, in_flight={"a": 9}, shards_at_once=10) == ["patient"]


def test_with_fewer_slots_than_accounts_weights_hold_over_time() -> None:
    """One slot, and whoever had it is done before the next choice: nothing in flight tells them apart."""
    runs = [run(name, account=name, left=10_000) for name in "abc"]
    turns = Counter(
        choose(*runs, weights={"a": 3.0}, shards_at_once=1, seed=str(turn))[0]
        for turn in range(5_000)
    )
    assert abs(turns["a"] - 3_000) < 200  # six standard deviations
    assert abs(turns["b"] - 1_000) < 200
    assert abs(turns["c"] - 1_000) < 200


def test_a_slot_that_two_accounts_share_changes_hands() -> None:
    """Three slots and two accounts: each holds one, and the third is either's."""
    runs = [run(name, account=name, left=10_000) for name in "ab"]
    turns = Counter(
        choose(*runs, in_flight={"a": 1, "b": 1}, shards_at_once=3, seed=str(turn))[0]
        for turn in range(2_000)
    )
    assert abs(turns["a"] - 1_000) < 140


def test_within_an_account_the_earlier_deadline_goes_first() -> None:
    soon, later = run("soon", deadline=NOW + DAY), run("later", deadline=NOW + 2 * DAY)
    assert choose(later, soon) == ["soon"]


@given(RUNS, st.integers(1, 60))
def test_no_run_goes_before_one_of_its_account_and_tier_with_an_earlier_deadline(
    waiting: list[QueuedRun], slots: int
) -> None:
    chosen = Counter(choose(*waiting, slots=slots))
    for each in waiting:
        if chosen[each.batch_id] < each.shards_left:
            for other in waiting:
                same = (other.account_id, other.tier) == (each.account_id, each.tier)
                if same and other.deadline > each.deadline:
                    assert not chosen[other.batch_id]


def test_late_runs_go_before_express_ones_those_before_short_and_short_before_long() -> None:
    runs = [
        run("long", tier=Tier.LONG, left=1, deadline=NOW + 1),
        run("short", tier=Tier.SHORT, left=1, deadline=NOW + 2),
        run("express", tier=Tier.EXPRESS, left=1, deadline=NOW + 3),
        run("late", tier=Tier.LATE, left=1, deadline=NOW + 4),
    ]
    assert choose(*runs, slots=4) == ["late", "express", "short", "long"]


def test_an_express_run_has_a_slot_when_a_long_one_has_all_others() -> None:
    long, express = run("long", left=5_000), run("express", tier=Tier.EXPRESS, left=1)
    found = choose(long, express, slots=0, express_slots=1, in_flight={"a": 10})
    assert found == ["express"]
    assert choose(long, slots=0, express_slots=1, in_flight={"a": 10}) == []


def test_an_express_run_takes_its_own_slot_and_leaves_the_others() -> None:
    long, express = run("long", left=5_000), run("express", tier=Tier.EXPRESS, left=1)
    assert choose(express, long, slots=2, express_slots=1) == ["express", "long", "long"]
