from __future__ import annotations

import gc
import itertools
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

from edge_wbc.bench import contenders
from edge_wbc.bench.contenders import ANY_GRAPH, Contender, judge_of, of_model
from edge_wbc.bench.engine_alone import measure
from edge_wbc.bench.peers import Told
from edge_wbc.bench.results import read, unpack
from edge_wbc.cli.bench import bench
from edge_wbc.engines.base import Outputs
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


def test_one_that_fails_when_it_is_held_beside_another_says_so_too():
    over = []

    def failing(crops):
        if over:
            raise RuntimeError("it broke")

    ours = contender("ours", failing, peer=False)
    row, loop = measure([ours, contender("loop", lambda _: None)], 1, 1e-9, done=lambda: over.append(True))
    assert (row.error, loop.error) == ("it broke", "")
    assert len(row.rounds) == 1
    assert "loop" in row.ratios, "of the rounds that both came through"


def test_a_clock_on_the_wall_that_jumps_is_in_no_figure(monkeypatch):
    jumps = itertools.accumulate(itertools.cycle([1000.0, -999.0]))
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * next(jumps)))
    row, loop = measure([contender("ours", busy(1.0), peer=False), contender("loop", busy(1.0))], 5, 0.001)
    assert all(0.1 < value < 100 for value in (*row.rounds, *loop.rounds)), "ms"
    assert row.summary.greatest < 1000
    assert row.ratios["loop"].value == pytest.approx(1, abs=0.3)


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


def test_one_that_is_not_installed_takes_no_turn_and_is_no_failure():
    row, well = measure([contender("absent", None, absent="torch is not installed"), contender("well", len)], 5, 0.0)
    assert (row.absent, row.error, row.rounds, row.peer) == ("torch is not installed", "", (), True)
    assert (well.absent, len(well.rounds)) == ("", 5)


def test_what_is_timed_elsewhere_has_its_own_calls_and_the_same_rounds():
    def timed(crops, least, seconds):
        return [round(1e6 * ms) for ms in (2.0, 1.0, 3.0)][: max(3, least)]

    ours = contender("ours", busy(1.0), peer=False)
    there = contender("there", lambda _: None, timed=timed)
    any_graph = Contender("network", {}, CROPS, (ANY_GRAPH, *GROUP[1:]), lambda _: None, timed=timed)
    row, peer, network = measure([ours, there, any_graph], 5, 0.0)
    assert (peer.rounds, peer.calls, peer.summary.least) == ((2.0,) * 5, (3,) * 5, 1.0)
    assert row.ratios.keys() == {"there", "network"}
    assert row.ratios["there"].value == pytest.approx(row.median.value / 2, rel=0.01)
    assert row.further_ratios["quickest"]["there"].value == pytest.approx(row.summary.least, rel=0.5)
    assert network.ratios == {}


def test_the_request_alone_is_held_beside_what_a_program_tells():
    ours = contender("ours", busy(1.0), peer=False, request_ms=lambda: 0.5)
    app = Contender("app", {}, CROPS, GROUP, program=lambda calls, seconds: Told(0.4, None, None, {"min": 0.1}, {}))
    row, _ = measure([ours, app], 5, 0.0)
    assert row.parts["request"].percentiles["p50"] == 0.5
    assert row.further_ratios["request"]["app"] == pytest.approx((1.25, 1.25, 1.25))
    assert row.ratios["app"].value == pytest.approx(row.median.value / 0.4, rel=0.2)
    assert row.further_ratios["quickest"]["app"].value > 1.5


def busy(share):
    def answer(crops):
        end = time.thread_time_ns() + round(share * 200_000)
        while time.thread_time_ns() < end:
            pass

    return answer


def test_beside_a_loop_in_this_process_an_engine_is_taken_call_by_call():
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
    for words in (
        "bound by ",
        "garbage: collected",
        "after 0.2 s; may run on processors ",
        "p50 to p99.9:",
        "crops/s:",
        "agree:",
        "far out:",
        "hint:",
        "fewer than 299 have no 99th percentile",
    ):
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


def test_a_fast_wrong_engine_is_seen_in_the_table(small, judge, monkeypatch):
    def broken(engine, crops):
        answer = np.zeros((len(crops), len(engine.model.manifest.labels.names)), np.float32)
        answer[:, 1] = 1
        return Outputs(answer, answer)

    monkeypatch.setattr(OpenvinoEngine, "infer", broken)
    monkeypatch.setattr(contenders.peers, "program", lambda name: None)
    wrong, loop, _ = measure(list(of_model(small, "openvino", 1, 1, ["f32"], True, judge)), 5, 0.0)
    assert wrong.ratios[loop.name].value < 0.5, "no engine is as quick"
    assert wrong.accuracy.agreeing < COUNT / 2
    assert (loop.accuracy.agreeing, min(wrong.accuracy.recall.values())) == (COUNT, 0.0)
    done = run("--smoke", "--no-peers", "--engine", "openvino")
    (line,) = [line for line in done.stdout.splitlines() if "leukonet-int8" in line]
    agree, least_recall = (column.strip() for column in line.split("│")[-4:-2])
    assert int(agree) == wrong.accuracy.agreeing
    assert least_recall == "0.00"


def test_one_processor_is_enough(tmp_path):
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system lets no process choose its processors")
    code = (
        "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from edge_wbc.cli.main import main; main(sys.argv[1:])"
    )
    out = tmp_path / "a.json"
    arguments = ["bench", "engine", "--smoke", "--no-peers", "--out", str(out)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = read(out)
    assert found.machine.processors == 1
    assert found.settings["affinity"] == f"processors {min(os.sched_getaffinity(0))}"
    assert ", 1 processors" in done.stderr
