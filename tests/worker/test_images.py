"""Images that requests name: where they may come from, what they may be, and that the engine sees data URLs only."""

from __future__ import annotations

import asyncio
import base64
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from offpeak.aws.destinations import HttpDestinations
from offpeak.core.destination import Reach
from offpeak.core.errors import InvalidRequest
from offpeak.memory.memory import Memory
from offpeak.worker.engines.echo import EchoEngine
from offpeak.worker.engines.openai_server import OpenAIServerEngine
from offpeak.worker.images import ImageLimits, Images
from tests.worker.test_engines import Server
from tests.worker.test_engines import serving as openai_server
from tests.worker.world import ACCOUNT, World

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 60
DATA_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
BUCKET = "offpeak-data"
CERTIFICATE = (
    Path(__file__).parents[1] / "data/images.example.com.pem"
)  # and its key, good for nothing else
OWN = f"s3://{BUCKET}/drop/{ACCOUNT}/cats/1.png"


def body_of(*urls: Any) -> dict[str, Any]:
    images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    content = [{"type": "text", "text": "what is this?"}, *images]
    return {"model": "tiny", "messages": [{"role": "user", "content": content}]}


def urls_of(body: dict[str, Any]) -> list[str]:
    return [part["image_url"]["url"] for part in body["messages"][0]["content"][1:]]


def load(images: Images, body: dict[str, Any]) -> list[str]:
    """The URLs that an engine sees."""

    async def loaded() -> list[str]:
        async with images.loaded(body, ACCOUNT):
            return urls_of(body)

    return asyncio.run(loaded())


def seeing(
    memory: Memory | None = None, *, reach: Reach = Reach.LOOPBACK, limits: ImageLimits | None = None,
    addresses: Sequence[str] | None = None, tls: ssl.SSLContext | None = None,
) -> Images:  # fmt: skip
    def resolve(host: str, port: int) -> Sequence[str]:
        return addresses or ()

    return Images(
        takes_images=True, bucket=BUCKET, reader=(memory or Memory()).reader, reach=reach,
        limits=limits or ImageLimits(),
        destinations=HttpDestinations(
            reach, resolve=resolve if addresses is not None else None, tls=tls
        ),
    )  # fmt: skip


def stored(content: bytes = PNG) -> Memory:
    memory = Memory()
    memory.writer.put(OWN.removeprefix(f"s3://{BUCKET}/"), content)
    return memory


def refusal(images: Images, *urls: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        load(images, body_of(*urls))
    return refused.value


# ── what needs no fetching ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_data_url_is_left_as_it_is_and_a_text_too() -> None:
    assert load(seeing(), body_of(DATA_URL)) == [DATA_URL]
    assert load(seeing(), body_of()) == []


def test_a_model_that_only_reads_refuses_every_image() -> None:
    blind = Images(takes_images=False, bucket=BUCKET, reader=stored().reader)
    for url in (DATA_URL, OWN, "https://example.com/a.png"):
        assert "takes no images" in refusal(blind, url).message


def test_a_request_has_so_many_images_and_no_more() -> None:
    limits = ImageLimits(images_max=2)
    assert load(seeing(limits=limits), body_of(DATA_URL, DATA_URL)) == [DATA_URL] * 2
    assert "at most 2" in refusal(seeing(limits=limits), DATA_URL, DATA_URL, DATA_URL).message


# ── the account's folder ─────────────────────────────────────────────────────────────────────────────────────────────


def test_an_object_of_the_accounts_folder_becomes_a_data_url() -> None:
    assert load(seeing(stored()), body_of(OWN, OWN)) == [DATA_URL, DATA_URL]


@pytest.mark.parametrize(
    "url",
    [
        OWN.replace(ACCOUNT, "acct_2"), OWN.replace("drop/", "files/"), OWN.replace(BUCKET, "another-bucket"),
        f"s3://{BUCKET}/work/batch_1/0/manifest.jsonl", OWN.replace(f"{ACCOUNT}/", f"{ACCOUNT}"),
    ],
)  # fmt: skip
def test_what_is_not_the_accounts_own_is_refused_whether_it_exists_or_not(url: str) -> None:
    memory = stored()
    memory.writer.put(url.partition("//")[2].partition("/")[2], PNG)
    refused = refusal(seeing(memory), url)
    assert refused.code == "image_not_yours"
    assert f"s3://{BUCKET}/drop/{ACCOUNT}/" in refused.message


def test_an_object_that_is_missing_large_or_no_image_is_refused_by_what_it_is() -> None:
    assert "does not exist" in refusal(seeing(), OWN).message
    assert "is no PNG" in refusal(seeing(stored(b"<svg/>")), OWN).message
    small = ImageLimits(bytes_max=len(PNG))
    assert load(seeing(stored(), limits=small), body_of(OWN)) == [DATA_URL]
    assert "too large" in refusal(seeing(stored(PNG + b"."), limits=small), OWN).message
    assert "too large" in refusal(seeing(stored(), limits=small), OWN, OWN).message


# ── the internet ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Site:
    """Answers each path with its (status, headers, body); 404 for others."""

    pages: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(site: Site, *, tls: bool = False) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append((self.path, self.headers["Host"]))
            status, headers, body = site.pages.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quietly."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            http.socket = context.wrap_socket(http.socket, server_side=True)
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        site.url = f"http://127.0.0.1:{http.server_port}"
        try:
            yield site
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    pages: dict[str, tuple[int, dict[str, str], bytes]] = {
        "/a.png?size=1": (200, {}, PNG),
        "/elsewhere": (302, {"Location": "/a.png?size=1"}, b""),
        "/page": (200, {"Content-Type": "image/png"}, b"<html>"),
        "/busy": (503, {}, b""),
        "/large": (200, {}, PNG * 100),
    }
    with serving(Site(pages)) as running:
        yield running


def test_a_fetched_image_becomes_a_data_url(site: Site) -> None:
    assert load(seeing(), body_of(f"{site.url}/a.png?size=1")) == [DATA_URL]


def test_the_connection_goes_to_the_address_that_was_checked(site: Site) -> None:
    """The name leads nowhere; what was resolved, once, is where it goes, under the name."""
    port = site.url.rsplit(":", 1)[1]
    images = seeing(addresses=["127.0.0.1"])
    assert load(images, body_of(f"http://pictures.invented.com:{port}/a.png?size=1")) == [DATA_URL]
    assert site.asked == [("/a.png?size=1", f"pictures.invented.com:{port}")]


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"], ["169.254.169.254"], ["10.0.0.8"], ["::1"], ["::ffff:127.0.0.1"], ["fd00::1"], [],
        ["93.184.215.14", "127.0.0.1"],
    ],
)  # fmt: skip
def test_a_name_that_leads_inside_is_never_connected_to(addresses: list[str], site: Site) -> None:
    images = seeing(reach=Reach.PUBLIC, addresses=addresses)
    port = site.url.rsplit(":", 1)[1]
    assert refusal(images, f"https://pictures.invented.com:{port}/a.png?size=1").code == (
        "destination_refused"
    )
    assert site.asked == []


def test_on_aws_this_machine_is_out_of_reach_and_http_too(site: Site) -> None:
    for url in (f"{site.url}/a.png?size=1", "http://example.com/a.png", "https://127.0.0.1/a.png"):
        assert refusal(seeing(reach=Reach.PUBLIC), url).code == "invalid_image_url"
    assert site.asked == []


def test_tls_verifies_the_name_while_the_connection_goes_to_the_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("offpeak.worker.images.RETRY_SECONDS", 0.001)
    tls = ssl.create_default_context(cafile=str(CERTIFICATE))
    images = seeing(addresses=["127.0.0.1"], tls=tls)
    with serving(Site({"/a.png": (200, {}, PNG)}), tls=True) as site:
        port = site.url.rsplit(":", 1)[1]
        assert load(images, body_of(f"https://images.example.com:{port}/a.png")) == [DATA_URL]
        other = f"https://other.example.com:{port}/a.png"
        assert "could not be fetched" in refusal(images, other).message
        untrusting = seeing(addresses=["127.0.0.1"])
        own = f"https://images.example.com:{port}/a.png"
        assert "could not be fetched" in refusal(untrusting, own).message
    assert [path for path, _ in site.asked] == ["/a.png"]


@pytest.mark.parametrize(
    ("path", "says"),
    [("/elsewhere", "status 302"), ("/nothing", "status 404"), ("/page", "is no PNG")],
)
def test_what_is_no_image_is_refused_at_once(path: str, says: str, site: Site) -> None:
    assert says in refusal(seeing(), site.url + path).message
    assert len(site.asked) == 1


def test_a_site_that_is_busy_is_asked_again_and_then_named(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offpeak.worker.images.RETRY_SECONDS", 0.001)
    assert "status 503" in refusal(seeing(), site.url + "/busy").message
    assert len(site.asked) == ImageLimits().attempts_max


def test_a_body_is_read_no_further_than_its_limit(site: Site) -> None:
    limits = ImageLimits(bytes_max=len(PNG) * 2)
    assert "too large" in refusal(seeing(limits=limits), site.url + "/large").message


def test_where_nobody_listens_the_request_is_refused_not_the_shard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("offpeak.worker.images.RETRY_SECONDS", 0.001)
    with serving(Site()) as gone:
        url = gone.url
    assert "could not be fetched" in refusal(seeing(), url + "/a.png").message


# ── in a shard ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _worked(world: World, images: Images | None) -> tuple[list[Any], list[Any]]:
    async def work() -> Any:
        instance = world.instance(EchoEngine("tiny"), ports=world.ports(images=images))
        await instance.start()
        try:
            return await instance.work(world.order)
        finally:
            await instance.close()

    outputs, errors = world.results(asyncio.run(work()))
    return list(outputs), list(errors)


def test_a_shards_images_reach_the_engine_and_a_bad_one_is_its_lines_own_400() -> None:
    world = World.of_bodies(body_of(OWN), body_of(OWN.replace(ACCOUNT, "acct_2")), memory=stored())
    outputs, errors = _worked(world, seeing(world.memory))
    said = outputs[0]["response"]["body"]["choices"][0]["message"]["content"]
    assert said == f"what is this? [image/png, {len(PNG)} bytes]"
    [refused] = errors
    assert refused["custom_id"] == "line-2"
    assert refused["response"]["status_code"] == 400
    error = refused["response"]["body"]["error"]
    assert error["param"] == "body.messages.0.content.1.image_url.url"


def test_in_a_gathering_each_line_reaches_into_its_own_accounts_folder_and_no_other() -> None:
    other = OWN.replace(ACCOUNT, "acct_2")
    memory = stored()
    memory.writer.put(other.removeprefix(f"s3://{BUCKET}/"), PNG)
    world = World.of_bodies(
        body_of(OWN), body_of(other), body_of(other), body_of(OWN), memory=memory,
        batch_id="gather_1", owners=(ACCOUNT, "acct_2", ACCOUNT, "acct_2"),
    )  # fmt: skip
    outputs, errors = _worked(world, seeing(memory))
    assert [line["custom_id"] for line in outputs] == ["line-1", "line-2"]
    assert [line["custom_id"] for line in errors] == ["line-3", "line-4"]
    for refused, account_id in zip(errors, (ACCOUNT, "acct_2"), strict=True):
        assert f"drop/{account_id}/" in refused["response"]["body"]["error"]["message"]


def test_whose_a_line_of_a_callers_own_file_is_the_line_has_no_say_in() -> None:
    """Else whoever uploads a file could read another account's folder."""
    world = World.of_bodies(
        body_of(OWN.replace(ACCOUNT, "acct_2")), memory=stored(), owners=("acct_2",)
    )
    world.memory.writer.put(f"drop/acct_2/{OWN.rpartition(ACCOUNT + '/')[2]}", PNG)
    outputs, [refused] = _worked(world, seeing(world.memory))
    assert outputs == []
    assert "your own folder" in refused["response"]["body"]["error"]["message"]


def test_a_vision_server_gets_the_images_themselves_never_where_they_lie(site: Site) -> None:
    """Through the engine for any OpenAI-compatible server, with one that keeps what it was sent."""
    world = World.of_bodies(body_of(OWN, f"{site.url}/a.png?size=1", DATA_URL), memory=stored())
    with openai_server(Server()) as server:

        async def work() -> Any:
            engine = OpenAIServerEngine(server.url, "tiny", HttpDestinations(Reach.LOOPBACK))
            instance = world.instance(engine, ports=world.ports(images=seeing(world.memory)))
            await instance.start()
            try:
                return await instance.work(world.order)
            finally:
                await instance.close()

        outputs, errors = world.results(asyncio.run(work()))
    assert (len(outputs), list(errors)) == (1, [])
    [(_, sent, _)] = server.requests
    assert urls_of(sent) == [DATA_URL] * 3


def test_a_worker_without_images_refuses_them() -> None:
    world = World.of_bodies(body_of(DATA_URL), memory=Memory())
    outputs, [refused] = _worked(world, None)
    assert outputs == []
    assert "takes no images" in refused["response"]["body"]["error"]["message"]
