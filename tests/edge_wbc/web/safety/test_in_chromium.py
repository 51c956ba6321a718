"""Log-in and the list of sessions in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.edge_wbc.web.browser import launched, needs_chromium
from tests.edge_wbc.web.conftest import PASSWORD, Served

pytestmark = needs_chromium
LABEL = "<img src=x onerror=alert(1)><script>alert(2)</script>"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(params=[("light", 1100), ("dark", 390)], ids=["desk", "phone"])
def page(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    scheme, width = request.param
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    context.set_default_timeout(10_000)
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda line: troubles.append(line.text) if "Content Security Policy" in line.text else None)
    page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
    yield page
    context.close()
    assert troubles == []


def flaws(page: Page) -> list[str]:
    """What axe finds, and whether the page is wider than the screen."""
    found = [f"{one['id']}: {one['nodes'][0]['html']}" for one in Axe().run(page).response["violations"]]
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append("it is wider than the screen")
    return found


def test_by_keyboard_alone_from_the_login_to_the_list_and_out(
    shared: Served, page: Page, record: Callable[..., Path]
) -> None:
    record(label=LABEL)
    page.goto(f"{shared.base}/?x=1")
    assert flaws(page) == []
    for password in ("not the password", PASSWORD):
        page.wait_for_selector("#name:focus")
        page.keyboard.type("rita")
        page.keyboard.press("Tab")
        page.keyboard.type(password)
        page.keyboard.press("Enter")
        if password != PASSWORD:
            page.wait_for_selector("[role=alert]")
            assert flaws(page) == []
    page.wait_for_selector("#sessions tbody tr")
    assert page.url == f"{shared.base}/?x=1"
    assert page.locator("#sessions a").inner_text() == LABEL
    assert page.locator("#sessions img, #sessions script").count() == 0
    assert flaws(page) == []
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Log out":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("#name")
    page.goto(shared.base)
    assert page.url == f"{shared.base}/login"


def test_the_launch_address_opens_the_list(alone: Served, page: Page) -> None:
    page.goto(alone.url)
    page.wait_for_selector("#none:not([hidden])")
    assert page.url == f"{alone.base}/"
    assert page.locator("text=Log out").count() == 0
    assert flaws(page) == []


def test_a_foreign_page_reads_nothing_and_changes_nothing(
    shared: Served, start: Callable[..., Served], page: Page
) -> None:
    """From another port of this machine: its cookies go along, as they would for a page of the same site."""
    page.goto(shared.base)
    page.fill("#name", "ada")
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("#none:not([hidden])")
    page.route("**/foreign", lambda route: route.fulfill(content_type="text/html", body="<p>foreign</p>"))
    page.goto(f"http://127.0.0.1:{shared.port + 1}/foreign")
    ask = """async ([url, method, mode]) => {
        try {
            const answer = await fetch(url, {method, mode, credentials: "include"});
            return answer.status;
        } catch (error) { return "refused"; }
    }"""
    for method, mode in (("GET", "cors"), ("POST", "cors"), ("GET", "no-cors")):
        assert page.evaluate(ask, [f"{shared.base}/api/doors/move", method, mode]) == "refused"
    with page.expect_response("**/login") as sent:
        page.evaluate(
            """([url, name, password]) => {
                const form = document.createElement("form");
                Object.assign(form, {method: "post", action: url});
                for (const [key, value] of [["name", name], ["password", password]]) {
                    const field = document.createElement("input");
                    Object.assign(field, {name: key, value});
                    form.append(field);
                }
                document.body.append(form);
                form.submit();
            }""",
            [f"{shared.base}/login", "vera", PASSWORD],
        )
    assert sent.value.status == 403
