"""What the tensors of an fp32 graph hold on real crops, beside what FP16 can hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx

from calibration.half import LARGEST, NORMAL, Plan
from calibration.observe import batches, session_with
from calibration.view import name_of
from edge_wbc.types import Pixels

MARGIN = 4.0
"""What the largest value seen must leave below ``LARGEST``. Other slides are stained and lit otherwise, and a kernel
that sums in FP16 passes through partial sums greater than the value it ends at."""


@dataclass(frozen=True, slots=True)
class Activation:
    """What one tensor that becomes FP16 held in float32."""

    tensor: str
    node: str
    """What makes it, by name."""
    largest: float
    """Absolute; infinite where a value was no number."""
    subnormal: float
    """Share, of its values other than 0, of those below ``NORMAL``."""

    @property
    def headroom(self) -> float:
        """How many times its largest value goes into FP16's largest."""
        return LARGEST / self.largest if self.largest else float("inf")

    @property
    def finding(self) -> str | None:
        """What is wrong with it in FP16; None if nothing is."""
        if self.headroom < MARGIN:
            return (
                f"{self.node}: its output reaches {self.largest:.4g}, FP16 ends at {LARGEST:.0f} and a factor of "
                f"{MARGIN:.0f} must be left; keep this graph fp32, or train with smaller weights"
            )
        if self.subnormal > 0.5:
            return (
                f"{self.node}: {self.subnormal:.0%} of its output is below {NORMAL:.1e}, where FP16 loses digits; "
                "keep this graph fp32, or scale what it takes"
            )
        return None


def overflow(model: onnx.ModelProto, crops: Pixels, progress: Callable[[int], None]) -> list[Activation]:
    """Run an fp32 graph over crops: what each tensor held that ``halve`` lowers, in the order of the graph.

    :param crops: uint8 (N, S, S, 3) BGR, N ≥ 1.
    :param progress: called with the number of crops run, up to N.
    :raises ModelError: no valid graph, no layer to speed up, or operators not known.
    """
    plan = Plan(model)
    tensors = [*plan.ups, *plan.made]
    session = session_with(model, tensors)
    largest = dict.fromkeys(tensors, 0.0)
    held, small = dict.fromkeys(tensors, 0), dict.fromkeys(tensors, 0)
    for batch in batches(session, tensors, crops, progress):
        for name, values in zip(tensors, batch, strict=True):
            sizes = np.abs(values)
            largest[name] = max(largest[name], float(np.where(np.isnan(sizes), np.inf, sizes).max()))
            held[name] += int((sizes > 0).sum())
            small[name] += int(((sizes > 0) & (sizes < NORMAL)).sum())
    found = []
    for name in tensors:
        maker = plan.view.maker(name)
        node = name if maker is None else name_of(maker)
        found.append(Activation(name, node, largest[name], small[name] / max(held[name], 1)))
    return found
