"""A session in a real window of Debian's OpenCV, on a display that Xvfb keeps in memory."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from edge_wbc.cli.session import new_session, stopping
from edge_wbc.cli.window import View, window
from edge_wbc.engines.base import open_engine
from edge_wbc.manifest import load_model
from edge_wbc.pipeline import Pipeline
from edge_wbc.sources.base import open_source
from edge_wbc.types import Pixels
from tests.conftest import ROOT

SYSTEM_PYTHON = "/usr/bin/python3"
NEEDED = ("Xvfb", "xdotool", "xwd")
DEADLINE_S = 30
FROM_FRAME, FRAMES = 40, 3000
"""The session ends by the key long before its last frame."""
TITLE = "a slide in a window"


def has_windows() -> bool:
    asked = "import cv2; print('GUI:                           NONE' in cv2.getBuildInformation())"
    done = subprocess.run([SYSTEM_PYTHON, "-c", asked], capture_output=True, text=True, check=False)
    return done.stdout.strip() == "False"


pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, NEEDED)) or not has_windows(),
    reason="no display to be had here; apt-get install xvfb xdotool x11-apps python3-opencv",
)


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert server.stdout is not None
    monkeypatch.setenv("DISPLAY", f":{server.stdout.readline().strip().decode()}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(sys, "executable", SYSTEM_PYTHON)
    yield
    server.terminate()
    server.wait()
    server.stdout.close()


def screenshot() -> Pixels:
    """What the display shows, (height, width, 3) BGR, from an X window dump, version 7."""
    dump = subprocess.run(["xwd", "-root", "-silent"], capture_output=True, check=True).stdout
    header = np.frombuffer(dump, ">u4", 25).tolist()
    width, height, channels, bytes_a_line, colours = header[4], header[5], header[11] // 8, header[12], header[19]
    pixels = np.frombuffer(dump, np.uint8, offset=header[0] + 12 * colours).reshape(height, bytes_a_line)
    return pixels[:, : channels * width].reshape(height, width, channels)[..., :3].copy()


def test_a_session_is_shown_until_q_is_pressed(display: None) -> None:
    engine = open_engine("openvino", load_model(), threads=1)
    told: list[str] = []
    view = View()
    seen: list[Pixels] = []

    def watch(frame, result) -> None:
        view.watch(frame, result)
        if frame.index >= FROM_FRAME and not seen:
            found = subprocess.run(
                ["xdotool", "search", "--sync", "--name", TITLE],
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=True,
            )
            for _ in range(100):
                seen[:] = [screenshot()]
                if len(np.unique(seen[0][::4, ::4, 1])) > 100:  # a frame, not a bare window
                    break
                time.sleep(0.05)
            subprocess.run(["xdotool", "windowfocus", found.stdout.split()[-1], "key", "q"], check=True)

    source = open_source("smear://?seed=1&cells=100000&fps=30&path=raster")
    pipeline = Pipeline(
        source, engine, [], new_session("smear://", "slide", engine), limit=FRAMES, notice=told.append, watch=watch
    )
    with stopping(pipeline.stop) as interrupted, window(view, TITLE, pipeline.status, told.append):
        outcome = pipeline.run()
        assert interrupted()
    engine.close()
    assert outcome.summary.ended == "stopped"
    assert told == []
    shown = seen[0].reshape(-1, 3)
    assert np.ptp(shown, axis=0).min() > 200, "a frame and the panel beside it"
