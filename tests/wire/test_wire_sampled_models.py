"""A look at which models a piece of a file names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from offpeak.wire.sampled_models import sampled_models

LINES = b'{"custom_id":"a","body":{"model":"one"}}\n{"body":{"model":"two","messages":[]}}\n'


def test_models_of_whole_lines_are_found() -> None:
    assert sampled_models(LINES) == {"one", "two"}


def test_cut_lines_and_what_is_no_request_are_left_out() -> None:
    assert sampled_models(LINES[10:]) == {"two"}
    assert sampled_models(LINES[:-10]) == {"one"}
    assert sampled_models(b'\n[]\n{"body": 1}\n\xff\n' + b"[" * 100_000) == frozenset()


@given(st.binary())
def test_no_bytes_break_it(block: bytes) -> None:
    assert isinstance(sampled_models(block), frozenset)
