"""Which process is at the other end of a connection on this machine: Linux tells it under /proc."""

from __future__ import annotations

import time
from pathlib import Path

TRIES = 40
PAUSE_SECONDS = 0.05
_LOCAL, _REMOTE, _INODE = 1, 2, 9


def pid_of_client(client_port: int, server_port: int) -> int:
    """The process that holds the connection from 127.0.0.1:`client_port` to `server_port`. Raises LookupError.

    /proc is read while others open and close what it tells of, and may lack something then: it is read again."""
    for _ in range(TRIES - 1):
        try:
            return _pid(client_port, server_port)
        except LookupError:
            time.sleep(PAUSE_SECONDS)
    return _pid(client_port, server_port)


def _pid(client_port: int, server_port: int) -> int:
    socket = f"socket:[{_inode(client_port, server_port)}]"
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(_target(entry) == socket for entry in folder.iterdir()):
                return int(folder.parent.name)
        except (PermissionError, FileNotFoundError, ProcessLookupError):
            continue  # somebody else's, or just gone
    raise LookupError(f"No process has {socket}.")


def _target(entry: Path) -> str:
    """Nothing where it has just been closed, by another of the process's threads."""
    try:
        return str(entry.readlink())
    except FileNotFoundError:
        return ""


def _inode(client_port: int, server_port: int) -> str:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if _port(fields[_LOCAL]) == client_port and _port(fields[_REMOTE]) == server_port:
            return fields[_INODE]
    raise LookupError(f"Nobody is connected from port {client_port} to port {server_port}.")


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
