import pytest

from offpeak.core.errors import StateConflict
from offpeak.core.file import File, FileStatus, Upload, UploadStatus

FILE = File(
    id="file-1", account_id="a", filename="in.jsonl", purpose="batch", bytes=5, key="k",
    created_at=100, expires_at=200,
)  # fmt: skip
UPLOAD = Upload(
    id="upload_1", account_id="a", filename="in.jsonl", purpose="batch", mime_type="text/jsonl",
    bytes=5, created_at=100, expires_at=3_700,
)  # fmt: skip


def test_a_file_is_usable_until_it_expires_or_is_deleted() -> None:
    assert FILE.usable(199)
    assert not FILE.usable(200)
    assert not FILE.deleted().usable(150)


def test_only_a_pending_file_becomes_processed() -> None:
    with pytest.raises(StateConflict):
        FILE.processed(bytes=5, etag="e")


def test_an_upload_ends_once() -> None:
    for ended in (UPLOAD.completed("file-1", 200), UPLOAD.cancelled(200)):
        with pytest.raises(StateConflict):
            ended.completed("file-2", 300)
        with pytest.raises(StateConflict):
            ended.cancelled(300)


def test_an_upload_left_for_an_hour_has_expired() -> None:
    assert UPLOAD.status_at(3_700) is UploadStatus.EXPIRED
    with pytest.raises(StateConflict):
        UPLOAD.completed("file-1", 3_700)


def test_a_file_is_born_processed() -> None:
    assert FILE.status is FileStatus.PROCESSED
