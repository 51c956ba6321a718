"""Does an INT8 graph still say what its fp32 graph says? What it lost, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_wbc.differential import exact_interval

LEAST_AGREEMENT = 0.99
"""Share of crops on which both name the same class."""
LARGEST_LOSS = 0.01
"""Of a class's recall; one cell more wrong than before is always allowed, or a rare class could never pass."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Class:
    """One class before and after."""

    crops: int
    right_before: int
    right_after: int

    @property
    def passed(self) -> bool:
        return self.right_before - self.right_after <= max(1, LARGEST_LOSS * self.crops)


@dataclass(frozen=True, slots=True)
class Gate:
    """What was compared, and whether it passed."""

    crops: int
    agreement: float
    agreement_interval: tuple[float, float]
    """Exact, 95 %, crops taken as independent."""
    worst_difference: float
    """Largest absolute difference of a probability."""
    classes: dict[str, Class]
    passed: bool

    def failures(self) -> list[str]:
        """What did not pass, a phrase each."""
        found = [
            f"{name} loses {item.right_before - item.right_after} of {item.crops} cells"
            for name, item in self.classes.items()
            if not item.passed
        ]
        if self.agreement < LEAST_AGREEMENT:
            found.append(f"the same class on {self.agreement:.2%} of crops only, {LEAST_AGREEMENT:.0%} is the least")
        return found


def judge(before: Floats, after: Floats, truth: Sequence[str], names: Sequence[str]) -> Gate:
    """Compare probabilities (N, C) of the fp32 and the INT8 graph on the same N ≥ 1 crops.

    :param truth: the label of each crop, one of ``names``.
    """
    first, then = before.argmax(axis=1), after.argmax(axis=1)
    wanted = np.array([names.index(label) for label in truth])
    same = int((first == then).sum())
    classes = {
        name: Class(int(of.sum()), int((first[of] == i).sum()), int((then[of] == i).sum()))
        for i, name in enumerate(names)
        if (of := wanted == i).any()
    }
    agreement = same / len(wanted)
    return Gate(
        len(wanted),
        agreement,
        exact_interval(same, len(wanted)),
        float(np.abs(before - after).max()),
        classes,
        agreement >= LEAST_AGREEMENT and all(item.passed for item in classes.values()),
    )
