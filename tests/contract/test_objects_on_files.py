"""What objects on files add to the contract: other processes, names that file systems don't like, no bytes held."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from offpeak.core.ports import PART_BYTES_MIN
from offpeak.memory.bucket_on_files import BucketOnFiles
from offpeak.memory.multipart_on_files import FilesMultipart
from offpeak.memory.objects_on_files import FilesReader, FilesWriter


@pytest.fixture
def bucket(tmp_path: Path) -> BucketOnFiles:
    return BucketOnFiles(tmp_path)


@pytest.mark.parametrize("key", ["..", "../up", "a/../../b", ".", "a//b", "a/", "=x", "+x", "~x"])
def test_no_key_leaves_the_directory_or_meets_another(bucket: BucketOnFiles, key: str) -> None:
    FilesWriter(bucket).put("a", b"another")
    FilesWriter(bucket).put(key, b"its own")
    assert FilesReader(bucket).read(key) == b"its own"
    assert FilesReader(bucket).read("a") == b"another"
    assert sorted(info.key for info in FilesReader(bucket).list("")) == sorted(["a", key])


def test_another_process_sees_what_one_has_put(bucket: BucketOnFiles, tmp_path: Path) -> None:
    FilesWriter(bucket).put("work/a", b"from here")
    program = (
        "import sys; from pathlib import Path; from offpeak.memory.objects_on_files import *;"
        "from offpeak.memory.bucket_on_files import *;"
        "bucket = BucketOnFiles(Path(sys.argv[1]));"
        "FilesWriter(bucket).put('work/b', FilesReader(bucket).read('work/a') + b' and there')"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)
    assert FilesReader(bucket).read("work/b") == b"from here and there"


def test_a_copied_part_outlives_its_source(bucket: BucketOnFiles) -> None:
    multipart, writer = FilesMultipart(bucket), FilesWriter(bucket)
    writer.put("source", b"x" * PART_BYTES_MIN)
    multipart_id = multipart.begin("target")
    first = multipart.copy_part("target", multipart_id, 1, "source", 0, PART_BYTES_MIN)
    writer.put("source", b"y" * 10)
    second = multipart.copy_part("target", multipart_id, 2, "source", 0, 10)
    writer.delete("source")
    multipart.complete("target", multipart_id, {1: first, 2: second})
    assert FilesReader(bucket).read("target") == b"x" * PART_BYTES_MIN + b"y" * 10


def test_nothing_is_left_of_what_was_replaced_aborted_or_deleted(
    bucket: BucketOnFiles, tmp_path: Path
) -> None:
    multipart, writer = FilesMultipart(bucket), FilesWriter(bucket)
    for number in range(3):
        writer.put("a", b"%d" % number)
    multipart_id = multipart.begin("b")
    for _ in range(2):
        multipart.put_part("b", multipart_id, 1, b"part")
    multipart.abort("b", multipart_id)
    assert multipart.open_ids == ()
    assert [path.read_bytes() for path in (tmp_path / "blobs").iterdir()] == [b"2"]
    writer.delete("a")
    assert list((tmp_path / "blobs").iterdir()) == []


def test_whoever_reads_while_an_object_is_replaced_gets_one_of_the_two(
    bucket: BucketOnFiles,
) -> None:
    writer, reader = FilesWriter(bucket), FilesReader(bucket)
    bodies = [bytes([number]) * 1_000 for number in range(200)]
    writer.put("a", bodies[0])
    replacing = Thread(target=lambda: [writer.put("a", body) for body in bodies])
    replacing.start()
    seen = {reader.read("a") for _ in range(200)}
    replacing.join()
    assert seen <= set(bodies)


def test_a_plain_program_reads_the_bytes(bucket: BucketOnFiles) -> None:
    FilesWriter(bucket).put("a", b"plain")
    assert bucket.path_of("a").read_bytes() == b"plain"
