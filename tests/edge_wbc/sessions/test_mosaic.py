"""The mosaic of a session: kept with it, exported with its cells, gone with its crops."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge_wbc.cli.sessions import sessions
from edge_wbc.draw import COLOURS
from edge_wbc.errors import OutputFailed, SessionError, UsageError
from edge_wbc.sessions import recorder as recorder_module
from edge_wbc.sessions.archive import contents, protect, remove
from edge_wbc.sessions.export import export
from edge_wbc.sessions.room import make_room, size
from edge_wbc.types import Box, Place
from edge_wbc.vision.mosaic import Mosaic
from edge_wbc.vision.slide_map import MappedCell, SlideMap

GREY = 180
CELLS = (MappedCell(1, "neutrophil", Box(60, 40, 40, 40)), MappedCell(2, "lymphocyte", Box(300, 140, 60, 40)))


def seen() -> tuple[Mosaic, SlideMap]:
    """A grey slide of 400×200 slide pixels at a quarter, from (-20, 0) on."""
    picture = np.full((50, 100, 3), GREY, np.uint8)
    return Mosaic(picture, 0.25, Place(-20.0, 0.0)), SlideMap(0, (400, 200), np.zeros((1, 2)), CELLS, None, 3)


@pytest.fixture
def folder(recorder_of, session, results, end_of) -> Path:
    """A session of four frames with a mosaic that shows two of its five cells."""
    recorder = recorder_of()
    recorder.mosaic = seen
    recorder.open(session)
    for result in results:
        recorder.frame(result)
    recorder.finish(*end_of("neutrophil"))
    recorder.close()
    assert "notices" not in recorder.report()
    return recorder.folder


def test_it_is_kept_with_the_places_of_its_cells(folder):
    picture = cv2.imread(str(folder / "mosaic.jpg"))
    assert picture.shape == (50, 100, 3)
    assert np.abs(picture.astype(int) - GREY).max() <= 2
    assert json.loads((folder / "mosaic.json").read_text()) == {
        "slide_px": 4.0,
        "corner": [-20.0, 0.0],
        "elsewhere": 3,
        "cells": [{"cell": 1, "box": [20, 10, 10, 10]}, {"cell": 2, "box": [80, 35, 15, 10]}],
    }


@pytest.mark.parametrize("name", ["slide.png", "slide.jpg"])
def test_it_is_exported_with_cells_outlined_by_what_they_were_counted_as(folder, tmp_path, name):
    recorded = contents(folder)
    assert export(recorded, f"mosaic:{tmp_path / name}") == 2
    drawn = cv2.imread(str(tmp_path / name))
    assert drawn.shape[0] > 100
    assert drawn.shape[1] >= 200
    tolerance = 20 if name.endswith("png") else 60
    assert np.abs(drawn[30, 40].astype(int) - COLOURS["neutrophil"]).max() <= tolerance, "twice as large"
    assert np.abs(drawn[30, 50].astype(int) - GREY).max() <= 10, "the cell itself is left free"
    assert np.abs(drawn[80, 160].astype(int) - COLOURS["lymphocyte"]).max() <= tolerance
    assert (drawn[8:18, 40:56] < 120).any(), "its number"
    assert (drawn[100:, 26:200] < 120).any(), "what the colours mean"


def test_the_command_names_it(folder):
    place = ["--record", str(folder.parent)]
    shown = CliRunner().invoke(sessions, ["show", "last", *place], standalone_mode=False)
    assert f"mosaic: {folder / 'mosaic.jpg'}" in shown.output
    shown = CliRunner().invoke(sessions, ["show", "last", "--json", *place], standalone_mode=False)
    assert json.loads(shown.output)["mosaic"] == str(folder / "mosaic.jpg")


def test_a_session_without_one_says_so(record, tmp_path):
    recorded = contents(record())
    with pytest.raises(SessionError, match="no mosaic; one is made where frames are followed"):
        export(recorded, f"mosaic:{tmp_path / 'a.png'}")
    shown = CliRunner().invoke(
        sessions, ["show", "last", "--json", "--record", str(recorded.head.folder.parent)], standalone_mode=False
    )
    assert json.loads(shown.output)["mosaic"] is None


def test_what_cannot_be_exported_is_a_line(folder, tmp_path):
    recorded = contents(folder)
    with pytest.raises(UsageError, match="write mosaic:PATH"):
        export(recorded, f"mosaic:{tmp_path / 'a.txt'}")
    with pytest.raises(OutputFailed, match="choose another place"):
        export(recorded, f"mosaic:{tmp_path / 'no' / 'a.png'}")
    for name in ("mosaic.jpg", "mosaic.json"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(b"nonsense")
        with pytest.raises(SessionError, match="damaged"):
            export(recorded, f"mosaic:{tmp_path / 'a.png'}")
        (folder / name).write_bytes(whole)


def test_it_goes_with_the_crops_and_stays_with_a_protected_session(folder):
    protect(folder, True)
    before = size(folder)
    assert make_room(folder.parent, 0) == before
    protect(folder, False)
    make_room(folder.parent, 0)
    assert not (folder / "mosaic.jpg").exists()
    assert not (folder / "mosaic.json").exists()
    assert contents(folder).head.crops_removed_utc is not None


def test_it_goes_with_the_session(folder):
    remove(folder)
    assert not folder.exists()


def test_a_full_disk_costs_the_mosaic_alone(recorder_of, session, results, end_of, monkeypatch):
    def full(folder, made, slide):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recorder_module, "keep", full)
    recorder = recorder_of()
    recorder.mosaic = seen
    recorder.open(session)
    recorder.frame(results[0])
    recorder.finish(*end_of("neutrophil"))
    recorder.close()
    assert recorder.report()["notices"] == [
        f"{recorder.folder}: no mosaic (no space left on device); the session is complete without it"
    ]
    assert contents(recorder.folder).head.cells == 2


def test_where_nothing_was_seen_there_is_none(recorder_of, session, end_of):
    recorder = recorder_of()
    recorder.mosaic = seen
    recorder.open(session)
    recorder.finish(*end_of())
    recorder.close()
    assert not recorder.folder.exists()
