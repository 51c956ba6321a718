"""`edge-wbc run SOURCE --serve`, the real command with people at its page."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

DEADLINE_S = 30
SLOW_BYTES_S = 10_000


class Running:
    """The command, and a browser at its page."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._found = threading.Event()
        self._url = ""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        assert self._found.wait(DEADLINE_S), self.said
        self.base = self._url.partition("?")[0].rstrip("/")
        self.browser = httpx.Client(base_url=self.base, timeout=DEADLINE_S, follow_redirects=True)
        page = self.browser.get(self._url).text
        token = re.search(r'name="csrf" content="([^"]+)"', page)
        assert token is not None
        self.browser.headers["X-CSRF-Token"] = token[1]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.strip())
            if found := re.match(r"open (http\S+) in", line):
                self._url = found[1]
                self._found.set()
        self._found.set()

    def do(self, what: str, **body: Any) -> dict[str, Any]:
        answer = self.browser.post(f"/api/live/{what}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def until(self, true: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The first state of which something is true, asked for as the page does."""
        deadline, after = time.monotonic() + DEADLINE_S, 0
        while time.monotonic() < deadline:
            state = self.browser.get("/api/live", params={"after": after}).json()
            if true(state):
                return state
            after = state["number"]
        raise AssertionError(state)

    @property
    def pages(self) -> int:
        """The pages' process."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return next(int(child) for child in children if b"live_child" in Path(f"/proc/{child}/cmdline").read_bytes())

    def interrupt(self) -> str:
        """Ctrl-C; what it wrote to standard output."""
        self.process.send_signal(signal.SIGINT)
        return self.ended()

    def ended(self) -> str:
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        self.process.wait(DEADLINE_S)
        self._reading.join(DEADLINE_S)
        return out


@pytest.fixture
def served(start_edge_wbc, tmp_path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(source: str, *more: str) -> Running:
        place = ("--record", str(tmp_path / "sessions"))
        process = start_edge_wbc("run", source, "--serve", "127.0.0.1:0", "--json", *place, *more)
        running = Running(process)
        started.append(running)
        return running

    yield start
    for running in started:
        running.browser.close()
        running.process.kill()
        running.process.communicate()


def test_sessions_are_begun_and_ended_on_the_page_one_after_another(served, tmp_path) -> None:
    out = tmp_path / "out.jsonl"
    running: Running = served(
        "smear://?seed=2&cells=24", "--to", f"jsonl:{out}", "--label", "first", "--until-cells", "9"
    )
    waiting = running.until(lambda state: state["phase"] == "waiting")
    assert (waiting["label"], waiting["until"], waiting["field"]) == ("first", 9, None)
    assert not out.exists()
    running.do("start", label="Anna", until=5)
    first = running.until(lambda state: state["phase"] == "ended")["ended"]
    assert (first["how"], first["label"], first["recorded"]) == ("cells", "Anna", True)
    assert 5 <= first["leukocytes"] < 12
    running.do("start", label="Berta", until=None)
    second = running.until(lambda state: state["phase"] == "ended" and state["ended"]["id"] != first["id"])["ended"]
    assert (second["how"], second["label"]) == ("source", "Berta")
    listed = running.browser.get("/api/sessions").json()["sessions"]
    assert {(one["session_id"], one["label"]) for one in listed} == {(first["id"], "Anna"), (second["id"], "Berta")}
    summaries = [json.loads(line) for line in running.interrupt().splitlines()]
    assert running.process.returncode == 0
    assert [one["ended"] for one in summaries] == ["cells", "source"]
    records = [path.read_text().splitlines() for path in (out, tmp_path / "out-2.jsonl")]
    assert [json.loads(lines[0])["session_id"] for lines in records] == [first["id"], second["id"]]


def test_a_camera_is_shown_before_and_in_a_pause_and_ctrl_c_ends_the_session_in_order(served) -> None:
    running: Running = served("smear://?seed=1&cells=5000&fps=60&size=320x240&path=wander")
    shown = running.until(lambda state: state["field"] and state["field"]["number"] > 10)
    assert (shown["phase"], shown["figures"]["frames"]["given"]) == ("waiting", 0)
    assert running.browser.get("/api/live/field.jpg").content.startswith(b"\xff\xd8")
    running.do("start")
    running.until(lambda state: state["figures"]["frames"]["processed"] > 20)
    running.do("pause")
    paused = running.until(lambda state: state["phase"] == "paused")
    later = running.until(lambda state: state["field"]["number"] > paused["field"]["number"] + 30)
    assert later["figures"]["frames"]["processed"] <= paused["figures"]["frames"]["processed"] + 5
    running.do("resume")
    running.until(lambda state: state["figures"]["frames"]["processed"] > later["figures"]["frames"]["processed"] + 10)
    running.do("label", label="Cilla")
    (summary,) = [json.loads(line) for line in running.interrupt().splitlines()]
    assert running.process.returncode == 130
    assert summary["ended"] == "stopped"
    assert summary["sinks"][next(iter(summary["sinks"]))]["cells"] == summary["cells"]


def test_when_the_pages_process_is_killed_the_session_goes_on_to_its_end(served, tmp_path) -> None:
    running: Running = served("smear://?seed=3&cells=5000", "--limit", "30")
    running.do("start")
    os.kill(running.pages, signal.SIGKILL)
    summary = json.loads(running.ended())
    assert (summary["ended"], summary["frames"]) == ("limit", 30)
    assert any("the pages' server is gone; a session that runs goes on without it" in line for line in running.said)
    assert running.process.returncode == 4
    assert len(list((tmp_path / "sessions").iterdir())) == 1


def test_when_the_sessions_process_is_killed_its_pages_end(served) -> None:
    running: Running = served("smear://?seed=3&cells=5000&fps=30")
    pages = running.pages
    running.process.kill()
    running.process.wait(DEADLINE_S)
    deadline = time.monotonic() + DEADLINE_S
    while Path(f"/proc/{pages}").exists() and time.monotonic() < deadline:
        state = Path(f"/proc/{pages}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":  # ended; whoever inherits it has not looked yet
            return
        time.sleep(0.05)
    assert not Path(f"/proc/{pages}").exists()


@contextmanager
def viewer(running: Running) -> Iterator[list[int]]:
    """Somebody who looks at everything as the page does; which views they got."""
    got: list[int] = []
    over = threading.Event()

    def look() -> None:
        with httpx.Client(base_url=running.base, timeout=DEADLINE_S, cookies=running.browser.cookies) as browser:
            while not over.is_set():
                state = browser.get("/api/live", params={"after": got[-1] if got else 0}).json()
                if state["field"]:
                    browser.get("/api/live/field.jpg", params={"view": state["field"]["view"]})
                got.append(state["number"])

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield got
    finally:
        over.set()
        looking.join(DEADLINE_S)


@contextmanager
def slow_viewer(running: Running) -> Iterator[list[int]]:
    """Somebody who reads fields at 10 kB/s; how many bytes they got."""
    got = [0]
    over = threading.Event()
    cookie = "; ".join(f"{name}={value}" for name, value in running.browser.cookies.items())
    host = running.base.removeprefix("http://")

    def read() -> None:
        with closing(socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2])))) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            while not over.is_set():
                request = f"GET /api/live/field.jpg HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n"
                connection.sendall(request.encode())
                for _ in range(10):
                    got[0] += len(connection.recv(SLOW_BYTES_S // 10))
                    if over.wait(0.1):
                        return

    reading = threading.Thread(target=read)
    reading.start()
    try:
        yield got
    finally:
        over.set()
        reading.join(DEADLINE_S)


def memory(pid: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_viewers_and_one_who_reads_slowly_hold_nobody_up(served) -> None:
    running: Running = served("smear://?seed=1&cells=50000&fps=20&size=320x240&path=wander")
    running.do("start")
    with viewer(running) as one, viewer(running) as other, slow_viewer(running) as slow:
        before = running.until(lambda state: state["figures"]["frames"]["processed"] > 40 and slow[0])
        kept = memory(running.process.pid), memory(running.pages)
        views = len(one), len(other)
        after = running.until(
            lambda state: state["figures"]["frames"]["given"] > before["figures"]["frames"]["given"] + 80
        )
        grown = memory(running.process.pid) - kept[0], memory(running.pages) - kept[1]
        assert min(len(one) - views[0], len(other) - views[1]) >= 10, "they see it run"
    frames = {
        name: after["figures"]["frames"][name] - before["figures"]["frames"][name] for name in ("given", "dropped")
    }
    assert frames["dropped"] <= frames["given"] / 4
    assert max(grown) < 20_000_000


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--serve", "nowhere"), "no HOST:PORT"),
        (("--serve", "127.0.0.1:0", "--window"), "leave out one"),
        (("--certificate", "x.pem"), "are for --serve"),
        (("--serve", "192.0.2.7:0"), ""),
    ],
)
def test_what_can_not_be_served_is_told_at_once(edge_wbc_command, more: tuple[str, ...], said: str) -> None:
    done = edge_wbc_command("run", "smear://?seed=1&cells=2", "--no-record", *more)
    assert done.code in (2, 4)
    assert len(done.said()) == 1
    assert said in done.said()[0]
