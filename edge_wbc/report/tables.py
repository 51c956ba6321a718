"""A report for programs: JSON, and a table of comma-separated values."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from edge_wbc.report.content import Figures, Report, Totals
from edge_wbc.report.words import PER_100

SCHEMA = 1
"""Major version of the JSON's and the table's form."""
COLUMNS = ("part", "name", "value", "percent", "low", "high")
"""``percent``, ``low`` and ``high`` of classes alone."""
_FORMULA = frozenset("=+-@|%\t\r＝＋－＠")
"""What begins a cell that a spreadsheet may take for a formula."""


def as_json(report: Report) -> bytes:
    """Everything but the crops, whose cells are named."""
    said = asdict(report)
    for line in said["lines"]:
        for one in line["shown"]:
            del one["png"]
    whole = {"schema_version": SCHEMA, "kind": "edge-wbc report", **said}
    return (json.dumps(whole, ensure_ascii=False, indent=1) + "\n").encode()


def as_csv(report: Report) -> bytes:
    """The same, one fact a line. Text that a spreadsheet would run as a formula begins with an apostrophe."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in _rows(report):
        filled = [_cell(value) for value in row]
        writer.writerow(filled + [""] * (len(COLUMNS) - len(filled)))
    return file.getvalue().encode()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{value}" if value.lstrip()[:1] in _FORMULA else value


def _rows(report: Report) -> Iterator[tuple[object, ...]]:
    yield "report", "schema_version", SCHEMA
    for name in ("notice", "status", "printed_by", "cells", "crops_missing"):
        yield "report", name, getattr(report, name)
    for warning in report.warnings:
        yield "report", "warning", warning
    yield from _differential("verified", report.verified, {one.name: one.verified for one in report.lines})
    yield from _differential("preliminary", report.preliminary, {one.name: one.preliminary for one in report.lines})
    for line in report.lines:
        for one in line.shown:
            yield "shown", f"{line.name}.{one.cell}", one.probability
    for part in ("recorded", "frames", "network", "decided"):
        yield from _facts(part, asdict(getattr(report, part)))
    for explained in report.explained:
        yield from _facts("explained", {explained.pile: asdict(explained)})
    yield from _facts("control", {"flags": report.control})


def _differential(part: str, totals: Totals, figures: dict[str, Figures | None]) -> Iterator[tuple[object, ...]]:
    for name, one in figures.items():
        if one is not None:
            yield part, name, one.cells, one.percent, one.low, one.high
    yield part, "leukocytes", totals.leukocytes
    yield part, PER_100, totals.erythroblasts_per_100


def _facts(part: str, said: dict[str, Any], before: str = "") -> Iterator[tuple[object, ...]]:
    """Facts within facts have names with points between, those of a list numbers from 1."""
    for name, value in said.items():
        inner = dict(enumerate(value, 1)) if isinstance(value, (tuple, list)) else value
        if isinstance(inner, dict):
            yield from _facts(part, inner, f"{before}{name}.")
        else:
            yield part, f"{before}{name}", inner
