"""What a report shows: data alone, the same for the page, the PDF, the table and JSON. `gather` makes it of a review.

Figures are rounded and text is made fit to be shown before they get here, so that no form can show another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figures:
    """A class in a differential, as `Share`: percent and its exact 95 % interval, rounded to one decimal."""

    cells: int
    percent: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell that stands for its class; see `pictures.HOW`."""

    cell: int
    probability: float
    """That the network gave the class it has now, 0 to 1."""
    moved: bool
    """By a person."""
    png: bytes = field(repr=False)
    """Its crop, as the network saw it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A class, or a pile of cells without one."""

    name: str
    verified: Figures
    """Of the cells as they stand."""
    preliminary: Figures | None
    """The network's; None of what it does not know."""
    shown: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """Of one differential."""

    leukocytes: int
    """What percentages are of."""
    unidentified: int
    not_classed: int
    erythroblasts_per_100: float | None


@dataclass(frozen=True, slots=True)
class Explained:
    """Why cells stay without a class; empty text where nobody has said it."""

    pile: str
    cells: int
    why: str
    who: str
    at_utc: str


@dataclass(frozen=True, slots=True)
class Frames:
    """None where it is not known: while a session runs, and of one that broke off."""

    judged: int
    refused: int
    reasons: Mapping[str, int]
    """Why frames were refused."""
    dropped: int | None
    """That a newer one replaced before they were looked at."""
    rejected: Mapping[str, int] | None
    """Looked at and not judged, by reason: no cell of theirs was counted."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The session."""

    session_id: str
    label: str
    notes: tuple[str, ...]
    source: str
    mode: str
    started_utc: str
    ended_utc: str | None
    ended: str
    """As `archive.Head`."""
    version: str
    """Of edge-wbc that recorded it."""


@dataclass(frozen=True, slots=True)
class Network:
    """What named the cells."""

    model: str
    engine: str
    """With its precision."""
    graph_sha256: str
    manifest_sha256: str
    temperature: float
    unidentified_below: float
    threshold_from: str
    calibration_error: Mapping[str, float]
    """Expected calibration error in percent, by set of images; empty where the manifest is gone or says none."""
    measured_on: str


@dataclass(frozen=True, slots=True)
class Signed:
    """A version that was signed."""

    version: int
    who: str
    at_utc: str
    cells: int
    row_hash: str
    """The chain's head when it was signed."""
    digests: Mapping[str, str]
    """SHA-256 of what was recorded, by name such as ``cells_sha256``."""


@dataclass(frozen=True, slots=True)
class Amended:
    """A signed version that was opened again."""

    version: int
    """The new one."""
    who: str
    at_utc: str
    why: str


@dataclass(frozen=True, slots=True)
class Moved:
    """Cells that people gave another class than the network, as they stand now."""

    before: str
    after: str
    cells: int


@dataclass(frozen=True, slots=True)
class Agreed:
    """A blind reading beside the review, over the cells that were read."""

    reader: str
    cells: int
    agreed: int
    """Cells of the same class by both."""
    kappa: float | None
    """Cohen's, and its 95 % interval, rounded to two decimals; None where there is none."""
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Decided:
    """The review and its chain."""

    version: int
    signed: bool
    signatures: tuple[Signed, ...]
    amendments: tuple[Amended, ...]
    moved: tuple[Moved, ...]
    rows: int
    head: str
    """Hash of the chain's last row."""
    readers: tuple[str, ...]
    """Who has read blind."""
    agreement: tuple[Agreed, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The whole."""

    notice: str
    status: str
    """Who signed it, or that nobody has."""
    warnings: tuple[str, ...]
    """What the reader must know before the figures."""
    recorded: Recorded
    cells: int
    """Counted, whatever they are."""
    lines: tuple[Line, ...]
    verified: Totals
    preliminary: Totals
    explained: tuple[Explained, ...]
    crops_missing: str
    """Why cells are not shown; empty where they are."""
    frames: Frames
    network: Network
    decided: Decided
    control: tuple[str, ...] | None
    """Flags of quality control; None where nobody has looked."""
    printed_by: str
    """Version of edge-wbc."""
