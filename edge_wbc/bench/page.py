"""Benchmark results as one HTML page that needs nothing beside itself: no script, no network, pictures inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from edge_wbc.bench.pictures import Picture, pictures
from edge_wbc.bench.results import Result
from edge_wbc.bench.tables import Table, machine, meanings, missing, settings, tables

_CSS = Path(__file__).with_name("page.css")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(results: Sequence[Result]) -> str:
    """All results, one below the other."""
    notice = escape(results[0].notice) if results else ""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8"><title>edge-wbc: benchmark</title>',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{_CSS.read_text(encoding='utf-8')}</style></head><body>",
            f'<h1>Benchmark</h1><p class="notice">{notice}</p>',
            *(_section(found) for found in results),
            "</body></html>",
            "",
        ]
    )


def _section(found: Result) -> str:
    made = tables(found)
    head = f"edge-wbc {found.version}, {found.written}"
    return "\n".join(
        [
            f"<section><h2>{escape(made[0].title if made else found.kind)}, {escape(found.machine.name)}</h2>",
            f'<p class="dim">{escape(head)}</p>',
            _doubts(found),
            *map(_table, made[:1]),
            _drawn(pictures(found)),
            *map(_table, made[1:]),
            _list("What the columns mean", meanings(made)),
            _list("Failed, or not there", missing(found)),
            _list("Settings", settings(found)),
            _table(machine(found)),
            "</section>",
        ]
    )


def _doubts(found: Result) -> str:
    said = ["One short round (--smoke): it shows that everything works, its times say nothing"] if found.smoke else []
    said += [f"Times may be off: {doubt.said}" for doubt in found.doubts]
    lines = "".join(f"<p>{escape(line)}</p>" for line in said)
    return f'<div class="doubts">{lines}</div>' if said else '<p class="dim">Nothing speaks against these times.</p>'


def _table(table: Table) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        kinds = (' class="words"' if at < table.words else "" for at in range(len(cells)))
        return (
            "<tr>"
            + "".join(f"<{tag}{kind}>{escape(it)}</{tag}>" for kind, it in zip(kinds, cells, strict=True))
            + "</tr>"
        )

    body = "".join(row(cells, "td") for cells in table.rows)
    head = row(table.columns, "th")
    whole = f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"
    return f'<h3>{escape(table.title)}</h3><div class="wide">{whole}</div>'


def _drawn(made: Sequence[Picture]) -> str:
    figures = "".join(f"<figure>{one.svg}<figcaption>{escape(one.caption)}</figcaption></figure>" for one in made)
    return f'<div class="pictures">{figures}</div>' if made else ""


def _list(title: str, said: Mapping[str, str]) -> str:
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in said.items())
    return f"<h3>{escape(title)}</h3><dl>{items}</dl>" if said else ""
