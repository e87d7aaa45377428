"""The way out, against real sockets: where it connects, what it verifies, when it gives up."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from offpeak.aws.destinations import HttpDestinations, retry_after_seconds
from offpeak.core.destination import Reach
from offpeak.core.errors import InvalidRequest, Unavailable
from offpeak.core.ports import ANSWER_BYTES_MAX, Answer

CERTIFICATE = Path(__file__).parent.parent / "data/hooks.example.com.pem"
NAME = "hooks.example.com"
HEADERS = {"Content-Type": "application/json", "webhook-id": "evt_1"}


class Receiver(ThreadingHTTPServer):
    """`answer` says status, headers and body; `requests` are path, headers and body."""

    daemon_threads = True

    def __init__(self, answer: tuple[int, dict[str, str], bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up on us is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.path, headers, body))
        status, extra, text = self.server.answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **extra}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Quietly."""


@contextmanager
def receiver(
    status: int = 200, headers: dict[str, str] | None = None, body: bytes = b"",
    *, tls: bool = False,
) -> Iterator[Receiver]:  # fmt: skip
    with Receiver((status, headers or {}, body)) as server:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def mute(speak: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """A port where connections are taken, and `speak` is all that is said on them, until the end."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                speak(connection, over)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            thread.join()


def to(*answers: Sequence[str]) -> Callable[[str, int], Sequence[str]]:
    """A resolver that gives these answers, one after the other, and then no more."""
    left = iter(answers)
    return lambda host, port: next(left)


def local(**more: Any) -> HttpDestinations:
    return HttpDestinations(Reach.LOOPBACK, **more)


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERTIFICATE))


def test_an_event_arrives_as_it_was_signed() -> None:
    with receiver(204) as server:
        url = f"http://127.0.0.1:{server.server_port}/hook?a=b"
        assert local().post(url, HEADERS, b'{"\xc3\xbc": 1}') == Answer(status_code=204)
    ((path, headers, body),) = server.requests
    assert (path, body) == ("/hook?a=b", b'{"\xc3\xbc": 1}')
    assert headers["host"] == f"127.0.0.1:{server.server_port}"
    assert headers["webhook-id"] == "evt_1"


def test_tls_verifies_the_name_while_it_connects_to_the_address() -> None:
    with receiver(tls=True) as server:
        url = f"https://{NAME}:{server.server_port}/"
        out = local(resolve=to(["127.0.0.1"]), tls=trusting())
        assert out.post(url, HEADERS, b"{}").status_code == 200
    assert server.requests[0][1]["host"] == f"{NAME}:{server.server_port}"


@pytest.mark.parametrize(("name", "trusts"), [("other.example.com", True), (NAME, False)])
def test_a_certificate_of_another_name_or_of_nobody_is_refused(name: str, trusts: bool) -> None:
    tls = trusting() if trusts else None
    with receiver(tls=True) as server:
        out = local(resolve=to(["127.0.0.1"]), tls=tls)
        with pytest.raises(Unavailable, match="certificate was refused"):
            out.post(f"https://{name}:{server.server_port}/", HEADERS, b"{}")
    assert server.requests == []


def test_a_name_is_looked_up_once_so_its_next_answer_has_no_say() -> None:
    """DNS rebinding: the address that was checked is the one that is connected to."""
    with receiver() as server:
        out = local(resolve=to(["127.0.0.1"], ["169.254.169.254"]))
        url = f"http://{NAME}:{server.server_port}/"
        assert out.post(url, HEADERS, b"{}").status_code == 200
        with pytest.raises(InvalidRequest) as caught:
            out.post(url, HEADERS, b"{}")
    assert caught.value.code == "destination_refused"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["10.0.0.1"], ["8.8.8.8", "169.254.169.254"], ["::ffff:10.0.0.1"]]
)
def test_nothing_is_sent_to_a_name_that_leads_inside(addresses: list[str]) -> None:
    with receiver() as server:
        out = HttpDestinations(Reach.PUBLIC, resolve=to(addresses, addresses))
        url = f"https://{NAME}:{server.server_port}/"
        for use in (lambda: out.post(url, HEADERS, b"{}"), lambda: out.check(url, param="webhook")):
            with pytest.raises(InvalidRequest) as caught:
                use()
            assert caught.value.code == "destination_refused"
    assert server.requests == []


def test_an_unknown_name_is_said_to_be_unknown() -> None:
    def nobody(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    with pytest.raises(InvalidRequest) as caught:
        HttpDestinations(Reach.PUBLIC, resolve=nobody).check(
            "https://a.example.com", param="webhook"
        )
    assert (caught.value.code, caught.value.param) == ("destination_unknown", "webhook")


def test_name_servers_that_do_not_answer_are_not_waited_for() -> None:
    over = threading.Event()

    def never(host: str, port: int) -> Sequence[str]:
        over.wait()
        return []

    out = local(resolve=never, exchange_seconds_max=0.2)
    try:
        with pytest.raises(Unavailable):
            out.post("http://a.example.com/", HEADERS, b"{}")
    finally:
        over.set()


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with receiver() as inside, receiver(302) as server:
        server.answer = (302, {"Location": f"http://127.0.0.1:{inside.server_port}/"}, b"")
        url = f"http://127.0.0.1:{server.server_port}/"
        assert local().post(url, HEADERS, b"{}").status_code == 302
    assert inside.requests == []


def test_the_next_address_is_tried_when_one_takes_no_connection() -> None:
    with receiver() as server:
        out = local(resolve=to(["::1", "127.0.0.1"]))
        url = f"http://{NAME}:{server.server_port}/"
        assert out.post(url, HEADERS, b"{}").status_code == 200


def test_a_refused_connection_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unavailable, match="refused"):
        local().post(f"http://127.0.0.1:{port}/", HEADERS, b"{}")


def _silent(connection: socket.socket, over: threading.Event) -> None:
    over.wait()


def _dribbling(connection: socket.socket, over: threading.Event) -> None:
    """A header that never ends, a byte at a time: no single read ever takes long."""
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not over.wait(0.01):
            connection.sendall(b"x")
    except OSError:
        over.wait()


def _nonsense(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"\x00\x01\x02 nothing of HTTP\r\n\r\n" * 100)


@pytest.mark.parametrize("speak", [_silent, _dribbling, _nonsense])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_whoever_does_not_answer_in_time_or_at_all_is_given_up(
    speak: Callable[[socket.socket, threading.Event], None], scheme: str
) -> None:
    """The receiver would go on until it is told to stop, so an exchange without an end of its own fails this test."""
    with mute(speak) as port:
        out = local(exchange_seconds_max=0.5)
        with pytest.raises(Unavailable):
            out.post(f"{scheme}://127.0.0.1:{port}/", HEADERS, b"{}")


def test_of_a_long_answer_only_a_little_is_read() -> None:
    with receiver(200, body=b"x" * (20 * ANSWER_BYTES_MAX)) as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        assert local().post(url, HEADERS, b"{}") == Answer(status_code=200)


def test_a_receiver_says_when_to_come_again() -> None:
    with receiver(503, {"Retry-After": "120"}) as server:
        answer = local().post(f"http://127.0.0.1:{server.server_port}/", HEADERS, b"{}")
    assert answer == Answer(status_code=503, retry_after_seconds=120)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 0), ("7", 7), ("9" * 40, 86_400), ("-1", 0), ("soon", 0), ("²", 0),
     (formatdate(1_000_060, usegmt=True), 60), (formatdate(999_000, usegmt=True), 0)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(text: str, seconds: int) -> None:
    assert retry_after_seconds(text, now=1_000_000) == seconds


def test_the_systems_resolver_knows_this_machine() -> None:
    local().check("http://localhost:9000/")
    with pytest.raises(InvalidRequest):
        HttpDestinations(Reach.PUBLIC).check("https://127.0.0.1:9000/")
