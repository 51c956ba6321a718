from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from edge_wbc.bench import roofline as module
from edge_wbc.bench.roofline import PUBLISHED, Layer, Peaks, Roofline, copied_per_s, precision_of, roofline
from edge_wbc.cli.bench import bench
from edge_wbc.manifest import load_model

PEAKS = Peaks("made up", {"int8": 1e9, "f32": 0.25e9}, 1e6, True)


def layer(macs, size, ms=10.0, precision="int8"):
    return Layer("conv", "jit_I8", precision, macs, size, ms)


def test_a_layers_bound_is_the_longer_of_computing_and_carrying():
    assert layer(2_000_000, 1000).bound_ms(PEAKS) == pytest.approx(2.0)
    assert layer(2_000_000, 1000).bound_by(PEAKS) == "compute"
    assert layer(2_000_000, 5000).bound_ms(PEAKS) == pytest.approx(5.0)
    assert layer(2_000_000, 5000).bound_by(PEAKS) == "bandwidth"


def test_in_another_precision_there_is_more_to_carry_and_another_peak():
    assert layer(1_000_000, 1000).bound_ms(PEAKS, "f32") == pytest.approx(4.0), (
        "four times the bytes, a quarter the rate"
    )
    assert layer(100_000, 4000, precision="f32").bound_ms(PEAKS, "int8") == pytest.approx(1.0)


def test_the_bound_of_all_is_the_sum_and_a_prediction_needs_a_published_peak():
    found = Roofline((layer(2_000_000, 1000), layer(1_000_000, 5000)), 1.0, 20.0, PEAKS, 1e6)
    assert found.bound_ms == pytest.approx(7.0)
    assert found.predicted_ms(PEAKS, "f32") == pytest.approx(8.0 + 20.0)
    assert found.predicted_ms(PEAKS, "bf16") is None
    assert all(not peaks.measured for peaks in PUBLISHED)


@pytest.mark.parametrize(
    ("kernel", "precision"),
    [
        ("brgconv_avx512_I8", "int8"),
        ("jit_avx2_1x1_I8", "int8"),
        ("jit_avx512_amx_BF16", "bf16"),
        ("acl_F16", "f16"),
        ("jit_avx2_FP32", "f32"),
        ("", "f32"),
    ],
)
def test_a_kernels_name_says_what_it_computes_in(kernel, precision):
    assert precision_of(kernel) == precision


@pytest.mark.parametrize("name", ["leukonet", "leukonet-int8"])
def test_of_a_shipped_graph_every_multiply_accumulate_is_found(name, monkeypatch):
    monkeypatch.setattr(module, "BEYOND_CACHES_BYTES", 2**20)
    monkeypatch.setattr(module, "PEAK_SHAPES", ((16, 8, 3),))
    model = load_model(name)
    found = roofline(model, 2, 1, 0.0)
    assert sum(one.macs for one in found.layers) == pytest.approx(2 * model.manifest.graph.macs, rel=0.001)
    assert all(one.ms > 0 for one in found.layers if one.macs > 10**6)
    assert {one.precision for one in found.layers if one.macs > 10**6} == {"f32" if name == "leukonet" else "int8"}
    assert all(one.bound_ms(found.peaks) > 0 for one in found.layers)
    quickest = max(one.macs / one.ms * 1000 for one in found.layers if one.ms)
    assert quickest <= max(found.peaks.macs_per_s.values()) * (1 + 1e-9)


def test_a_copys_rate_counts_what_is_read_and_written():
    assert 1e7 < copied_per_s(2**20, 0.0) < 1e13


def test_the_command_tells_a_prediction_from_a_measurement(monkeypatch):
    monkeypatch.setattr(module, "PEAK_SHAPES", ((16, 8, 3),))
    monkeypatch.setattr(module, "BEYOND_CACHES_BYTES", 2**20)
    done = CliRunner().invoke(bench, ["roofline", "--smoke"], standalone_mode=False)
    assert done.return_value == 0, done.output
    assert "prediction, not measured: no call takes less than" in done.stderr
    assert "Jetson Orin Nano Super 8 GB in int8" in done.stderr
    assert "stem" in done.stdout
    arguments = ["roofline", "--smoke", "--model", "leukonet", "--json"]
    content = json.loads(CliRunner().invoke(bench, arguments, standalone_mode=False).stdout)
    assert content["predicted_bound_ms"] == {"Jetson Orin Nano Super 8 GB": None}, "fp32 has no published peak"
    assert content["bound_ms"] == pytest.approx(sum(one["bound_ms"] for one in content["layers"]))
