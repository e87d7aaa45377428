"""The way out to callers' URLs: resolve, check every address, connect to one of them, and never look the name up again.

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
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from threading import Timer

from urllib3 import BaseHTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from offpeak.core.destination import Destination, Reach, check_addresses, parse_destination
from offpeak.core.errors import InvalidRequest, Unavailable
from offpeak.core.ports import ANSWER_BYTES_MAX, Answer

CONNECT_SECONDS_MAX = 3.0
EXCHANGE_SECONDS_MAX = 10.0
ADDRESSES_TRIED_MAX = 3
RETRY_AFTER_SECONDS_MAX = 86_400

Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a name. Raises OSError when it has none."""


class HttpDestinations:
    def __init__(
        self,
        reach: Reach,
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        exchange_seconds_max: float = EXCHANGE_SECONDS_MAX,
    ) -> None:
        self._reach = reach
        self._resolve = resolve or look_up
        self._tls = tls or ssl.create_default_context()
        self._seconds = exchange_seconds_max
        # Name servers answer when they please. A look-up that isn't waited for any more ends by itself.
        self._resolvers = ThreadPoolExecutor(32, thread_name_prefix="resolve")

    def check(self, url: str, *, param: str = "url") -> None:
        self._checked(parse_destination(url, self._reach, param=param), param)

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        destination = parse_destination(url, self._reach)
        addresses = self._checked(destination, "url")
        deadline = time.monotonic() + self._seconds
        connection = self._connection(destination, addresses, deadline)
        try:
            with _cut_off(connection.guard, deadline):
                connection.request(
                    "POST", destination.target, body=body, preload_content=False,
                    headers={"Host": destination.authority, **headers},
                )  # fmt: skip
                response = connection.getresponse()
                if connection.guard.is_cut:  # half a header reads like a whole one
                    raise TimeoutError
                return _read(response)
        except (HTTPError, HTTPException, OSError) as error:
            raise Unavailable(_reason(error)) from error
        finally:
            connection.close()

    def _checked(self, destination: Destination, param: str) -> Sequence[str]:
        """The addresses of its host, all of them allowed."""
        looked_up = self._resolvers.submit(self._resolve, destination.host, destination.port)
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
        check_addresses(list(addresses), self._reach, param=param)
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
            return "There was no answer in time."
        cause = cause.__cause__ or cause.__context__
    return "The connection broke, or the answer took too long."
