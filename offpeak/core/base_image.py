"""The images that our containers are built on: a `base-image.toml` beside each Dockerfile, which `offpeak images pin`
and `offpeak pools pin` write, and synthesis reads. What is deployed is built on a digest: a tag may be moved."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass

WORKER_PIN = "containers/vllm/base-image.toml"
DOOR_PIN = "containers/door/base-image.toml"
_REPOSITORY = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class BaseImageError(ValueError):
    """The pin is wrong; the message says which field, and what it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """`repository` is the registry's host and the path, without a tag. With a digest the bytes are fixed, and the tag
    only says what they were called."""

    repository: str
    tag: str
    digest: str | None = None

    @property
    def registry(self) -> str:
        return self.repository.partition("/")[0]

    @property
    def reference(self) -> str:
        """What `FROM` takes."""
        tagged = f"{self.repository}:{self.tag}"
        return tagged if self.digest is None else f"{tagged}@{self.digest}"


def parse_base_image(text: str, file: str = WORKER_PIN) -> BaseImage:
    """`file` is what an error names. Raises BaseImageError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BaseImageError(f"{file} is not TOML: {error}") from None
    if unknown := sorted(set(table) - {"repository", "tag", "digest"}):
        raise BaseImageError(f"{file}: there is no field {unknown[0]!r}.")
    repository = _field(file, table.get("repository"), "repository", _REPOSITORY)
    tag = _field(file, table.get("tag"), "tag", _TAG)
    digest = table.get("digest")
    return BaseImage(
        repository=repository,
        tag=tag,
        digest=None if digest is None else _field(file, digest, "digest", _DIGEST),
    )


def check_pinned(image: BaseImage, file: str) -> None:
    """Raises BaseImageError for a tag alone."""
    if image.digest is None:
        raise BaseImageError(
            f"{file} names a tag, {image.reference}, under which other bytes may lie tomorrow. Pin it first: "
            "`offpeak images pin`, then commit the file."
        )


def format_base_image(image: BaseImage) -> str:
    """The file's text."""
    lines = [
        "# The image under this container. `offpeak images pin` writes its digest; read at synthesis.",
        f'repository = "{image.repository}"',
        f'tag = "{image.tag}"',
    ]
    if image.digest is not None:
        lines.append(f'digest = "{image.digest}"')
    return "\n".join(lines) + "\n"


def _field(file: str, value: object, name: str, pattern: re.Pattern[str]) -> str:
    if isinstance(value, str) and pattern.fullmatch(value):
        return value
    raise BaseImageError(f"{file}: {name} is {value!r}; it must match {pattern.pattern}.")
