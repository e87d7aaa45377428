"""Objects: ranges, lists, parts under S3's rules, and URLs that a client really uses."""

from __future__ import annotations

import random

import pytest

from offpeak.core.errors import InvalidRequest, MultipartGone, NotFound, StateConflict
from offpeak.core.ids import ACCOUNT
from offpeak.core.ports import PART_BYTES_MIN
from tests.contract import rows
from tests.contract.worlds import Ports, World

MIB = 1024**2


@pytest.fixture
def prefix() -> str:
    return f"work/{rows.fresh(ACCOUNT)}/"


def _noise(bytes: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(bytes)


def test_an_object_comes_back_as_it_was_put(ports: Ports, prefix: str) -> None:
    key = prefix + "größe + 1%.jsonl"
    info = ports.writer.put(key, b"abc", "application/jsonl")
    assert (info.key, info.bytes) == (key, 3)
    assert info.etag == "900150983cd24fb0d6963f7d28e17f72"
    assert ports.reader.head(key) == info
    assert ports.reader.read(key) == b"abc"


@pytest.mark.parametrize(
    ("start", "stop", "found"),
    [
        (0, None, b"0123456789"),
        (3, None, b"3456789"),
        (0, 4, b"0123"),
        (3, 4, b"3"),
        (8, 100, b"89"),
        (4, 4, b""),
        (10, None, b""),
        (10, 20, b""),
        (50, 60, b""),
    ],
)
def test_ranges_are_slices(
    ports: Ports, prefix: str, start: int, stop: int | None, found: bytes
) -> None:
    ports.writer.put(prefix + "digits", b"0123456789")
    assert ports.reader.read(prefix + "digits", start, stop) == found
    assert b"".join(ports.reader.stream(prefix + "digits", start, stop)) == found


def test_an_empty_object_reads_as_nothing(ports: Ports, prefix: str) -> None:
    ports.writer.put(prefix + "empty", b"")
    assert ports.reader.head(prefix + "empty").bytes == 0
    assert ports.reader.read(prefix + "empty") == b""
    assert ports.reader.read(prefix + "empty", 0, 10) == b""


def test_a_stream_comes_in_chunks_of_about_a_mebibyte(ports: Ports, prefix: str) -> None:
    body = _noise(3 * MIB + 17)
    ports.writer.put(prefix + "large", body)
    chunks = list(ports.reader.stream(prefix + "large", 5, len(body) - 3))
    assert b"".join(chunks) == body[5:-3]
    assert max(map(len, chunks)) <= MIB
    assert len(chunks) <= 8


def test_a_stream_may_be_left_half_read(ports: Ports, prefix: str) -> None:
    ports.writer.put(prefix + "large", _noise(3 * MIB))
    for _ in range(70):  # more often than there are connections
        stream = ports.reader.stream(prefix + "large")
        assert len(next(stream)) > 0
        stream.close()  # type: ignore[attr-defined]


def test_what_is_not_there_cannot_be_read_but_deleted(ports: Ports, prefix: str) -> None:
    for read in (
        lambda: ports.reader.head(prefix + "gone"),
        lambda: ports.reader.read(prefix + "gone"),
        lambda: ports.reader.read(prefix + "gone", 5, 5),
        lambda: list(ports.reader.stream(prefix + "gone", 1, 2)),
    ):
        with pytest.raises(NotFound):
            read()
    ports.writer.delete(prefix + "gone")


def test_a_deleted_object_is_gone(ports: Ports, prefix: str) -> None:
    ports.writer.put(prefix + "a", b"1")
    ports.writer.delete(prefix + "a")
    with pytest.raises(NotFound):
        ports.reader.head(prefix + "a")
    assert list(ports.reader.list(prefix)) == []


def test_a_put_replaces(ports: Ports, prefix: str) -> None:
    ports.writer.put(prefix + "a", b"1")
    ports.writer.put(prefix + "a", b"22")
    assert ports.reader.read(prefix + "a") == b"22"


def test_a_list_holds_the_prefix_in_the_order_of_keys(ports: Ports, prefix: str) -> None:
    for name in ("0002-0001", "0001-0010", "0001-0002", "0010-0001"):
        ports.writer.put(f"{prefix}checkpoints/{name}.jsonl", name.encode())
    ports.writer.put(prefix + "checkpoint", b"")
    found = list(ports.reader.list(prefix + "checkpoints/"))
    assert [info.key.removeprefix(prefix) for info in found] == [
        "checkpoints/0001-0002.jsonl",
        "checkpoints/0001-0010.jsonl",
        "checkpoints/0002-0001.jsonl",
        "checkpoints/0010-0001.jsonl",
    ]
    assert [info.bytes for info in found] == [9] * 4
    assert found[0] == ports.reader.head(found[0].key)


def test_a_list_goes_past_s3s_thousand(ports: Ports, prefix: str) -> None:
    for number in range(1_003):
        ports.writer.put(f"{prefix}{number:04}", b"")
    keys = [info.key for info in ports.reader.list(prefix)]
    assert keys == [f"{prefix}{number:04}" for number in range(1_003)]


def test_parts_join_in_the_order_of_their_numbers(ports: Ports, prefix: str) -> None:
    key = prefix + "joined"
    parts = {1: _noise(PART_BYTES_MIN, 1), 2: _noise(PART_BYTES_MIN + 1, 2), 7: b"the end"}
    multipart_id = ports.multipart.begin(key, "application/jsonl")
    etags = {n: ports.multipart.put_part(key, multipart_id, n, parts[n]) for n in (7, 2, 1)}
    with pytest.raises(NotFound):
        ports.reader.head(key)
    info = ports.multipart.complete(key, multipart_id, etags)
    assert info == ports.reader.head(key)
    assert info.bytes == sum(map(len, parts.values()))
    assert info.etag.endswith("-3")
    assert ports.reader.read(key) == b"".join(parts.values())


def test_a_part_sent_again_replaces_and_one_not_named_is_left_out(
    ports: Ports, prefix: str
) -> None:
    key = prefix + "joined"
    multipart_id = ports.multipart.begin(key)
    ports.multipart.put_part(key, multipart_id, 1, b"old")
    etag = ports.multipart.put_part(key, multipart_id, 1, b"new")
    ports.multipart.put_part(key, multipart_id, 2, b"unnamed")
    ports.multipart.complete(key, multipart_id, {1: f'"{etag}"'})
    assert ports.reader.read(key) == b"new"


def test_parts_are_copied_from_other_objects(ports: Ports, prefix: str) -> None:
    large, small, key = _noise(PART_BYTES_MIN * 2 + 100), b"x" * 50, prefix + "joined"
    ports.writer.put(prefix + "large", large)
    ports.writer.put(prefix + "small", small)
    multipart_id = ports.multipart.begin(key)
    etags = {
        1: ports.multipart.copy_part(key, multipart_id, 1, prefix + "large", 3, PART_BYTES_MIN + 9),
        2: ports.multipart.put_part(key, multipart_id, 2, large[:PART_BYTES_MIN]),
        3: ports.multipart.copy_part(key, multipart_id, 3, prefix + "large", 0, PART_BYTES_MIN),
        4: ports.multipart.copy_part(key, multipart_id, 4, prefix + "small", 10, 50),
    }
    ports.multipart.complete(key, multipart_id, etags)
    expected = large[3 : PART_BYTES_MIN + 9] + large[:PART_BYTES_MIN] * 2 + small[10:]
    assert ports.reader.read(key) == expected


@pytest.mark.parametrize(("start", "stop"), [(0, 101), (100, 101), (5, 5)])
def test_bytes_that_are_not_there_cannot_be_copied(
    ports: Ports, prefix: str, start: int, stop: int
) -> None:
    ports.writer.put(prefix + "source", b"x" * 100)
    multipart_id = ports.multipart.begin(prefix + "joined")
    with pytest.raises(InvalidRequest):
        ports.multipart.copy_part(
            prefix + "joined", multipart_id, 1, prefix + "source", start, stop
        )
    with pytest.raises(NotFound) as refused:
        ports.multipart.copy_part(prefix + "joined", multipart_id, 1, prefix + "gone", 0, 10)
    assert not isinstance(refused.value, MultipartGone)


@pytest.mark.parametrize(
    "etags", [{}, {2: "900150983cd24fb0d6963f7d28e17f72"}, {1: "0" * 32}, {1: "no etag"}]
)
def test_parts_that_were_not_uploaded_are_refused(
    ports: Ports, prefix: str, etags: dict[int, str]
) -> None:
    key = prefix + "joined"
    multipart_id = ports.multipart.begin(key)
    ports.multipart.put_part(key, multipart_id, 1, b"abc")
    with pytest.raises(InvalidRequest):
        ports.multipart.complete(key, multipart_id, etags)


def test_a_part_has_a_number_from_1_to_10000(ports: Ports, prefix: str) -> None:
    multipart_id = ports.multipart.begin(prefix + "joined")
    for number in (0, 10_001):
        with pytest.raises(InvalidRequest):
            ports.multipart.put_part(prefix + "joined", multipart_id, number, b"x")


def test_an_aborted_upload_is_gone_and_may_be_aborted_again(ports: Ports, prefix: str) -> None:
    key = prefix + "joined"
    multipart_id = ports.multipart.begin(key)
    etag = ports.multipart.put_part(key, multipart_id, 1, b"abc")
    ports.multipart.abort(key, multipart_id)
    ports.multipart.abort(key, multipart_id)
    with pytest.raises(MultipartGone):
        ports.multipart.put_part(key, multipart_id, 2, b"abc")
    with pytest.raises(MultipartGone):
        ports.multipart.complete(key, multipart_id, {1: etag})


def test_a_client_uploads_parts_to_their_urls(world: World, prefix: str) -> None:
    key, ports = prefix + "uploaded", world.ports
    multipart_id = ports.multipart.begin(key)
    parts = [_noise(PART_BYTES_MIN, 3), b"the rest"]
    urls = [ports.presigner.part_url(key, multipart_id, n, 600) for n in (1, 2)]
    etags = {
        n: world.upload(url, part) for n, (url, part) in enumerate(zip(urls, parts, strict=True), 1)
    }
    ports.multipart.complete(key, multipart_id, etags)
    assert ports.reader.read(key) == b"".join(parts)


def test_a_client_puts_a_whole_object_at_its_url_and_again(world: World, prefix: str) -> None:
    key, ports = prefix + "größe + 1%.jsonl", world.ports
    url = ports.presigner.upload_url(key, 600)
    for body in (b"first", b"the second one", b""):
        etag = world.upload(url, body).strip('"')
        info = ports.reader.head(key)
        assert (info.bytes, info.etag) == (len(body), etag)
        assert ports.reader.read(key) == body


def test_a_client_downloads_by_url(world: World, prefix: str) -> None:
    world.ports.writer.put(prefix + "out put.jsonl", b"results")
    url = world.ports.presigner.download_url(prefix + "out put.jsonl", 600, 'a"b\r\nc/ü.jsonl')
    assert world.download(url) == b"results"


# ── objects that somebody else may replace ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("start", "stop"), [(0, None), (2, 5), (3, 3), (50, 60)])
def test_a_pinned_read_gives_these_bytes_or_none(
    ports: Ports, prefix: str, start: int, stop: int | None
) -> None:
    pinned = ports.writer.put(prefix + "pinned", b"0123456789")
    body = ports.reader.read(pinned.key, start, stop, etag=pinned.etag)
    assert body == b"0123456789"[start:stop]
    ports.writer.put(pinned.key, b"abcdefghij")
    with pytest.raises(StateConflict) as refused:
        ports.reader.read(pinned.key, start, stop, etag=pinned.etag)
    assert refused.value.code == "object_replaced"
    with pytest.raises(StateConflict):
        list(ports.reader.stream(pinned.key, start, stop, etag=pinned.etag))
    ports.writer.delete(pinned.key)
    with pytest.raises(NotFound):
        ports.reader.read(pinned.key, start, stop, etag=pinned.etag)


def test_an_object_is_put_over_the_one_that_was_seen_and_no_other(
    ports: Ports, prefix: str
) -> None:
    key = prefix + "status.json"
    first = ports.writer.put_over(key, b"1", None, "application/json")
    assert ports.reader.head(key) == first
    second = ports.writer.put_over(key, b"2", first.etag)
    for etag in (None, first.etag, "0" * 32):
        with pytest.raises(StateConflict) as refused:
            ports.writer.put_over(key, b"3", etag)
        assert refused.value.code == "write_conflict"
    assert ports.reader.read(key) == b"2"
    ports.writer.delete(key)
    with pytest.raises(StateConflict):
        ports.writer.put_over(key, b"3", second.etag)
    assert ports.writer.put_over(key, b"3", None).bytes == 1
