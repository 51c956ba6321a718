"""What is drawn while a session runs."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from edge_wbc.cli.common import say
from edge_wbc.cli.screen import Screen, screen
from edge_wbc.types import Box, Differential, Place, Share, Summary
from edge_wbc.vision.slide_map import MappedCell, SlideMap

SHARES = {
    "neutrophil": Share(60, 60.0, 49.7, 69.7),
    "basophil": Share(0, 0.0, 0.0, 3.6),
    "platelet": Share(4, None, None, None),
}
START = Summary(
    frames=0,
    dropped=0,
    refused=0,
    cells=0,
    fps=0.0,
    seconds=0.0,
    age_ms={},
    stages={},
    differential=Differential(100, 7, SHARES, None),
)


def drawn(screen: Screen) -> str:
    console = Console(width=100, no_color=True, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    with console.file:
        console.print(screen)
    return console.export_text()


def test_the_differential_its_intervals_and_the_rates_of_the_last_second() -> None:
    summaries = iter(
        [
            START,
            replace(START, frames=10, cells=5, seconds=0.5),
            replace(START, frames=70, cells=35, dropped=3, seconds=2.5, age_ms={"p50": 12.3, "p90": 20.0, "p99": 45.6}),
        ]
    )
    times = iter([0.0, 2.0, 2.5])
    screen = Screen("smear on leukonet", lambda: next(summaries), lambda: next(times))
    assert "0 frames/s" in drawn(screen)
    drawn(screen)
    text = drawn(screen)
    assert "120 frames/s, 60 cells/s, age of a frame 12 ms (46)" in text
    assert "70 frames, 3 dropped, 0 refused" in text
    neutrophil = next(line for line in text.splitlines() if "neutrophil" in line)
    assert "60.0" in neutrophil
    assert "49.7–69.7" in neutrophil
    assert neutrophil.count("█") == 15, "49.7 % of 30"
    assert neutrophil.count("▓") == 3
    assert neutrophil.count("░") == 3
    assert "smear on leukonet" in text
    assert "Research use only" in text


def test_the_instrument_is_shown_with_what_it_has_and_what_is_wrong() -> None:
    sinks = {"serial:///dev/x": {"acknowledged": 5, "naks": 0, "outbox": "p"}, "csv:a": {"error": "csv:a: no room"}}
    text = drawn(Screen("t", lambda: replace(START, sinks=sinks)))
    assert "serial:///dev/x: 5 acknowledged" in text
    assert "csv:a: csv:a: no room" in text


def test_losses_of_the_camera_and_frames_not_judged_are_shown() -> None:
    text = drawn(Screen("t", lambda: START))
    assert "lost" not in text
    assert "not judged" not in text
    summary = replace(START, restarts=2, lost_s=3.14, rejected={"blurred": 5, "dark": 1})
    text = drawn(Screen("t", lambda: summary))
    assert "source lost and opened again 2×, 3.1 s without frames" in text
    assert "frames not judged: 5 blurred, 1 dark" in text


def test_the_slide_is_shown_where_frames_are_followed() -> None:
    cells = (MappedCell(1, "monocyte", Box(600, 400, 40, 40)),)
    slide = SlideMap(0, (640, 480), np.array([(0.0, 0.0), (320.0, 0.0)]), cells, Place(320.0, 0.0), 2)
    text = drawn(Screen("t", lambda: START, slide=lambda: slide))
    assert "slide: 1.5 × 1.0 fields seen, 1 cell there, 2 at places apart from these" in text
    assert "░░░░▒▒▒1▒▒▒▒" in text
    assert "slide:" not in drawn(Screen("t", lambda: START))


class Terminal(io.TextIOWrapper):
    """With bytes behind it, as a real one."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return True


def test_lines_that_come_meanwhile_stand_above_and_are_not_drawn_over(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    with screen("t", lambda: START, lambda: None):
        say("the camera is lost; opening it again")
    before, line, after = terminal.buffer.getvalue().decode().partition("the camera is lost; opening it again\n")
    assert line
    assert "╭" in before
    assert after.startswith("╭"), "the screen is drawn anew below the line"


def on_a_terminal(*arguments: str) -> str:
    """What the command prints on a terminal of its own."""
    terminal, inside = os.openpty()
    environment = {**os.environ, "COLUMNS": "100", "LINES": "40", "TERM": "xterm"}
    command = [sys.executable, "-m", "edge_wbc", *arguments]
    printed = b""
    with subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside, env=environment) as process:
        os.close(inside)
        with suppress(OSError):  # the other end is gone
            while piece := os.read(terminal, 65536):
                printed += piece
    os.close(terminal)
    assert process.returncode == 0
    return printed.decode()


def test_a_terminal_gets_the_screen_and_then_the_differential() -> None:
    text = on_a_terminal("run", "smear://?seed=1&cells=2&fps=60&path=raster", "--limit", "40")
    assert "Ctrl-C ends the session" in text
    assert "▒▒▒" in text, "the map"
    assert text.index("Ctrl-C ends the session") < text.rindex("Differential")


def test_lines_that_were_asked_for_come_without_a_screen() -> None:
    text = on_a_terminal("run", "smear://?seed=1&cells=5&size=160x120", "--to", "console:")
    assert "Ctrl-C ends the session" not in text
    assert "neutrophil" in text
