"""What the page is told of a session, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edge_wbc.types import Box, FrameResult, Pixels, Summary
from edge_wbc.vision.quality import REASONS

MOST_CELLS = 400
"""Of a field that are outlined: more can't be told apart."""
INSTRUMENTS = ("serial", "socket", "rfc2217")
ENDINGS = {
    "source": "the source ended",
    "limit": "as many frames as asked for were taken",
    "cells": "target reached",
    "asked": "it was told to end",
    "stopped": "edge-wbc was told to end",
}
"""`Summary.ended` → in words; anything else is the line of an error."""


def summary_state(summary: Summary) -> dict[str, Any]:
    """Figures, differential, outputs."""
    return {
        "frames": {
            "given": summary.frames + summary.dropped + summary.refused,
            "processed": summary.frames,
            "dropped": summary.dropped,
            "refused": summary.refused,
            "rejected": dict(summary.rejected),
        },
        "cells": summary.cells,
        "seconds": summary.seconds,
        "fps": summary.fps,
        "age_ms": dict(summary.age_ms),
        "source_lost": {"times": summary.restarts, "seconds": summary.lost_s},
        "differential": asdict(summary.differential),
        "outputs": [_output(uri, report) for uri, report in summary.sinks.items()],
    }


def _output(uri: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """``error``: why it has failed, or why nothing gets through for now."""
    figures = {name: value for name, value in report.items() if isinstance(value, int) and not isinstance(value, bool)}
    return {
        "uri": uri,
        "instrument": "acknowledged" in report or uri.partition(":")[0] in INSTRUMENTS,
        "figures": figures,
        "error": report.get("error") or report.get("trouble"),
    }


def field_state(pixels: Pixels, result: FrameResult) -> dict[str, Any]:
    """A frame: its size in pixels, its cells, and why it is not judged."""
    named = [
        _cell(cell.box, said.label, said.probability)
        for cell, said in zip(result.cells, result.predictions, strict=True)
    ]
    again = [_cell(cell.box, label, None) for cell, label in result.again]
    return {
        "number": result.frame.index,
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "cells": (named + again)[:MOST_CELLS],
        "rejected": result.rejected,
        "advice": None if result.rejected is None else REASONS.get(result.rejected, result.rejected),
    }


def _cell(box: Box, label: str, probability: float | None) -> dict[str, Any]:
    """``probability`` is None where the cell was not classified in this frame; the label may then be empty."""
    return {"box": list(box), "label": label, "probability": probability}
