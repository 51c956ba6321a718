"""What tests of calibration share: simulated crops, the INT8 graph they give, labelled folders."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data import class_folders


@pytest.fixture(scope="module")
def crops():
    from edge_wbc.sources.base import open_source
    from edge_wbc.types import Frame
    from edge_wbc.vision.crop import crop

    frames = open_source("smear://?seed=5&cells=48").frames()
    shown = [frame for frame in frames if isinstance(frame, Frame)]
    return np.stack([crop(frame.pixels, found.box, 64) for frame in shown for found in frame.truth or ()])


@pytest.fixture(scope="module")
def int8(model, crops):
    pytest.importorskip("onnx", reason="onnx is not installed: no graph can be quantised")
    from calibration.observe import observe, range_of
    from calibration.quantize import quantise, quantised_tensors, read_float_graph

    floats = read_float_graph(model.graph)
    held = observe(floats, quantised_tensors(floats), crops, lambda done: None)
    return quantise(floats, {name: range_of(histogram, "mse") for name, histogram in held.items()})


@pytest.fixture
def folders(tmp_path):
    return class_folders(tmp_path / "cells", ("neutrophil", "lymphocyte"), 12)
