"""A benchmark's results as Markdown, for a README or an issue."""

from __future__ import annotations

from collections.abc import Sequence

from edge_wbc.bench.results import Result
from edge_wbc.bench.tables import Table, machine, meanings, missing, settings, tables


def markdown(results: Sequence[Result]) -> str:
    """All of them, each with its doubts, its tables, what their columns mean, and its machine."""
    return "\n".join(line for result in results for line in _one(result))


def _one(found: Result) -> list[str]:
    lines = [f"## {_plain(found.kind)}: {_plain(found.machine.name)}, {found.written}", ""]
    lines += [f"edge-wbc {_plain(found.version)}. {_plain(found.notice)}", ""]
    if found.smoke:
        lines += ["**One short round (`--smoke`): it shows that everything works, its times say nothing.**", ""]
    lines += [line for doubt in found.doubts for line in (f"**Times may be off: {_plain(doubt.said)}.**", "")]
    made = tables(found)
    for table in (*made, machine(found)):
        lines += [*_table(table), ""]
    lines += ["Settings: " + "; ".join(f"{_plain(name)} {_plain(it)}" for name, it in settings(found).items()), ""]
    lines += [f"- *{name}*: {said}." for name, said in meanings(made).items()]
    lines += ["", *(f"- {_plain(name)}: {_plain(why)}" for name, why in missing(found).items()), ""]
    return lines


def _table(table: Table) -> list[str]:
    sides = [":--" if column < table.words else "--:" for column in range(len(table.columns))]
    rows = [table.columns, *table.rows]
    lines = ["| " + " | ".join(map(_plain, row)) + " |" for row in rows]
    return [f"**{_plain(table.title)}**", "", lines[0], "|" + "|".join(sides) + "|", *lines[1:]]


def _plain(text: str) -> str:
    """Text of a file, in one line, that neither ends a cell nor is taken for markup."""
    text = " ".join(text.split())
    for sign in "\\|<>*_`[]":
        text = text.replace(sign, f"\\{sign}")
    return text
