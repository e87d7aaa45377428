import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.errors import InvalidRequest
from offpeak.core.window import parse_window


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h", 3_600), ("24h", 86_400), ("168h", 604_800), ("7d", 604_800)]
)
def test_hours_and_days_from_an_hour_to_a_week_are_windows(text: str, seconds: int) -> None:
    assert parse_window(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0h", "169h", "8d", "24", "24H", "1.5h", "h", "-1h", "24h ", "٣h"]
)
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_window(text)
    assert refused.value.param == "completion_window"
    assert refused.value.code == "invalid_completion_window"


@given(st.text(max_size=30))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        assert 3_600 <= parse_window(text) <= 604_800
