from hypothesis import given
from hypothesis import strategies as st

from offpeak.planner.cut_harvest import CHUNK_SHARDS_MIN, CHUNKS_MAX, cut_harvest

MISSING = st.dictionaries(
    st.integers(0, 98), st.sets(st.integers(0, 5_000), max_size=300).map(sorted), max_size=10
)


@given(MISSING)
def test_chunks_cover_every_shard_that_lacks_results_once(missing: dict[int, list[int]]) -> None:
    chunks = cut_harvest(missing)
    covered = [
        (chunk.run, number)
        for chunk in chunks
        for number in missing[chunk.run]
        if chunk.first <= number <= chunk.last
    ]
    assert covered == [(run, number) for run, numbers in missing.items() for number in numbers]


@given(MISSING)
def test_there_are_never_more_chunks_than_a_map_takes(missing: dict[int, list[int]]) -> None:
    assert len(cut_harvest(missing)) <= CHUNKS_MAX


def test_the_largest_batch_makes_even_chunks() -> None:
    chunks = cut_harvest({0: range(5_000)})
    sizes = {chunk.last - chunk.first + 1 for chunk in chunks}
    assert len(chunks) <= CHUNKS_MAX
    assert max(sizes) == 26


def test_a_few_shards_make_one_chunk() -> None:
    assert len(cut_harvest({0: range(CHUNK_SHARDS_MIN)})) == 1
    assert cut_harvest({0: []}) == []
