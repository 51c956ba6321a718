"""The page, the PDF, the table and JSON of a report."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pypdf
import pytest

from edge_wbc import RESEARCH_USE
from edge_wbc.differential import exact_interval
from edge_wbc.report.content import Report
from edge_wbc.report.forms import FORMS
from edge_wbc.report.gather import content
from edge_wbc.report.html import page
from edge_wbc.report.pdf import pdf
from edge_wbc.report.tables import as_csv, as_json
from edge_wbc.report.text import plain
from edge_wbc.review import decide
from edge_wbc.review.review import Review
from tests.edge_wbc.report.read_back import Figures, Page, of_csv, of_html, of_json, of_pdf

HOSTILE = '<script>alert("1")</script><img src=x onerror=alert(1)>'
TONGUES = "Αίμα Łódź кровь 血液 🩸 قلب שלום"


def text_of(data: bytes) -> str:
    """Of a PDF, words as they come."""
    return "\n".join(one.extract_text() for one in pypdf.PdfReader(io.BytesIO(data)).pages)


def with_text(report: Report, text: str) -> Report:
    """The same report with that text wherever a person may have written some."""
    text = plain(text)
    decided = report.decided
    return replace(
        report,
        recorded=replace(report.recorded, label=text, notes=(text,), source=text),
        explained=tuple(replace(one, why=text, who=text) for one in report.explained),
        decided=replace(
            decided,
            signatures=tuple(replace(one, who=text) for one in decided.signatures),
            amendments=tuple(replace(one, why=text, who=text) for one in decided.amendments),
            readers=(text,),
        ),
        control=(text,),
    )


def test_every_form_has_the_same_figures(report: Report) -> None:
    read = [of_html(page(report)), of_pdf(pdf(report)), of_csv(as_csv(report)), of_json(as_json(report))]
    assert read[0] == read[1] == read[2] == read[3]
    found = read[0]
    low, high = exact_interval(8, 13)
    assert found.verified["neutrophil"] == Figures(8, 61.5, round(100 * low, 1), round(100 * high, 1))
    assert found.preliminary["neutrophil"] == Figures(9, 64.3, 35.1, 87.2)
    assert found.verified["not classed"] == Figures(1)
    assert found.leukocytes == (13, 14)
    assert found.per_100 == (15.4, 14.3)


def test_figures_of_a_model_of_four_classes(record: Callable[..., Path]) -> None:
    report = content(Review(record("neutrophil", "monocyte", "unidentified", model="leukonet-4")))
    read = [of_html(page(report)), of_pdf(pdf(report)), of_csv(as_csv(report)), of_json(as_json(report))]
    assert read[0] == read[1] == read[2] == read[3]
    assert read[0].preliminary["basophil"] is None
    assert read[0].verified["basophil"] == Figures(0, 0.0, 0.0, 84.2)
    assert read[0].per_100 == (0.0, None)


@pytest.mark.parametrize("labels", [(), ("unidentified",), ("platelet", "not_a_cell")])
def test_without_leukocytes_there_are_no_percentages(record: Callable[..., Path], labels: tuple[str, ...]) -> None:
    report = content(Review(record(*labels)))
    read = [of_html(page(report)), of_pdf(pdf(report)), of_csv(as_csv(report)), of_json(as_json(report))]
    assert read[0] == read[1] == read[2] == read[3]
    assert read[0].verified["neutrophil"] == Figures(0)
    assert read[0].per_100 == (None, None)


def test_same_review_same_bytes(signed: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    first = {name: form(content(signed)) for name, form in FORMS.items()}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")  # what fontTools takes for now
    again = content(Review(signed.folder))
    assert {name: form(again) for name, form in FORMS.items()} == first
    made = pypdf.PdfReader(io.BytesIO(first[".pdf"])).metadata.creation_date
    assert made.isoformat()[:19] == signed.signatures[-1].row.at_utc[:19]


def test_the_page_has_no_script_and_takes_nothing_from_elsewhere(report: Report) -> None:
    made = page(with_text(report, HOSTILE))
    read = Page(made)
    assert {tag for tag, _ in read.tags}.isdisjoint({"script", "link", "iframe", "object", "form", "base"})
    assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on") or name == "style"]
    sources = [attributes["src"] for tag, attributes in read.tags if tag == "img"]
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert read.text.count(HOSTILE) >= 8  # label twice, note, source, three names, a reason … as text
    style = re.search(r"<style>(.*)</style>", made, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:" in made


def test_a_spreadsheet_runs_no_text(report: Report) -> None:
    for evil in ("=cmd|'/C calc'!A0", "+1", "-1+1", "@SUM(A1)", " =1", "＝1+1", "\t=1", "|x", "%x"):
        rows = list(csv.reader(io.StringIO(as_csv(with_text(report, evil)).decode())))
        values = [value for row in rows for value in row]
        assert not [value for value in values if value.lstrip()[:1] in "=+-@|%＝" and value.strip()]
        assert sum(value.endswith(evil.strip()) for value in values) >= 7


def test_text_of_every_tongue(report: Report) -> None:
    made = with_text(report, TONGUES)
    assert TONGUES in Page(page(made)).text
    assert json.loads(as_json(made))["recorded"]["label"] == TONGUES
    assert f"recorded,label,{TONGUES}" in as_csv(made).decode()
    printed = text_of(pdf(made))
    assert "Αίμα Łódź кровь [U+8840][U+6DB2] [U+1FA78]" in printed
    assert "is the code point of a character" in printed
    assert "שלום" in printed
    assert "is the code point of a character" not in text_of(pdf(report))


def test_what_would_turn_or_hide_text_is_shown(report: Report) -> None:
    made = with_text(report, "a\u202eb\x00c\udce9d\ne")
    for read in (Page(page(made)).text, text_of(pdf(made)), as_csv(made).decode(), as_json(made).decode()):
        assert "a[U+202E]b[U+0000]c[U+DCE9]d e" in read


@pytest.mark.parametrize("text", ["word " * 900, "W" * 4500])
def test_long_text_is_cut_and_says_so(report: Report, text: str) -> None:
    made = with_text(report, text)
    for read in (Page(page(made)).text, text_of(pdf(made)).replace("\n", " ")):
        assert "2500 more characters" in read
    assert json.loads(as_json(made))["recorded"]["notes"] == [text]


def test_every_page_says_what_it_is_for(report: Report) -> None:
    read = pypdf.PdfReader(io.BytesIO(pdf(with_text(report, "word " * 900)))).pages
    assert len(read) > 2
    for number, one in enumerate(read, 1):
        assert RESEARCH_USE in one.extract_text()
        assert f"page {number} of {len(read)}" in one.extract_text()
    made = page(report)
    assert made.count(RESEARCH_USE) == 1
    assert "table-footer-group" in made  # browsers print it on every page


def test_one_page_where_it_fits(report: Report) -> None:
    (one,) = pypdf.PdfReader(io.BytesIO(pdf(report))).pages
    assert (one.mediabox.width, one.mediabox.height) == pytest.approx((595.28, 841.89), abs=0.1)


def test_the_crops_are_the_recorded_ones(signed: Review, report: Report) -> None:
    import cv2
    import numpy as np

    from edge_wbc.sessions.archive import crops

    recorded = dict(crops(signed.recorded.head))
    shown = {one.cell: one.png for line in report.lines for one in line.shown}
    assert shown
    for number, png in shown.items():
        decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(decoded, recorded[number])
    images = [one for sheet in pypdf.PdfReader(io.BytesIO(pdf(report))).pages for one in sheet.images]
    assert len(images) == len(shown)


def test_the_head_and_how_to_check_it_stand_in_every_form(signed: Review, report: Report) -> None:
    command = f"edge-wbc sessions verify {signed.folder.name} --head {signed.head}"
    assert command in Page(page(report)).text
    assert command in text_of(pdf(report))
    assert f"decided,head,{signed.head}" in as_csv(report).decode()
    assert json.loads(as_json(report))["decided"]["head"] == signed.head


def test_not_signed_is_marked_in_every_form(review: Review) -> None:
    decide.move(review, "Anna", {1: "neutrophil"}, "monocyte")
    report = content(review)
    mark = "PRELIMINARY – not signed"
    for read in (Page(page(report)).text, text_of(pdf(report))):
        assert mark in read
        assert "As reviewed, not signed" in read
        assert "Verified" not in read
    assert f"report,status,{mark}" in as_csv(report).decode()
    assert json.loads(as_json(report))["decided"]["signed"] is False


def test_json_says_its_version(report: Report) -> None:
    said = json.loads(as_json(report))
    assert said["schema_version"] == 1
    assert said["notice"] == RESEARCH_USE
