"""One guard for callbacks, images and engines: against a name server that says something public first and something
private next, and against modules that would go round it."""

from __future__ import annotations

import ast
import asyncio
import base64
import socket
import ssl
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from offpeak.aws.destinations import HttpDestinations
from offpeak.core.destination import Allowed, Reach
from offpeak.core.errors import InvalidRequest, TooLarge, Unavailable
from offpeak.memory.memory import Memory
from offpeak.worker.engine import EngineDead
from offpeak.worker.engines import guarded
from offpeak.worker.engines.guarded import GuardedTransport
from offpeak.worker.engines.openai_server import OpenAIServerEngine, ServerSettings
from offpeak.worker.images import Images
from tests.contract.nameserver import NameServer, rebinding
from tests.contract.test_aws_destinations import (
    CERTIFICATE,
    HEADERS,
    NAME,
    Receiver,
    mute,
    receiver,
    trusting,
)

ROOT = Path(__file__).parents[2]
PUBLIC = "93.184.215.14"
INSIDE = [
    ["127.0.0.1"], ["169.254.169.254"], ["10.0.0.8"], ["::1"], ["fd00:ec2::254"],
    ["::ffff:169.254.169.254"], ["2002:a9fe:a9fe::1"], ["64:ff9b::a9fe:a9fe"],
    ["2001:0:53aa:64c:0:fbff:5601:5601"], [PUBLIC, "127.0.0.1"], [PUBLIC, "::1"],
]  # fmt: skip
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 60
QUICK = ServerSettings(attempts_max=2, retry_seconds=0.001, start_seconds_max=0.1)


class Net:
    """The internet as far as these tests have one: the public address is a server of this machine's. `connected` are
    the addresses that connections were asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
        self.connected: list[str] = []
        connect = socket.create_connection

        def create_connection(address: tuple[str, int], *more: Any, **named: Any) -> socket.socket:
            self.connected.append(address[0])
            assert address[0] == PUBLIC, f"a connection inside: {address}"
            return connect(("127.0.0.1", port), *more, **named)

        monkeypatch.setattr("offpeak.aws.destinations.socket.create_connection", create_connection)


def public(names: NameServer, **more: Any) -> HttpDestinations:
    return HttpDestinations(Reach.PUBLIC, resolve=names.look_up, tls=trusting(), **more)


@pytest.mark.parametrize("inside", INSIDE)
def test_a_callback_goes_where_its_name_led_when_it_was_checked(
    inside: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver(tls=True) as server, rebinding(NAME, [PUBLIC], inside) as names:
        net, out = Net(monkeypatch, server.server_port), public(names)
        url = f"https://{NAME}:{server.server_port}/hook"
        assert out.post(url, HEADERS, b"{}").status_code == 200
        assert (names.asked, net.connected) == ([NAME], [PUBLIC])
        with pytest.raises(InvalidRequest) as caught:
            out.post(url, HEADERS, b"{}")
    assert caught.value.code == "destination_refused"
    assert (names.asked, net.connected) == ([NAME] * 2, [PUBLIC])
    assert len(server.requests) == 1


@pytest.mark.parametrize("inside", INSIDE)
def test_a_url_that_was_good_when_it_was_set_is_looked_at_again_when_it_is_used(
    inside: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver(tls=True) as server, rebinding(NAME, [PUBLIC], inside) as names:
        net, out = Net(monkeypatch, server.server_port), public(names)
        out.check(f"https://{NAME}:{server.server_port}/hook", param="webhook")
        with pytest.raises(InvalidRequest):
            out.post(f"https://{NAME}:{server.server_port}/hook", HEADERS, b"{}")
    assert (net.connected, server.requests) == ([], [])


def _serve_png(server: Receiver) -> None:
    class Images(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append((self.path, {}, b""))
            self.send_response(200)
            self.send_header("Content-Length", str(len(PNG)))
            self.end_headers()
            self.wfile.write(PNG)

        def log_message(self, format: str, *args: Any) -> None:
            """Quietly."""

    server.RequestHandlerClass = Images


@pytest.mark.parametrize("inside", INSIDE)
def test_an_image_comes_from_where_its_name_led_when_it_was_checked(
    inside: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver(tls=True) as server, rebinding(NAME, [PUBLIC], inside) as names:
        _serve_png(server)
        net = Net(monkeypatch, server.server_port)
        images = Images(
            takes_images=True, bucket="b", reader=Memory().reader, destinations=public(names)
        )
        url = f"https://{NAME}:{server.server_port}/a.png"

        async def load() -> str:
            body: dict[str, Any] = {"messages": [{"content": [{"image_url": {"url": url}}]}]}
            async with images.loaded(body, "acct_1"):
                return str(body["messages"][0]["content"][0]["image_url"]["url"])

        assert asyncio.run(load()).endswith(base64.b64encode(PNG).decode())
        assert (names.asked, net.connected) == ([NAME], [PUBLIC])
        with pytest.raises(InvalidRequest) as caught:
            asyncio.run(load())
    assert caught.value.code == "destination_refused"
    assert net.connected == [PUBLIC]
    assert len(server.requests) == 1


class Noted(httpx.AsyncBaseTransport):
    """In the place of connections: where they would have gone, and under which name."""

    def __init__(self) -> None:
        self.went: list[tuple[str, str, Any]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        sni = request.extensions.get("sni_hostname")
        self.went.append((request.url.host, request.headers["Host"], sni))
        return httpx.Response(200)


@pytest.mark.parametrize("inside", INSIDE)
def test_an_engines_connections_go_where_its_name_led_when_it_was_checked(
    inside: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded, "RESOLVED_SECONDS", 0.0)
    with rebinding("llm.example.com", [PUBLIC], inside) as names:

        async def ask_twice() -> Noted:
            transport = GuardedTransport(
                "https://llm.example.com", public(names), limits=httpx.Limits()
            )
            noted = Noted()
            monkeypatch.setattr(transport, "_inner", noted)
            async with httpx.AsyncClient(transport=transport) as client:
                await client.get("https://llm.example.com/v1/models")
                with pytest.raises(httpx.ConnectError, match="public internet addresses only"):
                    await client.get("https://llm.example.com/v1/models")
            return noted

        noted = asyncio.run(ask_twice())
    assert noted.went == [(PUBLIC, "llm.example.com", "llm.example.com")]


# ── an engine's URL is an operator's ─────────────────────────────────────────────────────────────────────────────────


def engine(url: str, names: NameServer, allowed: str = "") -> OpenAIServerEngine:
    guard = HttpDestinations(Reach.PUBLIC, allowed=Allowed.parse(allowed), resolve=names.look_up)
    return OpenAIServerEngine(url, "tiny", guard, settings=QUICK)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.5:8000", "https://10.0.0.5", "http://llm.example.com", "https://llm.example.com"]
)  # fmt: skip
def test_a_private_engine_that_nobody_named_ends_the_container_with_a_sentence(url: str) -> None:
    with (
        rebinding("llm.example.com", ["10.0.0.5"]) as names,
        pytest.raises(EngineDead, match="OFFPEAK_ENGINE_ALLOWED"),
    ):
        asyncio.run(engine(url, names).start())


@pytest.mark.parametrize("allowed", ["llm.internal", "127.0.0.0/8", "other.internal, 127.0.0.1"])
def test_a_private_engine_that_the_operator_names_is_reached(allowed: str) -> None:
    with receiver() as server, rebinding("llm.internal", ["127.0.0.1"]) as names:
        host = "llm.internal" if "llm" in allowed else "127.0.0.1"
        names.answers["127.0.0.1"] = [["127.0.0.1"]]
        asked = engine(f"http://{host}:{server.server_port}", names, allowed)

        async def alive() -> bool:
            await asked.start()
            try:
                return await asked.ready()
            finally:
                await asked.stop()

        server.RequestHandlerClass = _Models
        assert asyncio.run(alive())


class _Models(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(307 if self.path.endswith("completions") else 200)
        self.send_header("Location", "/v1/models")
        self.send_header("Content-Length", "4096")
        self.end_headers()
        self.wfile.write(b"x" * 4096)

    def log_message(self, format: str, *args: Any) -> None:
        """Quietly."""


def test_credentials_of_the_machine_are_out_of_reach_whatever_the_operator_names() -> None:
    allowed = Allowed.parse("metadata.internal, 0.0.0.0/0, ::/0")
    for address in ("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "::ffff:169.254.169.254"):
        assert not allowed.admits("metadata.internal", address)
    assert allowed.admits("metadata.internal", "10.0.0.1")
    with (
        rebinding("metadata.internal", ["169.254.169.254"]) as names,
        pytest.raises(EngineDead, match="may not be reached"),
    ):
        asyncio.run(engine("http://metadata.internal", names, "metadata.internal").start())


def test_in_a_network_without_a_way_out_an_engine_inside_is_reached_and_nothing_else() -> None:
    with rebinding("llm.internal", ["10.0.0.5"], [PUBLIC]) as names:
        out = HttpDestinations(
            Reach.NOWHERE, allowed=Allowed.parse("llm.internal"), resolve=names.look_up
        )
        assert list(out.resolve("http://llm.internal:8000/v1").addresses) == ["10.0.0.5"]
        for url in ("https://example.com/", "https://10.0.0.5/", "http://127.0.0.1/"):
            with pytest.raises(InvalidRequest, match="fetches nothing from the internet"):
                out.check(url)


@pytest.mark.parametrize("text", ["http://a", "a b", "10.0.0.0/33", "10.0.0.1/8", "-a", "0x7f.1"])
def test_what_is_no_host_and_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither a host's name nor a network"):
        Allowed.parse(text)


def test_an_engine_that_redirects_or_says_too_much_gives_no_answer() -> None:
    with receiver() as server, rebinding("127.0.0.1", ["127.0.0.1"]) as names:
        server.RequestHandlerClass = _Models
        guard = HttpDestinations(Reach.LOOPBACK, resolve=names.look_up)
        small = ServerSettings(attempts_max=1, answer_bytes_max=1_000)
        url = f"http://127.0.0.1:{server.server_port}"
        asked = OpenAIServerEngine(url, "tiny", guard, settings=QUICK)
        strict = OpenAIServerEngine(url, "tiny", guard, settings=small)

        async def run() -> tuple[int, int]:
            await asked.start()
            await strict.start()
            try:
                cut = await strict.run("/v1/embeddings", {}, priority=0)
                assert len(cut.body) < 1_000
                redirected = await asked.run("/v1/chat/completions", {}, priority=0)
                return cut.status_code, redirected.status_code
            finally:
                await asked.stop()
                await strict.stop()

        assert asyncio.run(run()) == (502, 502)


# ── fetching ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_fetched_is_bounded_in_size_and_time() -> None:
    local = HttpDestinations(Reach.LOOPBACK)
    with receiver() as server:
        _serve_png(server)
        url = f"http://127.0.0.1:{server.server_port}/a"
        fetched = local.get(url, {}, bytes_max=len(PNG), seconds_max=60)
        assert (fetched.status_code, fetched.content) == (200, PNG)
        with pytest.raises(TooLarge):
            local.get(url, {}, bytes_max=len(PNG) - 1, seconds_max=60)

    def dribble(connection: socket.socket, over: Any) -> None:
        """A body that never ends: without an end of its own the fetch would not return."""
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not over.wait(0.01):
                connection.sendall(b"x")
        except OSError:
            over.wait()

    with mute(dribble) as port, pytest.raises(Unavailable):
        local.get(f"http://127.0.0.1:{port}/", {}, bytes_max=1_000_000, seconds_max=0.5)


def test_what_is_fetched_is_never_unpacked() -> None:
    """A small body that says it is packed stays small."""
    with receiver(200, {"Content-Encoding": "gzip"}) as server:
        _serve_png(server)
        url = f"http://127.0.0.1:{server.server_port}/a"
        content = (
            HttpDestinations(Reach.LOOPBACK).get(url, {}, bytes_max=500, seconds_max=60).content
        )
    assert content == PNG


# ── and nobody goes round it ─────────────────────────────────────────────────────────────────────────────────────────

SPEAKS = {
    "httpx",
    "urllib3",
    "requests",
    "aiohttp",
    "http.client",
    "urllib.request",
    "socket",
    "ftplib",
    "smtplib",
}
# Who speaks to the network without a caller's URL in hand, and why that is no way round the guard.
OTHERS = {
    "offpeak/aws/destinations.py": "the guard itself",
    "offpeak/worker/engines/guarded.py": "connects where the guard says",
    "offpeak/worker/engines/openai_server.py": "by guarded.py",
    "offpeak/aws/signal_sources.py": "to the addresses of grids and prices that are written in it",
    "containers/door/passing.py": "to API Gateway, and where its answer redirects: S3",
    "containers/vllm/main.py": "asks for this machine's name",
}


def test_nobody_else_in_the_service_speaks_to_a_network() -> None:
    """The command line and the local cloud run on the machine of whoever started them."""
    found = {
        str(path.relative_to(ROOT))
        for room in ("offpeak", "lambdas", "containers")
        for path in (ROOT / room).rglob("*.py")
        if not {"cli", "local"} & set(path.relative_to(ROOT).parts[:2])
        if _imports(path) & SPEAKS
    }
    assert found == set(OTHERS)


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, f"{node.module}.{node.names[0].name}"}
    return {part for name in names for part in (name, name.partition(".")[0])}


def test_the_certificate_in_these_tests_is_for_a_public_name() -> None:
    assert ssl.create_default_context(cafile=str(CERTIFICATE)).get_ca_certs()
