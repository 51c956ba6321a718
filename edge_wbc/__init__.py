"""edge-wbc: live white-blood-cell differential counting on a small computer. Research use only."""

from __future__ import annotations

import os

__version__ = "0.4.0"

MOST_PIXELS = 64_000_000
"""Largest frame accepted, 8000×8000."""
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MOST_PIXELS))
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
# OpenCV reads both once, when it is first imported: nothing of edge-wbc has imported it yet.

RESEARCH_USE = "Research use only. Not for diagnosis."
