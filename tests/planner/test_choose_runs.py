from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.run import Run, RunStatus
from offpeak.planner.choose_runs import (
    SHORT_SHARDS_MAX,
    URGENT_SHARE,
    choose_runs,
    latest_start,
)

NOW = 1_000_000
DAY = 86_400


def run(
    id: str, *, account: str = "a", shards: int = 100, cursor: int = 0, deadline: int = NOW + DAY
) -> Run:
    return Run(
        batch_id=id, account_id=account, number=0, model="m", pool="p", endpoint="/e",
        manifest_key="k", manifest_bytes=1, shards=shards, lines=shards, deadline=deadline,
        created_at=0, status=RunStatus.READY, cursor=cursor,
    )  # fmt: skip


def choose(*ready: Run, slots: int = 1, in_flight: dict[str, int] | None = None) -> list[str]:
    chosen = choose_runs(ready, in_flight=in_flight or {}, slots=slots, shards_at_once=10, now=NOW)
    return [each.batch_id for each in chosen]


RUNS = st.lists(
    st.builds(
        lambda account, shards, cursor, deadline: (account, shards, min(cursor, shards), deadline),
        st.sampled_from("abcd"), st.integers(1, 40), st.integers(0, 40),
        st.integers(NOW - 100, NOW + 7 * DAY),
    ),
    max_size=12,
).map(
    lambda rows: [
        run(f"b{n}", account=account, shards=shards, cursor=cursor, deadline=deadline)
        for n, (account, shards, cursor, deadline) in enumerate(rows)
    ]
)  # fmt: skip
IN_FLIGHT = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 10))


@given(RUNS, IN_FLIGHT, st.integers(0, 60))
def test_no_slot_stays_empty_and_no_shard_goes_twice(
    ready: list[Run], in_flight: dict[str, int], slots: int
) -> None:
    chosen = Counter(choose(*ready, slots=slots, in_flight=in_flight))
    remaining = {each.batch_id: each.shards - each.cursor for each in ready}
    assert chosen.total() == min(slots, sum(remaining.values()))
    assert all(chosen[b] <= remaining[b] for b in chosen)


@given(RUNS, IN_FLIGHT, st.integers(0, 60), st.randoms())
def test_the_order_in_which_runs_are_found_does_not_matter(
    ready: list[Run], in_flight: dict[str, int], slots: int, random: object
) -> None:
    shuffled = list(ready)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert choose(*shuffled, slots=slots, in_flight=in_flight) == choose(
        *ready, slots=slots, in_flight=in_flight
    )


@given(RUNS, IN_FLIGHT, st.integers(1, 60))
def test_no_account_gets_more_than_its_share_while_another_has_work(
    ready: list[Run], in_flight: dict[str, int], slots: int
) -> None:
    owner = {each.batch_id: each.account_id for each in ready}
    chosen = choose(*ready, slots=slots, in_flight=in_flight)
    given = Counter(owner[b] for b in chosen)
    remaining = Counter[str]()
    urgent: dict[str, bool] = {}
    for each in ready:
        remaining[each.account_id] += each.shards - each.cursor
        is_urgent = each.has_more and latest_start(each, 10) <= NOW
        urgent[each.account_id] = urgent.get(each.account_id, False) or is_urgent

    def share(account: str) -> int:
        return URGENT_SHARE if urgent[account] else 1

    for rich in given:
        before_last = in_flight.get(rich, 0) + given[rich] - 1
        for poor in remaining:
            if given[poor] < remaining[poor]:
                has = in_flight.get(poor, 0) + given[poor]
                assert before_last / share(rich) <= has / share(poor)


def test_an_account_with_nothing_in_flight_comes_before_the_most_urgent_other() -> None:
    late = run("late", account="a", deadline=NOW + 60)
    patient = run("patient", account="b", deadline=NOW + 7 * DAY)
    assert choose(late, patient, in_flight={"a": 1}) == ["patient"]


def test_an_account_with_a_late_run_gets_four_times_the_share() -> None:
    late = run("late", account="a", deadline=NOW + 60)
    patient = run("patient", account="b", deadline=NOW + 7 * DAY)
    assert Counter(choose(late, patient, slots=50)) == {"late": 40, "patient": 10}


def test_within_an_account_the_earlier_deadline_goes_first() -> None:
    soon, later = run("soon", deadline=NOW + DAY), run("later", deadline=NOW + 2 * DAY)
    assert choose(later, soon) == ["soon"]


def test_a_short_run_does_not_wait_for_a_long_one_of_its_account() -> None:
    long = run("long", shards=2_500, deadline=NOW + 6 * DAY)
    short = run("short", shards=SHORT_SHARDS_MAX, deadline=NOW + 7 * DAY)
    assert choose(long, short, slots=6) == ["short"] * SHORT_SHARDS_MAX + ["long"] * 2


def test_a_run_near_its_latest_start_goes_before_short_ones() -> None:
    long = run("long", shards=2_500, deadline=NOW + DAY)
    short = run("short", shards=1, deadline=NOW + DAY)
    assert latest_start(long, 10) <= NOW  # 250 rounds of 15 minutes don't fit into a day
    assert choose(long, short) == ["long"]


def test_of_equal_deadlines_the_smaller_rest_goes_first() -> None:
    assert choose(run("large", shards=90), run("small", shards=20)) == ["small"]
