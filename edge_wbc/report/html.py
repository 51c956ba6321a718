"""A report as one page that needs nothing beside itself: no script, no network, crops inside. Prints on A4."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from html import escape
from pathlib import Path

from edge_wbc.report.content import Line, Report, Shown
from edge_wbc.report.words import (
    TITLE,
    Part,
    Row,
    heading,
    name_of,
    parts,
    remarks,
    rows,
    totals,
    verified_title,
)

_HEX = frozenset("0123456789abcdef")


@cache
def _css() -> str:
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")


@cache
def policy() -> str:
    """What the page may load, as a content-security policy: its own style, pictures inside it, nothing else."""
    digest = base64.b64encode(hashlib.sha256(_css().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def page(report: Report, links: Mapping[str, str] | None = None) -> str:
    """The whole page.

    :param links: text and address, shown above it on a screen and not printed.
    """
    title = f"{heading(report)} – {TITLE}"
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
            f'<meta http-equiv="Content-Security-Policy" content="{policy()}">',
            '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{_css()}</style></head><body>",
            "<main>",
            _links(links or {}),
            _header(report),
            *(f'<p class="warning">{_text(warning)}</p>' for warning in report.warnings),
            _table(report),
            f'<div class="remarks">{"".join(f"<p>{_text(line)}</p>" for line in remarks(report))}</div>',
            f'<div class="parts">{"".join(_part(part) for part in parts(report))}</div>',
            "</main>",
            f"<footer><p><strong>{escape(report.notice)}</strong> Session {_text(report.recorded.session_id)}, "
            f"chain {report.decided.head[:16]}…, edge-wbc {escape(report.printed_by)}</p></footer>",
            "</body></html>",
            "",
        ]
    )


def _text(text: str) -> str:
    """A user's text may run from right to left, and must not turn what stands beside it."""
    return escape(text) if text.isascii() else f'<bdi dir="auto">{escape(text)}</bdi>'


def _links(links: Mapping[str, str]) -> str:
    if not links:
        return ""
    items = "".join(f'<a href="{escape(address)}">{escape(text)}</a>' for text, address in links.items())
    return f'<nav aria-label="Report">{items}</nav>'


def _header(report: Report) -> str:
    recorded = report.recorded
    label = f'<p class="label"><bdi dir="auto">{escape(heading(report))}</bdi></p>' if recorded.label else ""
    mark = "mark" if report.decided.signed and not report.warnings else "mark open"
    return (
        f"<header><div><h1>{TITLE}</h1>{label}"
        f'<p class="id">Session {_text(recorded.session_id)} · {report.cells} cells</p></div>'
        f'<p class="{mark}">{_text(report.status)}</p></header>'
    )


def _table(report: Report) -> str:
    lines = "".join(_line(line, row) for line, row in zip(report.lines, rows(report), strict=True))
    below = "".join(f"<tr>{_row(row)}<td class='shown'></td></tr>" for row in totals(report))
    columns = '<th scope="col" class="first">cells</th><th scope="col">%</th><th scope="col">95 % interval</th>'
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Differential"><table class="differential"><thead>'
        f'<tr><td></td><th scope="colgroup" colspan="3" class="first">{verified_title(report)}</th>'
        '<th scope="colgroup" colspan="3" class="first">Preliminary (the network)</th><td></td></tr>'
        f'<tr><th scope="col">class</th>{columns}{columns}<th scope="col" class="shown">examples</th></tr></thead>'
        f"<tbody>{lines}</tbody><tfoot>{below}</tfoot></table></div>"
    )


def _line(line: Line, row: Row) -> str:
    crops = "".join(_crop(one, line.name) for one in line.shown)
    shown = f'<ul class="crops">{crops}</ul>' if crops else ""
    return f'<tr>{_row(row)}<td class="shown">{shown}</td></tr>'


def _row(row: Row) -> str:
    return f'<th scope="row">{_text(row.name)}</th>{_figures(row.verified)}{_figures(row.preliminary)}'


def _figures(figures: tuple[str, str, str]) -> str:
    cells, percent, interval = map(escape, figures)
    return f'<td class="first">{cells}</td><td class="percent">{percent}</td><td>{interval}</td>'


def _crop(one: Shown, label: str) -> str:
    data = base64.b64encode(one.png).decode()
    moved = " class='moved'" if one.moved else ""
    said = f"cell {one.cell}, {name_of(label)}{', moved by a person' if one.moved else ''}"
    image = f'<img{moved} src="data:image/png;base64,{data}" alt="{escape(said)}">'
    return f"<li>{image}{one.cell}<br>{one.probability:.3f}</li>"


def _part(part: Part) -> str:
    facts = "".join(_fact(name, said) for name, said in part.facts)
    kind = ' class="chain"' if part.title == "Audit chain" else ""
    return f"<section{kind}><h2>{escape(part.title)}</h2><dl>{facts}</dl></section>"


def _fact(name: str, said: str) -> str:
    hashed = len(said) == 64 and _HEX.issuperset(said)
    text = f"<code>{escape(said)}</code>" if hashed or name == "to check" else f'<bdi dir="auto">{escape(said)}</bdi>'
    return f"<dt>{escape(name)}</dt><dd>{text}</dd>"
