"""Parts of a joined object: complete, in order, and of a size that S3 takes."""

from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.ports import PART_BYTES_MIN, PARTS_MAX
from offpeak.planner.join_pieces import GATHER_BYTES, MIB, Piece, join_pieces

SIZES = st.lists(
    st.one_of(
        st.just(0),
        st.integers(0, PART_BYTES_MIN + 2),
        st.integers(0, 80 * MIB),
        st.integers(0, 6_000 * MIB),
    ),
    max_size=40,
)


def _bytes(piece: Piece) -> int:
    return sum(slice_.bytes for slice_ in piece)


@given(SIZES)
def test_the_pieces_are_the_sources_bytes_in_order(sizes: list[int]) -> None:
    reached = [0] * len(sizes)
    order = []
    for piece in join_pieces(sizes):
        for slice_ in piece:
            assert slice_.start == reached[slice_.source]
            assert slice_.stop > slice_.start
            reached[slice_.source] = slice_.stop
            order.append(slice_.source)
    assert reached == sizes
    assert order == sorted(order)


@given(SIZES)
def test_every_part_but_the_last_is_large_enough_for_s3(sizes: list[int]) -> None:
    pieces = list(join_pieces(sizes))
    assert all(_bytes(piece) >= PART_BYTES_MIN for piece in pieces[:-1])


@given(SIZES)
def test_what_passes_through_us_stays_small(sizes: list[int]) -> None:
    for piece in join_pieces(sizes):
        copied = len(piece) == 1 and _bytes(piece) >= PART_BYTES_MIN
        assert copied or _bytes(piece) < GATHER_BYTES + max(
            PART_BYTES_MIN, -(-2 * sum(sizes) // PARTS_MAX)
        )


def test_tens_of_thousands_of_sources_make_at_most_ten_thousand_parts() -> None:
    tiny_and_large = [1, PART_BYTES_MIN + 1] * 30_000
    assert len(list(join_pieces(tiny_and_large))) <= PARTS_MAX


def test_a_large_source_alone_is_copied_whole() -> None:
    (piece,) = join_pieces([64 * MIB])
    assert [(slice_.start, slice_.stop) for slice_ in piece] == [(0, 64 * MIB)]


def test_a_small_source_takes_only_what_it_lacks_from_its_large_neighbour() -> None:
    gathered, copied = join_pieces([1 * MIB, 64 * MIB])
    assert [slice_.bytes for slice_ in gathered] == [1 * MIB, 4 * MIB]
    assert copied[0].start == 4 * MIB
