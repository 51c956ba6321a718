"""The forms of a report, by the ending of a file's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from edge_wbc.control.flags import flags_for
from edge_wbc.errors import UsageError
from edge_wbc.files import write_whole
from edge_wbc.report.content import Agreed, Report
from edge_wbc.report.gather import content
from edge_wbc.report.html import page
from edge_wbc.report.pdf import pdf
from edge_wbc.report.tables import as_csv, as_json
from edge_wbc.report.text import plain
from edge_wbc.review.agreement import Agreement, agreement
from edge_wbc.review.review import Review

FORMS: Mapping[str, Callable[[Report], bytes]] = MappingProxyType(
    {".html": lambda report: page(report).encode(), ".pdf": pdf, ".csv": as_csv, ".json": as_json}
)


def report_of(review: Review) -> Report:
    """With what quality control and blind readers have to say.

    :raises SessionError: the session can't be read.
    """
    agreed = [_agreed(agreement(review, reader)) for reader in review.readers]
    return content(review, control=flags_for(review.recorded.head), agreement=agreed)


def _agreed(found: Agreement) -> Agreed:
    it = found.overall
    middle, low, high = (None if value is None else round(value, 2) for value in (it.kappa, it.low, it.high))
    return Agreed(plain(found.reader), it.cells, it.agreed, middle, low, high)


def form_of(path: Path) -> Callable[[Report], bytes]:
    """:raises UsageError: the name ends otherwise."""
    form = FORMS.get(path.suffix.lower())
    if form is None:
        raise UsageError(f"{path}: no form of a report; write a name that ends in {', '.join(FORMS)}")
    return form


def write(report: Report, path: Path) -> None:
    """Write a report in the form that the name asks for.

    :raises UsageError: it asks for none.
    :raises EnvironmentMissing: a PDF is wanted and fpdf2 is not installed.
    :raises OutputFailed: it can't be written.
    """
    write_whole(path, form_of(path)(report), "name a file that can be written")
