from __future__ import annotations

import pytest

from offpeak.cli.durations import parse_duration
from offpeak.cli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1m", 60), ("12h", 43_200), ("90d", 7_776_000), ("52w", 31_449_600)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text, "--expires") == seconds


@pytest.mark.parametrize("text", ["", "0d", "d", "90", "90 d", "-1d", "1.5h", "٣d", "9" * 9 + "d"])
def test_anything_else_is_refused_by_the_options_name(text: str) -> None:
    with pytest.raises(UsageError, match="--expires takes a duration"):
        parse_duration(text, "--expires")
