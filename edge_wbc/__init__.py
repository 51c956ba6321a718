"""edge-wbc: live white-blood-cell differential counting on a small computer. Research use only."""

from __future__ import annotations

__version__ = "0.1.0"

RESEARCH_USE = "Research use only. Not for diagnosis."
