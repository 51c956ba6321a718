"""A stream over HTTP on this machine: what OpenCV opens, through the camera source."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_wbc.cli.session import new_session
from edge_wbc.engines.base import open_engine
from edge_wbc.errors import CameraError
from edge_wbc.manifest import load_model
from edge_wbc.pipeline import Pipeline
from edge_wbc.sources.base import open_source
from edge_wbc.supervisor import Supervised, open_supervised
from edge_wbc.types import Frame
from tests.data import drawn_cell

FRAMES = 12


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[str]:
    """The address of a stream of drawn frames that ends, as a camera does that is switched off."""
    writer = cv2.VideoWriter(str(tmp_path / "slide.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (320, 240))
    for number in range(FRAMES):
        writer.write(drawn_cell(number))
    writer.release()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/slide.avi"
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_frames_come_in_order_until_the_stream_ends_with_an_error(stream: str) -> None:
    source = open_source(stream)
    assert source.live
    frames: list[Frame] = []
    with pytest.raises(CameraError, match="stopped giving frames"):
        frames.extend(source.frames())  # type: ignore[arg-type]
    source.close()
    assert [frame.index for frame in frames] == list(range(FRAMES))
    assert frames[0].origin == stream
    assert [frame.time_ns for frame in frames] == sorted(frame.time_ns for frame in frames)
    assert np.abs(frames[3].pixels.astype(int) - drawn_cell(3)).mean() < 12  # what JPEG leaves of it


def test_the_pipeline_keeps_what_it_saw_when_the_stream_ends(stream: str) -> None:
    source, engine = open_source(stream), open_engine("openvino", load_model(), threads=1)
    outcome = Pipeline(source, engine, [], new_session(stream, "cell", engine)).run()
    engine.close()
    assert isinstance(outcome.error, CameraError)
    assert outcome.summary.frames + outcome.summary.dropped == FRAMES
    assert outcome.summary.cells == outcome.summary.frames >= 1


def test_a_file_over_http_is_not_opened_again_at_its_end(stream: str) -> None:
    """Its cells would be counted twice."""
    source = open_supervised(stream, [].append)
    assert not isinstance(source, Supervised)
    source.close()


def test_a_stream_that_is_not_there(stream: str) -> None:
    with pytest.raises(CameraError, match="can't be opened"):
        open_source(stream.replace("slide.avi", "other.avi"))
