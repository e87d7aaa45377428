"""What the emulator gets in place of functions' packages: small ones that lead to a copy which is there already.

The emulator unpacks a function's code and layers anew for each process that it starts, all in one thread: for ours that
are 50 MB and a second each time, and a crowd of cold starts stops everything else. On Lambda a package is fetched once
a host. So each asset is unpacked once a cloud, and its package holds nothing but the way there:

    a layer   python/lib/python3/site-packages/unpacked.pth     puts the copy's `python/` first on the path
    code      a package of each top-level package's name        whose modules are those of the copy; files as they are
"""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from pathlib import Path

_EPOCH_OF_ZIP = (1980, 1, 1, 0, 0, 0)
_SITE = "python/lib/python3/site-packages/unpacked.pth"


def unpack(asset: Path, folder: Path) -> Path:
    """The asset's copy in `folder`, of hard links where the file system has them."""
    place = folder / asset.name
    if not place.exists():
        shutil.copytree(asset, place, copy_function=_link)
    return place


def package(unpacked: Path) -> bytes:
    """A zip archive, of the same bytes for the same path and contents, to deploy in place of what lies there."""
    if (unpacked / "python").is_dir():
        contents = {_SITE: f"import sys; sys.path.insert(0, {str(unpacked / 'python')!r})\n"}
    else:
        contents = {name: text for path in unpacked.iterdir() for name, text in _lead(path)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, text in sorted(contents.items()):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH_OF_ZIP), text)
    return buffer.getvalue()


def _lead(path: Path) -> list[tuple[str, str]]:
    if path.is_file():
        return [(path.name, path.read_text())]
    own = path / "__init__.py"
    text = own.read_text() if own.exists() else ""
    return [(f"{path.name}/__init__.py", f"{text}\n__path__ = [{str(path)!r}]\n")]


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
    return target
