"""Groups of requests, an account's under their ids. The sparse index `open` holds those that have not ended."""

from __future__ import annotations

from collections.abc import Iterator

from offpeak.aws.items import Item, from_item, to_item
from offpeak.aws.requests import open_keys
from offpeak.aws.table import Table
from offpeak.core.group import Group
from offpeak.core.request import KEPT_SECONDS


def group_to_item(group: Group) -> Item:
    if group.has_ended:
        return to_item(group, ttl=(group.ended_at or group.expires_at) + KEPT_SECONDS)
    if not group.is_there and not group.claims:  # nobody ever saw it
        return to_item(group, ttl=group.created_at + KEPT_SECONDS)
    return to_item(group, open="open", open_key=f"{group.account_id}#{group.id}")


def group_from_item(item: Item) -> Group:
    return from_item(item, Group)


class DynamoGroups:
    def __init__(self, groups: Table, requests: Table) -> None:
        self._groups = groups
        self._requests = requests

    def get(self, account_id: str, group_id: str) -> Group:
        return group_from_item(
            self._groups.get(f"batch {group_id}", account_id=account_id, id=group_id)
        )

    def open(self) -> Iterator[Group]:
        for item in self._groups.query("#open = :open", {":open": "open"}, index="open"):
            yield group_from_item(item)

    def has_open_members(self, group_id: str) -> bool:
        return any(
            next(
                self._requests.query(
                    "#open_group = :key", {":key": key}, index="open_members", page_rows=1
                ),
                None,
            )
            for key in open_keys(group_id)
        )
