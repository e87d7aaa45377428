"""The drop folder's names: which objects under `drop/` start a batch, and what is written beside them.

drop/{account}/{name}.jsonl                      the producer's object: a batch, as it lies there
drop/{account}/{name}.jsonl.gz                   the same, unpacked into `files/` first
drop/{account}/{name}.batch.json                 the producer's options for it, put before it
drop/{account}/{name}.status.json                ours: how it goes
drop/{account}/{name}.output.jsonl               ours: results …
drop/{account}/{name}.errors.jsonl               … and the lines that have none

These are the only keys with somebody else's text in them. A name is data: it is never taken apart beyond its ends, and
what we write differs from it in its suffix alone, a suffix that starts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

DROP_PREFIX = "drop/"
INPUT_SUFFIXES = (".jsonl", ".jsonl.gz")
OUTPUT_SUFFIX = ".output.jsonl"
ERRORS_SUFFIX = ".errors.jsonl"
STATUS_SUFFIX = ".status.json"
SIDECAR_SUFFIX = ".batch.json"
WRITTEN_SUFFIXES = (OUTPUT_SUFFIX, ERRORS_SUFFIX, STATUS_SUFFIX)
RESERVED_SUFFIXES = (*WRITTEN_SUFFIXES, SIDECAR_SUFFIX)
KEY_BYTES_MAX = 1_024 - max(map(len, RESERVED_SUFFIXES))
"""S3 takes keys of 1,024 bytes; what is written beside an object has room for its suffix."""
ACCOUNT_CHARACTERS_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DropSource:
    """The object that a batch came from: its key, and the ETag of the bytes that were there then."""

    key: str
    etag: str

    @property
    def stem(self) -> str:
        """`drop/{account}/{name}`; what is written beside the object begins with it."""
        return stem_of(self.key)

    @property
    def is_packed(self) -> bool:
        return self.key.endswith(".gz")

    @property
    def filename(self) -> str:
        """As it is shown, unpacked."""
        return self.stem.rpartition("/")[2] + INPUT_SUFFIXES[0]

    @property
    def status_key(self) -> str:
        return self.stem + STATUS_SUFFIX

    @property
    def sidecar_key(self) -> str:
        return self.stem + SIDECAR_SUFFIX

    @property
    def output_key(self) -> str:
        return self.stem + OUTPUT_SUFFIX

    @property
    def errors_key(self) -> str:
        return self.stem + ERRORS_SUFFIX


def account_of(key: str) -> str | None:
    """The account whose folder an input lies in; None for a key that starts no batch.

    Markers of folders, results, status and sidecar files, other suffixes and keys too long to write beside start none.
    """
    stem = stem_of(key)
    if not key.startswith(DROP_PREFIX) or stem == key or len(key.encode()) > KEY_BYTES_MAX:
        return None
    account, slash, name = stem.removeprefix(DROP_PREFIX).partition("/")
    if not slash or not 0 < len(account) <= ACCOUNT_CHARACTERS_MAX or not name.rpartition("/")[2]:
        return None
    return None if is_reserved(key) else account


def is_reserved(key: str) -> bool:
    """Whether a key is named as what we write, or as a sidecar; packed ones too."""
    return key.removesuffix(".gz").endswith(RESERVED_SUFFIXES)


def stem_of(key: str) -> str:
    """The key without an input's suffix; the key itself when it has none."""
    for suffix in sorted(INPUT_SUFFIXES, key=len, reverse=True):
        if key.endswith(suffix):
            return key.removesuffix(suffix)
    return key


def is_dropped(key: str) -> bool:
    """Whether an object is a producer's: it is read where it lies, and never deleted by us."""
    return key.startswith(DROP_PREFIX)
