"""`offpeak images pin`: what registries answer, and the files that synthesis reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from offpeak.cli import images
from offpeak.cli.base_images import MANIFESTS
from offpeak.cli.errors import CliError, UsageError
from offpeak.cli.registries import MANIFEST_BYTES_MAX, public_digest
from offpeak.core.base_image import (
    DOOR_PIN,
    WORKER_PIN,
    BaseImage,
    check_pinned,
    format_base_image,
    parse_base_image,
)

MANIFEST = b'{"schemaVersion": 2, "manifests": []}'
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
IMAGE = BaseImage(repository="registry.example/library/python", tag="3.13-slim")
Answers = Callable[[httpx.Request], httpx.Response]


class Registry:
    """Stands in for one that is read with an anonymous token, as public.ecr.aws is."""

    def __init__(self, body: bytes = MANIFEST, digest: str | None = None) -> None:
        self.body, self.digest = body, digest
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        if request.url.host == "auth.example":
            assert request.url.params["scope"] == "repository:library/python:pull"
            assert request.url.params["service"] == "registry.example"
            return httpx.Response(200, json={"token": "t0ken"})
        assert request.headers["Accept"].split(", ") == list(MANIFESTS)
        if request.headers.get("Authorization") != "Bearer t0ken":
            challenge = 'Bearer realm="https://auth.example/token",service="registry.example"'
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        if not request.url.path.endswith("/library/python/manifests/3.13-slim"):
            return httpx.Response(404)
        headers = {} if self.digest is None else {"Docker-Content-Digest": self.digest}
        return httpx.Response(200, content=self.body, headers=headers)


def digest(answers: Answers, image: BaseImage = IMAGE) -> str:
    with httpx.Client(transport=httpx.MockTransport(answers)) as client:
        return public_digest(image, client)


@pytest.mark.parametrize("said", [None, DIGEST])
def test_a_digest_is_that_of_the_bytes_that_came(said: str | None) -> None:
    registry = Registry(digest=said)
    assert digest(registry) == DIGEST
    manifest = "https://registry.example/v2/library/python/manifests/3.13-slim"
    assert [registry.asked[0], registry.asked[2]] == [manifest, manifest]


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (Registry(digest=f"sha256:{'0' * 64}"), "and sent bytes of"),
        (Registry(body=b"x" * (MANIFEST_BYTES_MAX + 1)), "too large"),
        (lambda _: httpx.Response(404), "it answered 404"),
        (lambda _: httpx.Response(401, headers={"WWW-Authenticate": "Basic x"}), "wants a login"),
        (
            lambda _: httpx.Response(
                401, headers={"WWW-Authenticate": 'Bearer realm="http://auth.example/"'}
            ),
            "wants a login",
        ),
        (
            lambda request: httpx.Response(
                401 if "manifests" in request.url.path else 200,
                headers={"WWW-Authenticate": 'Bearer realm="https://auth.example/token"'},
            ),
            "gave no token",
        ),
    ],
)
def test_a_registry_that_does_not_say_is_reported(answers: Answers, says: str) -> None:
    with pytest.raises(CliError, match=re.escape(says)):
        digest(answers)


def test_a_registry_that_is_out_of_reach_is_reported() -> None:
    def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("no route", request=request)

    with pytest.raises(CliError, match="can't be asked: no route"):
        digest(silent)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for file in (WORKER_PIN, DOOR_PIN):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(format_base_image(IMAGE))
    return tmp_path


def test_the_command_pins_every_base_and_prints_what_is_built_on(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "public_digest", lambda image, _: digest(Registry(), image))
    done = CliRunner().invoke(images.app, ["pin", "--root", str(checkout)])
    assert done.exit_code == 0, done.output
    for file in (WORKER_PIN, DOOR_PIN):
        pinned = parse_base_image((checkout / file).read_text(), file)
        check_pinned(pinned, file)
        assert pinned.reference == f"{IMAGE.reference}@{DIGEST}"
    assert done.stdout.splitlines() == [f"{IMAGE.reference}@{DIGEST}"] * 2


def test_a_pin_is_renewed_by_its_tag(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = BaseImage(repository=IMAGE.repository, tag=IMAGE.tag, digest=f"sha256:{'0' * 64}")
    (checkout / DOOR_PIN).write_text(format_base_image(old))
    monkeypatch.setattr(images, "public_digest", lambda image, _: digest(Registry(), image))
    assert CliRunner().invoke(images.app, ["pin", "--root", str(checkout)]).exit_code == 0
    assert parse_base_image((checkout / DOOR_PIN).read_text()).digest == DIGEST


def test_nothing_is_written_unless_all_can_be_pinned(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / DOOR_PIN).write_text('repository = "registry.example/other"\ntag = "1"\n')
    before = (checkout / WORKER_PIN).read_text()
    monkeypatch.setattr(images, "public_digest", lambda image, _: digest(Registry(), image))
    assert CliRunner().invoke(images.app, ["pin", "--root", str(checkout)]).exit_code != 0
    assert (checkout / WORKER_PIN).read_text() == before


def test_outside_of_a_checkout_a_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run this in Offpeak's checkout"):
        images.pin(tmp_path)
