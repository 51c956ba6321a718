"""Micro-Manager's cameras: a core that is played, and a real one with cameras written in Python, where that is here."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge_wbc.errors import CameraError, EnvironmentMissing, SourceError, UsageError
from edge_wbc.sources.base import open_source
from edge_wbc.sources.micromanager import MicroManager
from edge_wbc.supervisor import Patience, Supervised
from edge_wbc.types import Frame, Refused

RED = np.full((32, 40, 3), (200, 0, 0), np.uint8)


class Core:
    """Gives groups of images, one group whenever it is asked; then the camera has stopped."""

    def __init__(self, *groups: list[np.ndarray], bits: int = 8) -> None:
        self.groups, self.waiting, self.bits = list(groups), [], bits
        self.calls: list[str] = []

    def startContinuousSequenceAcquisition(self, interval_ms: float) -> None:  # noqa: N802
        self.calls.append("start")

    def getRemainingImageCount(self) -> int:  # noqa: N802
        if not self.waiting and self.groups:
            self.waiting = self.groups.pop(0)
        return len(self.waiting)

    def popNextImage(self) -> np.ndarray:  # noqa: N802
        return self.waiting.pop(0)

    def isSequenceRunning(self) -> bool:  # noqa: N802
        return bool(self.groups)

    def getImageBitDepth(self) -> int:  # noqa: N802
        return self.bits

    def stopSequenceAcquisition(self) -> None:  # noqa: N802
        self.calls.append("stop")

    def unloadAllDevices(self) -> None:  # noqa: N802
        self.calls.append("unload")


def test_the_newest_of_what_waits_is_taken_and_a_camera_that_stops_is_a_loss() -> None:
    core = Core([RED // 4, RED // 2, RED], [], [RED])
    source = MicroManager("mm:x", core)
    frames = source.frames()
    for index in (0, 1):
        frame = next(frames)
        assert isinstance(frame, Frame)
        assert (frame.index, frame.pixels[5, 5].tolist()) == (index, [0, 0, 200])
    with pytest.raises(CameraError, match=r"^mm:x: the camera stopped giving frames; load the same configuration"):
        next(frames)
    source.close()
    source.close()
    assert core.calls == ["start", "stop", "unload"]


@pytest.mark.parametrize(("bits", "bayer"), [(12, ""), (16, ""), (12, "RG")])
def test_deeper_grey_and_raw_mosaics(bits: int, bayer: str) -> None:
    data = np.full((32, 40), 100 << (bits - 8), np.uint16)
    frame = next(MicroManager("mm:x", Core([data], bits=bits), bayer).frames())
    assert isinstance(frame, Frame)
    assert (frame.pixels == 100).all()


def test_what_is_no_picture_is_refused() -> None:
    refused = next(MicroManager("mm:x", Core([np.zeros((32, 40), np.float32)], bits=32)).frames())
    assert isinstance(refused, Refused)
    assert refused.reason == "mm:x: 32-bit pixels of 1 values are not Mono32; the camera's adapter is not understood"


def test_a_core_that_fails_is_a_loss() -> None:
    core = Core([RED])
    core.popNextImage = lambda: (_ for _ in ()).throw(IndexError("Circular buffer is empty"))
    with pytest.raises(CameraError, match=r"^mm:x: Circular buffer is empty; "):
        next(MicroManager("mm:x", core).frames())


def test_what_is_wrong_is_said_before_anything_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="no such configuration"):
        open_source(f"mm:{tmp_path / 'none.cfg'}")
    for options in ("bayer=XX", "exposure_ms=auto", "exposure_ms=-1", "gain=2"):
        with pytest.raises(UsageError):
            open_source(f"micromanager://{tmp_path / 'a.cfg'}?{options}")
    monkeypatch.setitem(sys.modules, "pymmcore_plus", None)
    (tmp_path / "a.cfg").touch()
    with pytest.raises(EnvironmentMissing, match=r"python -m pip install 'edge-wbc\[micromanager\]'$"):
        open_source(f"mm:{tmp_path / 'a.cfg'}")


@pytest.fixture
def configured(tmp_path: Path) -> Callable[[str], str]:
    """Writes a configuration with a camera of `mm_camera`, for a real core; returns its path."""
    if importlib.util.find_spec("pymmcore_plus") is None:
        pytest.skip("pymmcore-plus is not here; python -m pip install 'edge-wbc[micromanager]'")

    def write(name: str) -> str:
        lines = [
            f"#py pyDevice,Camera,tests.edge_wbc.sources.mm_camera,{name}",
            "#py Property,Core,Initialize,1",
            "#py Property,Core,Camera,Camera",
        ]
        path = tmp_path / f"{name}.cfg"
        path.write_text("\n".join(lines))
        return str(path)

    return write


@pytest.mark.micromanager
def test_a_real_core_gives_frames_in_their_colours(configured: Callable[[str], str]) -> None:
    with closing(open_source(f"micromanager://{configured('Colour')}?exposure_ms=3&camera=Camera")) as source:
        assert source._core.getExposure() == 3
        frames = source.frames()
        taken = [next(frames) for _ in range(5)]
    assert [frame.index for frame in taken] == list(range(5))
    numbers = [int(frame.pixels[0, 0, 2]) for frame in taken]
    assert numbers == sorted(set(numbers)), "no frame twice"
    assert taken[0].pixels[5, 5].tolist() == [60, 120, 200]
    assert list(frames) == []


@pytest.mark.micromanager
def test_a_real_core_s_raw_mosaic(configured: Callable[[str], str]) -> None:
    with closing(open_source(f"micromanager://{configured('Mosaic')}?bayer=rg")) as source:
        frame = next(source.frames())
    assert frame.pixels[100, 100].tolist() == [60, 120, 200]


@pytest.mark.micromanager
def test_a_real_camera_that_stops_is_opened_again(configured: Callable[[str], str]) -> None:
    told: list[str] = []
    with closing(Supervised(open_source, f"mm:{configured('Ending')}", told.append, Patience(wait_s=0.01))) as source:
        frames = source.frames()
        while source.restarts < 2:
            next(frames)
    assert "the camera stopped giving frames; opening it again" in told[0]


@pytest.mark.micromanager
def test_a_configuration_that_can_not_be_loaded(configured: Callable[[str], str], tmp_path: Path) -> None:
    configured("Colour")
    path = tmp_path / "scope.cfg"
    path.write_text("Device,Camera,NoSuchAdapter,DCam\nProperty,Core,Initialize,1\n")
    with pytest.raises(CameraError, match=r"it can't be loaded .*NoSuchAdapter.*; `mmcore install` brings") as raised:
        open_source(f"mm:{path}")
    assert "\n" not in str(raised.value)
    path.write_text("Property,Core,Initialize,1\n")
    with pytest.raises(CameraError, match="the configuration has no camera"):
        open_source(f"mm:{path}")
    with pytest.raises(CameraError, match="load the same configuration in Micro-Manager"):
        open_source(f"micromanager://{configured('Colour')}?camera=Other")
