"""What a person does in the browser, from a running slide to the signed report, in real Chromium on the real program.

Once on a desk with keyboard and mouse, once on a phone, once with the keyboard alone.
"""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from pypdf import PdfReader

from edge_wbc.review.decisions import decisions
from edge_wbc.types import NOT_A_CELL
from tests.conftest import ROOT, Done
from tests.edge_wbc.web.browser import DESKTOP, PHONE, launched, needs_chromium, watched
from tests.serve_slide import serving

pytestmark = needs_chromium
SLIDE = "smear://?seed=11&cells=100000&size=320x240&fps=15"
"""Field after field of a slide without end, as a camera sees them."""
TARGET = 200
SLOW_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as one:
        yield one


@dataclass(frozen=True)
class Running:
    """`run --serve` as a process."""

    url: str
    place: Path


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    place = tmp_path / "sessions"
    with serving(SLIDE, place) as url:
        yield Running(url, place)


@dataclass(frozen=True)
class Window:
    """A window with what went wrong in it."""

    page: Page
    wrong: list[str]


@pytest.fixture
def window(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Window]:
    context = browser.new_context(**getattr(request, "param", DESKTOP))
    page = context.new_page()
    page.set_default_timeout(SLOW_MS)
    yield Window(page, watched(page))
    context.close()


def accessible(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []


def fits(page: Page) -> None:
    """Nothing beside what is shown."""
    across = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert across[0] <= across[1]


def saved(page: Page, text: str) -> None:
    expect(page.locator("#saved")).to_have_text(re.compile(text), timeout=SLOW_MS)


def tiles(page: Page, name: str) -> list[int]:
    shown = page.locator(f"div[data-class='{name}'] .tile")
    return [int(number) for number in shown.evaluate_all("all => all.map(one => one.dataset.number)")]


def drag(page: Page, number: int, name: str) -> None:
    page.locator(f"#cell-{number} .crop").hover()
    page.mouse.down()
    target = page.locator(f".chip[data-class='{name}']").bounding_box()
    assert target is not None
    page.mouse.move(target["x"] + 10, target["y"] + 10, steps=5)
    page.mouse.up()


def counted(page: Page, session: str) -> dict[str, int]:
    """Cells a class by the API."""
    found = page.request.get(f"{_site(page)}/api/sessions/{session}/review").json()
    return {name: share["count"] for name, share in found["verified"]["shares"].items()}


def _site(page: Page) -> str:
    return "/".join(page.url.split("/")[:3])


def same_everywhere(page: Page, session: str, who: str) -> None:
    """The numbers of the report in all its forms are those of the API."""
    counts = counted(page, session)
    base = f"{_site(page)}/sessions/{session}/report"
    told = page.request.get(f"{base}.json").json()
    shown = {one["name"].replace("not a cell", NOT_A_CELL): one["verified"] for one in told["lines"]}
    assert {name: shown[name]["cells"] for name in counts} == counts
    rows = csv.DictReader(io.StringIO(page.request.get(f"{base}.csv").text()))
    verified = {row["name"]: row["value"] for row in rows if row["part"] == "verified"}
    verified[NOT_A_CELL] = verified.get("not a cell", verified.get(NOT_A_CELL, ""))
    assert {name: int(verified[name]) for name in counts} == counts
    pdf = PdfReader(io.BytesIO(page.request.get(f"{base}.pdf").body()))
    text = "\n".join(one.extract_text() for one in pdf.pages)
    total = told["verified"]["leukocytes"]
    assert verified["leukocytes"] == str(total)
    for name, count in counts.items():
        line = re.search(rf"{name.replace(NOT_A_CELL, 'not a cell')}\D*?(\d+)", text)
        assert line is not None, name
        assert int(line[1]) == count, name
    assert re.search(rf"leukocytes\D*{total}\b", text)
    assert who in text
    assert "Research use only" in text


@pytest.mark.parametrize("window", [DESKTOP], indirect=True)
def test_watched_ended_at_200_cells_reviewed_signed_and_read_again(window: Window, running: Running) -> None:
    page = window.page
    page.goto(running.url)
    accessible(page)
    page.get_by_role("link", name="Live").click()
    expect(page.locator("#phase")).to_have_text("Waiting")
    page.get_by_label("Label").fill("slide 11")
    page.get_by_label("Target, leukocytes").fill(str(TARGET))
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#phase")).to_have_text("Running")
    expect(page.locator("#no-field")).to_be_hidden()
    accessible(page)
    expect(page.locator("#ended")).to_contain_text("Target reached", timeout=SLOW_MS)
    expect(page.locator("#said")).to_contain_text("Target reached")
    page.locator("#ended a").click()
    page.wait_for_selector("html[data-ready=yes]")
    session = page.url.rsplit("/", 1)[1]
    before = counted(page, session)
    assert sum(before.values()) >= TARGET
    numbers = tiles(page, "neutrophil")
    page.locator(f"#cell-{numbers[0]}").click()
    for number in range(10):
        page.keyboard.press("b")
        saved(page, "saved · 1 cell to basophil")
        expect(page.locator(".chip[data-class=basophil] .count")).to_have_text(str(before["basophil"] + number + 1))
    for number in range(5):
        drag(page, tiles(page, "neutrophil")[0], "monocyte")
        expect(page.locator(".chip[data-class=monocyte] .count")).to_have_text(str(before["monocyte"] + number + 1))
        saved(page, "saved · 1 cell to monocyte")
    for number in (4, 3):
        page.keyboard.press("z")
        saved(page, "taken back")
        expect(page.locator(".chip[data-class=monocyte] .count")).to_have_text(str(before["monocyte"] + number))
    moved = {"neutrophil": before["neutrophil"] - 13, "basophil": before["basophil"] + 10}
    assert counted(page, session) == before | moved | {"monocyte": before["monocyte"] + 3}
    for pile in ("unidentified", "not classed"):
        explain(page, pile)
    page.get_by_role("button", name="Sign…").click()
    page.locator("#ask-do").click()
    expect(page.locator("#about")).to_contain_text("signed by")
    accessible(page)
    who = re.search(r"signed by (.+?) at", page.locator("#about").inner_text())
    assert who is not None
    same_everywhere(page, session, who[1])
    page.get_by_role("link", name="Report").click()
    page.wait_for_url("**/report")
    expect(page.locator("body")).to_contain_text(who[1])
    accessible(page)
    checked = _verify(running.place, session)
    assert checked["holds"]
    assert checked["head"] in page.locator("body").inner_text()
    assert window.wrong == []


def explain(page: Page, pile: str) -> None:
    button = page.locator(f"section.class[data-class='{pile}']").get_by_role("button", name="Say why they stay")
    if button.is_visible():
        button.click()
        page.locator("#ask-text").fill("smudged")
        page.locator("#ask-do").click()
        saved(page, "explanation")


def _verify(place: Path, session: str) -> dict[str, object]:
    command = [sys.executable, "-m", "edge_wbc", "sessions", "verify", session, "--record", str(place), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("window", [PHONE], indirect=True)
def test_on_a_phone(window: Window, running: Running) -> None:
    page = window.page
    page.goto(running.url)
    fits(page)
    page.get_by_role("link", name="Live").tap()
    page.get_by_label("Target, leukocytes").fill("25")
    page.get_by_role("button", name="Start").tap()
    expect(page.locator("#phase")).to_have_text(re.compile("Running|Ended"))
    fits(page)
    accessible(page)
    expect(page.locator("#ended")).to_contain_text("Target reached", timeout=SLOW_MS)
    page.locator("#ended a").tap()
    page.wait_for_selector("html[data-ready=yes]")
    session = page.url.rsplit("/", 1)[1]
    before = counted(page, session)
    page.locator(f"#cell-{tiles(page, 'neutrophil')[0]}").tap()
    page.get_by_label("Move to").select_option("eosinophil")
    saved(page, "saved · 1 cell to eosinophil")
    page.get_by_role("button", name="Undo").tap()
    saved(page, "taken back")
    assert counted(page, session) == before
    fits(page)
    accessible(page)
    for pile in ("unidentified", "not classed"):
        explain(page, pile)
    page.get_by_role("button", name="Sign…").tap()
    page.locator("#ask-do").tap()
    expect(page.locator("#about")).to_contain_text("signed by")
    page.get_by_role("link", name="Report").tap()
    page.wait_for_url("**/report")
    fits(page)
    accessible(page)
    assert window.wrong == []


def _tab_to(page: Page, script: str) -> None:
    """Press Tab until the focused element is the one that a script names."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(f"(one => {script})(document.activeElement)"):
            return
    raise AssertionError(f"not reached by Tab: {script}")


def test_with_the_keyboard_alone(window: Window, running: Running) -> None:
    page = window.page
    page.goto(running.url)
    _tab_to(page, "one.textContent.trim() === 'Live'")
    page.keyboard.press("Enter")
    expect(page.locator("#phase")).to_have_text("Waiting")
    _tab_to(page, "one.id === 'until'")
    page.keyboard.type("25")
    page.keyboard.press("Enter")
    expect(page.locator("#phase")).to_have_text(re.compile("Running|Ended"))
    expect(page.locator("#ended")).to_contain_text("Target reached", timeout=SLOW_MS)
    _tab_to(page, "one.closest('#ended') !== null")
    page.keyboard.press("Enter")
    page.wait_for_selector("html[data-ready=yes]")
    session = page.url.rsplit("/", 1)[1]
    before = counted(page, session)
    _tab_to(page, "one.getAttribute('role') === 'listbox' && one.querySelector('.tile') !== null")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("m")
    saved(page, "to monocyte")
    page.keyboard.press("z")
    saved(page, "taken back")
    assert counted(page, session) == before
    page.keyboard.press("f")
    expect(page.locator("#zoom")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#zoom")).to_be_hidden()
    for pile in ("unidentified", "not classed"):
        if tiles(page, pile):
            page.evaluate("document.activeElement.blur()")
            _tab_to(
                page, f"one.closest('section')?.dataset.class === '{pile}' && one.textContent.startsWith('Say why')"
            )
            page.keyboard.press("Enter")
            expect(page.locator("#ask-text")).to_be_focused()
            page.keyboard.type("smudged")
            _tab_to(page, "one.id === 'ask-do'")
            page.keyboard.press("Enter")
            saved(page, "explanation")
    page.evaluate("document.activeElement.blur()")
    _tab_to(page, "one.id === 'sign'")
    page.keyboard.press("Enter")
    _tab_to(page, "one.id === 'ask-do'")
    page.keyboard.press("Enter")
    expect(page.locator("#about")).to_contain_text("signed by")
    assert window.wrong == []


def test_a_server_killed_during_review_has_kept_what_the_page_showed_as_saved(
    window: Window, edge_wbc_command: Callable[..., Done], tmp_path: Path
) -> None:
    assert edge_wbc_command("run", "smear://?seed=3&cells=30", "--record", tmp_path, "--json").code == 0
    (folder,) = (found.parent for found in tmp_path.glob("*/session.sqlite"))
    command = [sys.executable, "-m", "edge_wbc", "serve", "--port", "0", "--record", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stderr is not None
        url = next(found[0] for line in process.stderr if (found := re.search(r"http://\S+", line)))
        page = window.page
        page.goto(url)
        page.goto(f"{_site(page)}/sessions/{folder.name}")
        page.wait_for_selector("html[data-ready=yes]")
        for number in range(6):
            page.locator(f"#cell-{tiles(page, 'neutrophil')[0]}").click()
            page.keyboard.press("b")
            expect(page.locator(".chip[data-class=basophil] .count")).to_have_text(re.compile(r"[1-9]"))
            saved(page, "saved · 1 cell to basophil")
            told = number + 1
            assert len(decisions(folder).rows) >= told
        page.keyboard.press("m")  # nobody knows whether this one comes in time
    finally:
        process.kill()
        process.communicate()
    kept = decisions(folder)
    assert len(kept.rows) in (told, told + 1)
    assert list(kept.moved.values())[:told] == ["basophil"] * told
    assert _verify(tmp_path, folder.name)["holds"]
    assert [line for line in window.wrong if "Failed to fetch" not in line] == []
