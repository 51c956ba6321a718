"""Other programs and loops on the same graph: what an engine alone could do at best, in the same run.

OpenVINO's ``benchmark_app`` and NVIDIA's ``trtexec`` run as they are, and what they print is read; the loops are what
their vendors' examples do, with nothing of edge-wbc around.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_wbc.errors import EnvironmentMissing
from edge_wbc.types import Pixels

PATIENCE_S = 120
_NUMBER = r"([\d.]+(?:e[+-]?\d+)?)"

Answer = Callable[[Pixels], npt.NDArray[np.float32]]
"""Crops to probabilities."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a program said of itself, in ms and crops a second."""

    median_ms: float
    mean_ms: float | None
    """All time ÷ all calls: what it did between calls is in it."""
    throughput: float | None
    figures: dict[str, float]
    """The others, by name."""
    settings: dict[str, str]


def program(name: str) -> str | None:
    """Where a program is: beside this Python, or on PATH."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.is_file() else shutil.which(name)


def benchmark_app(
    graph: Path, shape: tuple[int, ...], fixed: bool, threads: int, hint: str, calls: int, command: str
) -> Told:
    """OpenVINO's own benchmark, one call at a time on one stream, inputs set anew for each call.

    :param fixed: whether the graph is compiled for this shape, or for any number of crops.
    :param hint: the precision hint.
    :raises EnvironmentMissing: it failed.
    """
    sides = f"[{','.join(map(str, shape))}]"
    free = f"[?,{','.join(map(str, shape[1:]))}]"
    shapes = ["-shape", sides] if fixed else ["-shape", free, "-data_shape", sides]
    how = ["-d", "CPU", "-api", "sync", "-hint", "none", "-nstreams", "1", "-nthreads", str(threads)]
    arguments = ["-m", str(graph), *how, "-infer_precision", hint, *shapes, "-niter", str(calls)]
    return parse_benchmark_app(_run([command, *arguments, "-inference_only", "false"]))


def parse_benchmark_app(text: str) -> Told:
    """Of what it prints at its end.

    :raises EnvironmentMissing: it is not understood.
    """

    def figure(name: str) -> float | None:
        found = re.search(rf"\] +{name}: +{_NUMBER} *(us|ms|FPS|iterations)\b", text)
        return None if found is None else float(found[1]) / (1000 if found[2] == "us" else 1)

    median, count, duration = (figure(name) for name in ("Median", "Count", "Duration"))
    if median is None:
        raise EnvironmentMissing("benchmark_app: no median in what it printed; run it by hand to see why")
    settings = dict(re.findall(r"\]   ([A-Z_]+): (.+)", text))
    figures = {name.lower(): value for name in ("Average", "Min", "Max") if (value := figure(name)) is not None}
    mean = duration / count if duration and count else None
    return Told(median, mean, figure("Throughput"), figures, settings)


def trtexec(engine: Path, shape: tuple[int, ...], seconds: float, command: str) -> Told:
    """NVIDIA's own benchmark on an engine file, transfers and everything else as its version has them by default.

    :raises EnvironmentMissing: it failed.
    """
    sides = "x".join(map(str, shape))
    arguments = [f"--loadEngine={engine}", f"--shapes=crops:{sides}", f"--duration={seconds:g}", "--warmUp=200"]
    return parse_trtexec(_run([command, *arguments, "--iterations=10", "--percentile=90,95,99"]))


def parse_trtexec(text: str) -> Told:
    """Of its performance summary, versions 8 to 11.

    :raises EnvironmentMissing: there is none.
    """
    figures = {}
    names = {
        "Latency": "latency",
        "Enqueue Time": "enqueue",
        "H2D Latency": "host to device",
        "GPU Compute Time": "compute",
        "D2H Latency": "device to host",
    }
    for said, name in names.items():
        line = re.search(rf"\[I\] {said}: (min = .*)", text)
        for key, value in re.findall(rf"(\w+(?:\([\d.]+%\))?) = {_NUMBER} ms", line[1] if line else ""):
            kind = key.replace("percentile(", "p").removesuffix("%)")
            figures[f"{name} {kind}"] = float(value)
    throughput = re.search(rf"\[I\] Throughput: {_NUMBER} qps", text)
    if "latency median" not in figures:
        raise EnvironmentMissing("trtexec: no performance summary in what it printed; run it by hand to see why")
    version = re.search(r"TensorRT v(\d+)", text)
    settings = {"version": version[1]} if version else {}
    settings["warnings"] = "; ".join(re.findall(r"\[W\] \* (.+)", text))
    rate = None if throughput is None else float(throughput[1])
    return Told(figures["latency median"], figures.get("latency mean"), rate, figures, settings)


def openvino_loop(graph: Path, shape: tuple[int, ...], threads: int, hint: str, fixed: bool = True) -> Answer:
    """The crops are set and one request runs, as in benchmark_app's loop.

    :param fixed: whether the graph is compiled for this shape, or for any number of crops.
    """
    from edge_wbc.engines.openvino_runtime import core, openvino

    model = core().read_model(graph)
    model.reshape(list(shape) if fixed else [-1, *shape[1:]])
    settings = {
        "INFERENCE_PRECISION_HINT": hint,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(threads),
    }
    request: Any = core().compile_model(model, "CPU", settings).create_infer_request()

    def answer(crops: Pixels) -> npt.NDArray[np.float32]:
        request.set_input_tensor(openvino.Tensor(crops, shared_memory=True))
        request.infer()
        probabilities: npt.NDArray[np.float32] = request.get_output_tensor(0).data
        return probabilities

    return answer


def onnxruntime_loop(graph: Path, threads: int) -> Answer:
    """A session with everything but the number of threads left as it is by default."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def answer(crops: Pixels) -> npt.NDArray[np.float32]:
        probabilities: npt.NDArray[np.float32] = session.run(None, {"crops": crops})[0]
        return probabilities

    return answer


def _run(command: list[str]) -> str:
    name = Path(command[0]).name
    try:
        # Under CI OpenVINO's programs send no usage data.
        quiet = {**os.environ, "CI": "true"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env=quiet)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentMissing(f"{name} did not end: {error}; run it by hand to see why") from None
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if "ERROR" in line or "[E]" in line]
        said = lines[-1].strip() if lines else f"exit code {done.returncode}"
        raise EnvironmentMissing(f"{name} failed ({said}); run it by hand to see why")
    return done.stdout
