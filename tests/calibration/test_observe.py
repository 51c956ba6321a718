from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed: no graph can be quantised")

from calibration.observe import BINS, METHODS, Histogram, observe, range_of  # noqa: E402
from calibration.quantize import quantised_tensors, read_float_graph  # noqa: E402


def ignore(done):
    pass


@pytest.fixture
def floats(model):
    return read_float_graph(model.graph)


def test_neither_order_nor_batches_make_a_difference(floats, crops):
    tensors = quantised_tensors(floats)
    one, other = observe(floats, tensors, crops, ignore), observe(floats, tensors, crops[::-1], ignore)
    for name in tensors:
        assert one[name].largest == pytest.approx(other[name].largest, rel=1e-5)
        assert int(one[name].counts.sum()) == int(other[name].counts.sum())
        assert int(np.abs(one[name].counts - other[name].counts).sum()) <= 1e-3 * one[name].counts.sum()


def test_what_a_tensor_held_is_what_the_graph_computes(floats, crops):
    (held,) = observe(floats, ["logits"], crops[:20], ignore).values()
    session = onnxruntime.InferenceSession(floats.SerializeToString(), providers=["CPUExecutionProvider"])
    sizes = np.abs(session.run(["logits"], {"crops": crops[:20]})[0])
    assert held.largest == pytest.approx(float(sizes.max()), rel=1e-5)
    expected = np.histogram(sizes, BINS, (0, held.largest))[0]
    assert int(np.abs(held.counts - expected).sum()) <= 4  # a value on an edge may fall to either side


def test_progress_counts_both_runs(floats, crops):
    seen = []
    observe(floats, ["logits"], crops[:20], seen.append)
    assert seen == [16, 20, 36, 40]


def held(values):
    sizes = np.abs(values)
    return Histogram(float(sizes.max()), np.histogram(sizes, BINS, (0, sizes.max()))[0].astype(np.int64))


def test_a_lone_outlier_widens_minmax_alone():
    values = np.append(np.random.default_rng(1).normal(0, 1, 1_000_000), 100.0)
    ranges = {method: range_of(held(values), method) for method in METHODS}
    assert ranges["minmax"] == 100
    assert all(3 < ranges[method] < 15 for method in ("percentile", "mse", "entropy"))


def test_mse_is_the_best_of_all_ranges_on_the_values_themselves():
    values = np.random.default_rng(2).laplace(0, 1, 100_000)

    def error(largest):
        step = largest / 127
        return float(((np.clip(np.round(values / step), -127, 127) * step - values) ** 2).mean())

    chosen = range_of(held(values), "mse")
    assert error(chosen) <= 1.02 * min(error(largest) for largest in np.linspace(1, np.abs(values).max(), 200))


def test_a_tensor_of_zeros_gets_a_range_that_can_be_used():
    assert {range_of(Histogram(0.0, np.zeros(BINS, np.int64)), method) for method in METHODS} == {1.0}
