from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.delivery import (
    ATTEMPTS_KEPT,
    JITTER,
    SCHEDULE_SECONDS,
    Attempt,
    Delivery,
    DeliveryStatus,
    event_id,
    next_attempt_at,
)
from offpeak.core.errors import StateConflict

START = 1_790_000_000
ATTEMPT = Attempt(at=START, milliseconds=12, status_code=500)


def delivery(**fields: object) -> Delivery:
    row = Delivery(
        destination_id="whe_1", id="evt_1", account_id="acct_1", event_type="batch.completed",
        body="{}", created_at=START, started_at=START, due_at=START,
    )  # fmt: skip
    return replace(row, **fields)  # type: ignore[arg-type]


def test_the_schedule_is_the_one_of_standard_webhooks() -> None:
    minute, hour = 60, 3_600
    assert (
        0, 5, 5 * minute, 30 * minute, 2 * hour, 5 * hour, 10 * hour, 14 * hour, 20 * hour, 24 * hour,
    ) == SCHEDULE_SECONDS  # fmt: skip


def test_whoever_never_answers_is_tried_ten_times_within_its_day_and_the_jitter_of_its_last() -> (
    None
):
    now, times = START, [START]
    while (due := next_attempt_at(delivery(), now, now)) is not None:
        assert due > now
        times.append(due)
        now = due
    assert len(times) == len(SCHEDULE_SECONDS)
    before = 0
    for at, planned in zip(times, SCHEDULE_SECONDS, strict=True):
        assert planned <= at - START <= planned + JITTER * (planned - before)
        before = planned


@given(st.text(min_size=1, max_size=30), st.integers(0, 86_399), st.integers(0, 10**6))
def test_the_next_attempt_lies_ahead_and_never_past_the_end(
    destination_id: str, elapsed: int, retry_after: int
) -> None:
    row = delivery(destination_id=destination_id)
    due = next_attempt_at(row, START + elapsed, START + elapsed, retry_after)
    assert due is not None
    assert START + elapsed < due <= START + 86_400 + JITTER * 14_400
    assert due >= min(START + elapsed + retry_after, START + 86_400)


def test_deliveries_to_many_receivers_do_not_come_back_all_at_once() -> None:
    rows = [delivery(destination_id=f"whe_{n}") for n in range(200)]
    assert len({next_attempt_at(row, START + 400, START + 400) for row in rows}) > 80


def test_moments_that_have_passed_are_left_out() -> None:
    due = next_attempt_at(delivery(), START + 3_600, START + 3_600)
    assert due is not None
    assert due >= START + 7_200
    assert next_attempt_at(delivery(), START + 86_400, START + 86_400) is None


def test_the_schedule_begins_with_the_first_attempt_however_late_that_is_and_however_long_it_takes() -> (
    None
):
    sending = delivery(started_at=None).claimed(0, START + 500, START + 560)
    assert next_attempt_at(sending, START + 500, START + 502) == START + 505
    assert next_attempt_at(sending, START + 500, START + 530) == START + 530


def test_an_attempt_is_claimed_once() -> None:
    claimed = delivery().claimed(0, START, START + 60)
    assert (claimed.status, claimed.attempt, claimed.due_at) == ("sending", 1, START + 60)
    for row in (claimed, delivery(attempt=1)):
        with pytest.raises(StateConflict):
            row.claimed(0, START, START + 60)


def test_a_lost_sender_is_found_by_its_lease_and_its_attempt_counts() -> None:
    waiting = delivery().claimed(0, START, START + 60).asked_for(START + 900)
    assert (waiting.status, waiting.attempt) == (DeliveryStatus.WAITING, 1)
    assert waiting.claimed(1, START, START).attempt == 2


def test_an_ended_delivery_is_sent_again_by_the_whole_schedule() -> None:
    for end in ("delivered", "failed"):
        ended = getattr(delivery().claimed(0, START, START + 60), end)(ATTEMPT, START + 1)
        assert not ended.is_open
        with pytest.raises(StateConflict):
            ended.asked_for(START)
        with pytest.raises(StateConflict):
            ended.claimed(1, START, START)
        again = ended.sent_again(START + 90_060)
        assert (again.status, again.started_at, again.attempt) == ("waiting", None, 1)
        assert again.attempts == (ATTEMPT,)
        sending = again.claimed(1, START + 90_000, START + 90_060)
        assert next_attempt_at(sending, START + 90_000, START + 90_001) == START + 90_005


def test_what_is_being_sent_is_not_sent_again_meanwhile() -> None:
    with pytest.raises(StateConflict) as caught:
        delivery().claimed(0, START, START + 60).sent_again(START)
    assert caught.value.code == "delivery_in_progress"


def test_the_log_keeps_the_last_attempts() -> None:
    row = delivery()
    for n in range(ATTEMPTS_KEPT + 5):
        row = row.claimed(n, START, START).retrying(replace(ATTEMPT, at=n), START)
    assert [attempt.at for attempt in row.attempts] == list(range(5, ATTEMPTS_KEPT + 5))


def test_an_event_told_twice_is_one_event_and_ids_sort_by_time() -> None:
    one = event_id("batch.completed", "batch_1", START)
    assert one == event_id("batch.completed", "batch_1", START)
    others = {
        event_id("batch.failed", "batch_1", START), event_id("batch.completed", "batch_2", START),
    }  # fmt: skip
    assert one not in others
    assert all(len(each) == len(one) for each in others)
    assert one < event_id("batch.completed", "batch_0", START + 1)
