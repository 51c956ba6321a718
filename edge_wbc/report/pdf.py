"""A report as a PDF on A4, on one page where it fits."""

from __future__ import annotations

from edge_wbc.report.content import Line, Report
from edge_wbc.report.sheet import BAD, DIM, GOOD, INK, INNER, LEFT, MOVED, WIDTH, Sheet, line_height
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

SIZE, SMALL, TINY = 8.0, 6.5, 4.4
"""Of the table, of what stands below it, of what stands below crops; in points."""
_CLASS = 38.0
_COLUMNS = (12.0, 13.0, 22.0)
"""Cells, percent, interval; in mm."""
_SIDE, _STEP = 8.0, 8.7
"""Of a crop, and from one to the next."""
_MARK = 74.0
_GAP = 6.0
"""Between columns of facts."""
_NAMES = 21.0
"""Of facts."""
_LEFT_PARTS = ("Session", "Frames", "Review")
_BELOW = "Audit chain"
MISSED = "[U+…] is the code point of a character that can't be printed here; the page, the table and JSON have it."


def pdf(report: Report) -> bytes:
    """The whole document. The same report gives the same bytes.

    :raises EnvironmentMissing: fpdf2 is not installed.
    """
    signatures = report.decided.signatures
    made = signatures[-1].at_utc if report.decided.signed else report.recorded.started_utc
    session = report.recorded.session_id
    sheet = Sheet(
        f"{TITLE}, session {session}",
        made,
        lambda page: (
            f"{report.notice}  Session {session}, chain {report.decided.head[:16]}…, edge-wbc {report.printed_by}, "
            f"page {page} of {{pages}}"
        ),
    )
    _header(sheet, report)
    _table(sheet, report)
    for remark in remarks(report):
        sheet.text(LEFT, remark, INNER, SMALL, colour=DIM)
    sheet.y += 2.5
    _parts(sheet, parts(report))
    if sheet.missed:
        sheet.y += 1
        sheet.text(LEFT, MISSED, INNER, SMALL, colour=DIM)
    return sheet.made()


def _header(sheet: Sheet, report: Report) -> None:
    width, top = INNER - _MARK - 4, sheet.y
    sheet.text(LEFT, TITLE, width, 14, bold=True)
    if report.recorded.label:
        sheet.text(LEFT, heading(report), width, 10, bold=True)
    sheet.text(LEFT, f"Session {report.recorded.session_id} · {report.cells} cells", width, SIZE, colour=DIM)
    if sheet.y > top:  # still on its first page
        colour = GOOD if report.decided.signed and not report.warnings else BAD
        height = len(sheet.lines(report.status, _MARK - 4, 9, bold=True)) * line_height(9)
        if height < sheet.room:
            sheet.box(WIDTH - LEFT - _MARK, top, _MARK, height + 3, colour, 0.5)
            sheet.text(WIDTH - LEFT - _MARK + 2, report.status, _MARK - 4, 9, bold=True, colour=colour, y=top + 1.5)
            sheet.y = max(sheet.y, top + height + 3)
    for warning in report.warnings:
        sheet.y += 1
        sheet.text(LEFT, warning, INNER, SIZE, bold=True, colour=BAD)
    sheet.y += 3


def _table(sheet: Sheet, report: Report) -> None:
    _heads(sheet, report)
    for line, row in zip(report.lines, rows(report), strict=True):
        height = _SIDE + 2 * line_height(TINY) + 1.2 if line.shown else _height(sheet, row)
        if sheet.room < height:
            sheet.new_page()
            _heads(sheet, report)
        _figures(sheet, row, height)
        _crops(sheet, line)
        sheet.y += height
        sheet.rule()
    sheet.rule(width=0.4, colour=INK)
    for row in totals(report):
        height = _height(sheet, row)
        if sheet.room < height:
            sheet.new_page()
        _figures(sheet, row, height)
        sheet.y += height
        sheet.rule()
    sheet.y += 1.5


def _heads(sheet: Sheet, report: Report) -> None:
    three = sum(_COLUMNS)
    for number, title in enumerate((verified_title(report), "Preliminary (the network)")):
        x = LEFT + _CLASS + number * three
        sheet.text(x + 2, title, three - 2, SIZE, bold=True, align="C", y=sheet.y)
    sheet.y += line_height(SIZE)
    sheet.text(LEFT, "class", _CLASS, SMALL, colour=DIM, y=sheet.y)
    for number in range(2):
        x = LEFT + _CLASS + number * three
        for width, title in zip(_COLUMNS, ("cells", "%", "95 % interval"), strict=True):
            sheet.text(x, title, width, SMALL, colour=DIM, align="R", y=sheet.y)
            x += width
    sheet.text(LEFT + _CLASS + 2 * three + 2, "examples", 40, SMALL, colour=DIM, y=sheet.y)
    sheet.y += line_height(SMALL) + 0.5
    sheet.rule(width=0.4, colour=INK)


def _height(sheet: Sheet, row: Row) -> float:
    """Without crops."""
    return len(sheet.lines(row.name, _CLASS, SIZE, bold=True)) * line_height(SIZE) + 1


def _figures(sheet: Sheet, row: Row, height: float) -> None:
    name = (height - len(sheet.lines(row.name, _CLASS, SIZE, bold=True)) * line_height(SIZE)) / 2
    sheet.text(LEFT, row.name, _CLASS, SIZE, bold=True, y=sheet.y + name)
    y = sheet.y + (height - line_height(SIZE)) / 2
    x = LEFT + _CLASS
    for figures in (row.verified, row.preliminary):
        for number, (width, figure) in enumerate(zip(_COLUMNS, figures, strict=True)):
            if figure:
                sheet.text(x, figure, width, SIZE, bold=number == 1, align="R", y=y)
            x += width


def _crops(sheet: Sheet, line: Line) -> None:
    x, y = LEFT + _CLASS + 2 * sum(_COLUMNS) + 2, sheet.y + 0.6
    for one in line.shown:
        sheet.picture(one.png, x, y, _SIDE, f"cell {one.cell}, {name_of(line.name)}")
        if one.moved:
            sheet.box(x + 0.2, y + 0.2, _SIDE - 0.4, _SIDE - 0.4, MOVED, 0.4)
        for number, said in enumerate((str(one.cell), f"{one.probability:.3f}")):
            below = y + _SIDE + number * line_height(TINY)
            sheet.text(x, said, _SIDE, TINY, colour=DIM, align="C", y=below)
        x += _STEP


def _parts(sheet: Sheet, all_: tuple[Part, ...]) -> None:
    """In two columns where they fit on the page, else one below the other."""
    width = (INNER - _GAP) / 2
    below = [part for part in all_ if part.title == _BELOW]
    beside = [part for part in all_ if part.title != _BELOW]
    columns = [[part for part in beside if (part.title in _LEFT_PARTS) is left] for left in (True, False)]
    height = max(sum(_part_height(sheet, part, width) for part in column) for column in columns)
    if height <= sheet.room:
        for number, column in enumerate(columns):
            y = sheet.y
            for part in column:
                y = _part_at(sheet, part, LEFT + number * (width + _GAP), y, width)
        sheet.y += height
    else:
        for part in beside:
            _part_over_pages(sheet, part)
    for part in below:
        if _part_height(sheet, part, INNER) > sheet.room:
            _part_over_pages(sheet, part)
        else:
            sheet.rule()
            sheet.y = _part_at(sheet, part, LEFT, sheet.y + 1, INNER)


def _part_height(sheet: Sheet, part: Part, width: float) -> float:
    """:returns: mm, with the space below it."""
    lines = sum(len(sheet.lines(said, width - _NAMES, SMALL)) for _, said in part.facts)
    return line_height(SIZE) + lines * line_height(SMALL) + 2


def _part_at(sheet: Sheet, part: Part, x: float, y: float, width: float) -> float:
    """:returns: where the next one goes."""
    sheet.text(x, part.title, width, SIZE, bold=True, y=y)
    y += line_height(SIZE)
    for name, said in part.facts:
        sheet.text(x, name, _NAMES, SMALL, colour=DIM, y=y)
        y += sheet.text(x + _NAMES, said, width - _NAMES, SMALL, y=y)
    return y + 2


def _part_over_pages(sheet: Sheet, part: Part) -> None:
    if sheet.room < line_height(SIZE) + 2 * line_height(SMALL):
        sheet.new_page()
    sheet.text(LEFT, part.title, INNER, SIZE, bold=True)
    for name, said in part.facts:
        if sheet.room < line_height(SMALL):
            sheet.new_page()
        sheet.text(LEFT, name, _NAMES, SMALL, colour=DIM, y=sheet.y)
        sheet.text(LEFT + _NAMES, said, INNER - _NAMES, SMALL)
    sheet.y += 2
