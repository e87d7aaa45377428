"""What only the adapters in memory can show: a clock that is told, and S3's rules where the emulator has none."""

from __future__ import annotations

import pytest

from offpeak.core.errors import InvalidRequest, NotFound, Unauthenticated
from offpeak.memory.memory import Memory


def test_time_passes_when_told_and_only_forward() -> None:
    memory = Memory()
    before = memory.clock.now()
    memory.clock.advance(1.5)
    assert memory.clock.now() == before + 1.5
    with pytest.raises(ValueError, match="backwards"):
        memory.clock.advance(-1)


def test_a_short_part_before_the_last_is_refused() -> None:
    memory = Memory()
    multipart_id = memory.multipart.begin("joined")
    etags = {n: memory.multipart.put_part("joined", multipart_id, n, b"short") for n in (1, 2)}
    with pytest.raises(InvalidRequest, match="only the last may"):
        memory.multipart.complete("joined", multipart_id, etags)
    with pytest.raises(NotFound):
        memory.reader.head("joined")
    assert memory.multipart.open_ids == (multipart_id,)


def test_a_url_ends_with_its_time_and_serves_one_purpose() -> None:
    memory = Memory()
    memory.writer.put("results", b"abc")
    multipart_id = memory.multipart.begin("upload")
    download = memory.presigner.download_url("results", 60, "results.jsonl")
    upload = memory.presigner.part_url("upload", multipart_id, 1, 60)
    assert memory.presigner.get(download) == b"abc"
    for misuse in (
        lambda: memory.presigner.put(download, b"x"),
        lambda: memory.presigner.get(upload),
    ):
        with pytest.raises(Unauthenticated, match="not signed"):
            misuse()
    memory.clock.advance(60)
    with pytest.raises(Unauthenticated, match="expired"):
        memory.presigner.get(download)
