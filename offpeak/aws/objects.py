"""Objects in one S3 bucket: read in ranges, written whole or in parts, and handed out by presigned URLs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from botocore.exceptions import ClientError

from offpeak.aws.errors import code_of, translated
from offpeak.core.errors import InvalidRequest, StateConflict, Unavailable
from offpeak.core.ports import PART_BYTES_MIN, ObjectInfo

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK_BYTES = 1024**2
BREAKS_MAX = 5
"""How often in a row a stream may break off without a byte between."""


class S3Reader:
    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def head(self, key: str) -> ObjectInfo:
        with translated(f"object {key}"):
            answer = self._client.head_object(Bucket=self._bucket, Key=key)
        return ObjectInfo(
            key=key, bytes=answer["ContentLength"], etag=_bare(answer["ETag"]),
            metadata={name.lower(): value for name, value in answer.get("Metadata", {}).items()},
        )  # fmt: skip

    def read(
        self, key: str, start: int = 0, stop: int | None = None, *, etag: str | None = None
    ) -> bytes:
        return b"".join(self.stream(key, start, stop, etag=etag))

    def stream(
        self, key: str, start: int = 0, stop: int | None = None, *, etag: str | None = None
    ) -> Iterator[bytes]:
        """Taken up again where it broke off: a reader that is slow, as an engine is, loses connections."""
        if stop is not None and stop <= start:
            found = self.head(key)
            if etag is not None and found.etag != etag:
                raise _replaced(key)
            return
        reading = _Reading(self._client, self._bucket, key, start, stop, etag)
        breaks = 0
        while True:
            try:
                for chunk in reading.chunks():
                    breaks = 0
                    yield chunk
            except Unavailable:
                breaks += 1
                if breaks == BREAKS_MAX:
                    raise
            else:
                return

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with translated(f"objects {prefix}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            for page in pages:
                for found in page.get("Contents", ()):
                    yield ObjectInfo(
                        key=found["Key"], bytes=found["Size"], etag=_bare(found["ETag"])
                    )


class _Reading:
    """Where a stream stands in its object, and which version of the object it began with."""

    def __init__(
        self, client: S3Client, bucket: str, key: str, start: int, stop: int | None,
        etag: str | None,
    ) -> None:  # fmt: skip
        self._client = client
        self._bucket = bucket
        self._key = key
        self._at = start
        self._stop = stop
        self._pinned = etag is not None
        self._etag = None if etag is None else f'"{etag}"'

    def chunks(self) -> Iterator[bytes]:
        """What is still to be read; nothing where the object has ended. Raises Unavailable when it breaks off."""
        if self._at == self._stop:
            return
        asked: dict[str, Any] = {"Bucket": self._bucket, "Key": self._key}
        if self._at or self._stop is not None:
            last = "" if self._stop is None else self._stop - 1
            asked["Range"] = f"bytes={self._at}-{last}"
        if self._etag is not None:
            asked["IfMatch"] = self._etag
        with translated(f"object {self._key}"):
            try:
                answer = self._client.get_object(**asked)
            except ClientError as error:
                if code_of(error) == "InvalidRange":
                    return
                if self._pinned and code_of(error) == "PreconditionFailed":
                    raise _replaced(self._key) from error
                raise
            self._etag = answer["ETag"]
            with closing(answer["Body"]) as body:
                for chunk in body.iter_chunks(CHUNK_BYTES):
                    self._at += len(chunk)
                    yield chunk


class S3Writer:
    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(
        self, key: str, body: bytes, content_type: str = "application/octet-stream"
    ) -> ObjectInfo:
        with translated(f"object {key}"):
            answer = self._client.put_object(
                Bucket=self._bucket, Key=key, Body=body, ContentType=content_type
            )
        return ObjectInfo(key=key, bytes=len(body), etag=_bare(answer["ETag"]))

    def put_over(
        self,
        key: str,
        body: bytes,
        etag: str | None,
        content_type: str = "application/octet-stream",
    ) -> ObjectInfo:
        condition: Any = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": f'"{etag}"'}
        with translated(f"object {key}"):
            try:
                answer = self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, ContentType=content_type, **condition
                )
            except ClientError as error:
                if code_of(error) in _UNMET:
                    raise StateConflict(
                        f"Object {key} was changed by somebody else meanwhile.",
                        code="write_conflict",
                    ) from error
                raise
        return ObjectInfo(key=key, bytes=len(body), etag=_bare(answer["ETag"]))

    def delete(self, key: str) -> None:
        with translated(f"object {key}"):
            self._client.delete_object(Bucket=self._bucket, Key=key)


class S3Multipart:
    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._reader = S3Reader(client, bucket)

    def begin(self, key: str, content_type: str = "application/octet-stream") -> str:
        with translated(f"object {key}"):
            answer = self._client.create_multipart_upload(
                Bucket=self._bucket, Key=key, ContentType=content_type
            )
        return answer["UploadId"]

    def put_part(self, key: str, multipart_id: str, number: int, body: bytes) -> str:
        with translated(f"multipart upload {multipart_id} of {key}"):
            answer = self._client.upload_part(
                Bucket=self._bucket, Key=key, UploadId=multipart_id, PartNumber=number, Body=body
            )
        return _bare(answer["ETag"])

    def copy_part(
        self, key: str, multipart_id: str, number: int, source: str, start: int, stop: int
    ) -> str:
        """S3 takes ranges only of sources over 5 MiB, so a short range goes through us after all."""
        if stop - start <= PART_BYTES_MIN:
            body = self._reader.read(source, start, stop)
            if not body or len(body) < stop - start:
                raise InvalidRequest(f"{source} has no bytes [{start}, {stop}).")
            return self.put_part(key, multipart_id, number, body)
        with translated(f"multipart upload {multipart_id} of {key}, or its source {source}"):
            answer = self._client.upload_part_copy(
                Bucket=self._bucket, Key=key, UploadId=multipart_id, PartNumber=number,
                CopySource={"Bucket": self._bucket, "Key": source},
                CopySourceRange=f"bytes={start}-{stop - 1}",
            )  # fmt: skip
        return _bare(answer["CopyPartResult"]["ETag"])

    def complete(self, key: str, multipart_id: str, etags: Mapping[int, str]) -> ObjectInfo:
        if not etags:
            raise InvalidRequest("A multipart upload needs at least one part.")
        with translated(f"multipart upload {multipart_id} of {key}"):
            self._client.complete_multipart_upload(
                Bucket=self._bucket, Key=key, UploadId=multipart_id,
                MultipartUpload={
                    "Parts": [{"PartNumber": n, "ETag": etags[n]} for n in sorted(etags)]
                },
            )  # fmt: skip
        return self._reader.head(key)

    def abort(self, key: str, multipart_id: str) -> None:
        with translated(f"multipart upload {multipart_id} of {key}"):
            try:
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=key, UploadId=multipart_id
                )
            except ClientError as error:
                if code_of(error) != "NoSuchUpload":
                    raise


class S3Presigner:
    """URLs end with the credentials that sign them, at the latest: a role's last some hours at most."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def download_url(self, key: str, seconds: int, filename: str) -> str:
        """Always a download under a type that no browser renders: what is in a file is its owner's affair."""
        return self._client.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self._bucket,
                "Key": key,
                "ResponseContentType": "application/octet-stream",
                "ResponseContentDisposition": disposition(filename),
            },
            ExpiresIn=seconds,
        )

    def upload_url(self, key: str, seconds: int) -> str:
        return self._client.generate_presigned_url(
            "put_object", Params={"Bucket": self._bucket, "Key": key}, ExpiresIn=seconds
        )

    def part_url(self, key: str, multipart_id: str, number: int, seconds: int) -> str:
        return self._client.generate_presigned_url(
            "upload_part",
            Params={
                "Bucket": self._bucket,
                "Key": key,
                "UploadId": multipart_id,
                "PartNumber": number,
            },
            ExpiresIn=seconds,
        )


def disposition(filename: str) -> str:
    """A `Content-Disposition` that saves under this name (RFC 6266), whatever characters somebody put into it."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in " ._-()") else "_" for c in filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


# What S3 answers to a conditional write: the object is another, is gone, or is being written right now.
_UNMET = frozenset({"PreconditionFailed", "NoSuchKey", "404", "ConditionalRequestConflict"})


def _replaced(key: str) -> StateConflict:
    return StateConflict(f"Object {key} was replaced by another.", code="object_replaced")


def _bare(etag: str) -> str:
    return etag.strip('"')
