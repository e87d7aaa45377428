"""The members of a group: the lists of ids that its committed calls left in S3."""

from __future__ import annotations

from collections.abc import Iterator

from offpeak.core.group import Group
from offpeak.core.layout import group_call_key
from offpeak.core.ports import Reader
from offpeak.wire.cancelled import decode_ids


def iterate_calls(group: Group, reader: Reader) -> Iterator[list[str]]:
    """A list for each call, in their order: at most `MEMBERS_A_CALL_MAX` ids each."""
    for token in group.calls:
        yield call_ids(group, token, reader)


def call_ids(group: Group, token: str, reader: Reader) -> list[str]:
    """Raises NotFound when the call died before it wrote its list."""
    return decode_ids(reader.read(group_call_key(group.account_id, group.id, token)))
