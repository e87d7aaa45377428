"""The services' clients against a server on this machine that answers in the services' documented forms."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from offpeak.aws import signal_sources
from offpeak.aws.signal_sources import (
    ANSWER_BYTES_MAX,
    ELECTRICITY_MAPS_URL,
    WATTTIME_URL,
    ElectricityMaps,
    WattTime,
)
from offpeak.core.errors import Unavailable
from offpeak.core.signal import SignalKind, Unit

KEY = "em-key-1234"
LOGIN = {"username": "offpeak", "password": "pass-word-1"}
NOW = 1_795_219_500  # 2026-11-21T00:05Z
Asked = tuple[str, dict[str, list[str]], dict[str, str]]


class Server(ThreadingHTTPServer):
    """`answers` by path: status and body; `asked` are path, query and headers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[Asked] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((asked.path, parse_qs(asked.query), headers))
        status, body = self.server.answers.get(asked.path, (404, {"error": "unknown"}))
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Quietly."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def em_answer() -> dict[str, Any]:
    """As the API reference has it: /v3/carbon-intensity/forecast."""
    return {
        "zone": "DE",
        "forecast": [
            {"carbonIntensity": 326, "datetime": "2026-11-21T00:00:00.000Z"},
            {"carbonIntensity": 297.5, "datetime": "2026-11-21T01:00:00.000Z"},
            {"carbonIntensity": 201, "datetime": "2026-11-21T02:00:00.000Z"},
        ],
        "updatedAt": "2026-11-20T23:58:37.881Z",
    }


def wt_answers() -> dict[str, tuple[int, Any]]:
    """As docs.watttime.org has them: /login, /v3/region-from-loc, /v3/forecast."""
    at = ("00:00", "00:05", "00:10")
    return {
        "/login": (200, {"token": "jwt-abc"}),
        "/v3/region-from-loc": (
            200, {"region": "DE", "region_full_name": "Germany", "signal_type": "co2_moer"},
        ),
        "/v3/forecast": (
            200,
            {
                "data": [{"point_time": f"2026-11-21T{each}:00+00:00", "value": 1_000.0} for each in at],
                "meta": {
                    "data_point_period_seconds": 300, "region": "DE", "warnings": [],
                    "signal_type": "co2_moer", "model": {"date": "2026-03-01"},
                    "units": "lbs_co2_per_mwh", "generated_at_period_seconds": 300,
                    "generated_at": "2026-11-21T00:00:00+00:00",
                },
            },
        ),
    }  # fmt: skip


def maps(server: Server) -> ElectricityMaps:
    return ElectricityMaps(lambda: KEY, url=server.url)


def watttime(server: Server) -> WattTime:
    return WattTime(lambda: json.dumps(LOGIN), url=server.url)


def test_electricity_maps_tells_averages_of_an_aws_region(server: Server) -> None:
    server.answers["/v3/carbon-intensity/forecast"] = (200, em_answer())
    (signal,) = maps(server).fetch("eu-central-1", NOW)
    assert (signal.kind, signal.unit) == (SignalKind.AVERAGE, Unit.GRAMS_PER_KWH)
    assert [(p.start, p.seconds, p.value) for p in signal.points] == [
        (1_795_219_200, 3_600, 326), (1_795_222_800, 3_600, 297.5), (1_795_226_400, 3_600, 201),
    ]  # fmt: skip
    assert signal.issued_at == 1_795_219_117
    ((_, query, headers),) = server.asked
    assert query["dataCenterProvider"] == ["aws"]
    assert query["dataCenterRegion"] == ["eu-central-1"]
    assert headers["auth-token"] == KEY
    assert "authorization" not in headers


def test_watttime_tells_marginals_in_grams(server: Server) -> None:
    server.answers = wt_answers()
    source = watttime(server)
    (signal,) = source.fetch("eu-central-1", NOW)
    assert signal.kind is SignalKind.MARGINAL
    assert [p.value for p in signal.points] == [pytest.approx(453.59237)] * 3
    assert [p.seconds for p in signal.points] == [300] * 3
    login, place, forecast = server.asked
    basic = base64.b64decode(login[2]["authorization"].removeprefix("Basic ")).decode()
    assert basic == f"{LOGIN['username']}:{LOGIN['password']}"
    assert place[1]["latitude"] == ["50.1"]
    assert place[1]["signal_type"] == ["co2_moer"]
    assert forecast[1]["region"] == ["DE"]
    assert forecast[2]["authorization"] == "Bearer jwt-abc"
    source.fetch("eu-central-1", NOW)
    assert [path for path, *_ in server.asked].count("/v3/region-from-loc") == 1


@pytest.mark.parametrize("make", [maps, watttime])
def test_a_region_that_a_service_does_not_know_has_no_signal(
    server: Server, make: Callable[[Server], ElectricityMaps | WattTime]
) -> None:
    server.answers["/login"] = (200, {"token": "jwt-abc"})
    assert make(server).fetch("eu-central-1", NOW) == ()


@pytest.mark.parametrize("make", [maps, watttime])
@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (401, {"error": "Invalid auth-token"}, "status 401. Is the key in its secret"),
        (429, {"error": "too many"}, "asked too often"),
        (500, {}, "status 500"),
        (302, {}, "status 302"),
        (200, b"<html>", "in another form"),
        (200, {"zone": "DE", "forecast": [{"carbonIntensity": None}]}, "in another form"),
        (200, b" " * (ANSWER_BYTES_MAX + 1), "over 2,000,000 bytes"),
    ],
)
def test_an_answer_that_is_no_use_is_a_sentence_without_the_key(
    server: Server, make: Callable[[Server], ElectricityMaps | WattTime], status: int, body: Any,
    why: str,
) -> None:  # fmt: skip
    server.answers = {"/v3/carbon-intensity/forecast": (status, body), "/login": (status, body)}
    with pytest.raises(Unavailable, match=why) as failed:
        make(server).fetch("eu-central-1", NOW)
    told = repr(failed.getrepr(style="native"))
    assert KEY not in told
    assert LOGIN["password"] not in told
    assert "/elsewhere" not in [path for path, *_ in server.asked]


def test_nobody_there_is_unavailable(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal_sources, "CONNECT_SECONDS", 0.5)
    with pytest.raises(Unavailable, match="doesn't answer"):
        ElectricityMaps(lambda: KEY, url="http://127.0.0.1:1").fetch("eu-central-1", NOW)


def test_watttime_in_other_units_is_refused(server: Server) -> None:
    server.answers = wt_answers()
    server.answers["/v3/forecast"][1]["meta"]["units"] = "kg_co2_per_mwh"
    with pytest.raises(Unavailable, match="kg_co2_per_mwh"):
        watttime(server).fetch("eu-central-1", NOW)


def test_a_secret_in_another_form_says_so_and_no_more(server: Server) -> None:
    with pytest.raises(Unavailable, match="JSON object of username and password") as failed:
        WattTime(lambda: "offpeak:pass-word-1", url=server.url).fetch("eu-central-1", NOW)
    assert "pass-word-1" not in str(failed.value)
    assert server.asked == []


def test_the_services_are_asked_at_their_own_hosts_over_tls() -> None:
    assert ELECTRICITY_MAPS_URL == "https://api.electricitymaps.com"
    assert WATTTIME_URL == "https://api.watttime.org"
