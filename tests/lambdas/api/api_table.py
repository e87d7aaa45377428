"""The table of routes in `docs/api.md`, made from the routes. `make api-table` writes it."""

from __future__ import annotations

from pathlib import Path

from lambdas.api.app import routes_of
from lambdas.api.call import Route
from tests.lambdas.api.client import World

PAGE = Path(__file__).parents[3] / "docs/api.md"
BEGIN = "<!-- routes: `make api-table` writes what is between these two lines -->"
END = "<!-- end of routes -->"


def routes_table() -> str:
    """A row for each route, in the order of their paths."""
    routes = sorted(routes_of(World()), key=lambda route: (route.rule, route.method))
    rows = [
        f"| {_method(each)} | {_accents(each)} | {each.scope or 'no key'} | {each.summary} |"
        for each in routes
    ]
    return "\n".join(["| route | accent | scope | what it does |", "|---|---|---|---|", *rows])


def _method(route: Route) -> str:
    return f"`{route.method} {route.rule.replace('<', '{').replace('>', '}')}`"


def _accents(route: Route) -> str:
    return ", ".join(route.accents)


def written_table() -> str:
    """The table as `docs/api.md` has it."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def write_table() -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{routes_table()}\n\n{END}{after}")


if __name__ == "__main__":
    write_table()
