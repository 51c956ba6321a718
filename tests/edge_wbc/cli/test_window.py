"""The window of a session: its process is played by small scripts, and once by itself."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from edge_wbc.cli import window as module
from edge_wbc.cli import window_child
from edge_wbc.cli.session import stopping
from edge_wbc.cli.window import View, window
from edge_wbc.errors import EnvironmentMissing
from edge_wbc.types import Differential, Frame, FrameResult, Summary

START = Summary(0, 0, 0, 0, 0.0, 0.0, {}, {}, Differential(0, 0, {}, None))
DEADLINE_S = 20


def frame(index: int, level: int = 100) -> Frame:
    return Frame(np.full((480, 640, 3), level, np.uint8), index, 0, "x")


@pytest.fixture
def show(result_of: Callable[..., FrameResult]) -> Callable[..., None]:
    """Shows a view a frame of one grey level."""

    def give(view: View, level: int) -> None:
        view.watch(frame(0, level), result_of(0, ()))

    return give


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a script in the place of the window's process."""
    return lambda script: monkeypatch.setattr(module, "CHILD", ("-c", f"import sys\n{script}"))


class Stalled(io.RawIOBase):
    """A pipe that takes nothing until it may."""

    def __init__(self) -> None:
        self.may, self.waits = threading.Event(), threading.Event()
        self.taken: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.waits.set()
        assert self.may.wait(DEADLINE_S)
        self.taken.append(bytes(data))
        return len(data)


def test_a_window_that_stalls_leaves_frames_out_and_shows_the_newest(show: Callable[..., None]) -> None:
    view, pipe = View(), Stalled()
    drawing = threading.Thread(target=view.draw, args=(pipe, lambda: START))
    drawing.start()
    show(view, 10)
    assert pipe.waits.wait(DEADLINE_S)
    for level in range(11, 60):
        show(view, level)
    pipe.may.set()
    while len(pipe.taken) < 4:
        time.sleep(0.01)
    view.close()
    drawing.join(DEADLINE_S)
    pictures = [np.frombuffer(data, np.uint8) for data in pipe.taken[1::2]]
    height, width = np.frombuffer(pipe.taken[0], "<u4").tolist()
    assert [picture.reshape(height, width, 3)[5, 5, 0] for picture in pictures] == [10, 59]


def test_a_key_in_the_window_does_what_ctrl_c_does(child: Callable[[str], None], show: Callable[..., None]) -> None:
    child("print('ready', flush=True); sys.stdin.buffer.read(8 + 100); print('ended', flush=True); sys.stdin.read()")
    stopped, told, view = threading.Event(), [], View()
    with stopping(stopped.set) as interrupted, window(view, "t", lambda: START, told.append):
        assert not interrupted()
        show(view, 10)
        assert stopped.wait(DEADLINE_S)
        assert interrupted()
    assert told == []


def test_a_window_that_dies_costs_the_session_nothing(child: Callable[[str], None], show: Callable[..., None]) -> None:
    child("print('ready', flush=True)")
    told, gone, view = [], threading.Event(), View()

    def tell(line: str) -> None:
        told.append(line)
        gone.set()

    with window(view, "t", lambda: START, tell):
        assert gone.wait(DEADLINE_S)
        for level in range(5):
            show(view, level)
    assert told == ["the window is gone; the session goes on without it"]


def test_a_window_that_hangs_does_not_hold_up_the_end(child: Callable[[str], None], show: Callable[..., None]) -> None:
    child("import time; print('ready', flush=True); sys.stdin.buffer.raw.read(8); print(flush=True); time.sleep(60)")
    view, stuck = View(), threading.Event()
    with window(view, "t", lambda: START, lambda line: stuck.set()):
        show(view, 10)
        assert stuck.wait(DEADLINE_S)
        started = time.monotonic()
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("print('headless')", "install opencv-python"),
        ("print('no display')", "no display here"),
        ("import os; os.abort()", "no display here"),
    ],
)
def test_what_is_missing_is_one_line(script: str, line: str, child: Callable[[str], None]) -> None:
    child(script)
    with pytest.raises(EnvironmentMissing, match=line) as raised, window(View(), "t", lambda: START, print):
        pytest.fail("there is none")
    assert "\n" not in str(raised.value)


HEADLESS = "GUI:                           NONE" in cv2.getBuildInformation()


@pytest.mark.skipif(not HEADLESS, reason="this OpenCV has windows")
def test_the_headless_opencv_is_told_of(edge_wbc_command) -> None:
    done = edge_wbc_command("run", "smear://?cells=2", "--window", "--no-record", "--json")
    assert done.code == 4
    assert done.said() == [f"edge-wbc: {module.HEADLESS}"]


@pytest.fixture
def highgui(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[SimpleNamespace]:
    """A window that is played: what it was shown, and the keys it gives after the first picture."""
    played = SimpleNamespace(shown=[], keys=[-1, -1], visible=1.0)
    read, write = os.pipe()
    played.pipe = os.fdopen(write, "wb")
    monkeypatch.setattr(sys, "stdin", os.fdopen(read))
    monkeypatch.setattr(cv2, "namedWindow", lambda *given: None)
    monkeypatch.setattr(cv2, "resizeWindow", lambda *given: None)
    monkeypatch.setattr(cv2, "imshow", lambda title, picture: played.shown.append(picture))
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *given: played.visible)

    def wait(_: int) -> int:
        if not played.shown:
            time.sleep(0.001)
            return -1
        if played.keys:
            return played.keys.pop(0)
        played.pipe.close()
        time.sleep(0.001)
        return -1

    monkeypatch.setattr(cv2, "waitKey", wait)
    yield played
    played.pipe.close()
    sys.stdin.close()


@pytest.mark.parametrize(("keys", "ended"), [([-1, ord("x")], 0), ([-1, ord("q"), ord("q")], 1), ([27 + 0x100000], 1)])
def test_the_process_shows_what_it_is_given_and_tells_of_keys_once(
    keys: list[int], ended: int, highgui: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    highgui.keys = keys
    highgui.pipe.write(np.array((4, 5), "<u4").tobytes() + picture.tobytes())
    highgui.pipe.flush()
    window_child.main("t")
    assert [shown.tolist() for shown in highgui.shown] == [picture.tolist()]
    assert capsys.readouterr().out.split() == ["ready", *["ended"] * ended]


def test_a_window_that_is_closed_ends_it(highgui: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    highgui.visible = 0.0
    highgui.pipe.write(np.array((4, 5), "<u4").tobytes() + bytes(60))
    highgui.pipe.flush()
    window_child.main("t")
    assert capsys.readouterr().out.split() == ["ready", "ended"]
