"""What the door needs of the world: `Aws` has it, and so has anything else with these attributes."""

from __future__ import annotations

from typing import Protocol

from offpeak.core.ports import (
    Accounts,
    Changes,
    Clock,
    Files,
    Idempotency,
    KeyHashes,
    Multipart,
    Reader,
    Writer,
)


class DoorPorts(Protocol):
    @property
    def clock(self) -> Clock: ...
    @property
    def reader(self) -> Reader: ...
    @property
    def writer(self) -> Writer: ...
    @property
    def multipart(self) -> Multipart: ...
    @property
    def changes(self) -> Changes: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def key_hashes(self) -> KeyHashes: ...
    @property
    def files(self) -> Files: ...
    @property
    def idempotency(self) -> Idempotency: ...
