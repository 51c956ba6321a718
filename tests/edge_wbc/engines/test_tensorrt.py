"""The TensorRT engine on the double of TensorRT and CUDA. Nothing here was run on a GPU.

The double itself complains at the end of each ``with tensorrt_here`` of whatever was used wrongly or left behind.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_wbc.classify import LARGEST_BATCH, cut, cut_and_classify
from edge_wbc.engines import engine_file
from edge_wbc.engines.base import Overlapping, open_engine
from edge_wbc.engines.tensorrt import TensorrtEngine
from edge_wbc.errors import EdgeWbcError, GpuError, ModelError
from edge_wbc.golden import golden_crops
from edge_wbc.manifest import Model
from edge_wbc.types import Box, Cell, Pixels
from tests.doubles import VERSIONS, Fault, Machine
from tests.doubles.driver import CUresult
from tests.doubles.driver import MemoryError as GpuMemoryError
from tests.on_the_double import tensorrt_here

INTEGRATED = pytest.mark.parametrize("integrated", [True, False], ids=["integrated", "discrete"])
GRAPHS = pytest.mark.parametrize("missing", [(), ("cuda",)], ids=["graphs", "no graphs"])
MOST_OVERHEAD_US = 200
"""17 to 28 µs on the machine of the README, up to 105 for a batch of 8 on a slower one."""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of engines that the tests of this file share: each is built once."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def golden(model: Model) -> Pixels:
    return golden_crops(model.manifest.input.size_px)


@pytest.fixture(scope="module")
def expected(model: Model, golden: Pixels) -> np.ndarray:
    engine = open_engine("onnxruntime", model, threads=1)
    found = engine.infer(golden).probabilities
    engine.close()
    return found


def tensorrt(model: Model) -> TensorrtEngine:
    engine = open_engine("tensorrt", model)
    assert isinstance(engine, TensorrtEngine)
    return engine


def test_batches_are_those_of_the_pipeline() -> None:
    assert engine_file.BATCHES[0] == 1
    assert engine_file.BATCHES[-1] == LARGEST_BATCH


@INTEGRATED
@GRAPHS
@pytest.mark.parametrize("version", VERSIONS)
def test_a_batch_of_any_size(
    version: str, integrated: bool, missing: Any, cache: Path, model: Model, golden: Pixels, expected: np.ndarray
) -> None:
    with tensorrt_here(cache, version, integrated=integrated, missing=missing) as here:
        engine = tensorrt(model)
        for count in (1, 8, 3, 9, 16, 17, 64):
            outputs = engine.infer(golden[:count])
            for array in outputs:
                here.verify(array)
            assert np.abs(outputs.probabilities - expected[:count]).max() <= 1e-5
        assert (here.calls["bindings.cuGraphLaunch"] > 0) == (not missing)
        copies = here.calls["driver.memcpy_htod_async"], here.calls["driver.memcpy_dtoh_async"]
        assert all(copies) != integrated, "an integrated GPU reads and writes host memory itself"
        engine.close()


@INTEGRATED
def test_the_next_batch_is_prepared_while_one_runs(
    integrated: bool, cache: Path, model: Model, golden: Pixels, expected: np.ndarray
) -> None:
    with tensorrt_here(cache, integrated=integrated) as here:
        engine = tensorrt(model)
        answers = []
        for start in range(0, 32, 8):
            room = engine.room(8)
            room[:] = golden[start : start + 8]
            engine.submit(room)
            if start:
                answers.append(engine.collect().probabilities)
        assert len(engine._in_flight) == 1
        answers.append(engine.collect().probabilities)
        found = np.concatenate(answers)
        here.verify(found)
        assert np.abs(found - expected[:32]).max() <= 1e-5
        engine.submit(golden[:2])
        engine.submit(golden[2:4])
        with pytest.raises(RuntimeError, match="two batches are in flight"):
            engine.submit(golden[4:6])
        assert engine.room(4).base is None, "both buffer sets are taken: memory of its own"
        assert np.abs(engine.collect().probabilities - expected[:2]).max() <= 1e-5
        assert np.abs(engine.collect().probabilities - expected[2:4]).max() <= 1e-5
        engine.close()


def test_cells_are_cut_into_the_memory_the_gpu_reads(
    cache: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = np.random.default_rng(8).integers(0, 256, (240, 320, 3), np.uint8)
    cells = [(field, Cell(Box(10 * i, 5 * i, 40, 50), 1.0)) for i in range(2 * LARGEST_BATCH + 3)]
    reference = open_engine("onnxruntime", model, threads=1)
    assert not isinstance(reference, Overlapping)
    wanted, cut_by_reference, *_ = cut_and_classify(cells, reference)
    copied: list[Any] = []
    with tensorrt_here(cache) as here:
        engine = tensorrt(model)
        assert isinstance(engine, Overlapping)
        monkeypatch.setattr("edge_wbc.engines.tensorrt.np.copyto", lambda *arguments: copied.append(arguments))
        found, crops, crop_ns, classify_ns = cut_and_classify(cells, engine)
        engine.close()
        assert here.calls["driver.memcpy_htod_async"] == 0
    assert copied == []
    assert [p.label for p in found] == [p.label for p in wanted]
    assert (np.stack(crops) == np.stack(cut_by_reference)).all(), "the GPU's memory is written again"
    assert crop_ns > 0
    assert classify_ns > 0
    assert cut_and_classify([], reference).predictions == []
    assert (cut(cells[:3], reference) == cut(cells[:3], reference, np.empty((3, 64, 64, 3), np.uint8))).all()


def test_used_by_one_thread_after_another(cache: Path, model: Model, golden: Pixels, expected: np.ndarray) -> None:
    with tensorrt_here(cache):
        engine = tensorrt(model)
        found: list[np.ndarray] = []
        for start in (0, 8):
            thread = threading.Thread(target=lambda at=start: found.append(engine.infer(golden[at : at + 8]).logits))
            thread.start()
            thread.join()
        engine.close()
    assert [len(part) for part in found] == [8, 8]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_engines_are_released_in_any_order(order: tuple[int, int], cache: Path, model: Model) -> None:
    crops = np.zeros((2, 64, 64, 3), np.uint8)
    with tensorrt_here(cache):
        engines = [tensorrt(model), tensorrt(model)]
        first, second = (engines[i] for i in order)
        first.infer(crops)
        first.close()
        second.infer(crops)
        second.close()
        second.close()


def test_what_is_in_flight_is_waited_for(cache: Path, model: Model, golden: Pixels) -> None:
    with tensorrt_here(cache):
        engine = tensorrt(model)
        engine.submit(golden[:8])
        engine.close()


def test_an_engine_nobody_holds_is_released(cache: Path, model: Model) -> None:
    with tensorrt_here(cache):
        tensorrt(model)  # never closed; the double looks for leaks at the end


def test_steady_state_allocates_nothing(cache: Path, model: Model, golden: Pixels) -> None:
    """Neither on the GPU nor, but for the outputs handed out, in Python."""
    with tensorrt_here(cache) as here:
        engine = tensorrt(model)
        for count in (1, 8):
            crops = golden[:count]
            for _ in range(20):
                engine.infer(crops)
            on_gpu = here.allocations
            del here.findings[:]
            tracemalloc.start()
            try:
                before = tracemalloc.take_snapshot()
                for _ in range(100):
                    engine.infer(crops)
                after = tracemalloc.take_snapshot()
            finally:
                tracemalloc.stop()
            assert here.allocations == on_gpu
            own = [tracemalloc.Filter(True, "*/edge_wbc/engines/*")]
            grown = sum(
                line.size_diff for line in after.filter_traces(own).compare_to(before.filter_traces(own), "lineno")
            )
            assert grown < 2048, f"{grown} bytes more after 100 batches"
        engine.close()


def overhead_us(engine: TensorrtEngine, here: Machine, crops: Pixels, rounds: int) -> float:
    """Median time of a call less what the double's calls took in it, in µs."""
    taken = []
    for _ in range(rounds):
        inside, start = here.inside_ns, time.perf_counter_ns()
        engine.infer(crops)
        taken.append((time.perf_counter_ns() - start - (here.inside_ns - inside)) / 1e3)
    return statistics.median(taken)


@INTEGRATED
@GRAPHS
def test_python_takes_little_of_a_batch(
    integrated: bool, missing: Any, cache: Path, model: Model, golden: Pixels
) -> None:
    """What stands between the caller and TensorRT: two context switches of CUDA, the copy of the crops, the outputs.

    The median of 50 batches, of the first time that nothing else keeps the processor busy.
    """
    with tensorrt_here(cache, integrated=integrated, missing=missing) as here:
        engine = tensorrt(model)
        for count in (1, 8):
            overhead_us(engine, here, golden[:count], 20)
            medians = (overhead_us(engine, here, golden[:count], 50) for _ in range(40))
            assert any(found <= MOST_OVERHEAD_US for found in medians), f"a batch of {count}"
        engine.close()


OUT_OF_MEMORY = GpuMemoryError("cuMemAlloc failed: out of memory")
FAILING: list[tuple[str, Any, type[EdgeWbcError], str]] = [
    ("driver.Device.retain_primary_context", OUT_OF_MEMORY, GpuError, "using the GPU failed: .*end other programs"),
    ("driver.mem_alloc", OUT_OF_MEMORY, GpuError, "allocating .* on the GPU failed: .*end other programs"),
    ("driver.pagelocked_empty", OUT_OF_MEMORY, GpuError, "page-locking .* failed: .*end other programs"),
    ("Runtime.deserialize_cuda_engine", None, ModelError, "does not take it .*edge-wbc build"),
    ("ICudaEngine.create_execution_context", None, GpuError, "create_execution_context failed: .*end other"),
    ("IExecutionContext.set_input_shape", False, GpuError, "set_input_shape refused a batch of"),
    (
        "IExecutionContext.set_tensor_address",
        False,
        GpuError,
        "set_tensor_address refused (crops|logits|probabilities)",
    ),
    ("IExecutionContext.execute_async_v3", False, GpuError, "execute_async_v3 failed: .*start again"),
    ("bindings.cuStreamBeginCapture", (CUresult.CUDA_ERROR_INVALID_VALUE,), GpuError, "cuStreamBeginCapture failed"),
    ("bindings.cuGraphInstantiate", (CUresult.CUDA_ERROR_OUT_OF_MEMORY, None), GpuError, "cuGraphInstantiate failed"),
    ("bindings.cuGraphLaunch", (CUresult.CUDA_ERROR_INVALID_VALUE,), GpuError, "cuGraphLaunch failed"),
]


ONCE = {
    "driver.Device.retain_primary_context",
    "driver.mem_alloc",
    "Runtime.deserialize_cuda_engine",
}
"""Not called often enough to fail later."""


@pytest.mark.parametrize(
    ("call", "gives", "error", "says", "at"),
    [(*case, at) for case in FAILING for at in (1, 4) if at == 1 or case[0] not in ONCE],
    ids=[f"{case[0]} {at}" for case in FAILING for at in (1, 4) if at == 1 or case[0] not in ONCE],
)
def test_a_call_that_fails_is_named_and_all_is_released(
    call: str, gives: Any, error: type[EdgeWbcError], says: str, at: int, cache: Path, model: Model
) -> None:
    with tensorrt_here(cache):
        tensorrt(model).close()  # the engine is in the folder
    integrated = call != "driver.mem_alloc"
    with tensorrt_here(cache, integrated=integrated, faults={call: fault(gives, at)}) as here:
        with pytest.raises(error, match=says) as caught:
            tensorrt(model)
        assert "\n" not in str(caught.value)
        if call in ("Runtime.deserialize_cuda_engine", "IExecutionContext.execute_async_v3"):
            assert "because the test says so" in str(caught.value), "the reason stands in TensorRT's log only"
        forget(caught.value, here)


@pytest.mark.parametrize(("name", "says"), [("Stream", "making a stream"), ("Event", "making an event")])
def test_a_thing_that_cannot_be_made_is_named(
    name: str, says: str, cache: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise GpuMemoryError("cuStreamCreate failed: out of memory")

    with tensorrt_here(cache):
        tensorrt(model).close()
        monkeypatch.setattr(sys.modules["pycuda.driver"], name, refuse)
        with pytest.raises(GpuError, match=f"{says} failed: .*out of memory; end other programs"):
            tensorrt(model)


def fault(gives: Any, at: int) -> Fault:
    """An exception of its own each time: one that was raised holds what was in its frames."""
    return Fault(type(gives)(*gives.args) if isinstance(gives, Exception) else gives, "because the test says so", at)


def forget(error: BaseException, here: Machine) -> None:
    """Let go of the double's own frames, which a driver written in C does not have."""
    error.__context__ = error.__traceback__ = None
    for known in here.faults.values():
        if isinstance(known.value, BaseException):
            known.value.__traceback__ = None
    here.faults.clear()


RUNNING = [
    ("bindings.cuGraphLaunch", (CUresult.CUDA_ERROR_INVALID_VALUE,), "cuGraphLaunch failed: CUDA_ERROR_INVALID_VALUE"),
    ("driver.Event.record", OUT_OF_MEMORY, "starting a batch on the GPU failed"),
    ("driver.Event.synchronize", OUT_OF_MEMORY, "waiting for the GPU failed"),
]


@pytest.mark.parametrize(("call", "gives", "says"), RUNNING, ids=[case[0] for case in RUNNING])
def test_a_gpu_that_fails_while_running(
    call: str, gives: Any, says: str, cache: Path, model: Model, golden: Pixels, expected: np.ndarray
) -> None:
    with tensorrt_here(cache) as here:
        engine = tensorrt(model)
        engine.infer(golden[:8])
        here.faults[call] = fault(gives, here.calls[call] + 2)
        with pytest.raises(GpuError, match=says) as caught:
            engine.infer(golden[:24])
        forget(caught.value, here)
        found = engine.infer(golden[:24]).probabilities
        here.verify(found)
        assert np.abs(found - expected[:24]).max() <= 1e-5, "nothing of the failed batch is left"
        engine.close()
