"""What a report says in words: the same on the page and in the PDF."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from edge_wbc.report.content import Agreed, Explained, Figures, Report
from edge_wbc.report.pictures import HOW
from edge_wbc.report.text import day
from edge_wbc.sessions.archive import ENDS

TITLE = "White-blood-cell differential"
NOTHING = "–"
PER_100 = "erythroblasts per 100"
"""Leukocytes."""
MOST_REASONS = 6
"""Reasons for refused frames that are written out; the table and JSON have all."""
MOST_HEADING = 160
MOST_CHARACTERS = 2000
"""Of one text; a page is full with some 8,000."""
INTERVALS = (
    "Intervals: exact 95 % (Clopper–Pearson) of the share of leukocytes; sampling error only. "
    "Errors of the network, or of the person, are not in them."
)


class Part(NamedTuple):
    """Facts under a heading."""

    title: str
    facts: tuple[tuple[str, str], ...]
    """Name, and what is said of it. A hash stands alone."""


class Row(NamedTuple):
    """A line of the differential's table as text."""

    name: str
    verified: tuple[str, str, str]
    """Cells, percent, interval."""
    preliminary: tuple[str, str, str]


def heading(report: Report) -> str:
    """Its label, of a long one the beginning, or its id."""
    label = report.recorded.label or report.recorded.session_id
    return label if len(label) <= MOST_HEADING else f"{label[:MOST_HEADING]}…"


def verified_title(report: Report) -> str:
    return "Verified" if report.decided.signed else "As reviewed, not signed"


def rows(report: Report) -> tuple[Row, ...]:
    """Of each line of the report, in its order."""
    return tuple(Row(name_of(one.name), _figures(one.verified), _figures(one.preliminary)) for one in report.lines)


def totals(report: Report) -> tuple[Row, ...]:
    """Below the classes."""
    verified, preliminary = report.verified, report.preliminary
    return (
        Row("leukocytes", (str(verified.leukocytes), "", ""), (str(preliminary.leukocytes), "", "")),
        Row(
            PER_100,
            ("", _one_decimal(verified.erythroblasts_per_100), ""),
            ("", _one_decimal(preliminary.erythroblasts_per_100), ""),
        ),
    )


def name_of(label: str) -> str:
    return label.replace("_", " ")


def remarks(report: Report) -> tuple[str, ...]:
    """Below the table."""
    said = [INTERVALS]
    if any(one.preliminary is None for one in report.lines):
        said.append(f"{NOTHING}: a class that the network does not know, or a share of no cells.")
    said.append(report.crops_missing or HOW)
    return tuple(said)


def parts(report: Report) -> tuple[Part, ...]:
    """Everything beside the figures."""
    said = {
        "Session": _session(report),
        "Frames": _frames(report),
        "Review": _review(report),
        "Network": _network(report),
        "Quality control": _control(report),
        "Audit chain": _chain(report),
    }
    return tuple(Part(title, tuple((name, _cut(text)) for name, text in facts)) for title, facts in said.items())


def _cut(text: str) -> str:
    more = len(text) - MOST_CHARACTERS
    return text if more <= 0 else f"{text[:MOST_CHARACTERS]}… ({more} more characters; the table and JSON have them)"


def _session(report: Report) -> tuple[tuple[str, str], ...]:
    it = report.recorded
    ended = f"{day(it.started_utc)} to {day(it.ended_utc)}: {ENDS.get(it.ended, it.ended)}"
    return (
        ("id", it.session_id),
        ("label", it.label or NOTHING),
        *(("note", note) for note in it.notes),
        ("source", f"{it.source} in {it.mode} mode"),
        ("recorded", ended),
        ("edge-wbc", f"recorded by {it.version}, printed by {report.printed_by}"),
    )


def _frames(report: Report) -> tuple[tuple[str, str], ...]:
    it = report.frames
    dropped = "dropped: not known" if it.dropped is None else f"{it.dropped} dropped"
    if it.rejected is None:
        rejected = "not known, as the session has no end"
    else:
        rejected = _counted(it.rejected) or "none"
    reasons = list(it.reasons.items())
    said = [("refused", f"{count} × {reason}") for reason, count in reasons[:MOST_REASONS]]
    if more := reasons[MOST_REASONS:]:
        frames = sum(count for _, count in more)
        said.append(("refused", f"{frames} × {len(more)} more reasons; the table and JSON have them"))
    return (
        ("in", f"{it.judged + it.refused}, of which {it.refused} refused; {dropped}"),
        ("rejected", rejected),
        *said,
    )


def _network(report: Report) -> tuple[tuple[str, str], ...]:
    it = report.network
    errors = ", ".join(f"{name} {value:.1f} %" for name, value in it.calibration_error.items())
    return (
        ("model", it.model),
        ("engine", it.engine),
        ("graph", it.graph_sha256),
        ("manifest", it.manifest_sha256),
        ("calibration", f"temperature {it.temperature:g}; below {it.unidentified_below:g} a cell is unidentified"),
        ("threshold", it.threshold_from),
        ("calibration error", f"{errors}; {it.measured_on}" if errors else "not known: its manifest is not at hand"),
    )


def _review(report: Report) -> tuple[tuple[str, str], ...]:
    it = report.decided
    signed = [
        ("signed", f"version {one.version} by {one.who} on {day(one.at_utc)}, {one.cells} cells")
        for one in it.signatures
    ]
    amended = [
        ("amended", f"version {one.version} opened by {one.who} on {day(one.at_utc)}: {one.why}")
        for one in it.amendments
    ]
    moved = ", ".join(f"{one.cells} {name_of(one.before)} → {name_of(one.after)}" for one in it.moved)
    total = sum(one.cells for one in it.moved)
    explained = [(one.pile, _why(one)) for one in report.explained]
    return (
        *(signed or [("signed", "by nobody")]),
        *amended,
        ("moved", f"{total} of {report.cells} cells: {moved}" if moved else f"none of {report.cells} cells"),
        *explained,
        ("read blind", f"by {', '.join(it.readers)}" if it.readers else "by nobody"),
        *(("agreement", _agreed(one)) for one in it.agreement),
    )


def _why(one: Explained) -> str:
    cells = f"{one.cells} cell{'s' * (one.cells != 1)}"
    if not one.why:
        return f"{cells}; nobody has said yet why"
    return f"{cells}: {one.why} ({one.who}, {day(one.at_utc)})"


def _agreed(one: Agreed) -> str:
    said = f"{one.reader} and the review give {one.agreed} of {one.cells} cells the same class"
    if one.kappa is None:
        return said
    return f"{said}; Cohen's κ {one.kappa:.2f}, 95 % interval {one.low:.2f} to {one.high:.2f}"


def _control(report: Report) -> tuple[tuple[str, str], ...]:
    if report.control is None:
        return (("flags", "not looked for"),)
    return tuple(("flag", line) for line in report.control) or (("flags", "none"),)


def _chain(report: Report) -> tuple[tuple[str, str], ...]:
    it = report.decided
    last = it.signatures[-1] if it.signed else None
    digests = {} if last is None else last.digests
    return (
        ("rows", str(it.rows)),
        *((f"signed {name.removesuffix('_sha256')}", digest) for name, digest in digests.items()),
        ("head", it.head),
        ("to check", f"edge-wbc sessions verify {report.recorded.session_id} --head {it.head}"),
    )


def _figures(figures: Figures | None) -> tuple[str, str, str]:
    if figures is None:
        return NOTHING, "", ""
    if figures.percent is None:
        return str(figures.cells), "", ""
    return str(figures.cells), _one_decimal(figures.percent), f"{figures.low:.1f}–{figures.high:.1f}"


def _one_decimal(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in _most(counts.items()))


def _most(counts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(counts, key=lambda one: (-one[1], one[0]))
