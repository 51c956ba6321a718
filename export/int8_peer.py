"""A peer in INT8, quantised as our own graphs are."""

from __future__ import annotations

import numpy as np

from calibration.observe import observe, range_of
from calibration.quantize import quantise, quantised_tensors, read_float_graph
from edge_wbc.manifest import Model, sha256


def int8_peer(peer: Model) -> Model:
    """A peer's INT8 graph, written beside it: ranges of noise, for its speed alone.

    :raises ModelError: it can't be quantised.
    """
    floats = read_float_graph(peer.graph)
    crops = np.random.default_rng(0).integers(0, 256, (1, peer.manifest.input.size_px, peer.manifest.input.size_px, 3))
    held = observe(floats, quantised_tensors(floats), crops.astype(np.uint8), lambda done: None)
    graph = quantise(floats, {name: range_of(histogram, "minmax") for name, histogram in held.items()})
    path = peer.graph.with_stem(f"{peer.graph.stem}-int8")
    path.write_bytes(graph.SerializeToString(deterministic=True))
    facts = peer.manifest.graph.model_copy(update={"file": path.name, "sha256": sha256(path), "precision": "int8"})
    return Model(peer.manifest.model_copy(update={"graph": facts}), path)
