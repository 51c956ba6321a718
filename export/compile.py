"""One graph through TensorRT's parser and builder; the calls that differ between versions are ``engines.binding``'s."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_wbc.engines import binding
from edge_wbc.engines.base import Port, check_ports
from edge_wbc.engines.engine_file import BATCHES
from edge_wbc.errors import EnvironmentMissing, GpuError, ModelError
from edge_wbc.manifest import Model
from export.layers import Layers, read_layers

Progress = Callable[[float, str], None]
"""Called with how much is done, 0 to 1, and what is being done."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What came of it."""

    plan: bytes
    timing: bytes
    """The timing cache, with what was there before."""
    layers: Layers
    batches: tuple[int, int, int]
    seconds: float


def compile_graph(
    trt: Any,
    model: Model,
    graph: bytes,
    *,
    dla: int | None,
    workspace: int,
    timing: bytes,
    progress: Progress,
    cancelled: threading.Event,
) -> Compiled | None:
    """Build a plan, inside ``with gpu``; None if it was cancelled.

    :param graph: the content of the .onnx file.
    :param workspace: bytes that the builder may use at most.
    :param timing: what an earlier build gave; empty for none.
    :raises ModelError: TensorRT does not take the graph, or it is not one edge-wbc can run.
    :raises EnvironmentMissing: there is no such DLA core.
    :raises GpuError: the builder failed.
    """
    started = time.monotonic()
    logger = binding.logger(trt)
    logger.clear()
    builder = trt.Builder(logger)
    if dla is not None and dla >= builder.num_DLA_cores:
        raise EnvironmentMissing(f"there is no DLA core {dla} for TensorRT here; leave --dla out")
    network = builder.create_network(binding.network_flags(trt))
    parser = _parse(trt, network, logger, model, graph)
    batches = BATCHES if dla is None else (BATCHES[-1],) * 3
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.clear_flag(trt.BuilderFlag.TF32)  # fp32 means fp32
    precision = model.manifest.graph.precision if dla is None else "fp16"
    for flag in binding.precision_flags(trt, precision):
        config.set_flag(flag)
    if dla is not None:
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = dla
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    _add_profile(builder, config, model, batches)
    _use_timing(config, timing)
    monitor = _monitor(trt, progress, cancelled)
    config.progress_monitor = monitor
    memory = builder.build_serialized_network(network, config)
    if memory is None:
        if cancelled.is_set():
            return None
        raise GpuError(
            f"TensorRT {trt.__version__} built nothing from {model.graph}: {logger.reason()}; if memory ran out, end "
            "other programs and start again"
        )
    del parser
    plan = bytes(memory)
    taken = config.get_timing_cache()
    return Compiled(
        plan,
        bytes(taken.serialize()) if taken is not None else b"",
        _inspect(trt, logger, network, plan, model, batches[1], dla),
        batches,
        time.monotonic() - started,
    )


def _parse(trt: Any, network: Any, logger: Any, model: Model, graph: bytes) -> Any:
    """The parser, which holds the weights: to be kept until the plan is built."""
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        errors = [_error(parser.get_error(i)) for i in range(parser.num_errors)]
        raise ModelError(
            f"{model.graph}: TensorRT {trt.__version__} refuses it: {'; '.join(errors) or logger.reason()}; "
            "`edge-wbc calibrate --lint` says more of Q/DQ graphs, or export the graph again"
        )
    ports = [
        [_port(trt, tensor) for tensor in tensors]
        for tensors in (
            [network.get_input(i) for i in range(network.num_inputs)],
            [network.get_output(i) for i in range(network.num_outputs)],
        )
    ]
    check_ports(model, *ports)
    return parser


def _error(error: Any) -> str:
    where = f"node {error.node()}"
    if error.node_name() or error.node_operator():
        where += f" ({' '.join(filter(None, (error.node_operator(), error.node_name())))})"
    return f"{where}: {' '.join(str(error.desc()).split())} [{error.code().name}]"


def _port(trt: Any, tensor: Any) -> Port:
    sides = tuple(None if side < 0 else side for side in tensor.shape)
    return Port(tensor.name, binding.dtype_name(trt, tensor.dtype), sides)


def _add_profile(builder: Any, config: Any, model: Model, batches: tuple[int, ...]) -> None:
    profile = builder.create_optimization_profile()
    side = model.manifest.input.size_px
    profile.set_shape("crops", *((batch, side, side, 3) for batch in batches))
    if config.add_optimization_profile(profile) < 0:
        raise ModelError(f"{model.graph}: TensorRT refuses batches of {batches[0]} to {batches[-1]}; export it again")


def _use_timing(config: Any, timing: bytes) -> None:
    """What earlier builds measured; one that does not fit this TensorRT and GPU is left out, and made anew."""
    for content in (timing, b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            return


def _monitor(trt: Any, progress: Progress, cancelled: threading.Event) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Called in TensorRT's threads; the class exists only where TensorRT has its base."""

        def __init__(self) -> None:
            super().__init__()
            self._lock = threading.Lock()
            self._phases: dict[str, tuple[str | None, int, int]] = {}
            """Name → phase it is part of, its steps, those that are done."""

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with self._lock:
                self._phases[phase_name] = (parent_phase, max(1, num_steps), 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            with self._lock:
                if phase_name in self._phases:
                    parent, steps, _ = self._phases[phase_name]
                    self._phases[phase_name] = (parent, steps, min(steps, step + 1))
                done = sum(self._share(name) for name, (parent, _, _) in self._phases.items() if not parent)
            progress(min(1.0, done), phase_name)
            return not cancelled.is_set()

        def phase_finish(self, phase_name: str) -> None:
            with self._lock:
                self._phases.pop(phase_name, None)

        def _share(self, name: str) -> float:
            """How much of a phase is done, its running parts counted in."""
            _, steps, done = self._phases[name]
            parts = sum(self._share(part) for part, (parent, _, _) in self._phases.items() if parent == name)
            return min(1.0, (done + min(1.0, parts)) / steps)

    return Monitor()


def _inspect(trt: Any, logger: Any, network: Any, plan: bytes, model: Model, batch: int, dla: int | None) -> Layers:
    """The engine's layers, looked at with a batch of one size: with a free one TensorRT tells no precision."""
    kinds = trt.LayerType.QUANTIZE, trt.LayerType.DEQUANTIZE
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    quantising = {layer.name for layer in layers if layer.type in kinds}
    runtime = trt.Runtime(logger)
    if dla is not None:
        runtime.DLA_core = dla
    engine = runtime.deserialize_cuda_engine(plan)
    context = engine.create_execution_context() if engine is not None else None
    if context is None:
        raise GpuError(f"the engine just built can't be loaded: {logger.reason()}; end other programs and start again")
    side = model.manifest.input.size_px
    if not context.set_input_shape("crops", (batch, side, side, 3)):
        raise GpuError(f"the engine just built refuses a batch of {batch}: {logger.reason()}; please report it")
    inspector = engine.create_engine_inspector()
    inspector.execution_context = context
    return read_layers(inspector.get_engine_information(trt.LayerInformationFormat.JSON), quantising)
