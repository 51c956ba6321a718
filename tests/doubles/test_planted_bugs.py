"""The double names each bug of memory, order or threads that is planted here, and does not blame the right program."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.doubles import VERSIONS, Machine, Violation, installed

onnx = pytest.importorskip("onnx")

MOST = 4


@pytest.fixture(scope="module")
def graph() -> bytes:
    """uint8 crops (N, 4, 4, 3) to their float32 means (N, 3)."""
    make, tensor = onnx.helper, onnx.TensorProto
    nodes = [
        make.make_node("Cast", ["crops"], ["float"], "cast", to=tensor.FLOAT),
        make.make_node("ReduceMean", ["float"], ["means"], "mean", axes=[1, 2], keepdims=0),
    ]
    crops = make.make_tensor_value_info("crops", tensor.UINT8, ["N", 4, 4, 3])
    means = make.make_tensor_value_info("means", tensor.FLOAT, ["N", 3])
    made = make.make_graph(nodes, "means", [crops], [means])
    return make.make_model(made, opset_imports=[make.make_opsetid("", 17)], ir_version=8).SerializeToString()


class Rig:
    """One engine with one execution context and one buffer set, the context of CUDA current; as small as it gets."""

    def __init__(self, machine: Machine, graph: bytes) -> None:
        import pycuda.driver as driver  # type: ignore[import-not-found]
        import tensorrt as trt  # type: ignore[import-not-found]
        from cuda.bindings import driver as bindings  # type: ignore[import-not-found]

        self.machine, self.driver, self.trt, self.bindings = machine, driver, trt, bindings

        class Quiet(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()

            def log(self, severity: Any, msg: str) -> None:
                pass

        self.logger = Quiet()
        driver.init()
        self.cuda = driver.Device(0).retain_primary_context()
        self.cuda.push()
        self.stream = driver.Stream()
        self.engine = trt.Runtime(self.logger).deserialize_cuda_engine(self.plan(graph))
        self.context = self.engine.create_execution_context()
        self.crops = self.pinned((MOST, 4, 4, 3), np.uint8)
        self.means = self.pinned((MOST, 3), np.float32)
        self.device: list[Any] = []
        if not machine.integrated:
            self.device = [driver.mem_alloc(self.crops.nbytes), driver.mem_alloc(self.means.nbytes)]
        self.graph: Any = None
        self.count = MOST
        self.set_up(MOST)

    def plan(self, graph: bytes) -> bytes:
        builder = self.trt.Builder(self.logger)
        flag = self.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
        network = builder.create_network(1 << int(flag))
        parser = self.trt.OnnxParser(network, self.logger)
        assert parser.parse(graph)
        profile = builder.create_optimization_profile()
        profile.set_shape("crops", (1, 4, 4, 3), (2, 4, 4, 3), (MOST, 4, 4, 3))
        config = builder.create_builder_config()
        assert config.add_optimization_profile(profile) == 0
        return bytes(builder.build_serialized_network(network, config))

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return self.driver.pagelocked_empty(shape, dtype, mem_flags=self.driver.host_alloc_flags.DEVICEMAP)

    def set_up(self, count: int) -> None:
        self.count = count
        self.context.set_input_shape("crops", (count, 4, 4, 3))
        crops, means = map(int, self.device) if self.device else (
            array.base.get_device_pointer() for array in (self.crops, self.means)
        )  # fmt: skip
        self.context.set_tensor_address("crops", crops)
        self.context.set_tensor_address("means", means)

    def queue(self) -> None:
        if self.device:
            self.driver.memcpy_htod_async(int(self.device[0]), self.crops[: self.count], self.stream)
        assert self.context.execute_async_v3(self.stream.handle)
        if self.device:
            self.driver.memcpy_dtoh_async(self.means[: self.count], int(self.device[1]), self.stream)

    def capture(self) -> None:
        handle, mode = self.stream.handle, self.bindings.CUstreamCaptureMode
        self.bindings.cuStreamBeginCapture(handle, mode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
        self.queue()
        _, drawn = self.bindings.cuStreamEndCapture(handle)
        _, self.graph = self.bindings.cuGraphInstantiate(drawn, 0)
        self.bindings.cuGraphDestroy(drawn)

    def launch(self) -> None:
        self.bindings.cuGraphLaunch(self.graph, self.stream.handle)

    def answer(self) -> np.ndarray:
        means = self.means[: self.count].copy()
        self.machine.verify(means)
        return means

    def close(self) -> None:
        if self.graph is not None:
            self.bindings.cuGraphExecDestroy(self.graph)
        self.context = self.engine = None
        for allocation in (self.crops.base, self.means.base, *self.device):
            allocation.free()
        self.stream = None
        self.cuda.pop()
        self.cuda.detach()


def run(program: Callable[[Rig], None], graph: bytes, integrated: bool, version: str = "10.3.0") -> None:
    """A program from its start to its end, in which it closes the rig; then the double's last look."""
    with installed(version, integrated=integrated) as machine:
        program(Rig(machine, graph))


BUGS: dict[str, tuple[bool | None, str, Callable[[Rig], None]]] = {}
"""Name → on an integrated GPU (True), a discrete one (False) or both (None); what the double calls it; the program."""


def bug(kind: str, integrated: bool | None = None) -> Callable[[Callable[[Rig], None]], Callable[[Rig], None]]:
    def add(program: Callable[[Rig], None]) -> Callable[[Rig], None]:
        BUGS[program.__name__] = (integrated, kind, program)
        return program

    return add


@bug("read before it was there")
def output_read_before_the_synchronisation(rig: Rig) -> None:
    rig.queue()
    rig.answer()


@bug("read before it was there")
def output_read_after_a_synchronisation_of_what_came_before(rig: Rig) -> None:
    event = rig.driver.Event()
    event.record(rig.stream)
    rig.queue()
    event.synchronize()
    rig.answer()


@bug("read before it was there", integrated=False)
def executed_without_the_upload(rig: Rig) -> None:
    rig.context.execute_async_v3(rig.stream.handle)
    rig.stream.synchronize()


@bug("changed in flight")
def input_reused_in_flight(rig: Rig) -> None:
    rig.crops[:] = 1
    rig.queue()
    rig.crops[:] = 2
    rig.stream.synchronize()


@bug("changed in flight")
def output_written_to_in_flight(rig: Rig) -> None:
    rig.queue()
    rig.means[:] = 0
    rig.stream.synchronize()


@bug("before the first was done")
def second_batch_on_the_same_buffers_before_the_first_is_done(rig: Rig) -> None:
    rig.queue()
    rig.queue()


@bug("two streams at once")
def two_streams_over_one_buffer_set(rig: Rig) -> None:
    rig.queue()
    rig.stream, first = rig.driver.Stream(), rig.stream
    rig.queue()
    first.synchronize()


@bug("freed early", integrated=False)
def device_memory_freed_in_flight(rig: Rig) -> None:
    rig.queue()
    rig.device[0].free()


@bug("freed early")
def page_locked_memory_freed_in_flight(rig: Rig) -> None:
    rig.queue()
    rig.means.base.free()


@bug("freed early")
def page_locked_memory_dropped_in_flight(rig: Rig) -> None:
    rig.queue()
    rig.means = rig.pinned((MOST, 3), np.float32)
    rig.stream.synchronize()
    rig.close()


@bug("freed early")
def execution_context_dropped_in_flight(rig: Rig) -> None:
    rig.queue()
    rig.context = None
    rig.stream.synchronize()
    rig.close()


@bug("freed early")
def closed_without_waiting(rig: Rig) -> None:
    rig.queue()
    rig.close()


@bug("wrong address")
def host_address_given_for_a_device_address(rig: Rig) -> None:
    rig.context.set_tensor_address("crops", rig.crops.ctypes.data)
    rig.queue()


@bug("wrong address", integrated=False)
def address_of_memory_that_was_freed(rig: Rig) -> None:
    rig.device[1].free()
    rig.queue()


@bug("wrong address")
def address_within_a_block_out_of_line(rig: Rig) -> None:
    rig.context.set_tensor_address("crops", rig.crops.base.get_device_pointer() + 48)


@bug("wrong address", integrated=True)
def page_locked_memory_that_is_not_mapped(rig: Rig) -> None:
    rig.crops.base.free()
    rig.crops = rig.driver.pagelocked_empty((MOST, 4, 4, 3), np.uint8)
    rig.set_up(MOST)


@bug("not page-locked", integrated=False)
def copy_from_pageable_memory(rig: Rig) -> None:
    rig.crops = np.zeros((MOST, 4, 4, 3), np.uint8)
    rig.queue()


@bug("wrong dtype")
def input_of_another_dtype(rig: Rig) -> None:
    rig.crops = rig.pinned((MOST, 4, 4, 3), np.int8)
    rig.set_up(MOST)
    rig.queue()
    rig.stream.synchronize()


@bug("wrong dtype")
def output_of_another_dtype(rig: Rig) -> None:
    rig.means = rig.pinned((MOST, 3), np.int32)
    rig.set_up(MOST)
    rig.queue()
    rig.stream.synchronize()


@bug("too small")
def output_too_small(rig: Rig) -> None:
    if rig.device:
        rig.device[1] = rig.driver.mem_alloc(16)
    rig.means = rig.pinned((1, 3), np.float32)
    rig.set_up(MOST)
    rig.queue()


@bug("shape outside the profile or not set")
def shape_outside_the_profile(rig: Rig) -> None:
    rig.context.set_input_shape("crops", (MOST + 1, 4, 4, 3))
    rig.queue()


@bug("shape outside the profile or not set")
def shape_never_set(rig: Rig) -> None:
    rig.context = rig.engine.create_execution_context()
    rig.queue()


@bug("no such tensor")
def name_that_the_engine_does_not_have(rig: Rig) -> None:
    rig.context.set_tensor_address("means:0", int(rig.means.base.get_device_pointer()))


@bug("no context in this thread")
def executed_in_a_thread_without_the_context(rig: Rig) -> None:
    elsewhere(rig.queue)


@bug("no context in this thread")
def freed_in_a_thread_without_the_context(rig: Rig) -> None:
    elsewhere(rig.means.base.free)


@bug("context never popped")
def context_pushed_and_never_popped(rig: Rig) -> None:
    elsewhere(rig.cuda.push)
    rig.close()


@bug("after its context")
def context_released_before_the_memory(rig: Rig) -> None:
    rig.cuda.pop()
    rig.cuda.detach()


@bug("leak: device memory")
def device_memory_kept(rig: Rig) -> None:
    KEPT.append(rig.driver.mem_alloc(16))
    close_all_but_the_context(rig)


@bug("leak: stream")
def stream_kept(rig: Rig) -> None:
    KEPT.append(rig.stream)
    close_all_but_the_context(rig)


@bug("leak: execution context")
def execution_context_kept(rig: Rig) -> None:
    KEPT.append(rig.context)
    close_all_but_the_context(rig)


@bug("leak: context")
def context_kept(rig: Rig) -> None:
    KEPT.append(rig.cuda)
    close_all_but_the_context(rig)


@bug("leak: graph")
def graph_kept(rig: Rig) -> None:
    rig.queue()
    rig.stream.synchronize()
    rig.capture()
    rig.graph = None
    close_all_but_the_context(rig)


@bug("freed early", integrated=False)
def graph_launched_after_its_memory_was_freed(rig: Rig) -> None:
    warmed_up(rig)
    rig.device[1].free()
    rig.launch()


@bug("freed early")
def graph_launched_after_it_was_destroyed(rig: Rig) -> None:
    warmed_up(rig)
    rig.bindings.cuGraphExecDestroy(rig.graph)
    rig.launch()


@bug("graph of another set-up")
def graph_launched_after_the_shape_changed(rig: Rig) -> None:
    warmed_up(rig)
    rig.set_up(1)
    rig.launch()


@bug("graph of another set-up")
def graph_launched_after_its_execution_context_went(rig: Rig) -> None:
    warmed_up(rig)
    rig.context = None
    rig.launch()


@bug("captured before it ran")
def graph_captured_without_a_warm_up(rig: Rig) -> None:
    rig.capture()


@bug("synchronised while capturing")
def synchronised_in_the_middle_of_a_capture(rig: Rig) -> None:
    warmed_up(rig)
    mode = rig.bindings.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    rig.bindings.cuStreamBeginCapture(rig.stream.handle, mode)
    rig.stream.synchronize()


KEPT: list[Any] = []


def close_all_but_the_context(rig: Rig) -> None:
    if rig.graph is not None:
        rig.bindings.cuGraphExecDestroy(rig.graph)
    rig.context = rig.engine = None
    for allocation in (rig.crops.base, rig.means.base, *rig.device):
        allocation.free()
    rig.stream = None
    rig.cuda.pop()


def warmed_up(rig: Rig) -> None:
    rig.queue()
    rig.stream.synchronize()
    rig.capture()


def elsewhere(function: Callable[[], object]) -> None:
    """Run it in another thread and pass on what it raised."""
    raised: list[BaseException] = []

    def target() -> None:
        try:
            function()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


@pytest.mark.parametrize(
    ("name", "integrated"),
    [(name, device) for name, (where, _, _) in BUGS.items() for device in (True, False) if where in (None, device)],
)
def test_a_planted_bug_is_found(name: str, integrated: bool, graph: bytes) -> None:
    _, kind, program = BUGS[name]
    try:
        with pytest.raises(Violation) as caught:
            run(program, graph, integrated)
    finally:
        KEPT.clear()
    assert kind in str(caught.value)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("integrated", [True, False], ids=["integrated", "discrete"])
def test_the_right_program_is_not_blamed(version: str, integrated: bool, graph: bytes) -> None:
    def rightly(rig: Rig) -> None:
        for count in (MOST, 1, 2):
            rig.set_up(count)
            rig.crops[:] = np.arange(rig.crops.size, dtype=np.uint8).reshape(rig.crops.shape)
            rig.queue()
            rig.stream.synchronize()
            expected = rig.crops[:count].mean(axis=(1, 2), dtype=np.float32)
            assert np.abs(rig.answer() - expected).max() < 1e-3
        rig.capture()
        for value in (3, 200):
            rig.crops[:] = value
            rig.launch()
            event = rig.driver.Event(rig.driver.event_flags.DISABLE_TIMING)
            event.record(rig.stream)
            event.synchronize()
            assert (rig.answer() == value).all()
        del event
        rig.close()

    run(rightly, graph, integrated, version)
