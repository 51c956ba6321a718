"""What the cameras of this machine can do, asked of their drivers; and which GStreamer is here.

The calls are those of Linux's ``linux/videodev2.h``; a driver fills in the structure it is handed.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_wbc.sources import gstreamer
from edge_wbc.sources.gst_child import LAUNCH

CAPABILITY = struct.Struct("<16s32s32sIII12x")
"""``v4l2_capability``: driver, card, bus, version, capabilities of all nodes, and of this one."""
FORMAT = struct.Struct("<III32sI16x")
"""``v4l2_fmtdesc``: index, type, flags, description, FourCC."""
SIZE = struct.Struct("<III6I8x")
"""``v4l2_frmsizeenum``: index, FourCC, kind, then width and height, or least, most and step of both."""
INTERVAL = struct.Struct("<IIIII6I8x")
"""``v4l2_frmivalenum``: index, FourCC, width, height, kind, then seconds as fractions."""
QUERYCAP, ENUM_FMT, ENUM_FRAMESIZES, ENUM_FRAMEINTERVALS = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
VIDEO_CAPTURE, DEVICE_CAPS = 0x1, 0x8000_0000
CAPTURE, DISCRETE = 1, 1
MOST = 64
"""Entries asked for of each list; drivers end theirs sooner."""
TEGRA = "tegra-video"
"""The driver of cameras on a Jetson's ribbon connectors: they give raw Bayer here, and pictures as ``csi://``."""
ELEMENTS = {"gdppay": "gstreamer1.0-plugins-bad", "rtspsrc": "gstreamer1.0-plugins-good"}
"""Elements that sources need, and the packages that bring them."""
H264 = ("nvv4l2decoder", "avdec_h264", "openh264dec", "vah264dec", "v4l2h264dec")
"""Decoders for ``rtsp://``, any of them."""

Ioctl = Callable[[int, int, bytearray], Any]
"""``fcntl.ioctl``."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A format and size in which a camera gives frames."""

    format: str
    """FourCC."""
    width: int
    height: int
    fps: tuple[float, ...]
    """Rates, the highest first; none if the driver names none."""


@dataclass(frozen=True, slots=True)
class Device:
    """What a camera says of itself."""

    driver: str
    name: str
    modes: tuple[Mode, ...]


@dataclass(frozen=True, slots=True)
class Installed:
    """The GStreamer of this machine."""

    version: str
    missing: tuple[str, ...]
    """Debian packages of elements that sources need and that are not here."""
    h264: str
    """The decoder that ``rtsp://`` has for H.264, if any."""


def probe(path: Path, ioctl: Ioctl | None = None) -> Device | None:
    """Ask a device; None if it gives no video, as the second node of most USB cameras.

    :raises OSError: it can't be opened, or is no Video4Linux device.
    """
    if ioctl is None:
        import fcntl  # Windows has none, and no such devices

        ioctl = fcntl.ioctl
    handle = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        question = CAPABILITY.pack(b"", b"", b"", 0, 0, 0)
        driver, card, _, _, every, own = _asked(ioctl, handle, QUERYCAP, CAPABILITY, question)
        if not (own if every & DEVICE_CAPS else every) & VIDEO_CAPTURE:
            return None
        return Device(_text(driver), _text(card), tuple(_modes(ioctl, handle)))
    finally:
        os.close(handle)


def installed() -> Installed | None:
    """Which GStreamer is here; None without gst-launch-1.0."""
    if not gstreamer.here():
        return None
    told = _output(LAUNCH, "--version")
    version = re.search(r"version (\S+)", told)
    elements = set(re.findall(r"^\w+:  ([\w-]+):", _output("gst-inspect-1.0"), re.MULTILINE))
    missing = {package for element, package in ELEMENTS.items() if element not in elements}
    h264 = next((name for name in H264 if name in elements), "")
    return Installed(version[1] if version else "here", tuple(sorted(missing)), h264)


def _modes(ioctl: Ioctl, handle: int) -> Iterator[Mode]:
    for number in range(MOST):
        try:
            found = _asked(ioctl, handle, ENUM_FMT, FORMAT, FORMAT.pack(number, CAPTURE, 0, b"", 0))
        except OSError:
            return
        code = found[4]
        for width, height in _sizes(ioctl, handle, code):
            yield Mode(_text(code.to_bytes(4, "little")), width, height, _rates(ioctl, handle, code, width, height))


def _sizes(ioctl: Ioctl, handle: int, code: int) -> Iterator[tuple[int, int]]:
    for number in range(MOST):
        try:
            found = _asked(ioctl, handle, ENUM_FRAMESIZES, SIZE, SIZE.pack(number, code, *[0] * 7))
        except OSError:
            return
        _, _, kind, least_wide, most_wide, _, _, most_high, _ = found
        if kind != DISCRETE:
            yield most_wide, most_high
            return
        yield least_wide, most_wide  # width and height stand in their places


def _rates(ioctl: Ioctl, handle: int, code: int, width: int, height: int) -> tuple[float, ...]:
    rates = []
    for number in range(MOST):
        try:
            found = _asked(
                ioctl, handle, ENUM_FRAMEINTERVALS, INTERVAL, INTERVAL.pack(number, code, width, height, *[0] * 7)
            )
        except OSError:
            break
        numerator, denominator = found[5:7]
        if numerator:
            rates.append(round(denominator / numerator, 3))
        if found[4] != DISCRETE:
            break
    return tuple(sorted(rates, reverse=True))


def _asked(ioctl: Ioctl, handle: int, request: int, shape: struct.Struct, question: bytes) -> tuple[Any, ...]:
    buffer = bytearray(question)
    ioctl(handle, request, buffer)
    return shape.unpack(buffer)


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "replace").strip()


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout
