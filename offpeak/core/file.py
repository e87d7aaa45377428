"""Files that clients upload and download, and the uploads that make large ones out of parts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from offpeak.core.errors import StateConflict

EXPIRES_SECONDS_MIN = 3_600
EXPIRES_SECONDS_MAX = 2_592_000


class FileStatus(StrEnum):
    """`pending` is ours: the bytes are still on their way to S3. It is shown as OpenAI's `uploaded`."""

    PENDING = "pending"
    PROCESSED = "processed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An uploaded or produced file. `key` is its object; while it is `pending`, `multipart_id` is set if its bytes come
    in parts, and `bytes` is what was announced, 0 where nothing was. `lines` are counted where it is cheap."""

    id: str
    account_id: str
    filename: str
    purpose: str
    bytes: int
    key: str
    created_at: int
    expires_at: int | None = None
    status: FileStatus = FileStatus.PROCESSED
    multipart_id: str | None = None
    etag: str | None = None
    lines: int | None = None
    version: int = 0

    def processed(self, *, bytes: int, etag: str) -> File:
        if self.status is not FileStatus.PENDING:
            raise StateConflict(
                f"File {self.id} is already {self.status}.", code="file_not_pending"
            )
        return replace(self, status=FileStatus.PROCESSED, bytes=bytes, etag=etag, multipart_id=None)

    def deleted(self) -> File:
        return replace(self, status=FileStatus.DELETED)

    def usable(self, now: int) -> bool:
        return self.status is FileStatus.PROCESSED and (
            self.expires_at is None or now < self.expires_at
        )


class UploadStatus(StrEnum):
    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """OpenAI's Upload: parts arrive in any order and number, `complete` names them in theirs.

    pending ──complete──► completed        pending ──cancel──► cancelled        pending ──an hour──► expired
    """

    id: str
    account_id: str
    filename: str
    purpose: str
    mime_type: str
    bytes: int
    created_at: int
    expires_at: int
    file_expires_after: int | None = None
    status: UploadStatus = UploadStatus.PENDING
    file_id: str | None = None
    version: int = 0

    def status_at(self, now: int) -> UploadStatus:
        lapsed = self.status is UploadStatus.PENDING and now >= self.expires_at
        return UploadStatus.EXPIRED if lapsed else self.status

    def completed(self, file_id: str, now: int) -> Upload:
        self._require_pending(now)
        return replace(self, status=UploadStatus.COMPLETED, file_id=file_id)

    def cancelled(self, now: int) -> Upload:
        self._require_pending(now)
        return replace(self, status=UploadStatus.CANCELLED)

    def _require_pending(self, now: int) -> None:
        status = self.status_at(now)
        if status is not UploadStatus.PENDING:
            raise StateConflict(f"Upload {self.id} is {status}.", code="upload_not_pending")
