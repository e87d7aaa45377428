"""No route logs what it was sent: marked prompts, keys and secrets go into all of them, well-formed and broken."""

from __future__ import annotations

import json
import logging

import pytest

from lambdas.api.app import routes_of
from tests.lambdas.api.client import Client, World

MARK = "m4rk3d-7f3a"
BODIES = (
    f'{{"a": "{MARK}"}}',
    f'{{"a": "{MARK}',  # torn
    f'["{MARK}"]',
    f'{{"input_file_id": "{MARK}", "endpoint": "{MARK}", "completion_window": "{MARK}"}}',
    f'{{"request_body": {{"model": "chat", "messages": [{{"role": "user", "content": "{MARK}"}}]}}}}',
    f'{{"text_data": "{MARK}", "callback_url": "https://example.com/?token={MARK}"}}',
    f'{{"name": "{MARK}", "url": "https://example.com/{MARK}", "event_types": ["batch.failed"]}}',
    f"\ud800{MARK}".encode("utf-8", "surrogatepass").decode("latin-1"),
)


@pytest.mark.parametrize(
    "route", routes_of(World()), ids=lambda route: f"{route.method} {route.rule}"
)
def test_a_route_logs_nothing_of_what_it_is_sent(
    route: object, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    client = Client(World())
    method, rule = route.method, route.rule  # type: ignore[attr-defined]
    path = "/".join("unknown" if part.startswith("<") else part for part in rule.split("/"))
    for body in BODIES:
        client.send(method, path, body.encode(), {"after": MARK}, Idempotency_Key=MARK)
    client.send(method, path, b"", None, authorization=f"Bearer {MARK}", x_api_key=MARK)
    written = capfd.readouterr()
    logged = written.out + written.err + caplog.text + repr([r.__dict__ for r in caplog.records])
    assert "answered" in logged
    assert MARK not in logged
    assert "sk-alice" not in logged


def test_a_fault_is_logged_without_the_body_that_found_it(
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The traceback names lines of code. What a frame held isn't in it."""
    world = World()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the table is on fire")

    monkeypatch.setattr(world.files, "get", fail)
    body = json.dumps(
        {"input_file_id": "file-1", "endpoint": "/v1/chat/completions",
         "completion_window": "24h", "metadata": {"a": MARK}}
    )  # fmt: skip
    answer = Client(world).send("POST", "/v1/batches", body.encode())
    assert answer.status == 500
    logged = "".join(capfd.readouterr()) + caplog.text
    assert "the table is on fire" in logged
    assert MARK not in logged
