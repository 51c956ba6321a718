"""A deserialised plan with all it needs on the GPU, made once: buffers, execution contexts, CUDA graphs.

Two buffer sets, so that one can be filled while the other is computed. In each, every batch size has an execution
context of its own whose shape, addresses and memory are set once: NVIDIA's guide leaves undefined what a captured
graph does once its context was changed. All share one block of memory for activations, as they share one stream.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from edge_wbc.engines import binding
from edge_wbc.engines.base import Port, check_ports
from edge_wbc.engines.cuda import Buffer, Gpu
from edge_wbc.engines.cuda_graph import CudaGraph, bindings
from edge_wbc.engines.engine_file import Place
from edge_wbc.errors import GpuError, ModelError
from edge_wbc.manifest import Model
from edge_wbc.types import Pixels

SETS = 2


class Run:
    """One batch size in one buffer set, ready to be launched."""

    def __init__(self, plan: Plan, buffers: BufferSet, size: int, context: Any) -> None:
        self._context = context
        self._stream, self._handle = plan.stream, plan.stream.handle
        self._buffers = buffers
        self._in = buffers.crops[size]
        self._out = (buffers.probabilities[size], buffers.logits[size])
        self._reason = plan.reason
        self.graph: CudaGraph | None = None

    def queue(self) -> None:
        """Queue copies, where there are any, and the network, one by one.

        :raises GpuError: TensorRT would not.
        """
        buffers = self._buffers
        buffers.inputs.upload(self._stream, self._in)
        if not self._context.execute_async_v3(self._handle):
            raise GpuError(f"execute_async_v3 failed: {self._reason()}; start again")
        for buffer, rows in zip(buffers.outputs, self._out, strict=True):
            buffer.download(self._stream, rows)

    def launch(self) -> None:
        """Queue it all, as one call where there is a CUDA graph."""
        if self.graph is None:
            self.queue()
        else:
            self.graph.launch()

    def close(self) -> None:
        """Also when a traceback still holds this."""
        graph, self.graph = self.graph, None
        self._context = self._stream = None
        if graph is not None:
            graph.close()


class BufferSet:
    """Input and outputs of one batch, and their leading parts by number of rows, 0 to the largest batch."""

    def __init__(self, gpu: Gpu, largest: int, side: int, classes: int) -> None:
        self._held = contextlib.ExitStack()
        with contextlib.ExitStack() as held:  # what was made before a failure is freed

            def make(shape: tuple[int, ...], dtype: type[np.generic]) -> Buffer:
                buffer = gpu.buffer(shape, dtype)
                held.callback(buffer.close)
                return buffer

            self.inputs = make((largest, side, side, 3), np.uint8)
            self.outputs = (make((largest, classes), np.float32), make((largest, classes), np.float32))
            self.done = gpu.event()
            self._held = held.pop_all()
        self.crops: list[Pixels] = [self.inputs.host[:rows] for rows in range(largest + 1)]
        self.probabilities, self.logits = (
            [buffer.host[:rows] for rows in range(largest + 1)] for buffer in self.outputs
        )
        self.runs: dict[int, Run] = {}
        """By batch size."""

    def close(self) -> None:
        for run in self.runs.values():
            run.close()
        self.runs.clear()
        self.crops, self.probabilities, self.logits = [], [], []
        self.done = None
        self._held.close()


class Plan:
    """Made inside ``with gpu``, and closed with it."""

    def __init__(self, trt: Any, gpu: Gpu) -> None:
        self.gpu = gpu
        self.sets: tuple[BufferSet, ...] = ()
        self.stream: Any = None
        self.least = self.largest = 0
        """Rows of the smallest and the largest batch."""
        self._trt = trt
        self._logger = binding.logger(trt)
        self.reason = self._logger.reason
        self._runtime: Any = None
        self._engine: Any = None
        self._activations: Any = None
        self._closed = False

    def load(self, plan: bytes, model: Model, place: Place) -> None:
        """Deserialise and warm up; its hash was checked before.

        :raises ModelError: TensorRT does not take the plan, or it is of another form than the manifest says.
        :raises GpuError: memory ran out, or a call failed.
        """
        with self.gpu:
            try:
                self._deserialize(plan, model, place)
                self._allocate(model)
                self._warm_up()
            except self.gpu.error as error:
                raise self.gpu.failed(error, "preparing the engine") from None

    def close(self) -> None:
        """Release everything, in order, whatever was made or failed before. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        failed = self.gpu.error, GpuError  # a context that died took all with it
        with contextlib.suppress(*failed), self.gpu, contextlib.ExitStack() as last:
            last.callback(self._drop)
            for buffers in self.sets:
                last.callback(buffers.close)
            if self.stream is not None:
                self.stream.synchronize()
        with contextlib.suppress(*failed):
            self.gpu.close()

    def _drop(self) -> None:
        memory, self._activations = self._activations, None
        self.sets = ()
        self.stream = self._engine = self._runtime = None
        if memory is not None:
            memory.free()

    def _deserialize(self, plan: bytes, model: Model, place: Place) -> None:
        self._logger.clear()
        self._runtime = self._trt.Runtime(self._logger)
        if place.dla is not None:
            self._runtime.DLA_core = place.dla
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise ModelError(
                f"{place.engine}: TensorRT does not take it ({self.reason()}); `{place.rebuild}` builds it anew"
            )
        inputs, outputs = self._ports()
        check_ports(model, inputs, outputs)
        least, _, largest = self._engine.get_tensor_profile_shape("crops", 0)
        self.least, self.largest = least[0], largest[0]

    def _ports(self) -> tuple[list[Port], list[Port]]:
        """Of the engine, in the order that graphs have them: TensorRT promises none."""
        engine, kinds = self._engine, self._trt.TensorIOMode
        inputs: list[Port] = []
        outputs: list[Port] = []
        for name in sorted((engine.get_tensor_name(i) for i in range(engine.num_io_tensors)), reverse=True):
            sides = list(engine.get_tensor_shape(name))
            shape = (None, *(None if side < 0 else side for side in sides[1:]))
            port = Port(name, binding.dtype_name(self._trt, engine.get_tensor_dtype(name)), shape)
            (inputs if engine.get_tensor_mode(name) == kinds.INPUT else outputs).append(port)
        return inputs, outputs

    def _allocate(self, model: Model) -> None:
        gpu, side, classes = self.gpu, model.manifest.input.size_px, len(model.manifest.labels.names)
        self.stream = gpu.stream()
        if size := self._engine.device_memory_size_v2:
            self._activations = gpu.memory(size)
        for _ in range(SETS):
            self.sets = (*self.sets, BufferSet(gpu, self.largest, side, classes))
        for buffers in self.sets:
            for batch in range(self.least, self.largest + 1):
                buffers.runs[batch] = Run(self, buffers, batch, self._context(buffers, batch, (batch, side, side, 3)))

    def _context(self, buffers: BufferSet, batch: int, shape: tuple[int, ...]) -> Any:
        self._logger.clear()
        context = self._engine.create_execution_context(self._trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if context is None:
            raise GpuError(
                f"create_execution_context failed: {self.reason()}; end other programs that use the GPU's memory, "
                "then start again"
            )
        if self._activations is not None:
            context.set_device_memory(int(self._activations), self._engine.device_memory_size_v2)
        if not context.set_input_shape("crops", shape):
            raise GpuError(f"set_input_shape refused a batch of {batch}: {self.reason()}; build the engine anew")
        probabilities, logits = buffers.outputs
        for name, buffer in (("crops", buffers.inputs), ("probabilities", probabilities), ("logits", logits)):
            if not context.set_tensor_address(name, buffer.address):
                raise GpuError(f"set_tensor_address refused {name}: {self.reason()}; start again")
        return context

    def _warm_up(self) -> None:
        """Every batch size once, so that no batch pays for what TensorRT makes at its first; then recorded."""
        cuda = bindings()
        for buffers in self.sets:
            buffers.inputs.host[...] = 0
            for run in buffers.runs.values():
                run.queue()
                self.stream.synchronize()
                if cuda is not None:
                    run.graph = CudaGraph(cuda, self.stream.handle, run.queue)
                    run.graph.launch()
                    self.stream.synchronize()
