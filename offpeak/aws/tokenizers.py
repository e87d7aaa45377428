"""Tokenizers that were staged in the bucket, in Hugging Face's library. Only the `api` function has the layer with it,
and nothing loads it before a first count: it would make every cold start longer."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING

from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.layout import tokenizer_key
from offpeak.core.ports import TOKENIZER_BYTES_MAX, ObjectInfo, Reader

if TYPE_CHECKING:
    from tokenizers import Tokenizer

KEPT_MAX = 2
"""Tokenizers in memory: a large one takes some hundred megabytes."""

_log = logging.getLogger(__name__)


class StagedTokenizers:
    """Each count asks whether the object is still the one that is in memory."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lock = Lock()
        self._kept: OrderedDict[str, tuple[str, Tokenizer | None]] = OrderedDict()

    def count(
        self, pool: str, texts: Sequence[str], *, are_prompts: bool = False
    ) -> list[int] | None:
        tokenizer = self._tokenizer(pool)
        if tokenizer is None:
            return None
        encoded = tokenizer.encode_batch_fast(list(texts), add_special_tokens=are_prompts)
        return [len(each.ids) for each in encoded]

    def _tokenizer(self, pool: str) -> Tokenizer | None:
        try:
            found = self._reader.head(tokenizer_key(pool))
            with self._lock:
                etag, kept = self._kept.get(found.key, ("", None))
                if etag != found.etag:
                    kept = self._load(found)
                self._kept[found.key] = (found.etag, kept)
                self._kept.move_to_end(found.key)
                while len(self._kept) > KEPT_MAX:
                    self._kept.popitem(last=False)
                return kept
        except (NotFound, StateConflict):  # none, or replaced just now
            return None

    def _load(self, found: ObjectInfo) -> Tokenizer | None:
        """None, and a line in the log, for what is no tokenizer: an estimate does without."""
        if found.bytes > TOKENIZER_BYTES_MAX:
            _log.warning("%s is over %d bytes: not used", found.key, TOKENIZER_BYTES_MAX)
            return None
        from tokenizers import Tokenizer  # noqa: PLC0415 - see the module's docstring

        try:
            tokenizer = Tokenizer.from_buffer(self._reader.read(found.key, etag=found.etag))
            tokenizer.no_truncation()
            tokenizer.no_padding()
        except ValueError as error:
            _log.warning("%s is no tokenizer: %s", found.key, error)
            return None
        return tokenizer
