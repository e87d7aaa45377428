"""The door: forms of any size become files and parts, everything else goes on to the gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from containers.door.buffers import Buffers
from containers.door.settings import DoorSettings, SettingsError
from offpeak.core.account import Limits, Scope
from offpeak.core.errors import Unavailable
from offpeak.local.processes import free_port
from offpeak.steps.received_object import PART_BYTES
from tests.containers.door_world import Behind, Door, gateway, nothing_is_left, until
from tests.lambdas.api.client import Client, World

LARGE = bytes(range(256)) * (2 * PART_BYTES // 256) + b"the end"
KIND = {"Content-Type": "multipart/form-data; boundary=b"}
PURPOSE = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
DATA = b'--b\r\nContent-Disposition: form-data; name="data"; filename="a"\r\n\r\n'
END = b"\r\n--b--\r\n"


@pytest.fixture(scope="module")
def gateway_url() -> Iterator[str]:
    with gateway() as url:
        yield url


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def door(world: World, gateway_url: str) -> Iterator[Door]:
    with Door(world, gateway_url) as running:
        yield running


def chunked(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 100_000):
        yield body[start : start + 100_000]


def code_of(answer: Any) -> str:
    return str(answer.json()["error"]["code"])


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("content", [b"", b"{}\n", LARGE], ids=["empty", "small", "large"])
@pytest.mark.parametrize("file_first", [True, False], ids=["file first", "purpose first"])
@pytest.mark.parametrize("is_chunked", [True, False], ids=["chunked", "with its length"])
def test_a_form_becomes_a_file(
    door: Door, world: World, content: bytes, file_first: bool, is_chunked: bool
) -> None:
    form = FILE + content + b"\r\n" + PURPOSE if file_first else PURPOSE + FILE + content + b"\r\n"
    body = form.removesuffix(b"\r\n") + END
    answer = door.call(
        "POST", "/v1/files", content=chunked(body) if is_chunked else body, headers=KIND
    )
    assert answer.status_code == 200, answer.text
    file = world.files.get("acct_alice", answer.json()["id"])
    assert (file.bytes, file.filename, file.purpose) == (len(content), "a.jsonl", "batch")
    assert world.reader.read(file.key) == content
    assert world.multipart.open_ids == ()
    assert answer.json()["status"] == "processed"


def test_every_field_of_the_form_is_kept(door: Door) -> None:
    fields = {
        "purpose": "batch", "expires_after[anchor]": "created_at", "expires_after[seconds]": "3600",
    }  # fmt: skip
    answer = door.call("POST", "/v1/files", data=fields, files={"file": ("ü.jsonl", LARGE)})
    file = answer.json()
    assert file["expires_at"] == file["created_at"] + 3_600
    assert file["filename"] == "ü.jsonl"


def test_an_idempotency_key_makes_one_file_of_two_requests(door: Door, world: World) -> None:
    def send(content: bytes) -> Any:
        return door.call(
            "POST", "/v1/files", data={"purpose": "batch"}, files={"file": ("a", content)},
            headers={"Idempotency-Key": "once"},
        )  # fmt: skip

    assert send(LARGE).json() == send(LARGE).json()
    assert len(list(world.reader.list(""))) == 1
    other = send(LARGE + b"x")
    assert (other.status_code, code_of(other)) == (409, "idempotency_key_reused")
    assert world.multipart.open_ids == ()


def test_without_a_key_nothing_is_taken(door: Door, world: World) -> None:
    answer = door.call("POST", "/v1/files", key="nobody", files={"file": LARGE})
    assert (answer.status_code, code_of(answer)) == (401, "invalid_api_key")
    assert nothing_is_left(world)


@pytest.mark.parametrize("path", ["/v1/files", "/v1/uploads/upload_0/parts"])
def test_a_key_that_may_only_read_makes_nothing_here_either(
    door: Door, world: World, path: str
) -> None:
    world.add_key("reader", scope=Scope.READ)
    body = PURPOSE + FILE + LARGE + END
    answer = door.call("POST", path, key="reader", content=body, headers=KIND)
    assert (answer.status_code, code_of(answer)) == (403, "missing_scope")
    assert nothing_is_left(world)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (PURPOSE.replace(b"batch", b"vision") + FILE + LARGE + END, "invalid_purpose"),
        (FILE + LARGE + b"\r\n" + PURPOSE.replace(b"batch\r\n", b"vision") + END, "invalid_purpose"),
        (FILE + LARGE + END, "missing_required_parameter"),
        (PURPOSE.removesuffix(b"\r\n") + END, "missing_required_parameter"),
        (PURPOSE + DATA + LARGE + END, "unknown_parameter"),
        (PURPOSE + FILE + LARGE, "invalid_multipart"),
        (b"purpose=batch", "invalid_multipart"),
        (PURPOSE + PURPOSE.replace(b"purpose", b"prompt") + FILE + LARGE + END, "unknown_parameter"),
    ],
)  # fmt: skip
def test_a_wrong_form_is_refused_and_leaves_nothing(
    door: Door, world: World, body: bytes, code: str
) -> None:
    answer = door.call("POST", "/v1/files", content=body, headers=KIND)
    assert (answer.status_code, code_of(answer)) == (400, code)
    assert nothing_is_left(world)


@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_file_over_the_accounts_limit_is_refused(
    door: Door, world: World, is_chunked: bool
) -> None:
    world.add_account("small", Limits(file_bytes_max=PART_BYTES + 1))
    body = PURPOSE + FILE + LARGE + END
    answer = door.call(
        "POST", "/v1/files", key="small", headers=KIND,
        content=chunked(body) if is_chunked else body,
    )  # fmt: skip
    assert (answer.status_code, code_of(answer)) == (413, "file_too_large")
    assert nothing_is_left(world)


def test_what_announces_too_many_bytes_is_refused_before_they_come(door: Door) -> None:
    with door.begin("/v1/files", b"", length=10**12) as caller:
        assert caller.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_caller_who_hangs_up_leaves_nothing(door: Door, world: World) -> None:
    with door.begin("/v1/files", PURPOSE + FILE + LARGE, length=10**9):
        until(lambda: bool(world.multipart.open_ids))
    until(lambda: nothing_is_left(world))


def test_a_caller_who_stops_sending_is_given_up(world: World, gateway_url: str) -> None:
    with (
        Door(world, gateway_url, stall_seconds=0.5) as door,
        door.begin("/v1/files", PURPOSE + FILE + LARGE, length=10**9) as caller,
    ):
        assert caller.recv(100).startswith(b"HTTP/1.1 400 ")
        until(lambda: nothing_is_left(world))


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def begin_upload(world: World, size: int) -> str:
    body = {"filename": "a", "purpose": "batch", "bytes": size, "mime_type": "application/jsonl"}
    upload_id: str = Client(world).post("/v1/uploads", body).ok("Upload")["id"]
    return upload_id


@pytest.mark.parametrize("content", [b"small", LARGE])
def test_a_form_becomes_an_uploads_part(door: Door, world: World, content: bytes) -> None:
    upload_id = begin_upload(world, len(content))
    answer = door.call("POST", f"/v1/uploads/{upload_id}/parts", files={"data": content})
    assert answer.json()["object"] == "upload.part", answer.text
    [stored] = world.reader.list(f"uploads/acct_alice/{upload_id}/")
    assert stored.key.endswith(answer.json()["id"])
    assert world.reader.read(stored.key) == content


def test_a_wrong_part_is_refused_and_leaves_nothing(door: Door, world: World) -> None:
    upload_id = begin_upload(world, 10)
    path = f"/v1/uploads/{upload_id}/parts"
    for answer, code in (
        (door.call("POST", path, files={"data": LARGE}), "bytes_mismatch"),
        (door.call("POST", path, content=chunked(DATA + LARGE + END), headers=KIND), "bytes_mismatch"),
        (door.call("POST", path, data={"purpose": "batch"}, files={"data": b"x"}), "unknown_parameter"),
        (door.call("POST", path, files={"file": b"x"}), "unknown_parameter"),
    ):  # fmt: skip
        assert (answer.status_code, code_of(answer)) == (400, code)
    for unknown, key in ((path, "bob"), ("/v1/uploads/upload_0/parts", "alice")):
        answer = door.call("POST", unknown, key=key, files={"data": b"x"})
        assert (answer.status_code, code_of(answer)) == (404, "not_found")
    assert nothing_is_left(world)


# ── ends ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_upload_under_way_may_end_after_sigterm(world: World, gateway_url: str) -> None:
    body = PURPOSE + FILE + LARGE + END
    with Door(world, gateway_url) as door:
        caller = door.begin("/v1/files", body[:-10], length=len(body))
        until(lambda: bool(world.multipart.open_ids))
        door.stop()
        caller.sendall(body[-10:])
        assert caller.recv(100).startswith(b"HTTP/1.1 200 ")
        caller.close()
    assert not nothing_is_left(world)
    assert world.multipart.open_ids == ()


def test_an_upload_that_does_not_end_in_time_leaves_nothing(world: World, gateway_url: str) -> None:
    with Door(world, gateway_url, drain_seconds=1) as door:
        caller = door.begin("/v1/files", PURPOSE + FILE + LARGE, length=10**9)
        until(lambda: bool(world.multipart.open_ids))
        door.stop()
        door.join()
        caller.close()
    assert nothing_is_left(world)


# ── everything else ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_any_other_request_goes_on_untouched(door: Door, method: str) -> None:
    body: dict[str, Any] = {} if method == "GET" else {"content": b"{}"}
    told = door.call(
        method, "/v1/a%2Fb?after=x%20y&redirect=false2", headers={"X-A": "b"}, **body
    ).json()
    assert (told["method"], told["path"]) == (method, "/stage/v1/a%2Fb?after=x%20y&redirect=false2")
    assert told["body"] == ("" if method == "GET" else "{}")
    assert told["headers"]["x-a"] == "b"
    assert told["headers"]["authorization"] == "Bearer sk-alice"
    assert told["headers"]["host"].startswith("127.0.0.1")


@pytest.mark.parametrize("path", ["/v1/files", "/v1/uploads/upload_1/parts"])
def test_the_doors_own_paths_pass_their_other_methods_on(door: Door, path: str) -> None:
    assert door.call("GET", path).json()["path"] == f"/stage{path}"
    told = door.call("POST", path, json={"filename": "large.jsonl"}).json()
    assert (told["path"], told["method"]) == (f"/stage{path}", "POST")


def test_a_head_is_answered_without_a_body(door: Door) -> None:
    answer = door.call("HEAD", "/v1/models")
    assert (answer.status_code, answer.headers["content-length"]) == (200, "7")


def test_a_chunked_body_goes_on_with_its_length(door: Door) -> None:
    told = door.call("POST", "/v1/batches", content=chunked(b"x" * 300_000)).json()
    assert told["bytes"] == 300_000
    assert told["headers"]["content-length"] == "300000"
    assert "transfer-encoding" not in told["headers"]


def test_a_chunked_body_over_the_gateways_limit_is_refused(door: Door) -> None:
    answer = door.call("POST", "/v1/batches", content=chunked(b"x" * 10_500_000))
    assert (answer.status_code, code_of(answer)) == (413, "request_too_large")


def test_a_gateway_that_is_gone_is_a_bad_gateway_in_the_envelope(world: World) -> None:
    with Door(world, f"http://127.0.0.1:{free_port()}") as door:
        answer = door.call("GET", "/v1/models")
    assert (answer.status_code, code_of(answer)) == (502, "bad_gateway")


def test_a_redirect_is_the_callers_unless_they_say_otherwise(door: Door) -> None:
    assert door.call("GET", "/moved?limit=2").status_code == 302
    answer = door.call("GET", "/moved?limit=2&redirect=false")
    assert answer.status_code == 200
    assert answer.content == Behind.stored
    assert answer.headers["etag"] == '"e"'
    assert "x-amz-id-2" not in answer.headers


def test_a_range_is_passed_through(door: Door) -> None:
    answer = door.call("GET", "/moved?redirect=false", headers={"Range": "bytes=5-9"})
    assert (answer.status_code, answer.content) == (206, Behind.stored[5:10])
    assert answer.headers["content-range"] == f"bytes 5-9/{len(Behind.stored)}"


def test_what_is_asked_for_without_a_redirect_and_has_none_is_the_gateways(door: Door) -> None:
    told = door.call("GET", "/v1/models?redirect=false&a=b").json()
    assert told["path"] == "/stage/v1/models?a=b"


def test_an_object_that_s3_refuses_is_a_bad_gateway(door: Door) -> None:
    answer = door.call("GET", "/gone?redirect=false")
    assert (answer.status_code, code_of(answer)) == (502, "bad_gateway")


def test_it_says_that_it_is_there(door: Door) -> None:
    assert door.call("GET", "/healthz", key="nobody").status_code == 200


def test_every_answer_bears_the_requests_id(door: Door) -> None:
    for answer in (door.call("GET", "/v1/models"), door.call("POST", "/v1/files", headers=KIND)):
        assert len(answer.headers["x-request-id"]) == 36


def test_a_fault_of_ours_is_an_envelope_with_the_requests_id(
    door: Door, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(world.writer, "put", fail)
    answer = door.call("POST", "/v1/files", data={"purpose": "batch"}, files={"file": b"x"})
    assert (answer.status_code, code_of(answer)) == (500, "internal_error")
    assert answer.headers["x-request-id"] in answer.json()["error"]["message"]


def _logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "containers.door.app"]


def test_the_log_has_no_prompt_no_key_and_no_query(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        door.call(
            "POST", "/v1/files?token=query", data={"purpose": "batch"}, files={"file": b"prompt"}
        )
        door.call("POST", "/v1/batches?token=query", content=b"prompt")
        until(lambda: len(_logged(caplog)) == 2)
    lines = _logged(caplog)
    assert [json.loads(line)["path"] for line in lines] == ["/v1/files", "/v1/batches"]
    assert not any(word in line for line in lines for word in ("prompt", "sk-alice", "query"))


# ── its memory and settings ──────────────────────────────────────────────────────────────────────────────────────────


def test_who_comes_when_memory_is_given_out_waits_and_is_then_sent_away() -> None:
    async def scene() -> None:
        buffers = Buffers(10, wait_seconds_max=0.05)
        async with buffers.reserved(100):
            with pytest.raises(Unavailable):
                async with buffers.reserved(1):
                    pass
        patient = Buffers(10)
        entered = asyncio.Event()

        async def enter() -> None:
            async with patient.reserved(5):
                entered.set()

        async with patient.reserved(6):
            waiting = asyncio.create_task(enter())
            await asyncio.sleep(0)
            assert not entered.is_set()
        await waiting
        assert entered.is_set()

    asyncio.run(scene())


@pytest.mark.parametrize(
    "environment",
    [{}, {"OFFPEAK_GATEWAY_URL": "gateway"}, {"OFFPEAK_GATEWAY_URL": "http://g", "OFFPEAK_PORT": "x"}],
)  # fmt: skip
def test_wrong_settings_are_refused_in_words(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="takes"):
        DoorSettings.from_environment(environment)


def test_settings_come_from_the_environment() -> None:
    made = DoorSettings.from_environment(
        {"OFFPEAK_GATEWAY_URL": "https://g/stage/", "OFFPEAK_PORT": "81"}
    )
    assert (made.gateway_url, made.port) == ("https://g/stage", 81)
    assert made.drain_seconds < 120, "ECS kills after 120 s"
