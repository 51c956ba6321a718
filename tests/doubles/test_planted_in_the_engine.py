"""The same kinds of bugs, planted into the engine that ships: the double finds them through it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_wbc.engines import plan
from edge_wbc.engines.base import open_engine
from edge_wbc.engines.cuda import Buffer, Gpu
from edge_wbc.engines.tensorrt import TensorrtEngine
from edge_wbc.errors import EdgeWbcError
from edge_wbc.manifest import Model
from edge_wbc.types import Pixels
from tests.doubles import Violation
from tests.on_the_double import tensorrt_here


@pytest.fixture(scope="module")
def crops() -> Pixels:
    return np.random.default_rng(3).integers(0, 256, (4, 64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Engines are built once for all of these tests."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture
def plant() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


BUGS: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], object]]] = {}
"""Name → what the double calls it, as a pattern; the step of the engine that is changed."""


def bug(kind: str) -> Callable[[Callable[[pytest.MonkeyPatch], object]], Callable[[pytest.MonkeyPatch], object]]:
    def add(change: Callable[[pytest.MonkeyPatch], object]) -> Callable[[pytest.MonkeyPatch], object]:
        BUGS[change.__name__] = (kind, change)
        return change

    return add


@bug("read before it was there")
def answer_read_without_waiting(plant: pytest.MonkeyPatch) -> None:
    def wait(engine: Any) -> Any:
        return engine._in_flight.popleft()

    plant.setattr(TensorrtEngine, "_wait", wait)


@bug("changed in flight")
def crops_overwritten_once_submitted(plant: pytest.MonkeyPatch) -> None:
    submit = TensorrtEngine.submit

    def and_overwrite(engine: Any, crops: Pixels) -> None:
        room = engine.room(len(crops))
        submit(engine, crops)
        room[:] = 7

    plant.setattr(TensorrtEngine, "submit", and_overwrite)


@bug("before the first was done")
def one_buffer_set_for_two_batches(plant: pytest.MonkeyPatch) -> None:
    submit = TensorrtEngine.submit

    def twice(engine: Any, crops: Pixels) -> None:
        submit(engine, crops)
        engine._next = 0
        submit(engine, crops)

    plant.setattr(TensorrtEngine, "submit", twice)


@bug("freed early")
def buffers_freed_while_the_gpu_works(plant: pytest.MonkeyPatch) -> None:
    submit = TensorrtEngine.submit

    def and_free(engine: Any, crops: Pixels) -> None:
        submit(engine, crops)
        with engine._plan.gpu:
            engine._in_flight[0][0].outputs[0].close()

    plant.setattr(TensorrtEngine, "submit", and_free)


@bug("wrong address")
def the_host_address_given_to_tensorrt(plant: pytest.MonkeyPatch) -> None:
    init = Buffer.__init__

    def with_host_address(buffer: Any, host: Any, address: int, memory: Any, driver: Any) -> None:
        init(buffer, host, host.ctypes.data, memory, driver)

    plant.setattr(Buffer, "__init__", with_host_address)


@bug("wrong dtype")
def outputs_of_another_dtype(plant: pytest.MonkeyPatch) -> None:
    buffer = Gpu.buffer
    plant.setattr(
        Gpu, "buffer", lambda gpu, shape, dtype: buffer(gpu, shape, np.int32 if dtype == np.float32 else dtype)
    )


@bug("too small")
def outputs_too_small(plant: pytest.MonkeyPatch) -> None:
    buffer = Gpu.buffer
    plant.setattr(Gpu, "buffer", lambda gpu, shape, dtype: buffer(gpu, (shape[0] - 1, *shape[1:]), dtype))


@bug("shape outside the profile or not set")
def shapes_never_set(plant: pytest.MonkeyPatch) -> None:
    context = plan.Plan._context

    def without_a_shape(made: Any, buffers: Any, batch: int, shape: tuple[int, ...]) -> Any:
        found = context(made, buffers, batch, shape)
        found.set_input_shape("crops", (99, *shape[1:]))
        return found

    plant.setattr(plan.Plan, "_context", without_a_shape)


@bug("no context in this thread")
def context_not_made_current(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(Gpu, "__enter__", lambda gpu: gpu)
    plant.setattr(Gpu, "__exit__", lambda gpu, *_: None)


@bug("context never popped")
def context_left_current(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(Gpu, "__exit__", lambda gpu, *_: None)


@bug("after its context: .*page-locked memory")
def buffers_kept(plant: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []

    def close(buffers: Any) -> None:
        kept.extend(buffer._pinned for buffer in (buffers.inputs, *buffers.outputs))
        for run in buffers.runs.values():
            run.close()
        buffers.done = None

    plant.setattr(plan.BufferSet, "close", close)
    plant.setattr(plan.BufferSet, "kept", kept, raising=False)


@bug("after its context")
def context_released_first(plant: pytest.MonkeyPatch) -> None:
    close = plan.Plan.close

    def in_the_wrong_order(made: Any) -> None:
        made.gpu.close()
        close(made)

    plant.setattr(plan.Plan, "close", in_the_wrong_order)


@bug("after its context: .*graph")
def graphs_kept(plant: pytest.MonkeyPatch) -> None:
    plant.setattr("edge_wbc.engines.cuda_graph.CudaGraph.close", lambda graph: None)


@bug("captured before it ran")
def no_warm_up_before_the_capture(plant: pytest.MonkeyPatch) -> None:
    queued = plan.Run.queue

    def only_while_capturing(run: Any) -> None:
        if run._stream._lane.captured is not None:
            queued(run)

    plant.setattr(plan.Run, "queue", only_while_capturing)


@bug("graph of another set-up")
def execution_context_changed_after_the_capture(plant: pytest.MonkeyPatch) -> None:
    warm_up = plan.Plan._warm_up

    def and_change(made: Any) -> None:
        warm_up(made)
        for buffers in made.sets:
            for batch, run in buffers.runs.items():
                run._context.set_input_shape("crops", (1 + batch % 8, 64, 64, 3))

    plant.setattr(plan.Plan, "_warm_up", and_change)


@pytest.mark.parametrize("name", list(BUGS))
def test_a_bug_planted_in_the_engine_is_found(
    name: str, plant: pytest.MonkeyPatch, cache: Path, model: Model, crops: Pixels
) -> None:
    kind, change = BUGS[name]
    with tensorrt_here(cache):
        open_engine("tensorrt", model).close()  # built rightly
    found: list[str] = []

    def run() -> None:
        with tensorrt_here(cache) as machine:
            change(plant)
            try:
                engine = open_engine("tensorrt", model)
                try:
                    machine.verify(engine.infer(crops).probabilities)
                finally:
                    engine.close()
            finally:
                found.extend(machine.findings)

    with pytest.raises((Violation, EdgeWbcError)) as caught:
        run()
    assert re.search(kind, "\n".join([*found, str(caught.value)]))


@pytest.mark.parametrize("integrated", [True, False], ids=["integrated", "discrete"])
def test_the_engine_as_it_is_is_not_blamed(integrated: bool, cache: Path, model: Model, crops: Pixels) -> None:
    with tensorrt_here(cache, integrated=integrated) as machine:
        engine = open_engine("tensorrt", model)
        machine.verify(engine.infer(crops).probabilities)
        engine.close()
