"""TensorRT on the GPU, or on a DLA core: the engine for a Jetson.

The engine is built on first use, by the verb ``build`` as a process of its own, and kept; see ``engine_file``.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import traceback
import weakref
from collections import deque

import numpy as np

from edge_wbc.engines import binding
from edge_wbc.engines.base import Outputs
from edge_wbc.engines.cuda import Gpu, device
from edge_wbc.engines.engine_file import Machine, Place, l4t, place_of, read_engine
from edge_wbc.engines.plan import SETS, BufferSet, Plan
from edge_wbc.errors import EdgeWbcError, EnvironmentMissing, GpuError, ModelError, OutputFailed
from edge_wbc.manifest import Model
from edge_wbc.types import Pixels

_PRECISIONS = {"fp32": "f32", "fp16": "f16", "int8": "int8"}
_ERRORS: dict[int, type[EdgeWbcError]] = {3: ModelError, 4: GpuError, 5: OutputFailed}


class TensorrtEngine:
    """One TensorRT engine with two buffer sets: while one batch is computed the next can be prepared.

    ``infer`` is one batch and its answer. ``room``, ``submit`` and ``collect`` are the same in turn, at most two
    batches ahead.
    """

    def __init__(self, model: Model, threads: int, dla: int | None = None) -> None:
        """
        :param threads: not used: the GPU computes.
        :param dla: a DLA core instead of the GPU.
        :raises EnvironmentMissing: no TensorRT, no pycuda, no GPU, too little memory.
        :raises ModelError: the graph or its engine can't be used; the message says what to type.
        """
        trt = binding.tensorrt()
        place = place_of(model, machine(), dla)
        if not place.exists():
            build_first(place)
        content, group = read_engine(place)
        self.name = "tensorrt" if dla is None else f"tensorrt-dla{dla}"
        self.model = model
        self.precision = _PRECISIONS[group.precision]
        self.built = group
        self._plan = Plan(trt, Gpu())
        self._release = weakref.finalize(self, Plan.close, self._plan)
        self._in_flight: deque[tuple[BufferSet, int]] = deque(maxlen=SETS)
        self._next = 0
        try:
            self._plan.load(content, model, place)
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # they hold what is to be released
            self._release()
            raise

    def infer(self, crops: Pixels) -> Outputs:
        """See :meth:`Engine.infer`; what is more than the largest batch is split.

        :raises GpuError: the GPU failed.
        """
        count, largest = len(crops), self._plan.largest
        try:
            if count > largest:
                return self._infer_in_parts(crops, count, largest)
            self.submit(crops)
            return self.collect()
        except BaseException:
            self._abandon()
            raise

    def room(self, count: int) -> Pixels:
        """Where the next ``count`` crops go without being copied again: uint8 (count, S, S, 3), to be filled and given
        to ``submit`` or ``infer``. Memory of its own where they would not fit into one batch.
        """
        if count <= self._plan.largest and len(self._in_flight) < SETS:
            return self._plan.sets[self._next].crops[count]
        side = self.model.manifest.input.size_px
        return np.empty((count, side, side, 3), np.uint8)

    def submit(self, crops: Pixels) -> None:
        """Start on a batch.

        :param crops: uint8 (N, S, S, 3) BGR, N from 1 to the largest batch; may be written to afterwards, unless they
            are ``room``'s.
        :raises GpuError: the GPU failed.
        """
        if len(self._in_flight) == SETS:
            raise RuntimeError("two batches are in flight: collect one first")
        plan, count = self._plan, len(crops)
        buffers = plan.sets[self._next]
        if crops is not buffers.crops[count]:
            np.copyto(buffers.crops[count], crops)
        try:
            with plan.gpu:
                buffers.runs[max(count, plan.least)].launch()
                buffers.done.record(plan.stream)
        except plan.gpu.error as error:
            raise plan.gpu.failed(error, "starting a batch on the GPU") from None
        self._in_flight.append((buffers, count))
        self._next = (self._next + 1) % SETS

    def collect(self) -> Outputs:
        """The answer to the oldest batch that was submitted.

        :raises GpuError: the GPU failed.
        """
        buffers, count = self._wait()
        return Outputs(buffers.probabilities[count].copy(), buffers.logits[count].copy())

    def close(self) -> None:
        self._in_flight.clear()
        self._release()

    def _infer_in_parts(self, crops: Pixels, count: int, largest: int) -> Outputs:
        classes = len(self.model.manifest.labels.names)
        outputs = Outputs(np.empty((count, classes), np.float32), np.empty((count, classes), np.float32))
        done = 0
        for start in range(0, count, largest):
            self.submit(crops[start : start + largest])
            if start:
                done = self._collect_into(outputs, done)
        self._collect_into(outputs, done)
        return outputs

    def _abandon(self) -> None:
        """Forget what is in flight, once the GPU is done with it or failed."""
        plan = self._plan
        with contextlib.suppress(plan.gpu.error), plan.gpu:
            plan.stream.synchronize()
        self._in_flight.clear()

    def _collect_into(self, outputs: Outputs, start: int) -> int:
        buffers, count = self._wait()
        outputs.probabilities[start : start + count] = buffers.probabilities[count]
        outputs.logits[start : start + count] = buffers.logits[count]
        return start + count

    def _wait(self) -> tuple[BufferSet, int]:
        plan = self._plan
        buffers, count = self._in_flight.popleft()
        try:
            with plan.gpu:
                buffers.done.synchronize()
        except plan.gpu.error as error:
            raise plan.gpu.failed(error, "waiting for the GPU") from None
        return buffers, count


def machine() -> Machine:
    """What engines are tied to here.

    :raises EnvironmentMissing: no TensorRT, no pycuda, or no GPU.
    """
    trt, gpu = binding.tensorrt(), device()
    capability = ".".join(map(str, gpu.capability))
    return Machine(str(trt.__version__), gpu.cuda, gpu.driver, l4t(), gpu.name, capability)


def ready() -> bool:
    """Whether an engine can be had here: TensorRT loads, and there is a GPU."""
    try:
        machine()
    except EnvironmentMissing:
        return False
    return True


def build_first(place: Place) -> None:
    """Build by the verb ``build`` as a process of its own: the runtime imports no offline package.

    What it has to say goes to this process's standard error.

    :raises EdgeWbcError: it failed, with its exit code.
    :raises KeyboardInterrupt: it was interrupted.
    """
    command = [sys.executable, "-m", "edge_wbc", "build", str(place.graph)]
    if place.dla is not None:
        command += ["--dla", str(place.dla)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as builder:
        try:
            code = builder.wait()
        except BaseException:
            builder.send_signal(signal.SIGINT)  # it stops at its next step and leaves nothing half-written
            builder.wait()
            raise
    if code == 130:
        raise KeyboardInterrupt
    if code < 0:
        raise GpuError(
            f"building an engine for {place.graph} was ended by signal {-code}; if memory ran out, end other programs, "
            f"then `{place.rebuild}`"
        )
    if code:
        raise _ERRORS.get(code, GpuError)(
            f"no engine was built for {place.graph} (exit code {code}, its reason stands above); "
            f"`{place.rebuild}` tries again"
        )
