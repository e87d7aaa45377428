"""Words that were typed, looked at before AWS is asked: a typo is told at once, in a sentence, with no credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from botocore.loaders import Loader

from offpeak.cli.errors import UsageError
from offpeak.core.catalogue import REGION_NAME, Catalogue, CatalogueError, parse_catalogue
from offpeak.core.errors import OffpeakError
from offpeak.core.ids import KEY, birth


@contextmanager
def checked() -> Iterator[None]:
    """Around checks of what was typed: what they refuse is a wrong command line."""
    try:
        yield
    except OffpeakError as error:
        raise UsageError(error.message) from None


def check_region(text: str) -> None:
    """Raises UsageError for what is no region of AWS."""
    if text in _regions():
        return
    close = get_close_matches(text, _regions(), n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise UsageError(f"{text!r} is no region of AWS that is known here.{hint}")


def check_key_id(text: str) -> None:
    """Raises UsageError, which doesn't repeat the text: it may be the key itself."""
    if birth(text, KEY) is None:
        raise UsageError("That is no key's id (key_…); `offpeak keys list` shows them.")


def read_models(file: Path) -> Catalogue:
    """The catalogue in this file. Raises UsageError where there is none."""
    if not file.is_file():
        raise UsageError(f"{file} is not here: run this in Offpeak's checkout, or give --models.")
    try:
        return parse_catalogue(file.read_text())
    except (CatalogueError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} can't be read: {error}") from None


@cache
def _regions() -> Sequence[str]:
    """Of every partition, as the installed botocore knows them."""
    partitions = Loader().load_data("partitions")["partitions"]
    names = {name for partition in partitions for name in partition["regions"]}
    return sorted(name for name in names if re.fullmatch(REGION_NAME, name))
