"""The values that flow through edge-wbc. All are frozen; units stand in names or docstrings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""Image of shape (height, width, 3), uint8, colour order BGR."""

CLASSES = (
    "neutrophil",
    "eosinophil",
    "basophil",
    "lymphocyte",
    "monocyte",
    "immature granulocyte",
    "erythroblast",
    "platelet",
)
"""Every class edge-wbc has a name for, in the order used by models, tables and the serial protocol."""

LEUKOCYTES = CLASSES[:6]
"""The classes that make up the denominator of a differential."""

NOT_A_CELL = "not_a_cell"
"""What a model says of red cells, debris and smudges that were located by mistake."""
LABELS = (*CLASSES, NOT_A_CELL)
"""What a model may say, in the order of its outputs."""
UNIDENTIFIED = "unidentified"
"""What is said where no label is probable enough."""


class Box(NamedTuple):
    """Axis-aligned rectangle in pixels of its frame; the last column covered is ``xmin + width - 1``."""

    xmin: int
    ymin: int
    width: int
    height: int


class Place(NamedTuple):
    """Where on the slide something lies, in slide pixels: pixels of a frame from wherever the session began."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Cell:
    """One located white blood cell in a frame."""

    box: Box
    score: float
    """How much the cell stands out from its frame, 0 to 1."""


@dataclass(frozen=True, slots=True)
class KnownCell:
    """A cell whose class is known, because the frame was simulated."""

    box: Box
    label: str
    cell_id: int
    """Unique within its source, the same in every frame that shows the cell."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image as the camera gave it."""

    pixels: Pixels
    index: int
    """Position in its source, from 0; a live source's dropped frames leave gaps."""
    time_ns: int
    """Capture time on the monotonic clock (``time.monotonic_ns``)."""
    origin: str
    """The file the frame came from, or the source's URI."""
    truth: tuple[KnownCell, ...] | None = None
    """What is really in the frame; only a simulated source knows."""
    defocus_px: float | None = None
    """How far a simulated frame is out of focus: deviation of its blur in pixels of a 640×480 frame, beside the
    lens' own."""

    @property
    def ref(self) -> FrameRef:
        return FrameRef(self.index, self.time_ns, self.origin, self.truth)


@dataclass(frozen=True, slots=True)
class FrameRef:
    """Which frame something is about, without its pixels: results may wait for a slow sink by the thousand."""

    index: int
    time_ns: int
    origin: str
    truth: tuple[KnownCell, ...] | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A frame that could not be used."""

    index: int
    origin: str
    reason: str
    """One line: what is wrong with the frame and what to do."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network says about one crop."""

    label: str
    """A class of the model, or ``unidentified`` below the model's threshold."""
    probability: float
    """Probability of the most probable class, 0 to 1, also when the label is ``unidentified``."""
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Sighting:
    """One look of the network at a cell."""

    prediction: Prediction
    crop: Pixels = field(compare=False, repr=False)
    """What it saw: uint8 (size, size, 3) BGR."""
    weight: float = 1.0
    """Of this prediction beside others of the same cell."""


@dataclass(frozen=True, slots=True)
class CountedCell:
    """A cell that counts, with what was decided about it."""

    number: int
    """Within the session, from 1."""
    frame: FrameRef
    """The frame that shows it, of several the sharpest."""
    cell: Cell
    """In that frame."""
    prediction: Prediction
    """Of all sightings together."""
    sightings: tuple[Sighting, ...]
    """In the order of their frames, one at least."""
    place: Place | None = None
    """Of its middle on the slide; None where frames are not followed, or it is not known how they lie to the first."""


class SeenAgain(NamedTuple):
    """A located cell that was not classified in this frame."""

    cell: Cell
    label: str
    """As which it counts; empty while that is not decided."""


@dataclass(frozen=True, slots=True)
class FrameResult:
    """Everything decided about one frame: cells and predictions correspond one to one."""

    frame: FrameRef
    cells: tuple[Cell, ...]
    """Those that were classified in this frame."""
    predictions: tuple[Prediction, ...]
    counted: tuple[CountedCell, ...]
    """Cells that count from now on, seen in this frame or earlier ones."""
    decided_ns: int
    """When the decision was made, on the monotonic clock."""
    again: tuple[SeenAgain, ...] = ()
    """Other cells in the frame: classified often enough before, or cut by its border."""
    rejected: str | None = None
    """Why the frame was not judged, in a word such as ``blurred``; it then has no cells."""
    pixels: Pixels | None = field(default=None, compare=False, repr=False)
    """The frame's, for sinks of ``pictures`` alone."""


@dataclass(frozen=True, slots=True)
class Share:
    """One class's part of a differential."""

    count: int
    percent: float | None
    """Of leukocytes; None for classes outside the denominator and while nothing was counted."""
    low: float | None
    """Lower end of the exact 95 % interval, in percent. Sampling error only."""
    high: float | None


@dataclass(frozen=True, slots=True)
class Differential:
    """Counts per class over the counted cells of a session."""

    total: int
    """Leukocytes counted: the denominator of the percentages."""
    unidentified: int
    shares: Mapping[str, Share]
    erythroblasts_per_100: float | None
    """Erythroblasts per 100 leukocytes; None when the model does not know them or nothing was counted."""


@dataclass(frozen=True, slots=True)
class Session:
    """One run over one slide."""

    session_id: str
    source: str
    mode: str
    model: str
    engine: str
    started_utc: str
    """ISO 8601, UTC."""
    started_ns: int
    """Monotonic clock."""
    started_unix_ns: int
    """Wall clock, nanoseconds since 1970, at the same moment as ``started_ns``."""
    version: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What a session amounted to."""

    frames: int
    dropped: int
    refused: int
    cells: int
    """Counted."""
    fps: float
    seconds: float
    """While it was counted: without pauses."""
    age_ms: Mapping[str, float]
    """Age of a frame when it was decided: p50, p90, p99."""
    stages: Mapping[str, Mapping[str, float]]
    """Per stage: p50 and p99 in ms, and the number of samples."""
    differential: Differential
    sinks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Per sink: what it delivered, and its error if it failed."""
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Frames that were not judged, by reason; they are among ``frames``."""
    restarts: int = 0
    """How many times the source was lost and came back."""
    lost_s: float = 0.0
    """Seconds without frames, from the last one before a loss to the first one after it."""
    ended: str = ""
    """What ended the session: ``source``, ``limit`` (of frames), ``cells`` (enough of them), ``asked`` (by the
    instrument, or on the page), ``stopped`` (by the user), or the line of an error; empty while it runs."""
