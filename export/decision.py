"""How logits become an answer: temperature and threshold, chosen on cells that nothing was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from export.graph import Decision, fit_temperature, probabilities_of
from training.datasets import Sample
from training.evaluate import by_part, scored_from
from training.reliability import OperatingPoint, reliability, threshold_for

REJECTS = 0.02
"""Share of known cells that the shipped threshold declines to name, where that takes more than ``LEAST_THRESHOLD``."""
LEAST_THRESHOLD = 0.5
"""Below it the network itself holds every class for more likely wrong than right."""
NOT_FITTED = Decision(1.0, LEAST_THRESHOLD, "not fitted: no real cells were given")


def decide_on(logits: npt.NDArray[np.float32], samples: Sequence[Sample], labels: tuple[str, ...]) -> Decision:
    """Temperature by likelihood over all samples; threshold from the risk–coverage curve of the cells among them.

    :param logits: (N, C), one row a sample, columns as in ``labels``.
    :raises SourceError: there is no cell among the samples.
    """
    temperature = fit_temperature(logits, [labels.index(sample.label) for sample in samples])
    scored = scored_from(samples, probabilities_of(logits, temperature), labels)
    point = threshold_for(scored, REJECTS, LEAST_THRESHOLD)
    return Decision(temperature, point.threshold, _words(point))


def cross_fitted_ece(
    logits: npt.NDArray[np.float32], samples: Sequence[Sample], labels: tuple[str, ...]
) -> dict[str, float] | None:
    """Calibration error of each part, with temperatures fitted on groups that are not in it.

    The groups are halved; each half is judged with the temperature of the other.

    :returns: None where there is but one group.
    """
    first = in_first_half([sample.group for sample in samples])
    if first.all():
        return None
    targets = np.array([labels.index(sample.label) for sample in samples])
    probabilities = np.empty(logits.shape)
    for judged in (first, ~first):
        temperature = fit_temperature(logits[~judged], targets[~judged].tolist())
        probabilities[judged] = probabilities_of(logits[judged], temperature)
    found = {name: reliability(part) for name, part in by_part(scored_from(samples, probabilities, labels)).items()}
    return {name: part.ece for name, part in found.items() if part is not None}


def in_first_half(groups: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Whether each entry's group belongs to the first half; every origin gives half of its groups, chosen by a hash."""
    ordered = sorted(set(groups), key=lambda name: (name.split("/")[0], hashlib.sha256(name.encode()).digest()))
    chosen = set(ordered[::2])
    return np.array([group in chosen for group in groups], bool)


def _words(point: OperatingPoint) -> str:
    chosen = (
        f"{LEAST_THRESHOLD}, because below it every class is more likely wrong than right"
        if point.threshold == LEAST_THRESHOLD
        else f"chosen to reject {REJECTS:.0%} of the cells of locked groups"
    )
    return f"{chosen}: on these it {point.words}; not_a_cell counts as rejected, the temperature is fitted on them too"
