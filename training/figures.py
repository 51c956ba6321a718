"""Everything that is told about one set of scored cells, as one value: for JSON, a table or a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training.datasets import Sample
from training.evaluate import Report, Scored, report
from training.reliability import Reliability, RiskCoverage, reliability, risk_coverage

FEW_GROUPS = 20
"""With fewer photographs bootstrap intervals are known to be too narrow: see ``training.intervals``."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was right, whether the probabilities mean what they say, and what the threshold costs."""

    report: Report
    reliability: Reliability | None
    """None where nothing was classified."""
    risk_coverage: RiskCoverage | None
    """None where no cell of a class the model knows was classified."""

    @property
    def json(self) -> dict[str, Any]:
        """The report's fields, with ``reliability`` and ``risk_coverage`` among them."""
        return {
            **asdict(self.report),
            "reliability": self.reliability and asdict(self.reliability),
            "risk_coverage": self.risk_coverage and asdict(self.risk_coverage),
        }


def figures(scored: Sequence[Scored], threshold: float) -> Figures:
    """:param threshold: the model's own, below which it says ``unidentified``.
    :raises SourceError: nothing was scored.
    """
    return Figures(report(scored), reliability(scored), risk_coverage(scored, threshold))


def trained_on(record: Mapping[str, Any], samples: Sequence[Sample]) -> list[str]:
    """The sources among the samples that a model was trained on, by the training record in its manifest."""
    trained = {name.split("/")[0] for name in record.get("images", {})}
    return sorted({sample.source for sample in samples} & trained)


def caveats(found: Report) -> list[str]:
    """What a reader of the intervals must know, a sentence each."""
    said = []
    alone = [label for label, entry in found.per_class.items() if entry["groups"] == 1]
    if found.groups == 1:
        said.append("One photograph only: there is no interval.")
    elif alone:
        said.append(f"One photograph only of {', '.join(alone)}: no interval there, nor for the balanced accuracy.")
    if 1 < found.groups < FEW_GROUPS:
        said.append(f"{found.groups} photographs are few: the intervals are rather too narrow.")
    if 1 < found.groups == found.images:
        said.append("Each image counts as its own photograph: if several show one slide, intervals are too narrow.")
    return said
