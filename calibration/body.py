"""The part of a graph that lower precision speeds up: from its first layer with weights to what its head takes."""

from __future__ import annotations

from onnx import NodeProto

from calibration.lint import WEIGHTED
from calibration.view import View

_HEADS = ("Gemm", "MatMul")


def body(view: View) -> list[NodeProto]:
    """In the order of the graph.

    Not in it: the front, which no layer with weights stands before; the head, a matrix product that no layer with
    weights follows; and what comes after. They are small, and their values are sums over a whole crop or scores.
    """
    behind, before = _reached(view, forward=True), _reached(view, forward=False)
    return [
        node
        for i, node in enumerate(view.nodes)
        if (i in behind or node.op_type in WEIGHTED)
        and (i in before or (node.op_type in WEIGHTED and node.op_type not in _HEADS))
    ]


def _reached(view: View, forward: bool) -> set[int]:
    """Places of the nodes that stand behind, or before, a layer with weights."""
    touched: set[str] = set()
    found: set[int] = set()
    order = list(enumerate(view.nodes))
    for i, node in order if forward else reversed(order):
        near, far = (node.input, node.output) if forward else (node.output, node.input)
        if not touched.isdisjoint(near):
            found.add(i)
        if i in found or node.op_type in WEIGHTED:
            touched.update(name for name in far if name)
    return found
