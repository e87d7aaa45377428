"""The door's image has what the door imports, in the versions that the tests run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib

from tests.containers.container import ROOT
from tests.containers.test_image import pins

FOLDER = "containers/door"
# What they are called where they are imported, if otherwise.
IMPORTED_AS = {"python-multipart": "python_multipart", "typing-extensions": "typing_extensions"}
LOADED = """
import json, sys
import containers.door.main
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_the_image_s_libraries_are_the_project_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [pin for each in project["optional-dependencies"].values() for pin in each]
    wanted = dict(pin.split("==") for pin in [*project["dependencies"], *extras] if "==" in pin)
    given = pins(f"{FOLDER}/requirements.in")
    assert given == {name: wanted[name] for name in given}


def test_what_is_locked_is_what_is_asked_for() -> None:
    asked, locked = pins(f"{FOLDER}/requirements.in"), pins(f"{FOLDER}/requirements.txt")
    assert asked.items() <= locked.items()
    text = (ROOT / FOLDER / "requirements.txt").read_text()
    assert len(re.findall(r"^\S+==", text, re.M)) == len(locked)
    assert "--hash=sha256:" in text


def test_the_door_imports_nothing_that_its_image_lacks() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tops = set(json.loads(loaded.stdout))
    locked = {IMPORTED_AS.get(n, n.replace("-", "_")) for n in pins(f"{FOLDER}/requirements.txt")}
    asked = {IMPORTED_AS.get(n, n) for n in pins(f"{FOLDER}/requirements.in")}
    assert asked - {"typing_extensions"} <= tops
    for absent in ("aws_lambda_powertools", "openai", "aws_cdk", "typer", "lambdas"):
        assert absent not in tops
        assert absent not in locked
