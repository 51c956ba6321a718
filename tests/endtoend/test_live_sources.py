"""Live sources that misbehave in the middle of a session, through real pipelines: the session goes on or says why."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_wbc.cli.session import new_session
from edge_wbc.engines.base import open_engine
from edge_wbc.manifest import load_model
from edge_wbc.pipeline import Outcome, Pipeline
from edge_wbc.supervisor import open_supervised
from edge_wbc.types import FrameResult
from tests.gst import needs_gstreamer

pytestmark = needs_gstreamer

BALL = "videotestsrc is-live=true pattern=ball background-color=0xffd8c8e8 foreground-color=0xff6030a0"


def part(pipe: str, width: int = 320, frames: int = 12) -> str:
    return f"{pipe} num-buffers={frames} ! video/x-raw,framerate=50/1,width={width},height=240 ! c."


def session(uri: str) -> tuple[Outcome, list[FrameResult], list[str]]:
    told: list[str] = []
    results: list[FrameResult] = []
    engine = open_engine("openvino", load_model(), threads=1)
    pipeline = Pipeline(
        open_supervised(uri, told.append),
        engine,
        [],
        new_session(uri, "cell", engine),
        notice=told.append,
        watch=lambda frame, result: results.append(result),
    )
    outcome = pipeline.run()
    engine.close()
    return outcome, results, told


def test_another_size_amid_the_session_is_told_and_it_goes_on() -> None:
    uri = f"gst://concat name=c {part(BALL)} {part(BALL, 400)} c."
    outcome, results, told = session(uri)
    assert outcome.error is None
    assert outcome.summary.refused == 0
    assert told == [f"{uri}: frames are now 400×240, before 320×240; the session goes on"]
    assert len(results) > 12, "frames of both sizes"


def test_a_clock_that_begins_anew_amid_the_session_costs_no_frame() -> None:
    """``concat adjust-base=false`` gives the second part's frames the times of the first's again."""
    outcome, results, told = session(f"gst://concat adjust-base=false name=c {part(BALL)} {part(BALL)} c.")
    assert outcome.error is None
    assert told == []
    assert len(results) > 12
    stamps = [result.frame.time_ns for result in results]
    assert all(a <= b for a, b in itertools.pairwise(stamps))
    assert all(result.decided_ns >= result.frame.time_ns for result in results)


@pytest.mark.parametrize(
    ("pipeline", "what"),
    [
        ("nosuchelement", 'no element "nosuchelement"'),
        ("videotestsrc ! ! fakesink", "syntax error"),
        ("videotestsrc num-buffers=0", "the pipeline ended without a frame"),
        ("audiotestsrc", "could not link"),
    ],
)
def test_a_pipeline_that_gives_nothing(pipeline: str, what: str, edge_wbc_command: Callable[..., Any]) -> None:
    done = edge_wbc_command("run", f"gst://{pipeline}", "--json")
    assert done.code == 4
    (line,) = done.said()
    assert what in line
    assert "Traceback" not in done.err
    assert done.json["frames"] == 0


def test_garbage_instead_of_a_video(tmp_path: Path, edge_wbc_command: Callable[..., Any]) -> None:
    (tmp_path / "garbage.mp4").write_bytes(np.random.default_rng(1).bytes(100_000))
    done = edge_wbc_command("run", f"gst://filesrc location={tmp_path}/garbage.mp4 ! decodebin", "--json")
    assert done.code == 4
    (line,) = done.said()
    assert "Could not determine type of stream" in line


def test_frames_of_noise_are_frames(tmp_path: Path, edge_wbc_command: Callable[..., Any]) -> None:
    (tmp_path / "noise.raw").write_bytes(np.random.default_rng(1).bytes(3 * 320 * 240 * 4))
    parse = "rawvideoparse width=320 height=240 format=bgr framerate=25/1"
    done = edge_wbc_command(
        "run", f"gst://filesrc location={tmp_path}/noise.raw ! {parse} ! identity sync=true", "--json"
    )
    assert done.code == 0, done.err
    assert 1 <= done.json["frames"] <= 4
    assert (done.json["restarts"], done.json["lost_s"]) == (0, 0)
