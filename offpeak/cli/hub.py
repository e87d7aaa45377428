"""A model's files on the hub: which of them serving needs, and their bytes as a stream that survives a broken line."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import TracebackType

import httpx

from offpeak.cli.client import backoff_seconds
from offpeak.cli.errors import CliError, UsageError

TRIES_MAX = 6
"""In a row without a byte; whatever arrives starts the count anew."""
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
CHUNK_BYTES = 1024**2
NEVER = (".git*", "*.md", "LICENSE*", "USE_POLICY*", "*.png", "*.jpg", "*.gif", "*.pdf", "*.ipynb")
# The same weights once more, beside safetensors.
DUPLICATES = (
    "*.bin", "*.pth", "*.pt", "*.h5", "*.msgpack", "*.onnx", "*.gguf", "original/*", "consolidated*",
    "metal/*", "onnx/*", "openvino/*", "coreml/*",
)  # fmt: skip


class Corrupt(CliError):
    """A file's bytes are not those that the hub lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """`etag` is the content's own name: the SHA-256 of a large file, git's id of a small one. `sha256` only of the
    former."""

    path: str
    bytes: int
    etag: str
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HubModel:
    """A model at one commit."""

    name: str
    commit: str
    files: tuple[HubFile, ...]


def list_model(name: str, revision: str) -> HubModel:
    """The files that serving needs. Raises CliError when the hub has none of it, or won't give it to us."""
    try:
        import httpx2  # noqa: PLC0415 - what the hub's SDK speaks with, whose errors it lets through
        from huggingface_hub import HfApi, errors  # noqa: PLC0415 - of the extra `ops`, and slow to import
    except ImportError:
        raise UsageError(
            "This needs the hub's SDK: pip install 'huggingface_hub' (Offpeak's extra `ops`)."
        ) from None
    try:
        info = HfApi(endpoint=_endpoint()).model_info(name, revision=revision, files_metadata=True)
    except errors.GatedRepoError:
        raise CliError(
            f"{name} is gated: accept its terms on the hub, and give a token of that account in HF_TOKEN."
        ) from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
        raise CliError(
            f"The hub has no {name} at {revision!r}, or it is private: then give a token in HF_TOKEN."
        ) from None
    except errors.HFValidationError as error:
        raise CliError(f"{name} is no name that the hub can have: {error}") from None
    except httpx2.HTTPError as error:
        where = _endpoint() or "https://huggingface.co"
        raise CliError(f"The hub at {where} does not answer about {name}: {error}") from None
    files = [
        HubFile(
            path=each.rfilename, bytes=each.size or 0,
            etag=each.lfs.sha256 if each.lfs else (each.blob_id or ""),
            sha256=each.lfs.sha256 if each.lfs else None,
        )
        for each in info.siblings or ()
    ]  # fmt: skip
    needed = tuple(sorted(needed_files(files), key=lambda file: file.path))
    if not needed or info.sha is None:
        raise CliError(f"{name} holds no weights.")
    return HubModel(name=name, commit=info.sha, files=needed)


def needed_files(files: Sequence[HubFile]) -> list[HubFile]:
    """Without what nobody serves from, and without other formats of the same weights where there are safetensors."""
    kept = [file for file in files if not _is_any(file.path, NEVER)]
    if any(fnmatchcase(file.path, "*.safetensors") for file in kept):
        others = [file for file in kept if not _is_any(file.path, DUPLICATES)]
        # Some publish nothing but `consolidated.safetensors`.
        if any(fnmatchcase(file.path, "*.safetensors") for file in others):
            return others
    return kept


def _is_any(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


class HubStream:
    """One file as a readable, forward-only stream, its size and hash checked before the last byte is handed out.

    Use it as a context manager. `read` raises Corrupt for other bytes than those listed, and CliError when the hub
    stops answering; either ends whatever was being written from it.
    """

    def __init__(self, model: HubModel, file: HubFile, client: httpx.Client) -> None:
        from huggingface_hub import get_token, hf_hub_url  # noqa: PLC0415 - see list_model

        self._file = file
        self._client = client
        self._url = hf_hub_url(model.name, file.path, revision=model.commit, endpoint=_endpoint())
        token = get_token()
        self._headers = {
            "Accept-Encoding": "identity",
            **({"Authorization": f"Bearer {token}"} if token else {}),
        }
        self._hash = hashlib.sha256()
        self._rest = bytearray()
        self._chunks = self._verified()

    def __enter__(self) -> HubStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self._chunks.close()

    def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes, fewer only at the end."""
        while size < 0 or len(self._rest) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._rest += chunk
        stop = len(self._rest) if size < 0 else size
        taken = bytes(self._rest[:stop])
        del self._rest[:stop]
        return taken

    def _verified(self) -> Generator[bytes, None, None]:
        """The last chunk comes only once everything was seen to be right."""
        held = b""
        for chunk in self._received():
            self._hash.update(chunk)
            if held:
                yield held
            held = chunk
        if self._file.sha256 not in (None, self._hash.hexdigest()):
            raise Corrupt(f"{self._file.path}: its SHA-256 is not the one that the hub lists.")
        if held:
            yield held

    def _received(self) -> Iterator[bytes]:
        got, tries = 0, 0
        while got < self._file.bytes:
            before = got
            try:
                for chunk in self._answer(got):
                    got += len(chunk)
                    if got > self._file.bytes:
                        raise Corrupt(
                            f"{self._file.path} has more than its {self._file.bytes} bytes."
                        )
                    yield chunk
            except httpx.TransportError as error:
                reason = repr(error)
            else:
                reason = "the answer ended early"
            if got < self._file.bytes:
                tries = 1 if got > before else tries + 1
                if tries >= TRIES_MAX:
                    raise CliError(f"{self._file.path}: the hub stopped at byte {got}: {reason}")
                time.sleep(backoff_seconds(tries))

    def _answer(self, start: int) -> Iterator[bytes]:
        headers = {**self._headers, **({"Range": f"bytes={start}-"} if start else {})}
        with self._client.stream(
            "GET", self._url, headers=headers, follow_redirects=True
        ) as answer:
            if answer.status_code >= 500 or answer.status_code == 429:
                raise httpx.RemoteProtocolError(f"HTTP {answer.status_code}")
            if answer.status_code != (206 if start else 200):
                raise CliError(f"The hub answers {self._file.path} with HTTP {answer.status_code}.")
            yield from answer.iter_bytes(CHUNK_BYTES)
