"""`python -m tests.simulation.renew`: seeded bugs whose lines have moved or changed are put onto the sources anew.

A patch is found again by its own lines: what it takes out must lie in the file once, its context may have changed. What
can't be found so is shown, with what to do: break the rule in the sources by hand, then
`python -m tests.simulation.renew NAME`, which writes NAME's patch from `git diff` and undoes the change.
A patch that is new is made in the same way: `python -m tests.simulation.renew NAME "Invariant 3: the rule it breaks."`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff

from tests.simulation.mutants import PATCHES, ROOT, applies

SOURCES = "offpeak"
CONTEXT_LINES = 2


@dataclass(frozen=True, slots=True)
class Hunk:
    """Of the file at `path`: lines with their tags, " ", "-" or "+"."""

    path: str
    lines: Sequence[str]

    def before(self, first: int, last: int) -> list[str]:
        return [line[1:] for line in self.lines[first:last] if line[0] != "+"]

    def after(self, first: int, last: int) -> list[str]:
        return [line[1:] for line in self.lines[first:last] if line[0] != "-"]

    def cuts(self) -> Iterator[tuple[int, int]]:
        """The hunk with ever less of its context, the most first, and never without a line to find it by."""
        changed = [at for at, line in enumerate(self.lines) if line[0] != " "]
        spans = [
            (first, last)
            for first in range(changed[0] + 1)
            for last in range(changed[-1] + 1, len(self.lines) + 1)
        ]
        yield from sorted(spans, key=lambda span: span[0] - span[1])


def main() -> int:
    match sys.argv[1:]:
        case []:
            stale = [p.stem for p in sorted(PATCHES.glob("*.patch")) if not applies(p.stem)]
            renewed = [_renewed(name) for name in stale]
            return int(not all(renewed))
        case [name]:
            return _record(name, _rule(name))
        case [name, rule]:
            return _record(name, rule)
        case _:
            print(__doc__)
            return 2


def _renewed(name: str) -> bool:
    """Whether the patch could be put onto the sources as they are."""
    path = PATCHES / f"{name}.patch"
    hunks = parse(path.read_text())
    try:
        files = _broken(hunks)
    except LookupError as error:
        shown = "\n".join(f"    {line}" for hunk in hunks for line in hunk.lines)
        print(
            f"{name}: {error}\n  {_rule(name)}\n{shown}\n"
            f"  Break that rule in {hunks[0].path} as it is now, then: python -m tests.simulation.renew {name}"
        )
        return False
    path.write_text(
        f"{_rule(name)}\n\n" + "".join(_diff(file, text) for file, text in files.items())
    )
    print(f"{name}: put anew onto {', '.join(files)}. See that it is still caught: "
          f"python -m tests.simulation --mutant {name}")  # fmt: skip
    return True


def parse(patch: str) -> list[Hunk]:
    hunks: list[Hunk] = []
    path, lines = "", list[str]()
    for line in patch.splitlines():
        if line.startswith("+++ b/"):
            path = line.removeprefix("+++ b/")
        elif line.startswith("@@"):
            lines = []
            hunks.append(Hunk(path, lines))
        elif hunks and line[:1] in (" ", "-", "+") and not line.startswith("--- "):
            lines.append(line)
        elif hunks and not line:
            lines.append(" ")
    return hunks


def _broken(hunks: Sequence[Hunk]) -> dict[str, str]:
    """The files with the bug in them, by path. Raises LookupError where its place can't be told."""
    files: dict[str, str] = {}
    for hunk in hunks:
        text = files.get(hunk.path) or (ROOT / hunk.path).read_text()
        files[hunk.path] = put(hunk, text)
        ast.parse(files[hunk.path])
    return files


def put(hunk: Hunk, text: str) -> str:
    """The text with the hunk's change, at the one place that fits the most of it. Raises LookupError."""
    lines = text.split("\n")
    for first, last in hunk.cuts():
        before = hunk.before(first, last)
        if not any(line.strip() for line in before):
            continue
        places = [at for at in range(len(lines)) if lines[at : at + len(before)] == before]
        if len(places) == 1:
            at = places[0]
            return "\n".join([*lines[:at], *hunk.after(first, last), *lines[at + len(before) :]])
    raise LookupError(f"what it takes out of {hunk.path} isn't there once")


def _diff(path: str, broken: str) -> str:
    before = (ROOT / path).read_text().splitlines(keepends=True)
    after = broken.splitlines(keepends=True)
    return "".join(unified_diff(before, after, f"a/{path}", f"b/{path}", n=CONTEXT_LINES))


def _rule(name: str) -> str:
    return (PATCHES / f"{name}.patch").read_text().splitlines()[0]


def _record(name: str, rule: str) -> int:
    """The sources' uncommitted change as this patch; then the change is undone."""
    diff = _git("diff", f"-U{CONTEXT_LINES}", "--", SOURCES)
    if not diff:
        print(f"Nothing in {SOURCES} differs from the last commit: break the rule there first.")
        return 1
    kept = [
        line for line in diff.splitlines(keepends=True) if not line.startswith(("diff ", "index "))
    ]
    (PATCHES / f"{name}.patch").write_text(f"{rule}\n\n" + "".join(kept))
    _git("checkout", "--", *{hunk.path for hunk in parse(diff)})
    print(f"{name}: written, and {SOURCES} is as it was. See that it is caught: "
          f"python -m tests.simulation --mutant {name}")  # fmt: skip
    return 0


def _git(*arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return ran.stdout


if __name__ == "__main__":
    sys.exit(main())
