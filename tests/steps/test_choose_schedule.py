from dataclasses import replace

import pytest

from offpeak.core.account import Account
from offpeak.core.errors import InvalidRequest
from offpeak.core.schedule import METADATA_KEY, Schedule
from offpeak.steps.choose_schedule import choose_schedule, choose_window

ACCOUNT = Account(id="acct_1", name="research", created_at=0)
PATIENT = replace(ACCOUNT, schedule=Schedule.OFFPEAK, completion_window="48h")


def test_nobody_waits_who_was_not_told_to() -> None:
    assert choose_schedule(ACCOUNT, None, None) is Schedule.NOW
    assert choose_schedule(ACCOUNT, None, {"team": "a"}) is Schedule.NOW


def test_a_batchs_word_goes_over_its_metadata_and_that_over_its_account() -> None:
    said = {METADATA_KEY: "now"}
    assert choose_schedule(PATIENT, None, None) is Schedule.OFFPEAK
    assert choose_schedule(PATIENT, None, said) is Schedule.NOW
    assert choose_schedule(PATIENT, Schedule.OFFPEAK, said) is Schedule.OFFPEAK


def test_a_schedule_that_is_none_is_refused_by_the_metadatas_key() -> None:
    with pytest.raises(InvalidRequest) as refused:
        choose_schedule(ACCOUNT, None, {METADATA_KEY: "tonight"})
    assert (refused.value.param, refused.value.code) == (
        "metadata.offpeak_schedule", "invalid_value",
    )  # fmt: skip


def test_a_window_that_nobody_names_is_the_accounts_or_a_day() -> None:
    assert choose_window(PATIENT, "6h") == "6h"
    assert choose_window(PATIENT, None) == "48h"
    assert choose_window(ACCOUNT, None) == "24h"
