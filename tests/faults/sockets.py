"""Which process is at the other end of a connection on this machine: Linux tells it under /proc."""

from __future__ import annotations

from pathlib import Path

_LOCAL, _REMOTE, _INODE = 1, 2, 9


def pid_of_client(client_port: int, server_port: int) -> int:
    """The process that holds the connection from 127.0.0.1:`client_port` to `server_port`. Raises LookupError."""
    socket = f"socket:[{_inode(client_port, server_port)}]"
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(str(entry.readlink()) == socket for entry in folder.iterdir()):
                return int(folder.parent.name)
        except (PermissionError, FileNotFoundError, ProcessLookupError):
            continue  # somebody else's, or just gone
    raise LookupError(f"No process has {socket}.")


def _inode(client_port: int, server_port: int) -> str:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if _port(fields[_LOCAL]) == client_port and _port(fields[_REMOTE]) == server_port:
            return fields[_INODE]
    raise LookupError(f"Nobody is connected from port {client_port} to port {server_port}.")


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
