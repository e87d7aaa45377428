"""Pages fit one answer and say truly whether there is more."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from offpeak.wire.openai.listing import ANSWER_BYTES_MAX, render_list

LENGTHS = st.lists(st.integers(0, ANSWER_BYTES_MAX // 3), max_size=8)


@given(LENGTHS, st.booleans())
def test_a_page_holds_what_fits_in_order_and_owns_up_to_the_rest(
    lengths: list[int], has_more: bool
) -> None:
    objects = [{"id": f"file-{n}", "filename": "x" * size} for n, size in enumerate(lengths)]
    text = render_list(objects, has_more)
    page = json.loads(text)
    held = len(page["data"])
    assert page["data"] == objects[:held]
    assert page["has_more"] == (has_more or held < len(objects))
    assert len(text) < ANSWER_BYTES_MAX + 1_000
    assert held or not objects
    assert page["last_id"] == (page["data"][-1]["id"] if held else "")


def test_the_rest_of_a_cut_page_is_never_rendered() -> None:
    rendered = []

    def objects() -> object:
        for n in range(10):
            rendered.append(n)
            yield {"id": str(n), "text": "x" * (ANSWER_BYTES_MAX // 2)}

    render_list(objects(), has_more=False)  # type: ignore[arg-type]
    assert rendered == [0, 1]


def test_one_object_is_shown_however_large() -> None:
    page = json.loads(render_list([{"id": "a", "text": "x" * ANSWER_BYTES_MAX}], has_more=False))
    assert len(page["data"]) == 1
