"""A name server on this machine, over UDP as they are, whose owner changes his mind: the one of DNS rebinding."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import TracebackType

A, AAAA, IN = 1, 28, 1
ANSWER_SECONDS_MAX = 60.0


class NameServer:
    """`answers` are what a name stands for, one look-up after the other, the last for ever. `asked` are the names that
    were looked up. A look-up asks for IPv4 and for IPv6 addresses, and moves on with the first of the two."""

    def __init__(self, answers: dict[str, list[Sequence[str]]]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> NameServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as poke:
            poke.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def look_up(self, host: str, port: int) -> Sequence[str]:
        """What the system's resolver would do with this name server: a question for each family, by UDP."""
        del port
        found = [str(each) for family in (A, AAAA) for each in self._ask(host, family)]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return found

    def _ask(self, host: str, family: int) -> Iterator[IPv4Address | IPv6Address]:
        question = _name(host) + struct.pack(">HH", family, IN)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(ANSWER_SECONDS_MAX)
            asking.sendto(
                struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + question, self._socket.getsockname()
            )
            answer = asking.recv(512)
        _, _, _, count, _, _ = struct.unpack(">6H", answer[:12])
        rest = answer[12 + len(question) :]
        for _ in range(count):
            (length,) = struct.unpack(">H", rest[10:12])
            yield ip_address(rest[12 : 12 + length])
            rest = rest[12 + length :]

    def _serve(self) -> None:
        while True:
            query, caller = self._socket.recvfrom(512)
            if not query:
                return
            self._socket.sendto(self._answer(query), caller)

    def _answer(self, query: bytes) -> bytes:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        host = ".".join(labels)
        (family,) = struct.unpack(">H", query[at + 1 : at + 3])
        answers = self.answers.get(host, [()])
        if family == A:
            self.asked.append(host)
        addresses = [ip_address(each) for each in answers[0]]
        if family == AAAA and len(answers) > 1:
            del answers[0]
        version = 4 if family == A else 6
        records = b"".join(
            struct.pack(">HHHIH", 0xC00C, family, IN, 0, len(each.packed)) + each.packed
            for each in addresses
            if each.version == version
        )
        count = sum(each.version == version for each in addresses)
        head = query[:2] + struct.pack(">5H", 0x8180, 1, count, 0, 0)
        return head + query[12 : at + 5] + records


def _name(host: str) -> bytes:
    return b"".join(bytes([len(each)]) + each.encode() for each in host.split(".")) + b"\0"


@contextmanager
def rebinding(host: str, *answers: Sequence[str]) -> Iterator[NameServer]:
    with NameServer({host: list(answers)}) as server:
        yield server
