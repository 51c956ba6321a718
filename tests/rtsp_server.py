"""A camera on the network: an RTSP server with a moving ball. Run by the system's python3, which has GStreamer's gi.

    python3 rtsp_server.py PORT [PIPELINE]

Prints a line when it serves ``rtsp://127.0.0.1:PORT/stream``.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

BALL = (
    "videotestsrc is-live=true pattern=ball background-color=0xffd8c8e8 foreground-color=0xff6030a0"
    " ! video/x-raw,format=I420,width=320,height=240,framerate=30/1"
    " ! jpegenc ! rtpjpegpay name=pay0"
)


def main(port: str, pipeline: str = BALL) -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {pipeline} )")
    factory.set_shared(True)
    server.get_mount_points().add_factory("/stream", factory)
    if not server.attach(None):
        sys.exit(f"port {port} is taken")
    sys.stdout.write("serving\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


main(*sys.argv[1:])
