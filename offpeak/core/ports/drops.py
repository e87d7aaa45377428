"""The queue of dropped objects (SQS)."""

from __future__ import annotations

from typing import Protocol


class Drops(Protocol):
    def put_back(self, key: str) -> None:
        """The object under this key is to be looked at again in some minutes."""
        ...
