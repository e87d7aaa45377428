from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.wire import repeated_ids as module
from offpeak.wire.range_report import encode_id, sorted_ids
from offpeak.wire.repeated_ids import repeated_ids

RANGES = st.lists(st.lists(st.integers(0, 12).map(str), max_size=30), max_size=6)


def _columns(ranges: Sequence[Sequence[str]]) -> tuple[list[bytes], list[int]]:
    """Ids as reports hold them, and the lines that the ranges begin with."""
    columns, first_lines, line = [], [], 1
    for custom_ids in ranges:
        ids = [encode_id(custom_id, number) for number, custom_id in enumerate(custom_ids)]
        columns.append(b"".join(sorted_ids(ids)))
        first_lines.append(line)
        line += len(custom_ids)
    return columns, first_lines


def _by_a_dictionary(ranges: Sequence[Sequence[str]]) -> list[list[tuple[int, int]]]:
    firsts: dict[str, int] = {}
    found: list[list[tuple[int, int]]] = []
    line = 0
    for custom_ids in ranges:
        found.append([])
        for custom_id in custom_ids:
            line += 1
            if firsts.setdefault(custom_id, line) != line:
                found[-1].append((line, firsts[custom_id]))
    return found


@given(RANGES, st.integers(1, 40))
def test_each_repeat_is_found_with_the_first_line_of_its_id(
    ranges: list[list[str]], stretch: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STRETCH_IDS", stretch)
        found = repeated_ids(*_columns(ranges))
    assert [list(each) for each in found] == _by_a_dictionary(ranges)
    assert [len(each) for each in found] == [len(each) for each in _by_a_dictionary(ranges)]


def test_hashes_that_begin_alike_are_not_equal_ids() -> None:
    alike = b"\x07" * 8
    rows = sorted(
        [
            alike + b"a" * 8 + (0).to_bytes(4),
            alike + b"b" * 8 + (1).to_bytes(4),
            alike + b"a" * 8 + (2).to_bytes(4),
        ]
    )
    first, second = repeated_ids([b"".join(rows), alike + b"c" * 8 + bytes(4)], [1, 4])
    assert list(first) == [(3, 1)]
    assert list(second) == []


def test_hashes_at_both_ends_of_the_order_are_found() -> None:
    ends = [bytes(16), b"\xff" * 16]
    column = b"".join(end + number.to_bytes(4) for end in ends for number in (0, 1))
    (found,) = repeated_ids([column], [1])
    assert list(found) == [(2, 1), (2, 1)]


def test_a_file_of_one_id_alone_is_found_out() -> None:
    ranges = [["same"] * 5_000] * 3
    found = repeated_ids(*_columns(ranges))
    assert [len(each) for each in found] == [4_999, 5_000, 5_000]
    assert list(found[2])[-1] == (15_000, 1)
