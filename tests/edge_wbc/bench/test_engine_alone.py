from __future__ import annotations

import gc
import json
import time

import numpy as np
import pytest
from click.testing import CliRunner

from edge_wbc.bench import contenders
from edge_wbc.bench.contenders import Contender, judge_of, of_model
from edge_wbc.bench.engine_alone import measure
from edge_wbc.bench.peers import Told
from edge_wbc.bench.results import read, unpack
from edge_wbc.cli.bench import bench
from edge_wbc.engines.openvino import OpenvinoEngine
from edge_wbc.golden import COUNT, golden
from edge_wbc.manifest import load_model
from tests.on_the_double import tensorrt_here

CROPS = np.zeros((2, 8, 8, 3), np.uint8)
GROUP = ("graph", "f32", "2")


def contender(name, answer, **others):
    return Contender(name, {"engine": name}, CROPS, GROUP, answer, **others)


def test_everything_has_a_turn_in_every_round_and_the_order_turns():
    seen = []

    def noting(name):
        def answer(crops):
            if not gc.isenabled():
                seen.append(name)

        return answer

    rows = measure([contender(name, noting(name)) for name in "abc"], 5, 0.0)
    order = "".join(name for place, name in enumerate(seen) if place == 0 or seen[place - 1] != name)
    assert order == "abcbcacababcbca"
    assert [sum(row.calls) for row in rows] == [10, 10, 10]
    assert all(len(row.rounds) == 5 and row.median.low is not None for row in rows)
    assert all(len(unpack(row.packed)) == 10 for row in rows)


def test_one_that_fails_in_the_middle_says_so_and_the_others_go_on():
    left = iter(range(12))

    def failing(crops):
        next(left)

    def broken(crops):
        raise RuntimeError("it broke\nin two lines")

    answers = {"fails": failing, "broken": broken, "well": lambda _: None}
    fails, never, well = measure([contender(name, answer) for name, answer in answers.items()], 10, 0.0)
    assert fails.error == "StopIteration"
    assert 0 < len(fails.rounds) < 10
    assert (never.error, never.rounds, never.summary) == ("it broke", (), None)
    assert (well.error, len(well.rounds)) == ("", 10)


def test_ratios_are_of_the_same_rounds_and_to_peers_of_the_same_group_only():
    def taking(ms):
        medians = iter([ms, ms, 2 * ms, ms, ms])
        return lambda calls, seconds: Told(next(medians), ms, 1000 / ms, {"min": ms / 2}, {"version": "1"})

    ours = Contender("ours", {}, CROPS, GROUP, program=taking(2.0), peer=False)
    app = Contender("app", {}, CROPS, GROUP, program=taking(1.0))
    other = Contender("other", {}, CROPS, ("graph", "bf16", "2"), program=taking(1.0))
    rows = {row.name: row for row in measure([ours, app, other], 5, 0.0)}
    assert rows["ours"].ratios == {"app": pytest.approx((2.0, 2.0, 2.0))}, "both were slow in the third round"
    assert rows["other"].ratios == {}
    assert rows["app"].ratios == {}, "ours is no peer"
    assert (rows["app"].told, rows["app"].throughput) == ({"min": 0.5, "mean of all time": 1.0}, 1000)
    assert rows["app"].least == 0.5


def test_beside_a_loop_in_this_process_an_engine_is_taken_call_by_call():
    def busy(share):
        def answer(crops):
            end = time.thread_time_ns() + round(share * 200_000)
            while time.thread_time_ns() < end:
                pass

        return answer

    ours = contender("ours", busy(1.2), peer=False)
    row, loop = measure([ours, contender("loop", busy(1.0))], 1, 0.001)
    assert row.ratios["loop"].value == pytest.approx(1.2, abs=0.1)
    assert row.ratios["loop"].low is not None, "one round has no interval, many calls in turn have"
    assert loop.ratios == {}


@pytest.fixture(scope="module")
def small():
    return load_model("leukonet-int8")


@pytest.fixture(scope="module")
def judge(small):
    return judge_of(small)


def test_answers_are_judged_beside_the_reference_and_the_drawn_class(small, judge):
    engine = OpenvinoEngine(small, 1)
    right = judge(lambda crops: engine.infer(crops).probabilities, 5)
    assert (right.crops, right.agreeing) == (COUNT, COUNT)
    assert set(right.recall) == set(golden(64, small.manifest.input.margin).labels)
    turned = judge(lambda crops: engine.infer(crops).probabilities[:, ::-1], 8)
    assert turned.agreeing < COUNT / 2
    assert min(turned.recall.values()) < 0.5
    one = judge(lambda crops: np.eye(9, dtype=np.float32)[np.zeros(len(crops), int)], 8)
    assert sorted(one.recall.values())[-1] == 1.0, "all named as one class: right in that one only"
    assert sum(one.recall.values()) <= 1.0


def test_of_a_model_its_engine_and_peers_take_turns(small, judge, monkeypatch):
    monkeypatch.setattr(contenders.peers, "program", lambda name: f"/bin/{name}")
    found = list(of_model(small, "openvino", 8, 1, ["f32"], True, judge))
    assert [one.what["engine"] for one in found] == [
        "openvino",
        "openvino loop",
        "openvino loop, fixed shape",
        "benchmark_app",
        "benchmark_app, fixed shape",
        "onnxruntime loop",
    ]
    assert [one.peer for one in found] == [False, True, True, True, True, True]
    assert {one.group for one in found} == {("leukonet-int8", "f32", "8")}
    assert found[0].crops.shape == (8, 64, 64, 3)
    monkeypatch.setattr(contenders.peers, "program", lambda name: None)
    names = [one.name for one in of_model(small, "onnxruntime", 1, 1, ["f32"], True, judge)]
    assert names == ["leukonet-int8, onnxruntime f32, batch 1", "leukonet-int8, onnxruntime loop f32, batch 1"]


def test_on_tensorrts_double_starting_a_batch_is_told_apart(small, judge, tmp_path, monkeypatch):
    monkeypatch.setattr(contenders.peers, "program", lambda name: f"/bin/{name}" if name == "trtexec" else None)
    with tensorrt_here(tmp_path / "cache"):
        found = list(of_model(small, "tensorrt", 1, 1, ["f32"], True, judge))
        assert [one.what["engine"] for one in found] == ["tensorrt", "trtexec", "onnxruntime loop"]
        (row,) = measure(found[:1], 5, 0.0)
        found[0].close()
    assert row.accuracy.agreeing == COUNT
    assert 0 < row.parts["enqueue"].percentiles["p50"] <= row.summary.percentiles["p50"]


def run(*arguments):
    return CliRunner().invoke(bench, ["engine", *map(str, arguments)], standalone_mode=False)


def test_the_command_measures_writes_and_defines(tmp_path):
    done = run("--smoke", "--no-peers", "--out", tmp_path / "a.json")
    assert done.return_value == 0, done.output
    for words in ("p50 to p99.9:", "crops/s:", "agree:", "far out:", "hint:", "fewer than 299 have no 99th percentile"):
        assert words in done.stderr
    found = read(tmp_path / "a.json")
    assert (found.kind, found.smoke, found.settings["threads"]) == ("engine", True, 1)
    assert [row.name.split(",")[0] for row in found.rows][:1] == ["leukonet-int8"]
    assert {doubt.kind for doubt in found.doubts} >= {"samples"}


def test_as_json_all_is_there_and_a_failed_engine_is_exit_code_1(monkeypatch):
    honest = OpenvinoEngine.infer
    calls = []

    def breaks(engine, crops):
        calls.append(1)
        if len(calls) > 70:
            raise RuntimeError("the engine broke")
        return honest(engine, crops)

    monkeypatch.setattr(OpenvinoEngine, "infer", breaks)
    done = run("--smoke", "--no-peers", "--engine", "openvino", "--json")
    (row, *_) = json.loads(done.stdout)["rows"]
    assert (done.return_value, row["error"]) == (1, "the engine broke")
    assert row["what"]["hint"] == "f32"
