from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.usage import Counts, Usage

NUMBERS = st.integers(min_value=0, max_value=10**12)
COUNTS = st.builds(Counts, total=NUMBERS, completed=NUMBERS, failed=NUMBERS)
USAGES = st.builds(
    Usage,
    input_tokens=NUMBERS,
    cached_tokens=NUMBERS,
    output_tokens=NUMBERS,
    reasoning_tokens=NUMBERS,
)


@given(COUNTS, COUNTS, COUNTS)
def test_counts_add_up_in_any_order(a: Counts, b: Counts, c: Counts) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + Counts() == a


@given(USAGES, USAGES, USAGES)
def test_usage_adds_up_in_any_order(a: Usage, b: Usage, c: Usage) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert (a + b).total_tokens == a.total_tokens + b.total_tokens
