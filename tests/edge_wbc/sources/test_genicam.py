"""GenICam cameras: played ones, and the game that comes with the GenICam binding as a producer, where that is here."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_wbc.errors import CameraError, EnvironmentMissing, UsageError
from edge_wbc.sources import genicam
from edge_wbc.sources.base import open_source
from edge_wbc.sources.genicam_nodes import set_nodes
from edge_wbc.sources.settings import CameraSettings
from edge_wbc.types import Frame, Refused


class Played:
    """A harvester, an acquirer and a buffer: gives what it was told to, None where nothing came."""

    def __init__(self, *given: Any) -> None:
        self.given = list(given)
        self.calls: list[str] = []
        self.payload: Any = None

    def try_fetch(self, timeout: float) -> Any:
        item = self.given.pop(0)
        if isinstance(item, Exception):
            raise item
        self.payload = SimpleNamespace(components=[item])
        return None if item is None else self

    def __enter__(self) -> Played:
        self.calls.append("took")
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append("gave back")
        self.payload.components[0].data[:] = 0

    def __getattr__(self, name: str) -> Any:
        return lambda: self.calls.append(name)


def component(form: str, data: np.ndarray, width: int = 40, height: int = 32) -> SimpleNamespace:
    return SimpleNamespace(data_format=form, data=data.ravel().copy(), width=width, height=height)


def test_frames_outlive_their_buffers_and_padding_is_left_out() -> None:
    red = np.full((32, 40, 3), (0, 0, 200), np.uint8)
    padded = np.concatenate([red.reshape(32, 120), np.full((32, 8), 99, np.uint8)], axis=1)
    camera = Played(None, component("BGR8", red), component("BGR8", padded), component("Mono12p", red))
    source = genicam.GenICam("genicam:", camera, camera)
    frames = source.frames()
    first, second, third = next(frames), next(frames), next(frames)
    for frame, index in ((first, 0), (second, 1)):
        assert isinstance(frame, Frame)
        assert frame.index == index
        assert (frame.pixels == (0, 0, 200)).all()
    assert third == Refused(
        2, "genicam:", "genicam:: pixel format Mono12p is not read here; choose RGB8, BGR8 or BayerRG8 by ?format="
    )
    source.close()
    source.close()
    assert list(frames) == []
    assert camera.calls == ["start", *["took", "gave back"] * 3, "stop", "destroy", "reset"]


def test_too_few_values_are_refused() -> None:
    source = genicam.GenICam("g", Played(), Played(component("RGB8", np.zeros(100, np.uint8))))
    refused = next(source.frames())
    assert isinstance(refused, Refused)
    assert refused.reason.startswith("g: cannot reshape")


def test_a_camera_that_goes_is_a_loss() -> None:
    source = genicam.GenICam("g", Played(), Played(RuntimeError("unplugged\nat line 7")))
    with pytest.raises(CameraError, match=r"^g: unplugged; check the camera"):
        next(source.frames())
    assert source.reopens


class Node:
    """A feature that takes some values."""

    def __init__(self, value: Any, *takes: Any) -> None:
        self.__dict__.update(_value=value, _takes=takes)

    @property
    def value(self) -> Any:
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        if self._takes and value not in self._takes:
            raise RuntimeError(f"{value} is out of range")
        self.__dict__["_value"] = value


def test_settings_are_asked_in_standard_names_and_what_was_not_taken_is_told() -> None:
    nodes = SimpleNamespace(
        PixelFormat=Node("Mono8", "Mono8", "BayerRG8"),
        Width=Node(1920),
        Height=Node(1080),
        ExposureAuto=Node("Continuous"),
        ExposureTime=Node(1.0),
        Gain=Node(0.0, 1.0),
        AcquisitionFrameRate=Node(10.0),
    )
    asked = CameraSettings(size=(640, 480), fps=30, exposure_ms=2.5, gain=4, white_balance="auto")
    told = set_nodes(nodes, asked, "BayerRG8", "g")
    values = {name: node.value for name, node in vars(nodes).items()}
    assert values == {
        "PixelFormat": "BayerRG8",
        "Width": 640,
        "Height": 480,
        "ExposureAuto": "Off",
        "ExposureTime": 2500.0,
        "Gain": 0.0,
        "AcquisitionFrameRate": 30,
    }
    assert told == (
        "g: the camera did not take gain=4 (4 is out of range)",
        "g: the camera did not take white_balance=auto (it has no such setting)",
    )


def test_a_grey_camera_is_told_of() -> None:
    (told,) = set_nodes(SimpleNamespace(PixelFormat=Node("Mono12")), CameraSettings(), "", "g")
    assert "grey frames, which are not judged; choose a colour format" in told


@pytest.mark.parametrize("options", ["format=Mono12p", "white_balance=4600", "size=big", "exposure=2", "fps=-1"])
def test_options_that_make_no_sense(options: str) -> None:
    with pytest.raises(UsageError):
        open_source(f"genicam://?{options}")


def test_producers_are_found_where_makers_note_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/one.cti", "b/two.cti", "b/other.so"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setenv("GENICAM_GENTL64_PATH", f"{tmp_path / 'a'}:{tmp_path / 'none'}:{tmp_path / 'b'}:")
    assert genicam.producers("") == [tmp_path / "a/one.cti", tmp_path / "b/two.cti"]
    assert genicam.producers(str(tmp_path / "a/one.cti")) == [tmp_path / "a/one.cti"]
    with pytest.raises(EnvironmentMissing, match=r"no GenTL producer in /nowhere.cti; install the camera maker's"):
        genicam.producers("/nowhere.cti")
    monkeypatch.delenv("GENICAM_GENTL64_PATH")
    with pytest.raises(EnvironmentMissing, match=r"no GenTL producer in \$GENICAM_GENTL64_PATH"):
        genicam.producers("")
    assert genicam.cameras({}) == []


def test_without_the_library_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "harvesters.core", None)
    with pytest.raises(EnvironmentMissing, match=r"python -m pip install 'edge-wbc\[genicam\]'$"):
        open_source("genicam:")
    assert genicam.cameras({"GENICAM_GENTL64_PATH": "/x"}) == []


@pytest.fixture
def viky(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a GenTL producer that plays a game: three cameras of 400×400, RGBa8 or Mono8."""
    if importlib.util.find_spec("harvesters") is None:
        pytest.skip("harvesters is not here; python -m pip install 'edge-wbc[genicam]'")
    spec = importlib.util.find_spec("genicam")
    folder = Path(spec.origin).parent
    if not (folder / "viky.cti").is_file():
        pytest.skip("this version of the GenICam binding brings no producer")
    monkeypatch.setenv("GENICAM_GENTL64_PATH", str(folder))
    return folder


def test_a_real_producer_s_cameras_are_listed_and_give_frames(viky: Path) -> None:
    found = genicam.cameras({"GENICAM_GENTL64_PATH": str(viky)})
    assert [uri for uri, _ in found] == [f"genicam://?device={i}" for i in range(3)]
    for uri in (found[1][0], f"genicam:{viky / 'viky.cti'}", "genicam://?device=VikyTL_DEV_blue&fps=50"):
        with closing(open_source(uri)) as source:
            assert source.remarks == ()
            frames = source.frames()
            taken = [next(frames) for _ in range(3)]
        assert [frame.index for frame in taken] == [0, 1, 2]
        assert {frame.pixels.shape for frame in taken} == {(400, 400, 3)}
        assert taken[0].time_ns < taken[1].time_ns < taken[2].time_ns
        assert list(frames) == []


def test_a_real_producer_says_what_it_does_not_take(viky: Path) -> None:
    with closing(open_source("genicam://?format=BayerRG8&exposure_ms=2")) as source:
        assert [line.partition(" (")[0].partition("did not take ")[2] for line in source.remarks] == [
            "format=BayerRG8",
            "exposure_ms=2",
        ]
    with closing(open_source("genicam://?format=Mono8")) as source:
        frame = next(source.frames())
        assert (frame.pixels[:, :, 0] == frame.pixels[:, :, 2]).all()
        assert "grey frames" in source.remarks[0]
    with pytest.raises(CameraError, match="no such camera; here are 0, 1, 2"):
        open_source("genicam://?device=77")
