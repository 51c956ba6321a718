"""The page in a browser, on a screen, a telephone and paper."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pypdf
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from edge_wbc import RESEARCH_USE
from edge_wbc.report.content import Report
from edge_wbc.report.forms import write
from tests.edge_wbc.report.test_forms import HOSTILE, with_text
from tests.edge_wbc.web.browser import launched, needs_chromium

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as one:
        yield one


def test_it_runs_nothing_lacks_nothing_and_anyone_can_read_it(browser: Browser, report: Report, tmp_path: Path) -> None:
    write(with_text(report, HOSTILE), tmp_path / "report.html")
    page = browser.new_page(viewport={"width": 390, "height": 800})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto((tmp_path / "report.html").as_uri())
    assert said == []  # the policy has refused nothing, and nothing ran
    loaded = "[...document.images].every(one => one.naturalWidth === 64)"
    assert page.evaluate(loaded)
    assert page.evaluate("getComputedStyle(document.querySelector('.mark')).fontWeight") == "700"
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    found = Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    page.close()


def test_it_prints_on_one_page_where_it_fits(browser: Browser, report: Report, tmp_path: Path) -> None:
    write(report, tmp_path / "short.html")
    write(with_text(report, "word " * 390), tmp_path / "long.html")
    page = browser.new_page()
    pages = {}
    for name in ("short", "long"):
        page.goto((tmp_path / f"{name}.html").as_uri())
        pages[name] = pypdf.PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True))).pages
    page.close()
    assert len(pages["short"]) == 1
    assert len(pages["long"]) > 1
    for one in (*pages["short"], *pages["long"]):
        assert RESEARCH_USE in one.extract_text()
