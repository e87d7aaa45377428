import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.shard import PlannedShard, Segment
from offpeak.wire.manifest import decode_shard, encode_shard, first_shard, iterate_shards

SEGMENTS = st.builds(
    Segment,
    key=st.sampled_from(["files/a/1", "files/a/2", 'odd "key"']),
    start=st.integers(0, 10**10),
    stop=st.integers(0, 10**10),
    first_line=st.integers(1, 5_000_000),
    lines=st.integers(1, 5_000),
)
SHARDS = st.builds(
    PlannedShard,
    number=st.integers(0, 10**6),
    segments=st.lists(SEGMENTS, min_size=1, max_size=20).map(tuple),
)


@given(SHARDS)
def test_a_shard_survives_its_manifest_line(shard: PlannedShard) -> None:
    assert decode_shard(encode_shard(shard)) == shard


@given(st.lists(SHARDS, min_size=1, max_size=5))
def test_the_cursor_walks_a_manifest_line_by_line(shards: list[PlannedShard]) -> None:
    manifest = b"".join(encode_shard(shard) for shard in shards)
    walked, cursor = [], 0
    while cursor < len(manifest):
        shard, length = first_shard(manifest[cursor:])
        walked.append((shard, cursor, cursor + length))
        cursor += length
    assert walked == list(iterate_shards([manifest]))
    assert [shard for shard, _, _ in walked] == shards


def test_five_hundred_segments_of_a_large_file_fit_an_invocation() -> None:
    key = f"files/acct_{'f' * 28}/file-{'f' * 28}"
    segments = tuple(
        Segment(key=key, start=9_999_999_000, stop=9_999_999_999, first_line=4_999_999, lines=4_000)
        for _ in range(500)
    )
    assert len(encode_shard(PlannedShard(number=999_999, segments=segments))) < 30_000


def test_a_shard_too_long_to_be_dispatched_is_refused() -> None:
    segments = tuple(
        Segment(key=f"{'k' * 1000}{i}", start=0, stop=1, first_line=1, lines=1) for i in range(500)
    )
    with pytest.raises(ValueError, match="500 segments"):
        encode_shard(PlannedShard(number=0, segments=segments))
