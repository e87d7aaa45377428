"""Packages that lead to an unpacked copy, imported as the emulator's function processes import theirs."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

from offpeak.local.packages import package, unpack

# As the emulator: code first, then each layer before it, its site-packages as a site directory.
IMPORTS = """
import importlib, json, os, site, sys
code, layer = sys.argv[1:]
sys.path.insert(0, code)
python = os.path.join(layer, "python")
sys.path.insert(0, python)
for version in os.listdir(os.path.join(python, "lib")):
    site.addsitedir(os.path.join(python, "lib", version, "site-packages"))
sys.path.insert(0, layer)
import own, own.inner.handler, library
print(json.dumps({
    "constant": own.VERSION, "handler": own.inner.handler.__file__, "library": library.__file__,
    "beside": open(os.path.join(os.path.dirname(os.path.dirname(own.__file__)), "models.toml")).read(),
}))
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def extracted(asset: Path, folder: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(package(unpack(asset, folder / "unpacked")))) as archive:
        archive.extractall(folder / "of" / asset.name)
    return folder / "of" / asset.name


def test_modules_come_from_the_copy_and_files_from_beside_their_package(tmp_path: Path) -> None:
    code = write(
        tmp_path / "asset.code",
        {
            "own/__init__.py": "VERSION = 7\n",
            "own/inner/handler.py": "",
            "models.toml": "of this cloud",
        },
    )
    layer = write(tmp_path / "asset.layer", {"python/library.py": ""})
    places = [str(extracted(asset, tmp_path)) for asset in (code, layer)]

    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *places], capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout) == {
        "constant": 7,
        "handler": str(tmp_path / "unpacked/asset.code/own/inner/handler.py"),
        "library": str(tmp_path / "unpacked/asset.layer/python/library.py"),
        "beside": "of this cloud",
    }


def test_the_copy_stays_when_the_asset_goes(tmp_path: Path) -> None:
    asset = write(tmp_path / "asset.a", {"own/__init__.py": "1\n"})
    copy = unpack(asset, tmp_path / "unpacked")
    (asset / "own/__init__.py").unlink()

    assert (copy / "own/__init__.py").read_text() == "1\n"
    assert unpack(asset, tmp_path / "unpacked") == copy
