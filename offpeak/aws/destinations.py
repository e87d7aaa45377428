"""The way out to URLs that others wrote: resolve, check every address, connect to one of them, and never look the name
up again. Callbacks and images go by it whole, an engine's connections go to the addresses that it gives.

TLS still names and verifies the host, since urllib3 is only told where to connect. Nothing of the environment (proxies,
`.netrc`) has a say. The whole exchange has one deadline: a receiver that dribbles is cut off by a watchdog that shuts
the connection down, which time-outs for single reads wouldn't do.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from threading import Timer

from urllib3 import BaseHTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from offpeak.core.destination import (
    NOTHING_MORE,
    Allowed,
    Destination,
    Reach,
    check_addresses,
    parse_destination,
)
from offpeak.core.errors import InvalidRequest, TooLarge, Unavailable
from offpeak.core.ports import ANSWER_BYTES_MAX, Answer, Fetched, Resolved

CONNECT_SECONDS_MAX = 3.0
EXCHANGE_SECONDS_MAX = 10.0
ADDRESSES_TRIED_MAX = 3
RETRY_AFTER_SECONDS_MAX = 86_400
CHUNK_BYTES = 65_536
_NOT_IN_TIME = "There was no answer in time."

Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a name. Raises OSError when it has none."""


class HttpDestinations:
    def __init__(
        self,
        reach: Reach,
        *,
        allowed: Allowed = NOTHING_MORE,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        exchange_seconds_max: float = EXCHANGE_SECONDS_MAX,
    ) -> None:
        self._reach = reach
        self._allowed = allowed
        self._look_up = resolve or look_up
        self._tls = tls or ssl.create_default_context()
        self._seconds = exchange_seconds_max
        # Name servers answer when they please. A look-up that isn't waited for any more ends by itself.
        self._resolvers = ThreadPoolExecutor(32, thread_name_prefix="resolve")

    def check(self, url: str, *, param: str = "url") -> None:
        self.resolve(url, param=param)

    def resolve(self, url: str, *, param: str = "url") -> Resolved:
        destination = parse_destination(url, self._reach, allowed=self._allowed, param=param)
        return Resolved(destination=destination, addresses=self._checked(destination, param))

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        with self._exchange("POST", self.resolve(url), headers, body, self._seconds) as opened:
            return _read(opened.response)

    def get(
        self, url: str, headers: Mapping[str, str], *, bytes_max: int, seconds_max: float,
        param: str = "url",
    ) -> Fetched:  # fmt: skip
        deadline = time.monotonic() + seconds_max
        resolved = self.resolve(url, param=param)
        left = _left(deadline)
        # Unpacked, a small answer could be a large one.
        asked = {**headers, "Accept-Encoding": "identity"}
        with self._exchange("GET", resolved, asked, None, left) as opened:
            content = bytearray()
            while chunk := opened.response.read(CHUNK_BYTES, decode_content=False):
                content += chunk
                if len(content) > bytes_max:
                    raise TooLarge(f"It has more than {bytes_max:,} bytes.", param=param)
            if opened.guard.is_cut:
                raise Unavailable(_NOT_IN_TIME)
            return Fetched(status_code=opened.response.status, content=bytes(content))

    @contextmanager
    def _exchange(
        self, method: str, resolved: Resolved, headers: Mapping[str, str], body: bytes | None,
        seconds: float,
    ) -> Iterator[_Opened]:  # fmt: skip
        """An answer whose header is here, over a connection to an address that was checked. Raises Unavailable."""
        destination, deadline = resolved.destination, time.monotonic() + seconds
        connection = self._connection(destination, resolved.addresses, deadline)
        try:
            with _cut_off(connection.guard, deadline):
                connection.request(
                    method, destination.target, body=body, preload_content=False,
                    headers={"Host": destination.authority, **headers},
                )  # fmt: skip
                response = connection.getresponse()
                if connection.guard.is_cut:  # half a header reads like a whole one
                    raise TimeoutError
                yield _Opened(response, connection.guard)
        except (HTTPError, HTTPException, OSError) as error:
            raise Unavailable(_reason(error)) from error
        finally:
            connection.close()

    def _checked(self, destination: Destination, param: str) -> Sequence[str]:
        """The addresses of its host, all of them allowed."""
        looked_up = self._resolvers.submit(self._look_up, destination.host, destination.port)
        try:
            addresses = looked_up.result(timeout=self._seconds)
        except NotInTime:
            raise Unavailable(f"The name servers of {destination.host} don't answer.") from None
        except (OSError, UnicodeError):
            raise InvalidRequest(
                f"The host {destination.host} is not known.",
                param=param,
                code="destination_unknown",
            ) from None
        check_addresses(
            list(addresses), self._reach, host=destination.host, allowed=self._allowed, param=param
        )
        return addresses

    def _connection(
        self, destination: Destination, addresses: Sequence[str], deadline: float
    ) -> _PlainConnection | _TlsConnection:
        if destination.scheme == "http":
            return _PlainConnection(destination, addresses, deadline)
        return _TlsConnection(destination, addresses, deadline, self._tls)


def look_up(host: str, port: int) -> Sequence[str]:
    """The system's resolver, its answers in its order, each once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class _Guarded:
    """A second hold on the connection's socket, with which to end it from outside, also amid a handshake."""

    def __init__(self) -> None:
        self._hold: socket.socket | None = None
        self.is_cut = False

    def take(self, sock: socket.socket) -> None:
        self._hold = sock.dup()
        if self.is_cut:
            self.cut()

    def cut(self) -> None:
        self.is_cut = True
        if self._hold is not None:
            with contextlib.suppress(OSError):
                self._hold.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        if self._hold is not None:
            self._hold.close()
            self._hold = None


@dataclass(frozen=True, slots=True)
class _Opened:
    response: BaseHTTPResponse
    guard: _Guarded


class _PlainConnection(HTTPConnection):
    def __init__(self, destination: Destination, addresses: Sequence[str], deadline: float) -> None:
        super().__init__(destination.host, destination.port, timeout=_left(deadline))
        self.addresses, self.deadline, self.guard = addresses, deadline, _Guarded()

    def _new_conn(self) -> socket.socket:
        return _connected(self.addresses, self.port, self.deadline, self.guard)


class _TlsConnection(HTTPSConnection):
    def __init__(
        self,
        destination: Destination,
        addresses: Sequence[str],
        deadline: float,
        tls: ssl.SSLContext,
    ) -> None:
        super().__init__(
            destination.host, destination.port, timeout=_left(deadline), ssl_context=tls
        )
        self.addresses, self.deadline, self.guard = addresses, deadline, _Guarded()

    def _new_conn(self) -> socket.socket:
        return _connected(self.addresses, self.port, self.deadline, self.guard)


def _left(deadline: float) -> float:
    return max(0.001, deadline - time.monotonic())


def _connected(
    addresses: Sequence[str], port: int, deadline: float, guard: _Guarded
) -> socket.socket:
    """A connection to the first address that takes one."""
    failure = OSError("no address")
    for address in addresses[:ADDRESSES_TRIED_MAX]:
        try:
            sock = socket.create_connection(
                (address, port), timeout=min(CONNECT_SECONDS_MAX, _left(deadline))
            )
        except OSError as error:
            failure = error
            continue
        sock.settimeout(_left(deadline))
        guard.take(sock)
        return sock
    raise failure


@contextmanager
def _cut_off(guard: _Guarded, deadline: float) -> Iterator[None]:
    """Ends the exchange at the deadline, however busy it looks."""
    watchdog = Timer(_left(deadline), guard.cut)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()
        guard.release()


def _read(response: BaseHTTPResponse) -> Answer:
    """The body is of no interest; a little of it is read, so that a polite receiver sees its answer taken."""
    with contextlib.suppress(HTTPError, HTTPException, OSError):
        response.read(ANSWER_BYTES_MAX, decode_content=False)
    return Answer(
        status_code=response.status,
        retry_after_seconds=retry_after_seconds(response.headers.get("retry-after", "")),
    )


def retry_after_seconds(text: str, now: float | None = None) -> int:
    """Seconds that a Retry-After asks for, given as such or as a date; 0 for one that says nothing."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), RETRY_AFTER_SECONDS_MAX)
    try:
        moment = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return 0
    wait = moment - (time.time() if now is None else now)
    return max(0, min(int(wait), RETRY_AFTER_SECONDS_MAX))


def _reason(error: Exception) -> str:
    """A word for the delivery log. No address: what a name stands for here is not its owner's business."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"The certificate was refused: {cause.verify_message}."
        if isinstance(cause, ssl.SSLError):
            return "The TLS handshake failed."
        if isinstance(cause, ConnectionRefusedError):
            return "The connection was refused."
        if isinstance(cause, TimeoutError):
            return _NOT_IN_TIME
        cause = cause.__cause__ or cause.__context__
    return "The connection broke, or the answer took too long."
