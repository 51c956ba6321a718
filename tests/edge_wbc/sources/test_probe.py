"""What cameras can do, asked of a driver that answers as Linux's do; their numbers held against Linux's own header.

No camera is here: not run on one.
"""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_wbc.cli.sources import _first_choice, cameras
from edge_wbc.sources import probe as asked
from edge_wbc.sources.probe import Device, Mode, installed, probe
from tests.gst import needs_gstreamer

MJPG, YUYV = (int.from_bytes(code, "little") for code in (b"MJPG", b"YUYV"))
SIZES = {MJPG: [(1280, 720), (640, 480)], YUYV: [(640, 480)]}
INTERVALS = {(MJPG, 1280): [(1, 30), (1, 60)], (MJPG, 640): [(1, 120)], (YUYV, 640): [(100, 2997)]}
CAPTURE_NODE, METADATA_NODE = 0x04200001, 0x04A00000


class Driver:
    """A USB camera's two nodes; a ribbon camera that names a range of sizes and no rates."""

    def __init__(self, own: int = CAPTURE_NODE, stepwise: bool = False, driver: bytes = b"uvcvideo") -> None:
        self.own, self.stepwise, self.driver = own, stepwise, driver

    def __call__(self, handle: int, request: int, buffer: bytearray) -> int:
        assert handle >= 0
        if request == asked.QUERYCAP:
            buffer[:] = asked.CAPABILITY.pack(self.driver, b"HD Camera: HD Camera", b"usb-1", 1, 0x84A00001, self.own)
            return 0
        try:
            if request == asked.ENUM_FMT:
                index, kind, *_ = asked.FORMAT.unpack(buffer)
                assert kind == asked.CAPTURE
                buffer[:] = asked.FORMAT.pack(index, kind, 0, b"a format", list(SIZES)[index])
            elif request == asked.ENUM_FRAMESIZES:
                index, code, *_ = asked.SIZE.unpack(buffer)
                if self.stepwise:
                    buffer[:] = asked.SIZE.pack(index, code, 3, 16, 4032, 2, 16, 3040, 2)
                else:
                    buffer[:] = asked.SIZE.pack(index, code, 1, *SIZES[code][index], 0, 0, 0, 0)
            else:
                assert request == asked.ENUM_FRAMEINTERVALS
                index, code, width, height, *_ = asked.INTERVAL.unpack(buffer)
                interval = [] if self.stepwise else INTERVALS[code, width]
                buffer[:] = asked.INTERVAL.pack(index, code, width, height, 1, *interval[index], 0, 0, 0, 0)
        except IndexError:
            raise OSError(errno.EINVAL, "Invalid argument") from None
        return 0


USB = (
    Mode("MJPG", 1280, 720, (60.0, 30.0)),
    Mode("MJPG", 640, 480, (120.0,)),
    Mode("YUYV", 640, 480, (29.97,)),
)


@pytest.fixture
def node(tmp_path: Path) -> Path:
    path = tmp_path / "dev" / "video0"
    path.parent.mkdir()
    path.touch()
    return path


def test_a_camera_tells_its_formats_sizes_and_rates(node: Path) -> None:
    assert probe(node, Driver()) == Device("uvcvideo", "HD Camera: HD Camera", USB)


def test_a_range_of_sizes_is_told_by_its_largest(node: Path) -> None:
    device = probe(node, Driver(stepwise=True))
    assert device is not None
    assert device.modes == (Mode("MJPG", 4032, 3040, ()), Mode("YUYV", 4032, 3040, ()))


def test_a_node_without_video_is_none(node: Path) -> None:
    assert probe(node, Driver(METADATA_NODE)) is None


def test_what_is_no_camera(node: Path) -> None:
    with pytest.raises(OSError, match="ioctl"):
        probe(node)


def test_cameras_by_the_uri_that_gives_pictures(node: Path) -> None:
    for number in (1, 2, 10):
        (node.parent / f"video{number}").touch()
    looks = {
        "video0": Driver(),
        "video1": Driver(METADATA_NODE),
        "video2": Driver(driver=b"tegra-video", stepwise=True),
        "video10": Driver(driver=b"tegra-video", stepwise=True),
    }
    found = cameras(node.parents[1], lambda path: probe(path, looks[path.name]))
    assert [camera["uri"] for camera in found] == ["v4l2:///dev/video0", "csi://0", "csi://1"]
    assert found[0]["modes"][0] == {"format": "MJPG", "width": 1280, "height": 720, "fps": (60.0, 30.0)}
    assert _first_choice(found) == "v4l2:///dev/video0?size=1280x720&fps=60&format=MJPG"
    assert _first_choice(found[1:]) == "csi://0"
    assert _first_choice([]) == "smear://?seed=1"


def test_a_camera_that_may_not_be_read_is_listed_as_such(node: Path) -> None:
    name = node.parents[1] / "sys/class/video4linux/video0/name"
    name.parent.mkdir(parents=True)
    name.write_text("HD Camera\n")

    def refused(path: Path) -> Device:
        raise PermissionError(errno.EACCES, "Permission denied")

    assert cameras(node.parents[1], refused) == [
        {"uri": "v4l2:///dev/video0", "name": "HD Camera", "readable": False, "modes": []}
    ]


PROGRAM = r"""
#include <stdio.h>
#include <stddef.h>
#include <linux/videodev2.h>
int main(void) {
  printf("%lu %lu %lu %lu\n", (unsigned long)VIDIOC_QUERYCAP, (unsigned long)VIDIOC_ENUM_FMT,
         (unsigned long)VIDIOC_ENUM_FRAMESIZES, (unsigned long)VIDIOC_ENUM_FRAMEINTERVALS);
  printf("%zu %zu %zu %zu\n", sizeof(struct v4l2_capability), sizeof(struct v4l2_fmtdesc),
         sizeof(struct v4l2_frmsizeenum), sizeof(struct v4l2_frmivalenum));
  printf("%zu %zu %zu %zu\n", offsetof(struct v4l2_capability, device_caps),
         offsetof(struct v4l2_fmtdesc, pixelformat), offsetof(struct v4l2_frmsizeenum, stepwise.max_height),
         offsetof(struct v4l2_frmivalenum, discrete));
  return 0;
}
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="apt-get install gcc libc6-dev")
def test_numbers_and_layouts_are_those_of_linux(tmp_path: Path) -> None:
    (tmp_path / "layout.c").write_text(PROGRAM)
    subprocess.run(["gcc", "layout.c", "-o", "layout"], cwd=tmp_path, check=True)
    told = subprocess.run([tmp_path / "layout"], capture_output=True, text=True, check=True).stdout
    numbers, sizes, places = ([int(word) for word in line.split()] for line in told.splitlines())
    assert numbers == [asked.QUERYCAP, asked.ENUM_FMT, asked.ENUM_FRAMESIZES, asked.ENUM_FRAMEINTERVALS]
    assert sizes == [shape.size for shape in (asked.CAPABILITY, asked.FORMAT, asked.SIZE, asked.INTERVAL)]
    assert places == [16 + 32 + 32 + 4 + 4, 12 + 32, 12 + 4 * 4, 20]


@needs_gstreamer
def test_the_gstreamer_that_is_here_is_whole() -> None:
    found = installed()
    assert found is not None
    assert re.fullmatch(r"1\.\d+\.\d+", found.version)
    assert found.missing == ()
    assert found.h264


def test_without_gstreamer_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked.gstreamer, "here", lambda: False)
    assert installed() is None


def test_elements_that_are_missing_are_told_by_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked.gstreamer, "here", lambda: True)
    said = {"gst-launch-1.0": "gst-launch-1.0 version 1.20.3\n", "gst-inspect-1.0": "rtsp:  rtspsrc: RTSP receiver\n"}
    monkeypatch.setattr(asked, "_output", lambda command, *_: said[command])
    assert installed() == asked.Installed("1.20.3", ("gstreamer1.0-plugins-bad",), "")
