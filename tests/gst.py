"""Real GStreamer for tests: skips where it is not here, and an RTSP server as a process of its own."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from edge_wbc.sources import gstreamer

SYSTEM_PYTHON = "/usr/bin/python3"
NEEDED = "import gi; gi.require_version('GstRtspServer', '1.0')"
PACKAGES = (
    "apt-get install gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
)

needs_gstreamer = pytest.mark.skipif(not gstreamer.here(), reason=f"gst-launch-1.0 is not here; {PACKAGES}")


H264 = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=30/1"
    " ! openh264enc gop-size=30 ! video/x-h264,profile=constrained-baseline ! rtph264pay config-interval=1 name=pay0"
)


class RtspServer:
    """A network camera that can be killed and started again; of JPEG, or what its pipeline gives."""

    def __init__(self, *pipeline: str) -> None:
        if subprocess.run([SYSTEM_PYTHON, "-c", NEEDED], capture_output=True, check=False).returncode:
            pytest.skip("no RTSP server; apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-rtsp")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"rtsp://127.0.0.1:{self.port}/stream"
        self._pipeline = pipeline
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Returns when it serves."""
        script = Path(__file__).with_name("rtsp_server.py")
        command = [SYSTEM_PYTHON, script, str(self.port), *self._pipeline]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "serving\n"

    def kill(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None
