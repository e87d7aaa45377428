"""Which names in the drop folder start a batch: never one that we write, and what is written lies beside its object."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.drop import (
    INPUT_SUFFIXES,
    RESERVED_SUFFIXES,
    WRITTEN_SUFFIXES,
    DropSource,
    account_of,
    is_dropped,
)
from offpeak.core.layout import OWN_PREFIXES

# Names as people and hostile scripts make them, from the pieces that our rules look at.
PIECES = st.sampled_from(
    ["drop", "/", "..", "acct_1", "a", "é", " +", "%2F", ".jsonl", ".gz", ".", *RESERVED_SUFFIXES]
)
KEYS = st.one_of(
    st.lists(PIECES, max_size=8).map("".join),
    st.lists(PIECES, max_size=8).map(lambda pieces: "drop/acct_1/" + "".join(pieces)),
    st.text(max_size=40).map(lambda text: f"drop/acct_1/{text}.jsonl"),
)


def written(source: DropSource) -> list[str]:
    return [source.status_key, source.output_key, source.errors_key]


@given(KEYS)
def test_nothing_that_is_written_beside_an_object_ever_starts_a_batch(key: str) -> None:
    if account_of(key) is None:
        return
    source = DropSource(key=key, etag="e")
    for beside in [*written(source), source.sidecar_key]:
        assert account_of(beside) is None
        assert account_of(beside + ".gz") is None


@given(KEYS)
def test_what_is_written_lies_in_the_same_folder_and_differs_from_the_object(key: str) -> None:
    account = account_of(key)
    if account is None:
        return
    source = DropSource(key=key, etag="e")
    folder = key.rpartition("/")[0]
    assert folder.startswith(f"drop/{account}")
    for beside in [*written(source), source.sidecar_key]:
        assert beside != key
        assert beside.rpartition("/")[0] == folder
        assert len(beside.encode()) <= 1_024
    assert all(name.endswith(suffix) for name, suffix in zip(
        written(source), (".status.json", ".output.jsonl", ".errors.jsonl"), strict=True
    ))  # fmt: skip


@given(KEYS)
def test_an_input_lies_under_drop_and_ends_as_one(key: str) -> None:
    if account_of(key) is not None:
        assert is_dropped(key)
        assert key.endswith(INPUT_SUFFIXES)
        assert not key.startswith(OWN_PREFIXES)


@pytest.mark.parametrize(
    ("key", "account"),
    [
        ("drop/acct_1/a.jsonl", "acct_1"),
        ("drop/acct_1/a.jsonl.gz", "acct_1"),
        ("drop/acct_1/2026/11/a b+c%2F.jsonl", "acct_1"),
        ("drop/acct_1/../acct_2/a.jsonl", "acct_1"),  # S3 knows no way up
        ("drop/acct_1/a.output.jsonl.jsonl", "acct_1"),
        ("drop/", None),
        ("drop/acct_1/", None),
        ("drop/acct_1/folder.jsonl/", None),
        ("drop/a.jsonl", None),
        ("drop//a.jsonl", None),
        ("drop/acct_1/.jsonl", None),
        ("drop/acct_1/sub/.jsonl.gz", None),
        ("drop/acct_1/a.json", None),
        ("drop/acct_1/a.JSONL", None),
        ("drop/acct_1/a.gz", None),
        ("drop/acct_1/a.output.jsonl", None),
        ("drop/acct_1/a.errors.jsonl.gz", None),
        ("drop/acct_1/a.status.json", None),
        ("drop/acct_1/a.batch.json", None),
        ("files/acct_1/a.jsonl", None),
        ("results/batch_1/output.jsonl", None),
        (f"drop/{'a' * 65}/a.jsonl", None),
        (f"drop/acct_1/{'a' * 993}.jsonl", "acct_1"),
        (f"drop/acct_1/{'a' * 994}.jsonl", None),
        (f"drop/acct_1/{'é' * 497}.jsonl", None),
    ],
)
def test_a_key_belongs_to_the_account_of_its_folder_or_starts_nothing(
    key: str, account: str | None
) -> None:
    assert account_of(key) == account


def test_a_packed_object_and_a_plain_one_are_told_of_under_the_same_names() -> None:
    plain = DropSource(key="drop/acct_1/a.jsonl", etag="1")
    packed = DropSource(key="drop/acct_1/a.jsonl.gz", etag="2")
    assert written(plain) == written(packed)
    assert written(plain) == ["drop/acct_1/a" + suffix for suffix in (
        ".status.json", ".output.jsonl", ".errors.jsonl"
    )]  # fmt: skip
    assert set(WRITTEN_SUFFIXES) < set(RESERVED_SUFFIXES)
    assert (plain.filename, packed.filename) == ("a.jsonl", "a.jsonl")
