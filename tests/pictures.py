"""Make the documentation's pictures of the pages: python -m tests.pictures docs

A simulated slide is watched, ended at 200 cells and reviewed, in real Chromium.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import cv2
from playwright.sync_api import Page, expect

from tests.edge_wbc.web.browser import PHONE, launched
from tests.serve_slide import serving

SLIDE = "smear://?seed=11&cells=100000&faults=focus&size=640x480&fps=6"
DESK = {"viewport": {"width": 1180, "height": 820}}
WAIT_MS = 300_000


def make(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as place, launched() as browser, serving(SLIDE, Path(place)) as served:
        desk = browser.new_context(**DESK)
        page = desk.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(served)
        page.get_by_role("link", name="Live").click()
        page.get_by_label("Label").fill("slide 11, second drop")
        page.get_by_label("Target, leukocytes").fill("100")
        page.get_by_role("button", name="Start").click()
        expect(page.locator("#progress-text")).to_have_text(re.compile(r"[67]\d of 100"), timeout=WAIT_MS)
        _take(page, folder / "live.png")
        expect(page.locator("#ended")).to_contain_text("Target reached", timeout=WAIT_MS)
        page.locator("#ended a").click()
        page.wait_for_selector("html[data-ready=yes]")
        page.locator("section.class[data-class=neutrophil] .tile").nth(1).click()
        page.keyboard.press("b")
        expect(page.locator("#saved")).to_contain_text("saved")
        page.wait_for_timeout(500)
        _take(page, folder / "review.png")
        phone = browser.new_context(**PHONE, color_scheme="dark", storage_state=desk.storage_state())
        small = phone.new_page()
        small.goto(page.url)
        small.wait_for_selector("html[data-ready=yes]")
        small.wait_for_timeout(500)
        _take(small, folder / "review-phone.png")


def _take(page: Page, path: Path) -> None:
    """With 128 colours less than the browser's: a third of the bytes."""
    page.screenshot(path=path)
    picture = cv2.imread(str(path))
    assert picture is not None
    cv2.imwrite(str(path), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    make(Path(sys.argv[1]))
