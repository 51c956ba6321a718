"""A session as a video, read again by OpenCV."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_wbc.draw import draw_result
from edge_wbc.errors import OutputFailed, UsageError
from edge_wbc.sinks.base import open_sink
from edge_wbc.types import Box, Cell, FrameResult, Pixels, SeenAgain, Session


def shown(result: FrameResult, size: tuple[int, int], level: int) -> FrameResult:
    return replace(result, pixels=np.full((size[1], size[0], 3), level, np.uint8))


def frames_of(path: Path) -> list[Pixels]:
    capture, found = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        found.append(np.asarray(read[1], np.uint8))
    capture.release()
    return found


@pytest.mark.parametrize("name", ["out.mp4", "out.avi"])
def test_every_frame_is_in_it(
    name: str, tmp_path: Path, session: Session, result_of: Callable[..., FrameResult]
) -> None:
    sink = open_sink(f"video:{tmp_path / name}")
    sink.open(session)
    for index, level in enumerate((40, 120, 200)):
        sink.frame(shown(result_of(index, ()), (160, 120), level))
    sink.frame(shown(result_of(3, ()), (321, 120), 90))
    sink.close()
    found = frames_of(tmp_path / name)
    assert [frame.shape for frame in found] == [(120, 160, 3)] * 4
    assert [round(float(frame[50, 80].mean()) / 10) for frame in found] == [4, 12, 20, 9]
    assert sink.report() == {"path": str(tmp_path / name), "frames": 4}


def test_cells_are_drawn_and_why_a_frame_is_not_judged(result_of: Callable[..., FrameResult]) -> None:
    result = replace(result_of(0, ("monocyte",)), again=(SeenAgain(Cell(Box(100, 40, 30, 30), 0.5), ""),))
    pixels = np.full((120, 320, 3), 128, np.uint8)
    drawn = draw_result(pixels, result)
    assert (drawn[40, 105:120] > 200).all(), "a cell that was decided before is outlined in white"
    box = result.cells[0].box
    assert (drawn[box.ymin : box.ymin + 40, box.xmin : box.xmin + 60] != 128).any()
    assert (pixels == 128).all(), "the frame itself stays"
    told = draw_result(pixels, replace(result, rejected="blurred"))
    assert (told[100:] != drawn[100:]).any()


def test_what_can_not_be_written_is_said(tmp_path: Path, session: Session) -> None:
    with pytest.raises(OutputFailed, match="choose another place"):
        open_sink(f"video:{tmp_path / 'no' / 'out.mp4'}").open(session)
    for uri in ("video:out.txt", "video:", "video:///o.mp4?fps=0", "video:///o.mp4?x=1"):
        with pytest.raises(UsageError):
            open_sink(uri)
