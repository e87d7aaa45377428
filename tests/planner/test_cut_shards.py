from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.catalogue import Model
from offpeak.core.shard import Segment
from offpeak.planner.cut_shards import ShardLimits, cut_shards, shard_limits, span_limits

LIMITS = st.builds(
    ShardLimits,
    lines_max=st.integers(1, 50),
    bytes_max=st.integers(1, 5_000),
    segments_max=st.integers(1, 8),
)


@st.composite
def spans(draw: st.DrawFn) -> list[Segment]:
    """A file's good spans of one model: between two of them may lie lines of others."""
    made, position, line = [], draw(st.integers(0, 3)), 1
    for _ in range(draw(st.integers(0, 40))):
        if draw(st.booleans()):
            position, line = position + draw(st.integers(1, 900)), line + draw(st.integers(1, 20))
        lines = draw(st.integers(1, 10))
        stop = position + draw(st.integers(lines, 400))
        made.append(Segment(key="k", start=position, stop=stop, first_line=line, lines=lines))
        position, line = stop, line + lines
    return made


def _lines(segments: list[Segment]) -> list[int]:
    return [line for s in segments for line in range(s.first_line, s.first_line + s.lines)]


@given(spans(), LIMITS)
def test_every_line_is_in_one_shard_in_order(made: list[Segment], limits: ShardLimits) -> None:
    shards = list(cut_shards(made, limits))
    assert _lines([s for shard in shards for s in shard.segments]) == _lines(made)
    assert [shard.number for shard in shards] == list(range(len(shards)))


@given(spans(), LIMITS)
def test_a_shard_never_splits_a_request_line(made: list[Segment], limits: ShardLimits) -> None:
    """A span's edges are lines' edges, and a shard's segments begin and stop at those of spans."""
    starts = {(span.start, span.first_line) for span in made}
    stops = {(span.stop, span.first_line + span.lines) for span in made}
    for shard in cut_shards(made, limits):
        for segment in shard.segments:
            assert (segment.start, segment.first_line) in starts
            assert (segment.stop, segment.first_line + segment.lines) in stops


@given(spans(), LIMITS)
def test_only_a_single_span_may_break_a_limit(made: list[Segment], limits: ShardLimits) -> None:
    for shard in cut_shards(made, limits):
        assert len(shard.segments) <= limits.segments_max
        if shard.segments[0] not in made or len(shard.segments) > 1:
            assert shard.lines <= limits.lines_max
            assert shard.bytes <= limits.bytes_max


@pytest.mark.parametrize(
    ("limits", "shards"),
    [
        (ShardLimits(lines_max=4, bytes_max=20), 1),
        (ShardLimits(lines_max=3, bytes_max=20), 2),
        (ShardLimits(lines_max=4, bytes_max=19), 2),
        (ShardLimits(lines_max=1, bytes_max=20), 2),
        (ShardLimits(lines_max=4, bytes_max=20, segments_max=1), 2),
    ],
)
def test_a_shard_takes_exactly_what_its_limits_allow(limits: ShardLimits, shards: int) -> None:
    apart = [
        Segment(key="k", start=0, stop=10, first_line=1, lines=2),
        Segment(key="k", start=50, stop=60, first_line=5, lines=2),
    ]
    assert len(list(cut_shards(apart, limits))) == shards


@given(spans(), LIMITS)
def test_a_shard_ends_only_where_the_next_span_has_no_room(
    made: list[Segment], limits: ShardLimits
) -> None:
    shards = list(cut_shards(made, limits))
    by_start = {span.start: span for span in made}
    for shard, following in pairwise(shards):
        span = by_start[following.segments[0].start]
        continues = (shard.segments[-1].stop, shard.last_line + 1) == (span.start, span.first_line)
        assert (
            shard.lines + span.lines > limits.lines_max
            or shard.bytes + span.stop - span.start > limits.bytes_max
            or (len(shard.segments) == limits.segments_max and not continues)
        )


@given(spans())
def test_neighbouring_spans_become_one_segment(made: list[Segment]) -> None:
    unlimited = ShardLimits(lines_max=10**9, bytes_max=10**12, segments_max=10**6)
    for shard in cut_shards(made, unlimited):
        for before, after in pairwise(shard.segments):
            assert (before.stop, before.first_line + before.lines) != (
                after.start,
                after.first_line,
            )


@given(st.integers(1, 10_000), st.integers(1, 10**9))
def test_full_spans_fill_a_shard_to_within_a_span(lines_max: int, bytes_max: int) -> None:
    model = Model(
        id="m", pool="m", source="s", endpoints=("/v1/completions",), context_tokens=1,
        shard_lines_max=lines_max, shard_bytes_max=bytes_max,
    )  # fmt: skip
    limits = span_limits(model)
    assert 1 <= limits.lines_max <= 256
    assert limits.bytes_max <= shard_limits(model).bytes_max
    spans_in_shard = lines_max // limits.lines_max
    assert lines_max - spans_in_shard * limits.lines_max < spans_in_shard
