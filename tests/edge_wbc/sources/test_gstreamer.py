"""Real pipelines and a real RTSP server through the child process; the text of those that only a Jetson runs."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from edge_wbc.errors import CameraError, UsageError
from edge_wbc.sources import gstreamer
from edge_wbc.sources.base import open_source
from edge_wbc.sources.camera import Camera
from edge_wbc.sources.capture_clock import CaptureClock
from edge_wbc.sources.gst_child import GStreamer, complaint
from edge_wbc.sources.gstreamer import csi_pipeline
from edge_wbc.types import Frame, Refused
from edge_wbc.uri import parse
from tests.gst import H264, RtspServer, needs_gstreamer

DEADLINE_S = 30
LIVE = "videotestsrc is-live=true pattern=ball"
SMALL = "video/x-raw,width=320,height=240,framerate=100/1"
TABLE = {"csi": "", "gst": ""}


@pytest.fixture(params=[(), (H264,)], ids=["jpeg", "h264"])
def rtsp(request: pytest.FixtureRequest) -> Iterator[RtspServer]:
    server = RtspServer(*request.param)
    server.start()
    yield server
    server.kill()


@needs_gstreamer
@pytest.mark.parametrize("width", [320, 322, 33])
def test_frames_of_a_pipeline_are_whole_whatever_their_width(width: int) -> None:
    """SMPTE bars: white at the left of the top, blue at its right."""
    source = open_source(f"gst://videotestsrc is-live=true num-buffers=4 ! video/x-raw,width={width},height=240")
    assert source.live
    frames = list(source.frames())
    source.close()
    assert 1 <= len(frames) <= 4
    assert [frame.index for frame in frames] == list(range(len(frames)))
    for frame in frames:
        assert isinstance(frame, Frame)
        assert frame.pixels.shape == (240, width, 3)
        assert np.allclose(frame.pixels[20, 1], 255, atol=4)
        assert np.allclose(frame.pixels[20, width - 2], (255, 0, 0), atol=4)


@needs_gstreamer
def test_frames_know_when_they_were_captured() -> None:
    source = open_source(f"gst://{LIVE} ! {SMALL}")
    before = time.monotonic_ns()
    seen = list(itertools.islice(source.frames(), 30))
    source.close()
    times = [frame.time_ns for frame in seen if isinstance(frame, Frame)]
    assert before < times[0]
    assert times == sorted(times)
    assert times[-1] <= time.monotonic_ns()
    assert times[-1] - times[0] > 0.2e9, "thirty frames of 10 ms each"


@needs_gstreamer
def test_only_the_newest_frame_waits_for_a_slow_taker() -> None:
    """Each buffer's number is in its time: the one taken after a pause is of after the pause."""
    source = open_source(f"gst://{LIVE} ! {SMALL}")
    iterator = source.frames()
    next(iterator)
    paused_ns = time.monotonic_ns()
    while time.monotonic_ns() < paused_ns + 1e9:  # the taker is busy
        sum(range(10_000))
    waiting = 6
    """In the pipe (four frames of 230 kB), at its mouth and in the queue; 100 came."""
    ages = []
    for item in itertools.islice(iterator, waiting + 1):
        assert isinstance(item, Frame)
        ages.append(time.monotonic_ns() - item.time_ns)
    source.close()
    assert min(ages) < 0.4e9, "what waited is thrown away, not handed out first"


@needs_gstreamer
def test_a_size_that_changes_amid_the_stream() -> None:
    def part(width: int) -> str:
        return f"{LIVE} num-buffers=8 ! video/x-raw,framerate=100/1,width={width},height=240 ! c."

    source = open_source(f"gst://concat name=c {part(320)} {part(400)} c.")
    shapes = [frame.pixels.shape for frame in source.frames() if isinstance(frame, Frame)]
    source.close()
    assert {shape[1] for shape in shapes} == {320, 400}
    assert shapes == sorted(shapes)


@needs_gstreamer
def test_frames_that_cannot_be_used_are_refused_one_by_one() -> None:
    source = open_source("gst://videotestsrc is-live=true num-buffers=3 ! video/x-raw,width=20,height=20")
    items = list(source.frames())
    source.close()
    assert items
    assert all(isinstance(item, Refused) and "a frame needs at least 32×32" in item.reason for item in items)


@needs_gstreamer
@pytest.mark.parametrize(
    ("pipeline", "what"),
    [
        ("nosuchelement", 'no element "nosuchelement"'),
        ("videotestsrc ! ! fakesink", "syntax error"),
        ("videotestsrc nosuch=1", 'no property "nosuch" in element "videotestsrc"'),
        ("audiotestsrc", "could not link"),
        ("filesrc location=/no/such ! decodebin", r'filesrc0: Resource not found \(No such file "/no/such"\)'),
        ("filesrc location=/etc/passwd ! decodebin", "This appears to be a text file"),
        ("v4l2src device=/dev/no-such", "Cannot identify device '/dev/no-such'"),
        ("videotestsrc num-buffers=0", "the pipeline ended without a frame"),
    ],
)
def test_a_pipeline_that_gives_nothing_says_why_in_one_line(pipeline: str, what: str) -> None:
    source = open_source(f"gst://{pipeline}")
    with pytest.raises(CameraError, match=what) as caught:
        list(source.frames())
    source.close()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"gst://{pipeline}: ")


@needs_gstreamer
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("gst://", "no pipeline"),
        ("gst://-h", "no pipeline"),
        ("gst://videotestsrc?pattern=1", "write %3F"),
        ("gst://videotestsrc 'open", "close the quotes"),
        ("csi://left", "csi://0 for the first camera"),
        ("csi://0?zoom=2", "unknown option 'zoom'"),
        ("csi://0?size=big", "not WIDTHxHEIGHT"),
        ("csi://0?fps=-1", "not a number above 0"),
        ("csi://0?fps=nan", "not a number above 0"),
        ("csi://0?white_balance=4600", "is none of off, auto"),
    ],
)
def test_a_uri_that_makes_no_sense_is_refused(text: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        open_source(text)


@needs_gstreamer
def test_a_csi_camera_off_a_jetson() -> None:
    source = open_source("csi://0?size=1920x1080&fps=30&exposure_ms=2&gain=2")
    with pytest.raises(CameraError, match=r'no element "nvarguscamerasrc"; install the plugin'):
        list(source.frames())
    source.close()


@needs_gstreamer
@pytest.mark.parametrize("text", ["csi://0", "gst://nvarguscamerasrc sensor-id=0"])
def test_what_goes_through_argus_names_its_remedy(text: str) -> None:
    source = open_source(text)
    assert isinstance(source, GStreamer)
    assert "sudo systemctl restart nvargus-daemon" in source.remedy


@needs_gstreamer
def test_a_question_mark_and_a_space_reach_the_element() -> None:
    source = open_source("gst://filesrc location='/no such%3Fplace 100%25' ! decodebin")
    with pytest.raises(CameraError, match=r'No such file "/no such\?place 100%"'):
        list(source.frames())
    source.close()


@needs_gstreamer
def test_closing_from_another_thread_ends_it_and_the_child() -> None:
    source = open_source(f"gst://{LIVE} ! {SMALL}")
    assert isinstance(source, GStreamer)
    begun = threading.Event()
    seen: list[object] = []

    def read() -> None:
        for item in source.frames():
            seen.append(item)
            begun.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert begun.wait(DEADLINE_S)
    source.close()
    source.close()
    reader.join(DEADLINE_S)
    assert not reader.is_alive()
    assert source.child_pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(source.child_pid, 0)


@needs_gstreamer
def test_a_taker_that_leaves_ends_the_child() -> None:
    source = open_source(f"gst://{LIVE} ! {SMALL}")
    assert isinstance(source, GStreamer)
    iterator = source.frames()
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]
    assert source.child_pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(source.child_pid, 0)


@needs_gstreamer
def test_a_child_that_is_killed_is_a_loss() -> None:
    source = open_source(f"gst://{LIVE} ! {SMALL}")
    assert isinstance(source, GStreamer)
    iterator = source.frames()
    next(iterator)
    assert source.child_pid is not None
    os.kill(source.child_pid, signal.SIGKILL)
    with pytest.raises(CameraError, match="the stream ended"):
        list(iterator)
    source.close()


@needs_gstreamer
def test_rtsp_comes_through_gstreamer_and_its_end_is_a_loss(rtsp: RtspServer) -> None:
    source = open_source(rtsp.uri)
    assert isinstance(source, GStreamer)
    iterator = source.frames()
    frame = next(iterator)
    assert isinstance(frame, Frame)
    assert frame.pixels.shape == (240, 320, 3)
    bright = (frame.pixels.max() > 200 for frame, _ in zip(iterator, range(90), strict=False))
    assert any(bright), "the ball; until a keyframe of H.264 has come the decoder may give grey"
    rtsp.kill()
    with pytest.raises(CameraError, match="check that the camera is on") as caught:
        list(iterator)
    assert "\n" not in str(caught.value)
    source.close()


@needs_gstreamer
def test_an_rtsp_server_that_is_not_there() -> None:
    server = RtspServer()
    source = open_source(server.uri)
    with pytest.raises(CameraError, match="Failed to connect"):
        list(source.frames())
    source.close()


def test_without_gstreamer_rtsp_goes_through_opencv_and_the_others_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gstreamer, "here", lambda: False)
    opened: list[str] = []
    monkeypatch.setattr(gstreamer, "open_stream", lambda uri: opened.append(uri.text) or Camera(uri.text, None))
    assert isinstance(open_source("rtsp://127.0.0.1:9/x"), Camera)
    assert opened == ["rtsp://127.0.0.1:9/x"]
    for text in ("gst://videotestsrc", "csi://0"):
        with pytest.raises(CameraError, match=r"is not on this machine; sudo apt install gstreamer1\.0-tools"):
            open_source(text)


@pytest.mark.parametrize(
    ("text", "pipeline"),
    [
        (
            "csi://0",
            "nvarguscamerasrc sensor-id=0 wbmode=1 ! 'video/x-raw(memory:NVMM),format=NV12'"
            " ! nvvidconv ! video/x-raw,format=BGRx",
        ),
        (
            "csi://1?size=1920x1080&fps=60&exposure_ms=2&gain=4&white_balance=daylight",
            'nvarguscamerasrc sensor-id=1 wbmode=5 exposuretimerange="2000000 2000000" gainrange="4 4"'
            ' ispdigitalgainrange="1 1"'
            " ! 'video/x-raw(memory:NVMM),format=NV12,width=1920,height=1080,framerate=60/1'"
            " ! nvvidconv ! video/x-raw,format=BGRx",
        ),
        (
            "csi://0?fps=29.97&exposure_ms=auto",
            "nvarguscamerasrc sensor-id=0 wbmode=1 ! 'video/x-raw(memory:NVMM),format=NV12,framerate=2997/100'"
            " ! nvvidconv ! video/x-raw,format=BGRx",
        ),
    ],
)
def test_the_pipeline_of_a_csi_camera(text: str, pipeline: str) -> None:
    """As public repositories and threads write the element's properties; run on no board here."""
    assert csi_pipeline(parse(text, TABLE)) == pipeline


class TestCaptureClock:
    def test_what_a_frame_took_longer_than_the_quickest_is_its_age(self) -> None:
        clock = CaptureClock()
        assert clock.captured_ns(0, 1000) == 1000
        assert clock.captured_ns(10, 1010) == 1010
        assert clock.captured_ns(20, 1100) == 1020
        assert clock.captured_ns(30, 1030) == 1030

    def test_a_clock_that_goes_backwards_begins_anew(self) -> None:
        clock = CaptureClock()
        clock.captured_ns(5_000, 10_000)
        assert clock.captured_ns(0, 10_010) == 10_010
        assert clock.captured_ns(10, 10_060) == 10_020

    def test_times_never_go_backwards_nor_beyond_the_arrival(self) -> None:
        rng = np.random.default_rng(1)
        clock, last, arrived = CaptureClock(), 0, 0
        for pts in rng.integers(0, 1000, 500).tolist():
            arrived += int(rng.integers(0, 50))
            captured = clock.captured_ns(pts if pts % 7 else None, arrived)
            assert last <= captured <= arrived
            last = captured


def test_the_complaint_of_gst_launch_is_one_part_of_a_line() -> None:
    said = [
        "Setting pipeline to PAUSED ...\n",
        "ERROR: from element /GstPipeline:pipeline0/GstV4l2Src:v4l2src0: Cannot identify device '/dev/video0'.\n",
        "Additional debug info:\n",
        "../sys/v4l2/v4l2_calls.c(608): gst_v4l2_open (): /GstPipeline:pipeline0/GstV4l2Src:v4l2src0:\n",
        "system error: No such file or directory\n",
    ]
    text = "v4l2src0: Cannot identify device '/dev/video0' (system error: No such file or directory)"
    assert complaint(said) == text
    assert complaint(said[:2]) == "v4l2src0: Cannot identify device '/dev/video0'"
    assert complaint(["GST_ARGUS: Creating output stream\n"]) == ""
