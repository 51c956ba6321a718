"""The contract of a source, and the table of sources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast

from edge_wbc.types import Frame, Refused
from edge_wbc.uri import Uri, load, parse, table_with_plugins


class Source(Protocol):
    """Where frames come from.

    Call order: construct (cheap, checks its arguments) → ``frames()`` once → ``close()``, also after an error.

    A source may have more, each left out where it says nothing: ``reopens = True`` (worth opening again when it is
    lost), ``remedy`` (what to do then), ``remarks`` (lines the user should see), ``lossless = True`` (live, but every
    frame is to be taken), and ``restarts`` and ``lost_s``, as `Summary` has them.
    """

    uri: str
    live: bool
    """True: frames come whether or not anyone takes them, and only the newest matters. False: none is lost."""
    continuous: bool
    """True: a frame may show what the frame before showed, as in a video. False: every frame shows another place."""

    def frames(self) -> Iterator[Frame | Refused]:
        """Yield frames in order until the source ends; a frame that can't be used comes as ``Refused``.

        :raises SourceError: the source as a whole can't be read.
        :raises CameraError: the camera is not there or went away.
        """
        ...

    def close(self) -> None:
        """Release the device or file. Safe to call twice and from another thread than the one that iterates."""
        ...


SOURCES: dict[str, str] = {
    "file": "edge_wbc.sources.files:open_path",
    "watch": "edge_wbc.sources.watch:open_watch",
    "smear": "edge_wbc.sources.smear:open_smear",
    "v4l2": "edge_wbc.sources.camera:open_v4l2",
    "camera": "edge_wbc.sources.camera:open_index",
    "csi": "edge_wbc.sources.gstreamer:open_csi",
    "gst": "edge_wbc.sources.gstreamer:open_pipeline",
    "rtsp": "edge_wbc.sources.gstreamer:open_rtsp",
    "http": "edge_wbc.sources.camera:open_stream",
    "genicam": "edge_wbc.sources.genicam:open_genicam",
    "micromanager": "edge_wbc.sources.micromanager:open_micromanager",
    "mm": "edge_wbc.sources.micromanager:open_micromanager",
}
"""Scheme → ``module:function(Uri) -> Source``, imported when asked for. Other packages add theirs by the
entry-point group ``edge_wbc.sources``."""


def open_source(text: str) -> Source:
    """Open a source by URI; text without a scheme is a path.

    :raises UsageError: unknown scheme or option.
    :raises SourceError: the path is not there or holds nothing that can be read.
    """
    table = table_with_plugins(SOURCES, "edge_wbc.sources")
    uri: Uri = parse(text, table, plain="file")
    return cast(Source, load(table[uri.scheme])(uri))
