"""How quick the gallery is, as one JSON object: ``python -m tests.edge_wbc.web.review.gallery_times [CELLS] [live]``

``live``: beside a session that runs, of a camera of 640×480 at 30 frames/s over a moving slide.

``first_screen_ms``: from the beginning of the navigation until every tile in view shows its crop, first with the
session not yet in the server's memory, then again. ``key_to_saved_ms``: from the press of a class's key until the page
says that the server has saved it. ``long_frames_ms``: frames of more than 50 ms while all cells are scrolled through.
``processor_ms``: what of it the server and the page's main thread worked; on a machine that others use too the rest is
waiting for its cores.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from playwright.sync_api import CDPSession, Page, expect

from tests.edge_wbc.web.browser import DESKTOP, launched
from tests.edge_wbc.web.review import big_session
from tests.serve_slide import serving

LIVE = "smear://?seed=1&cells=100000&path=wander&fps=30"
SETTLED_MS = 8000
"""Quality control has run by then, as it does when the pages begin."""

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
    window.onsaved?.();
  }
}).observe(document.getElementById("saved"), { childList: true });
"""
SAVED = """
(count) => new Promise((done) => {
  window.onsaved = () => window.keys.length >= count && done();
  window.onsaved();
})
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


def measure(page: Page, url: str, server: int, moves: int = 20) -> dict[str, Any]:
    """
    :param url: of the page of a session that nobody has reviewed.
    :param server: the process that serves it.
    :param moves: how many cells are moved.
    """
    browser = page.context.new_cdp_session(page)
    browser.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.add_init_script(FIRST_SCREEN)
    firsts, loads = [], []
    for _ in range(3):
        before = _processor_ms(server)
        page.goto(url)
        firsts.append(round(page.evaluate("window.firstScreen")))
        loads.append((round(_processor_ms(server) - before), round(_page_ms(browser))))
    page.evaluate(KEYS)
    before = _processor_ms(server), _page_ms(browser)
    for i in range(moves):
        page.keyboard.press("blm"[i % 3])
        page.evaluate(SAVED, i + 1)
    spent = _processor_ms(server) - before[0], _page_ms(browser) - before[1]
    keys = sorted(page.evaluate("window.keys"))
    before_scroll = _page_ms(browser)
    frames = page.evaluate(SCROLL)
    per_frame = (_page_ms(browser) - before_scroll) / len(frames)
    return {
        "load": os.getloadavg()[0],
        "first_screen_ms": firsts,
        "first_screen_processor_ms": [{"server": one, "page": other} for one, other in loads],
        "key_to_saved_ms": {"p50": round(keys[len(keys) // 2], 1), "most": round(keys[-1], 1)},
        "key_to_saved_processor_ms": dict(
            zip(("server", "page"), (round(one / moves, 1) for one in spent), strict=True)
        ),
        "frames": len(frames),
        "frame_ms": {"p50": round(sorted(frames)[len(frames) // 2], 1), "most": round(max(frames), 1)},
        "frame_processor_ms": round(per_frame, 1),
        "long_frames_ms": [round(frame) for frame in frames if frame > 50],
        "tiles": page.locator(".tile").count(),
    }


def _processor_ms(process: int) -> float:
    """What a process has used, on Linux."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return 1000 * (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _page_ms(browser: CDPSession) -> float:
    """Processor time of the page's main thread since it was opened."""
    metrics = browser.send("Performance.getMetrics")["metrics"]
    return 1000 * float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


@contextmanager
def beside_a_session(place: Path) -> Iterator[tuple[str, int]]:
    """``edge-wbc run --serve`` with a session that runs; gives what `real_server` does."""
    with serving(LIVE, place) as url:
        pages = subprocess.run(["pgrep", "-f", "edge_wbc.web.live_child"], capture_output=True, text=True, check=True)
        yield url, int(pages.stdout.split()[-1])


def start(page: Page) -> None:
    page.get_by_role("link", name="Live").click()
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#phase")).to_have_text("Running")


@contextmanager
def real_server(place: Path) -> Iterator[tuple[str, int]]:
    """``edge-wbc serve`` of the sessions in ``place``; gives the address that it prints, and its process."""
    command = [sys.executable, "-m", "edge_wbc", "serve", "--port", "0", "--record", str(place)]
    environment = {**os.environ, "XDG_DATA_HOME": str(place)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as one:
        assert one.stdout is not None
        try:
            yield re.findall("http://[^ ]+", one.stdout.readline())[0], one.pid
        finally:
            one.terminate()


def main(cells: int = 10_000, live: str = "") -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = big_session.write(Path(place), cells)
        server_of = beside_a_session if live else real_server
        with server_of(Path(place)) as (url, server), launched() as browser:
            page = browser.new_context(**DESKTOP).new_page()
            page.goto(url)
            if live:
                start(page)
            page.wait_for_timeout(SETTLED_MS)
            print(json.dumps(measure(page, urljoin(url, f"/sessions/{folder.name}"), server)))  # noqa: T201


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:3])
