"""How quick the gallery is: ``python -m tests.edge_wbc.web.gallery_times [CELLS]`` prints one JSON object.

``first_screen_ms``: from the beginning of the navigation until every tile in view shows its crop, first with the
session not yet in the server's memory, then again. ``key_to_saved_ms``: from the press of a class's key until the page
says that the server has saved it. ``long_frames_ms``: frames of more than 50 ms while all cells are scrolled through.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.edge_wbc.web import big_session
from tests.edge_wbc.web.browser import DESKTOP, launched
from tests.edge_wbc.web.conftest import serving

FIRST_SCREEN = """
let shown;
window.firstScreen = new Promise((done) => { shown = done; });
const look = () => {
  const inView = [...document.querySelectorAll(".tile")].filter((one) => one.getBoundingClientRect().top < innerHeight);
  const done = inView.length && inView.every((one) => one.querySelector(".crop").style.backgroundImage);
  if (done) requestAnimationFrame(shown);
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
KEYS = """
window.keys = [];
addEventListener("keydown", () => { window.pressed = performance.now(); }, { capture: true });
new MutationObserver(() => {
  if (window.pressed && document.getElementById("saved").textContent.startsWith("saved")) {
    window.keys.push(performance.now() - window.pressed);
    window.pressed = 0;
    document.documentElement.dataset.saved = window.keys.length;
  }
}).observe(document.getElementById("saved"), { childList: true });
"""
SCROLL = """
() => new Promise((done) => {
  const frames = [];
  let before = performance.now();
  const step = (now) => {
    frames.push(now - before);
    before = now;
    const end = document.documentElement.scrollHeight - innerHeight;
    if (scrollY >= end - 1) done(frames);
    else { scrollBy(0, 400); requestAnimationFrame(step); }
  };
  scrollTo(0, 0);
  requestAnimationFrame((now) => { before = now; requestAnimationFrame(step); });
})
"""


def measure(page: Page, url: str, moves: int = 20) -> dict[str, Any]:
    """
    :param url: of the page of a session that nobody has reviewed.
    :param moves: how many cells are moved.
    """
    page.add_init_script(FIRST_SCREEN)
    firsts = []
    for _ in range(3):
        page.goto(url)
        firsts.append(round(page.evaluate("window.firstScreen")))
    page.evaluate(KEYS)
    for i in range(moves):
        page.keyboard.press("blm"[i % 3])
        expect(page.locator("html")).to_have_attribute("data-saved", str(i + 1))
    keys = sorted(page.evaluate("window.keys"))
    frames = page.evaluate(SCROLL)
    long = [round(frame) for frame in frames if frame > 50]
    return {
        "first_screen_ms": firsts,
        "key_to_saved_ms": {"p50": round(keys[len(keys) // 2], 1), "most": round(keys[-1], 1)},
        "frames": len(frames),
        "frame_ms": {"p50": round(sorted(frames)[len(frames) // 2], 1), "most": round(max(frames), 1)},
        "long_frames_ms": long,
        "tiles": page.locator(".tile").count(),
    }


def main(cells: int = 10_000) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = big_session.write(Path(place), cells)
        with serving(Path(place)) as site, launched() as browser:
            page = browser.new_context(**DESKTOP).new_page()
            print(json.dumps(measure(page, f"{site.url}/sessions/{folder.name}")))  # noqa: T201


if __name__ == "__main__":
    main(*(int(cells) for cells in sys.argv[1:2]))
