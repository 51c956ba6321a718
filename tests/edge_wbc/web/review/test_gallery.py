"""The gallery in a real browser: keys, drag, conflicts, lost connections, signing, blind reading, accessibility."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from edge_wbc.review.decisions import decisions
from tests.edge_wbc.web.browser import DESKTOP, PHONE, launched, needs_chromium, watched
from tests.edge_wbc.web.review import big_session
from tests.edge_wbc.web.review.conftest import Served, serving

pytestmark = needs_chromium
CELLS = 120


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as one:
        yield one


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return big_session.write(tmp_path_factory.mktemp("sessions"), CELLS)


@pytest.fixture
def folder(written: Path) -> Iterator[Path]:
    """The session, of which nobody has reviewed anything."""
    yield written
    (written / "review.sqlite").unlink(missing_ok=True)


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    with serving(folder.parent) as one:
        yield one


@pytest.fixture
def bob(served: Served) -> Iterator[httpx.Client]:
    with served.client("bob") as client:
        yield client


Open = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser, served: Served, folder: Path) -> Iterator[Open]:
    """Opens the gallery in a window of its own; nothing may go wrong in its scripts."""
    contexts, wrong = [], []

    def open_(query: str = "", who: str = "anna", role: str = "reviewer", **window: object) -> Page:
        context = browser.new_context(**(DESKTOP | window))
        contexts.append(context)
        context.add_cookies(
            [{"name": name, "value": text, "url": served.url} for name, text in (("who", who), ("role", role))]
        )
        page = context.new_page()
        page.set_default_timeout(10_000)
        wrong.append(watched(page))
        page.goto(f"{served.url}/sessions/{folder.name}{query}")
        page.wait_for_selector("html[data-ready=yes]")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == [[] for _ in wrong]


@pytest.fixture
def page(opened: Open) -> Page:
    return opened()


def url(folder: Path) -> str:
    return f"/api/sessions/{folder.name}"


def shown(page: Page, name: str) -> list[int]:
    """Numbers of a class's tiles in view, in their order."""
    return page.locator(f"div[data-class='{name}'] .tile").evaluate_all(
        "all => all.map(one => Number(one.dataset.number))"
    )


def active(page: Page) -> int:
    """The cell that a screen reader is at."""
    at = page.evaluate("document.activeElement.getAttribute('aria-activedescendant')")
    return int(at.removeprefix("cell-"))


def count(page: Page, name: str) -> int:
    return int(page.locator(f".chip[data-class='{name}'] .count").inner_text())


def chosen(page: Page) -> list[int]:
    return page.locator(".tile[aria-selected=true]").evaluate_all("all => all.map(one => Number(one.dataset.number))")


def saved(page: Page, text: str = "saved") -> None:
    expect(page.locator("#saved")).to_have_text(re.compile(text))


def drag(page: Page, number: int, to: str) -> None:
    page.locator(f"#cell-{number} .crop").hover()
    page.mouse.down()
    target = page.locator(to).bounding_box()
    page.mouse.move(target["x"] + 10, target["y"] + 10, steps=4)
    page.mouse.up()


def test_doubtful_cells_come_first_and_piles_before_all(page, bob, folder):
    found = bob.get(f"{url(folder)}/review").json()
    sure = dict(zip(found["number"], found["probability"], strict=True))
    sections = page.locator("section.class").evaluate_all("all => all.map(one => one.dataset.class)")
    assert sections[:3] == ["unidentified", "not classed", "neutrophil"]
    order = shown(page, "neutrophil")
    assert len(order) > 5
    assert [sure[number] for number in order] == sorted(sure[number] for number in order)


def test_a_key_moves_the_cell_and_the_focus_goes_on(page, folder):
    page.keyboard.press("ArrowDown")
    first, second, *_ = order = shown(page, "neutrophil")
    page.locator(f"#cell-{first}").click()
    before = count(page, "basophil")
    page.keyboard.press("b")
    saved(page, "saved · 1 cell to basophil")
    assert active(page) == second
    assert count(page, "basophil") == before + 1
    assert first not in shown(page, "neutrophil")
    (row,) = decisions(folder).rows
    assert (row.who, row.body["cells"], row.body["to"]) == ("anna", {str(first): "neutrophil"}, "basophil")
    page.locator(".chip[data-class=basophil]").click()
    label = re.compile(rf"^cell {first}, basophil, \d+ %, moved by anna$")
    expect(page.locator(f"#cell-{first}")).to_have_attribute("aria-label", label)
    assert shown(page, "basophil")[-1] == first  # moved ones last
    assert len(order) > 2


def test_a_range_is_chosen_moved_and_undone(page, folder):
    numbers = shown(page, "neutrophil")[:4]
    page.locator(f"#cell-{numbers[0]}").click()
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    assert chosen(page) == numbers
    page.keyboard.press("m")
    saved(page, "4 cells to monocyte")
    assert chosen(page) == []
    assert sorted(decisions(folder).moved) == sorted(numbers)
    page.keyboard.press("z")
    saved(page, "taken back")
    assert not decisions(folder).moved
    assert shown(page, "neutrophil")[:4] == numbers
    page.keyboard.press("Control+z")
    saved(page, "nothing is left to undo")


def test_space_chooses_one_and_ctrl_a_the_class(page):
    first, second, third, *_ = shown(page, "neutrophil")
    page.locator(f"#cell-{first}").click()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert chosen(page) == [first, third]
    page.keyboard.press("Space")
    assert chosen(page) == [first]
    page.keyboard.press("Control+a")
    assert second in chosen(page)
    neutrophils = count(page, "neutrophil")
    page.keyboard.press("u")
    saved(page, f"{neutrophils} cells to not classed")
    assert (count(page, "neutrophil"), count(page, "not classed")) == (0, neutrophils)


def test_arrows_lead_through_the_classes_to_the_last_cell(page):
    names = [name for name in big_session.PARTS if count(page, name)]
    seen = [active(page)]
    for _ in range(CELLS + 5):
        page.keyboard.press("ArrowRight")
        seen.append(active(page))
    assert len(set(seen)) == CELLS
    assert len(names) > 3
    assert seen[-1] == seen[-2]
    for _ in range(CELLS):
        page.keyboard.press("ArrowUp")
    box = page.locator(f"#cell-{active(page)}").bounding_box()
    bar = page.locator("#bar").bounding_box()
    assert box["y"] >= bar["y"] + bar["height"]


def test_a_tile_and_then_several_are_dragged_onto_a_class(page, folder):
    first, second, third, *_ = shown(page, "unidentified") + shown(page, "neutrophil")
    drag(page, first, ".chip[data-class=eosinophil]")
    saved(page, "1 cell to eosinophil")
    page.locator(f"#cell-{second}").click()
    page.locator(f"#cell-{third}").click(modifiers=["Control"])
    page.locator(f"#cell-{second}").click(modifiers=["Control"])
    assert sorted(chosen(page)) == sorted({second, third})
    drag(page, third, "section[data-class='not classed'] h2")
    saved(page, "2 cells to not classed")
    assert decisions(folder).moved == {first: "eosinophil", second: "not classed", third: "not classed"}


def test_who_comes_second_sees_who_came_first(page, bob, folder):
    first, second, *_ = shown(page, "neutrophil")
    page.route("**/review/rows*", lambda route: route.abort())  # no news by asking
    bob.post(f"{url(folder)}/moves", json={"cells": {first: "neutrophil"}, "to": "monocyte"}).raise_for_status()
    page.locator(f"#cell-{first}").click()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("b")
    saved(page, f"not saved: bob moved cell {first} to monocyte at ")
    assert second in shown(page, "neutrophil")
    page.locator(".chip[data-class=monocyte]").click()
    label = re.compile(rf"^cell {first}, monocyte, \d+ %, moved by bob$")
    expect(page.locator(f"#cell-{first}")).to_have_attribute("aria-label", label)
    assert decisions(folder).moved == {first: "monocyte"}


def test_what_others_do_comes_by_itself(page, bob, folder):
    first, *_ = shown(page, "neutrophil")
    bob.post(f"{url(folder)}/moves", json={"cells": {first: "neutrophil"}, "to": "platelet"}).raise_for_status()
    saved(page, "bob moved 1 cell to platelet at ")
    assert first not in shown(page, "neutrophil")


def test_without_an_answer_nothing_counts_as_saved_and_retry_saves_it(page, folder):
    first, second, *_ = shown(page, "neutrophil")
    page.route("**/moves", lambda route: route.abort())
    page.locator(f"#cell-{first}").click()
    page.keyboard.press("b")
    page.keyboard.press("m")
    saved(page, "not saved: no answer from the server")
    assert shown(page, "neutrophil")[:2] == [first, second]
    assert not decisions(folder).rows
    page.unroute("**/moves")
    page.get_by_role("button", name="Retry").click()
    saved(page, "^saved")
    expect(page.locator("#retry")).to_be_hidden()
    saved(page, "1 cell to monocyte")
    assert decisions(folder).moved == {first: "basophil", second: "monocyte"}


def test_an_answer_that_was_lost_is_asked_for_and_saved_once(page, folder):
    first, *_ = shown(page, "neutrophil")

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/moves", lose)
    page.locator(f"#cell-{first}").click()
    page.keyboard.press("b")
    saved(page, "not saved")
    page.get_by_role("button", name="Retry").click()
    saved(page, "^saved")
    assert len(decisions(folder).rows) == 1
    assert first not in shown(page, "neutrophil")


def test_a_move_shows_saved_only_after_the_answer(page, folder):
    held: list[Route] = []
    page.route("**/moves", lambda route: held.append(route))
    first, *_ = shown(page, "neutrophil")
    page.locator(f"#cell-{first}").click()
    page.keyboard.press("b")
    saved(page, "saving")
    page.locator(".chip[data-class=basophil]").click()
    label = re.compile("not saved yet")
    expect(page.locator(f"#cell-{first}")).to_have_attribute("aria-label", label)
    held[0].continue_()
    saved(page, "^saved")
    expect(page.locator(f"#cell-{first}")).not_to_have_attribute("aria-label", label)


def test_signing_tells_what_hinders_then_closes_the_review(page, folder):
    left = count(page, "unidentified")
    assert left
    page.get_by_role("button", name="Sign…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"{left} cells are unidentified")
    expect(dialog).to_contain_text("Research use only")
    expect(page.locator("#ask-do")).to_be_hidden()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Say why they stay…").first.click()
    page.get_by_label("Why they stay so").fill("<img src=x onerror=alert(1)> smudged")
    page.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Sign…").click()
    expect(dialog).to_contain_text("stay unidentified: <img src=x onerror=alert(1)> smudged")
    page.get_by_role("button", name="Sign as anna").click()
    expect(page.locator("#about")).to_contain_text("version 1 signed by anna")
    first, *_ = shown(page, "neutrophil")
    page.locator(f"#cell-{first}").click()
    page.keyboard.press("b")
    saved(page, "signed: amend it")
    assert first in shown(page, "neutrophil")
    page.get_by_role("button", name="Amend…").click()
    page.get_by_role("button", name="Amend", exact=True).click()  # without a reason
    expect(dialog).to_be_visible()
    page.get_by_label("Why version 1 is opened again").fill("cell 1")
    page.get_by_role("button", name="Amend", exact=True).click()
    expect(page.locator("#about")).to_contain_text("version 2, not signed")
    assert [row.kind for row in decisions(folder).rows] == ["explained", "signed", "amended"]


def test_a_label_is_shown_as_text(page):
    page.get_by_role("button", name="Label…").click()
    page.get_by_label("What the session is of").fill("<b>case</b> 7")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#name")).to_have_text("<b>case</b> 7")


def test_a_viewer_looks_and_moves_nothing(opened, folder):
    page = opened(who="vic", role="viewer")
    page.keyboard.press("b")
    saved(page, "you may look, not move")
    expect(page.locator("#sign")).to_be_disabled()
    assert not decisions(folder).rows


def test_a_blind_reader_gives_classes_in_the_order_of_the_cells_and_sees_the_agreement(opened, bob, folder):
    bob.post(f"{url(folder)}/moves", json={"cells": {1: _label(bob, folder, 1)}, "to": "basophil"}).raise_for_status()
    page = opened("?blind=1")
    assert shown(page, "cells")[:3] == [1, 2, 3]
    expect(page.locator("#cell-1")).to_have_attribute("aria-label", "cell 1, not read")
    page.keyboard.press("b")
    page.keyboard.press("m")
    saved(page, "^saved")
    assert active(page) == 3
    assert decisions(folder).blind("anna") == {1: "basophil", 2: "monocyte"}
    assert page.locator("#kappa").inner_text() == ""  # or each cell would tell whether the other agrees
    page.locator("#agreement summary").click()
    expect(page.locator("#agreement")).to_contain_text("anna: ")
    expect(page.locator("#about")).to_contain_text(f"{CELLS - 2} not read")


def _label(client: httpx.Client, folder: Path, number: int) -> str:
    return str(client.get(f"{url(folder)}/cells/{number}").json()["label"])


def test_zoom_shows_the_cell_and_keys_go_on_in_it(page, folder):
    first, second, *_ = shown(page, "neutrophil")
    page.locator(f"#cell-{first}").click()
    page.keyboard.press("f")
    dialog = page.locator("#zoom")
    expect(dialog).to_contain_text(f"cell {first}, neutrophil")
    expect(dialog).to_contain_text("was not kept")
    expect(dialog).to_contain_text("What the network said")
    page.keyboard.press("ArrowRight")
    expect(dialog).to_contain_text(f"cell {second}, neutrophil")
    page.keyboard.press("p")
    saved(page, "1 cell to platelet")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert decisions(folder).moved == {second: "platelet"}


def test_probabilities_on_demand_and_a_list_of_keys(page):
    first, *_ = shown(page, "neutrophil")
    expect(page.locator(f"#cell-{first} .caption")).to_have_text(str(first))
    page.keyboard.press("d")
    expect(page.locator(f"#cell-{first} .caption")).to_have_text(re.compile(r"\d+ · \d+ %"))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("move to immature granulocyte")


def test_on_a_phone_cells_are_tapped_moved_by_the_menu_and_dragged_after_a_hold(opened, folder):
    page = opened(**PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    first, second, *_ = shown(page, "unidentified") + shown(page, "neutrophil")
    page.locator(f"#cell-{first}").tap()
    assert chosen(page) == [first]
    page.get_by_label("Move to").select_option("lymphocyte")
    saved(page, "1 cell to lymphocyte")
    finger = page.context.new_cdp_session(page)
    box = page.locator(f"#cell-{second}").bounding_box()
    target = page.locator(".chip[data-class='not classed']").bounding_box()
    at, to = [{"x": one["x"] + 40, "y": one["y"] + 12} for one in (box, target)]
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [at]})
    expect(page.locator("#ghost")).to_be_visible()
    finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [to]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    saved(page, "1 cell to not classed")
    assert decisions(folder).moved == {first: "lymphocyte", second: "not classed"}


@pytest.mark.parametrize("window", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_axe_finds_nothing_serious(opened, window):
    page = opened(**window)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("d")
    _check(page)
    page.keyboard.press("f")
    expect(page.locator("#facts table")).to_be_visible()
    _check(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Sign…").click()
    _check(page)


def _check(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    told = [(one["id"], one["impact"], one["nodes"][0]["html"][:200]) for one in found]
    assert [one for one in told if one[1] in ("serious", "critical")] == []


def test_of_ten_thousand_cells_only_those_near_the_view_are_in_the_page(browser, tmp_path):
    folder = big_session.write(tmp_path, 10_000)
    with serving(tmp_path) as site:
        page = browser.new_context(**DESKTOP).new_page()
        page.goto(f"{site.url}/sessions/{folder.name}")
        page.wait_for_selector("html[data-ready=yes]")
        for far in (0.0, 0.3, 0.99):
            page.evaluate("far => scrollTo(0, far * document.documentElement.scrollHeight)", far)
            page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            middles = "all => all.map(one => one.getBoundingClientRect().top + 50)"
            assert sum(300 < y < 800 for y in page.locator(".tile").evaluate_all(middles)) > 20
            assert 20 < page.locator(".tile").count() < 250
        assert page.evaluate("document.documentElement.scrollHeight") > 80_000
        page.context.close()
