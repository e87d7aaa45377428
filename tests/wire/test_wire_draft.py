"""Drafts and indexes, there and back."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.draft import Chunk, ChunkIndex, Draft, DraftRun
from offpeak.core.pricing import Prices
from offpeak.core.run import Run
from offpeak.core.sharing import CachedShare
from offpeak.wire.draft import decode_draft, decode_index, encode_draft, encode_index

RUN = Run(
    batch_id="batch_1", account_id="acct_1", number=0, model="m", pool="p",
    endpoint="/v1/completions", manifest_key="k", manifest_bytes=5, shards=2, lines=7, deadline=9,
    created_at=1, prices=Prices(input=1, output=2, cached_input_write=1, cached_input_read=1),
)  # fmt: skip
SHARE = CachedShare(as_it_lies=0.1, in_shards=0.2, whole_file=0.5, levels=(256, 2048))


def test_a_draft_is_what_it_was() -> None:
    chunks = (Chunk(start=0, stop=3), Chunk(start=3, stop=5))
    runs = (DraftRun(run=RUN, share=SHARE, chunks=chunks), DraftRun(run=RUN, share=SHARE))
    draft = Draft(runs=runs, lines=9, invalid_lines=2)
    assert decode_draft(encode_draft(draft)) == draft


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))))
def test_an_index_is_what_it_was(lines: list[tuple[int, int]]) -> None:
    index = ChunkIndex(
        keys=array("Q", [key for key, _ in lines]), stops=array("I", [stop for _, stop in lines]),
        first_line=3, last_line=5_000_000,
    )  # fmt: skip
    body = encode_index(index)
    assert len(body) == 24 + 12 * len(lines)
    assert decode_index(body) == index


@pytest.mark.parametrize("body", [b"", b"x" * 24, b"\0" * 25])
def test_what_is_no_index_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="no index"):
        decode_index(body)
