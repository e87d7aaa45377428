"""Of what was given up ids are shown, and nothing that anybody asked or was answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.wire.dead_letters import SHOWN, names_in

SECRET = "what nobody may read"


@pytest.mark.parametrize(
    ("record", "names"),
    [
        ({"pool": "llama"}, {"pool": "llama"}),
        (
            {"inferenceId": "batch_1.0.3.2", "invocationStatus": "Failed", "failureReason": SECRET},
            {"inferenceId": "batch_1.0.3.2", "invocationStatus": "Failed"},
        ),
        (
            {"detail-type": "batch.completed", "detail": {"batch_id": "batch_1", "said": SECRET}},
            {"detail-type": "batch.completed", "batch_id": "batch_1"},
        ),
        (
            {"id": "req_1", "account_id": "acct_1", "body": {"id": "x", "prompt": SECRET}},
            {"id": "req_1", "account_id": "acct_1"},
        ),
        ({"id": SECRET}, {}),
        ({"Records": [{"s3": {"object": {"key": SECRET}}}]}, {}),
        ([SECRET], {}),
    ],
)
def test_ids_are_shown_and_nothing_else(record: Any, names: dict[str, str]) -> None:
    assert names_in(json.dumps(record)) == names


@pytest.mark.parametrize("body", ["", "no json", "\x00", "[" * 100_000, '{"id": 1e999}'])
def test_what_is_no_record_shows_nothing(body: str) -> None:
    assert names_in(body) == {}


VALUES = st.recursive(
    st.text() | st.integers() | st.none(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.sampled_from([*SHOWN, "detail", "body"]), VALUES))
def test_whatever_a_record_holds_no_sentence_of_it_is_shown(record: dict[str, Any]) -> None:
    for name, value in names_in(json.dumps(record)).items():
        assert name in SHOWN
        assert " " not in value
        assert len(value) <= 100
