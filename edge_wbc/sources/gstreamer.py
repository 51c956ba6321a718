"""Pipelines of GStreamer, CSI cameras and RTSP streams: no wheel of OpenCV has GStreamer inside.

gst://v4l2src device=/dev/video0 ! image/jpeg,width=1280 ! jpegdec
csi://0?size=1920x1080&fps=60&exposure_ms=2&gain=1
rtsp://camera.local/stream
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction

from edge_wbc.errors import CameraError, UsageError
from edge_wbc.sources.camera import Camera, open_stream
from edge_wbc.sources.gst_child import INSTALL, LAUNCH, GStreamer
from edge_wbc.sources.settings import AUTO, camera_settings
from edge_wbc.uri import Uri

LATENCY_MS = 50
"""How long ``rtspsrc`` waits for packets out of order. Over TCP none are."""
ARGUS = "check the ribbon cable; if that is well: sudo systemctl restart nvargus-daemon"
WHITE_BALANCES = (
    "off",
    "auto",
    "incandescent",
    "fluorescent",
    "warm-fluorescent",
    "daylight",
    "cloudy-daylight",
    "twilight",
    "shade",
    "manual",
)
"""``wbmode`` of ``nvarguscamerasrc`` from 0, as gst-inspect-1.0 prints it."""


def open_pipeline(uri: Uri) -> GStreamer:
    """``gst://PIPELINE``: what you would type behind gst-launch-1.0, up to raw video. ``?`` and ``%`` are %3F and %25.

    :raises UsageError: no pipeline, or a quote that is not closed.
    :raises CameraError: gst-launch-1.0 is not here.
    """
    if uri.options or "?" in uri.text:
        raise UsageError(f"{uri.text}: gst:// takes no options; write %3F for a ? in the pipeline")
    try:
        words = shlex.split(uri.path)
    except ValueError as error:
        raise UsageError(f"{uri.text}: {str(error).lower()}; close the quotes") from None
    if not words or words[0].startswith("-"):
        raise UsageError(f"{uri.text}: no pipeline; write for example gst://videotestsrc is-live=true")
    argus = "nvarguscamerasrc" in words
    return _launched(uri, words, ends=True, remedy=ARGUS if argus else f"try it: {LAUNCH} PIPELINE ! fakesink")


def open_csi(uri: Uri) -> GStreamer:
    """``csi://0``: a camera on a Jetson's ribbon connector, through Argus.

    :raises UsageError: not a number, or an unknown option.
    :raises CameraError: gst-launch-1.0 is not here.
    """
    return _launched(uri, shlex.split(csi_pipeline(uri)), remedy=ARGUS)


def csi_pipeline(uri: Uri) -> str:
    """The pipeline of ``csi://0`` as one would type it in a shell.

    Exposure is a range in ns and gain one of factors: a fixed value is a range of one, without the ISP's own gain.

    :raises UsageError: not a number, or an unknown option.
    """
    if not (uri.path.isdecimal() and len(uri.path) < 3):
        raise UsageError(f"{uri.text}: write csi://0 for the first camera, csi://1 for the second")
    asked = camera_settings(uri, "size", "fps", "exposure_ms", "gain", "white_balance")
    balance = asked.white_balance or AUTO
    if balance not in WHITE_BALANCES:
        raise UsageError(f"{uri.text}: white_balance={balance} is none of {', '.join(WHITE_BALANCES)}")
    camera = f"nvarguscamerasrc sensor-id={uri.path} wbmode={WHITE_BALANCES.index(balance)}"
    if asked.exposure_ms:
        camera += ' exposuretimerange="{0} {0}"'.format(round(asked.exposure_ms * 1e6))
    if asked.gain is not None:
        camera += f' gainrange="{asked.gain:g} {asked.gain:g}" ispdigitalgainrange="1 1"'
    caps = "'video/x-raw(memory:NVMM),format=NV12"
    if asked.size:
        caps += ",width={},height={}".format(*asked.size)
    if asked.fps:
        fps = Fraction(asked.fps).limit_denominator(1001)
        caps += f",framerate={fps.numerator}/{fps.denominator}"
    return f"{camera} ! {caps}' ! nvvidconv ! video/x-raw,format=BGRx"


def open_rtsp(uri: Uri) -> GStreamer | Camera:
    """``rtsp://…`` over TCP; through OpenCV where gst-launch-1.0 is not here.

    On a Jetson the decoder leaves frames in the GPU's memory: ``nvvidconv`` fetches them.

    :raises CameraError: the stream can't be opened; through GStreamer ``frames()`` says so.
    """
    if not here():
        return open_stream(uri)
    source = ["rtspsrc", f"location={uri.text}", "protocols=tcp", f"latency={LATENCY_MS}", "drop-on-latency=true"]
    words = [*source, "!", "application/x-rtp,media=video", "!", "decodebin"]
    if _has_element("nvvidconv"):
        words += ["!", "nvvidconv", "!", "video/x-raw,format=BGRx"]
    return _launched(uri, words, remedy="check that the camera is on and its address and password are right")


def here() -> bool:
    """True if gst-launch-1.0 is on this machine, and the machine hands pipes on to children."""
    return os.name == "posix" and shutil.which(LAUNCH) is not None


def _launched(uri: Uri, words: Sequence[str], *, ends: bool = False, remedy: str) -> GStreamer:
    if not here():
        raise CameraError(f"{uri.text}: {LAUNCH} is not on this machine; {INSTALL}")
    return GStreamer(uri.text, words, ends=ends, remedy=remedy)


def _has_element(name: str) -> bool:
    return subprocess.run(["gst-inspect-1.0", "--exists", name], check=False).returncode == 0
