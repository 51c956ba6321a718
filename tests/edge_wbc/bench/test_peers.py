"""What other benchmarks print, read from text laid out as they print it."""

from __future__ import annotations

import numpy as np
import pytest

from edge_wbc.bench import peers
from edge_wbc.bench.peers import benchmark_app, openvino_loop, parse_benchmark_app, parse_trtexec, program, trtexec
from edge_wbc.engines.openvino import OpenvinoEngine
from edge_wbc.errors import EnvironmentMissing
from edge_wbc.golden import golden_crops

APP = """\
[Step 8/11] Querying optimal runtime parameters
[ INFO ] Model:
[ INFO ]   NUM_STREAMS: 1
[ INFO ]   INFERENCE_NUM_THREADS: 1
[ INFO ]   INFERENCE_PRECISION_HINT: <Type: 'float32'>
[ INFO ]   ENABLE_CPU_PINNING: True
[Step 10/11] Measuring performance (Start inference synchronously, limits: 2000 ms duration)
[ INFO ] First inference took 14.44 ms
[Step 11/11] Dumping statistics report
[ INFO ] Execution Devices:['CPU']
[ INFO ] Count:            1000 iterations
[ INFO ] Duration:         2000.24 ms
[ INFO ] Latency:
[ INFO ]    Median:        0.75 ms
[ INFO ]    Average:       1.55 ms
[ INFO ]    Min:           590.25 us
[ INFO ]    Max:           11.71 ms
[ INFO ] Throughput:   499.94 FPS
"""

TRTEXEC_10 = """\
&&&& RUNNING TensorRT.trtexec [TensorRT v100300] # trtexec --loadEngine=x.engine
[08/21/2023-14:59:38] [I] === Performance summary ===
[08/21/2023-14:59:38] [I] Throughput: 3716.81 qps
[08/21/2023-14:59:38] [I] Latency: min = 0.17041 ms, max = 0.243042 ms, mean = 0.184305 ms, median = 0.179932 ms, \
percentile(90%) = 0.194153 ms, percentile(95%) = 0.195312 ms, percentile(99%) = 0.197144 ms
[08/21/2023-14:59:38] [I] Enqueue Time: min = 0.05 ms, max = 0.1 ms, mean = 0.06 ms, median = 0.0615 ms, \
percentile(90%) = 0.07 ms, percentile(95%) = 0.08 ms, percentile(99%) = 0.09 ms
[08/21/2023-14:59:38] [I] H2D Latency: min = 0.0065918 ms, max = 0.0698242 ms, mean = 0.0122 ms, median = 0.0081 ms, \
percentile(90%) = 0.025 ms, percentile(95%) = 0.027 ms, percentile(99%) = 0.051 ms
[08/21/2023-14:59:38] [I] GPU Compute Time: min = 0.16 ms, max = 0.23 ms, mean = 0.17 ms, median = 0.165 ms, \
percentile(90%) = 0.18 ms, percentile(95%) = 0.181 ms, percentile(99%) = 0.19 ms
[08/21/2023-14:59:38] [I] D2H Latency: min = 0.0039 ms, max = 0.11 ms, mean = 0.01 ms, median = 4.39453e-03 ms, \
percentile(90%) = 0.0254 ms, percentile(95%) = 0.0319 ms, percentile(99%) = 0.0994 ms
[08/21/2023-14:59:38] [I] Total Host Walltime: 3.00082 s
[08/21/2023-14:59:38] [W] * Throughput may be bound by Enqueue Time rather than GPU Compute and the GPU may be idle.
"""

TRTEXEC_8 = """\
&&&& RUNNING TensorRT.trtexec [TensorRT v8502] # trtexec
[07/28/2022-16:00:55] [I] === Performance summary ===
[07/28/2022-16:00:55] [I] Throughput: 716.632 qps
[07/28/2022-16:00:55] [I] Latency: min = 1.3476 ms, max = 1.5657 ms, mean = 1.38629 ms, median = 1.38037 ms, \
percentile(99%) = 1.55853 ms
[07/28/2022-16:00:55] [I] H2D Latency: min = 0 ms, max = 0 ms, mean = 0 ms, median = 0 ms, percentile(99%) = 0 ms
"""


def test_benchmark_apps_end_is_read():
    told = parse_benchmark_app(APP)
    assert (told.median_ms, told.throughput) == (0.75, 499.94)
    assert told.mean_ms == pytest.approx(2.00024)
    assert told.figures == {"average": 1.55, "min": pytest.approx(0.59025), "max": 11.71}
    assert told.settings["INFERENCE_PRECISION_HINT"] == "<Type: 'float32'>"
    assert told.settings["INFERENCE_NUM_THREADS"] == "1"


def test_trtexecs_summary_is_read():
    told = parse_trtexec(TRTEXEC_10)
    assert (told.median_ms, told.mean_ms, told.throughput) == (0.179932, 0.184305, 3716.81)
    assert told.figures["latency p99"] == 0.197144
    assert told.figures["enqueue median"] == 0.0615
    assert told.figures["host to device median"] == 0.0081
    assert told.figures["compute p95"] == 0.181
    assert told.figures["device to host median"] == pytest.approx(0.00439453)
    assert told.settings["version"] == "100300"
    assert told.settings["warnings"].startswith("Throughput may be bound by Enqueue Time")
    older = parse_trtexec(TRTEXEC_8)
    assert (older.median_ms, older.figures["host to device median"]) == (1.38037, 0)
    assert "compute median" not in older.figures


@pytest.mark.parametrize("parse", [parse_benchmark_app, parse_trtexec])
def test_what_is_not_understood_is_said(parse):
    with pytest.raises(EnvironmentMissing, match="run it by hand"):
        parse("[ INFO ] nothing\n")


def test_a_program_that_fails_says_why(tmp_path, model):
    command = tmp_path / "benchmark_app"
    command.write_text('#!/bin/sh\necho "[ ERROR ] no such device, CI=$CI"\nexit 1\n')
    command.chmod(0o755)
    said = r"benchmark_app failed \(\[ ERROR \] no such device, CI=true\)"  # or it sends usage data
    with pytest.raises(EnvironmentMissing, match=said):
        benchmark_app(model.graph, (1, 64, 64, 3), True, 1, "f32", 10, str(command))
    with pytest.raises(EnvironmentMissing, match="did not end"):
        trtexec(tmp_path / "x.engine", (1, 64, 64, 3), 1, str(tmp_path / "none"))


def test_trtexec_is_asked_for_what_is_compared(tmp_path):
    command = tmp_path / "trtexec"
    command.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat {tmp_path}/said\n')
    command.chmod(0o755)
    (tmp_path / "said").write_text(TRTEXEC_10)
    assert trtexec(tmp_path / "x.engine", (8, 64, 64, 3), 3, str(command)).median_ms == 0.179932
    asked = (tmp_path / "asked").read_text()
    assert f"--loadEngine={tmp_path}/x.engine --shapes=crops:8x64x64x3 --duration=3 --warmUp=200" in asked


@pytest.mark.skipif(program("benchmark_app") is None, reason="benchmark_app is not installed")
@pytest.mark.parametrize("fixed", [True, False])
def test_benchmark_app_itself_runs_on_a_shipped_graph(model, fixed):
    size = model.manifest.input.size_px
    told = benchmark_app(model.graph, (2, size, size, 3), fixed, 1, "f32", 5, program("benchmark_app"))
    assert told.median_ms > 0
    assert told.settings["INFERENCE_NUM_THREADS"] == "1"
    assert "float32" in told.settings["INFERENCE_PRECISION_HINT"]


def test_the_bare_loops_give_the_engines_answers(model):
    crops = golden_crops(model.manifest.input.size_px, model.manifest.input.margin)[:2]
    wanted = OpenvinoEngine(model, 1).infer(crops).probabilities
    found = openvino_loop(model.graph, crops.shape, 1, "f32")(crops)
    assert np.abs(found - wanted).max() < 1e-5
    assert np.abs(peers.onnxruntime_loop(model.graph, 1)(crops) - wanted).max() < 1e-4
