from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from scipy.stats import entropy

onnx = pytest.importorskip("onnx", reason="onnx is not installed: no graph can be quantised")

from calibration.gate import judge  # noqa: E402
from calibration.observe import LEVELS, observe, range_of, session_with  # noqa: E402
from calibration.quantize import possible_tensors, quantisable_layers, quantise, read_float_graph  # noqa: E402
from calibration.sensitivity import Trial, auto_mixed, sensitivity, signal_to_noise  # noqa: E402
from calibration.view import View  # noqa: E402
from edge_wbc.engines.base import open_engine  # noqa: E402
from edge_wbc.errors import ModelError  # noqa: E402
from edge_wbc.manifest import Model  # noqa: E402

CROPS = 20
"""More than one batch, and the last one not full."""


def ignore(done):
    pass


def infer(model):
    def probabilities(crops):
        return open_engine("onnxruntime", model).infer(crops).probabilities

    return probabilities


@pytest.fixture(scope="module")
def trial(model, crops):
    """Labelled as the fp32 graph names them: whatever INT8 names otherwise is a loss."""
    floats = read_float_graph(model.graph)
    held = observe(floats, possible_tensors(floats), crops, ignore)
    names = model.manifest.labels.names
    shown = crops[:CROPS]
    truth = [names[i] for i in infer(model)(shown).argmax(axis=1)]
    return Trial(floats, {name: range_of(item, "mse") for name, item in held.items()}, shown, truth, names)


@pytest.fixture(scope="module")
def found(trial):
    return sensitivity(trial, ignore)


def ruined(trial, tensor):
    """The same, with a range a hundred times too small for one tensor."""
    return replace(trial, ranges={**trial.ranges, tensor: trial.ranges[tensor] / 100})


def test_a_layers_figures_are_those_of_the_graph_with_it_alone_in_floating_point(model, trial, found, tmp_path):
    """Held against the engine that runs the graph's file, and scipy's divergence."""
    layer = next(layer for layer in found.layers if layer.name == "stage2.block1.conv1")
    before, divergences = infer(model)(trial.crops), []
    for tested in (found.int8, layer.alone):
        path = tmp_path / "x.onnx"
        onnx.save(quantise(trial.graph, trial.ranges, {*tested.floating}), path)
        after = infer(Model(model.manifest, path))(trial.crops)
        expected = judge(before, after, trial.truth, trial.names)
        worst = tested.gate.worst_difference
        assert worst == pytest.approx(expected.worst_difference, abs=1e-6)  # the engine takes other batches
        assert tested.gate == replace(expected, worst_difference=worst)
        divergences.append(entropy(before.astype(float), after.astype(float), axis=1).mean())
        assert tested.divergence == pytest.approx(divergences[-1], rel=1e-4)
    assert (found.int8.floating, layer.alone.floating) == ((), ("stage2.block1.conv1",))
    assert layer.gain == pytest.approx(divergences[0] - divergences[1], abs=1e-8)


def test_every_layer_is_there_once_and_what_gains_most_comes_first(trial, found):
    assert sorted(layer.name for layer in found.layers) == sorted(quantisable_layers(trial.graph))
    gains = [layer.gain for layer in found.layers]
    assert gains == sorted(gains, reverse=True)
    assert len(set(gains)) > 1


def test_the_same_trial_gives_the_same_figures_and_progress_counts_every_run(trial, found):
    seen = []
    assert sensitivity(trial, seen.append) == found
    layers = len(found.layers)
    assert seen == [turn * CROPS + done for turn in range(layers + 3) for done in (16, CROPS)]


@pytest.fixture
def stem_by_hand(trial):
    """The stem's output (N, 32, H, W) in float64, from exact and from rounded input and weights."""
    constants = View(trial.graph).constants
    (stem,) = (node for node in trial.graph.graph.node if node.name == "stem")
    (strides,) = (list(item.ints) for item in stem.attribute if item.name == "strides")
    weights, bias = (constants[name].astype(np.float64) for name in stem.input[1:])
    (values,) = session_with(trial.graph, [stem.input[0]]).run([stem.input[0]], {"crops": trial.crops})
    step = trial.ranges[stem.input[0]] / LEVELS
    steps = np.abs(weights).max(axis=(1, 2, 3), keepdims=True) / LEVELS

    def convolved(values, weights):
        padded = np.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
        windows = windows[:, :, :: strides[0], :: strides[1]]
        return np.einsum("nchwij,ocij->nohw", windows, weights, optimize=True) + bias[:, None, None]

    rounded = np.clip(np.round(values / step), -128, 127) * step
    return convolved(values.astype(np.float64), weights), convolved(rounded, np.round(weights / steps) * steps)


def test_signal_to_noise_is_that_of_numpy(trial, found, stem_by_hand):
    exact, rounded = stem_by_hand
    expected = 10 * np.log10((exact**2).sum() / ((rounded - exact) ** 2).sum())
    assert 20 < expected < 60
    measured = signal_to_noise(trial.graph, quantise(trial.graph, trial.ranges), trial.crops, ignore)
    assert measured["stem"] == pytest.approx(expected, abs=0.01)
    assert measured == {layer.name: layer.signal_to_noise_db for layer in found.layers}


def test_noise_is_measured_with_graph_optimisation_off(trial, monkeypatch):
    opened = []

    def recorded(*arguments, **named):
        opened.append(session_with(*arguments, **named))
        return opened[-1]

    monkeypatch.setattr("calibration.sensitivity.session_with", recorded)
    signal_to_noise(trial.graph, quantise(trial.graph, trial.ranges), trial.crops[:1], ignore)
    levels = {session.get_session_options().graph_optimization_level for session in opened}
    assert levels == {onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL}


def test_a_layer_without_error_has_no_noise(trial):
    left_out = quantise(trial.graph, trial.ranges, {"stem"})
    measured = signal_to_noise(trial.graph, left_out, trial.crops, ignore)
    assert [name for name, ratio in measured.items() if ratio == np.inf] == ["stem"]


def test_a_ruined_range_is_found_at_its_layer_and_that_one_left_out(trial, found):
    ruin = ruined(trial, "stage2.block1.relu1.out")
    broken = sensitivity(ruin, ignore)
    first, second = broken.layers[:2]
    assert not broken.int8.gate.passed
    assert first.name == "stage2.block1.conv2"
    assert first.gain > 10 * abs(second.gain)
    mixed = auto_mixed(ruin, [layer.name for layer in broken.layers], ignore)
    assert mixed.steps == [broken.int8, first.alone]
    assert mixed.tested == first.alone
    assert first.alone.gate.passed

    before = {layer.name: layer.signal_to_noise_db for layer in found.layers}
    noisy = {layer.name for layer in broken.layers if layer.signal_to_noise_db < before[layer.name] - 10}
    assert "stage2.block1.conv2" in noisy
    assert not noisy & {"stem", "stage2.block1.conv1", "stage2.block1.shortcut"}  # nothing of it comes in there


@pytest.mark.parametrize(
    ("tensor", "layers"),
    [
        ("stage1.block1.relu2.out", ("stage2.block1.shortcut", "stage2.block1.conv1")),
        ("stage2.block1.relu2.out", ("stage2.block2.conv1", "stage2.block2.conv2")),  # the latter's sum takes it
    ],
)
def test_just_the_layers_that_take_a_ruined_tensor_are_left_out(trial, tensor, layers):
    broken = ruined(trial, tensor)
    mixed = auto_mixed(broken, ["stage3.block2.conv2", *layers, "stem"], ignore)
    assert mixed.tested.floating == layers
    assert mixed.tested.gate.passed
    assert mixed.graph == quantise(trial.graph, broken.ranges, {*layers})
    tried = {step.floating: step.gate.passed for step in mixed.steps}
    assert [tried[name,] for name in layers] == [False, False]  # neither can be taken back
    assert tried[()] is False


def test_layers_are_added_in_order_and_taken_back_where_they_are_not_needed(trial):
    broken, seen = ruined(trial, "stage2.block1.relu1.out"), []
    mixed = auto_mixed(broken, ["stem", "stage2.block1.conv2", "stage3.block1.conv1"], seen.append)
    assert [(step.floating, step.gate.passed) for step in mixed.steps] == [
        ((), False),
        (("stem",), False),
        (("stem", "stage2.block1.conv2"), True),
        (("stage2.block1.conv2",), True),
    ]
    assert mixed.tested == mixed.steps[-1]
    assert seen == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("passing", "chosen"),
    [
        (("abc", "ac", "bc"), "ac"),  # what gains least is the first to be taken back
        (("abcd", "abd", "bd", "b"), "b"),  # d is needed beside a and b, and not any more beside b alone
    ],
)
def test_taking_back_goes_on_until_each_layer_left_is_needed(trial, found, monkeypatch, passing, chosen):
    letters = dict(zip(quantisable_layers(trial.graph), "abcd", strict=False))

    def scripted(trial, before, floating, progress):
        passed = "".join(sorted(letters[name] for name in floating)) in passing
        return replace(found.int8, floating=tuple(sorted(floating)), gate=replace(found.int8.gate, passed=passed))

    monkeypatch.setattr("calibration.sensitivity._test", scripted)
    mixed = auto_mixed(trial, list(letters), ignore)
    assert sorted(letters[name] for name in mixed.tested.floating) == list(chosen)
    assert mixed.graph == quantise(trial.graph, trial.ranges, {*mixed.tested.floating})


def test_nothing_is_left_out_where_int8_passes(trial, found):
    mixed = auto_mixed(trial, [layer.name for layer in found.layers], ignore)
    assert mixed.graph == quantise(trial.graph, trial.ranges)
    assert (mixed.tested, mixed.steps) == (found.int8, [found.int8])


def test_what_has_to_be_reached_is_the_callers_to_say(trial, found):
    assert found.int8.gate.passed
    mixed = auto_mixed(trial, ["stage2.block1.conv1"], ignore, lambda gate: gate != found.int8.gate)
    assert mixed.tested.floating == ("stage2.block1.conv1",)


def test_what_no_choice_of_layers_reaches_is_an_error(trial):
    with pytest.raises(ModelError, match="even with 2 layers in floating point: it does not reach"):
        auto_mixed(trial, ["stem", "stage1.block1.conv1"], ignore, lambda gate: False)
    broken = ruined(trial, "stage2.block1.relu1.out")
    with pytest.raises(ModelError, match=r"even with 1 layers in floating point: .*the same class on .*; calibrate on"):
        auto_mixed(broken, ["stem"], ignore)
