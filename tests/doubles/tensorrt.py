"""What the calls of TensorRT do in the double: a graph becomes an engine of bytes, and ONNX Runtime executes it."""

from __future__ import annotations

import json
import sys
import threading
import weakref
import zlib
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnxruntime

from tests.doubles.cuda import Machine, Work
from tests.doubles.surface import Api, Dims, HostMemory

MAGIC, CACHE_MAGIC = b"double of a TensorRT plan\n", b"double of a TensorRT timing cache\n"
UNSUPPORTED = {"ConvInteger", "Det", "MatMulInteger", "QLinearConv", "QLinearMatMul", "StringNormalizer", "Unique"}
"""Some of those onnx-tensorrt's docs/operators.md marks N."""
TYPES = {"uint8": "UINT8", "int8": "INT8", "int32": "INT32", "int64": "INT64", "float16": "HALF", "float32": "FLOAT"}


def say(logger: Any, api: Api, severity: str, words: str) -> None:
    """What a logger raises is swallowed by the bindings, Ctrl-C too."""
    try:
        logger.log(api.value("Severity", severity), words)
    except BaseException as error:
        sys.stderr.write(f"[ERROR] Exception caught in log(): {error}\n")


class Part:
    """What every behaviour has: the API, the machine, the logger."""

    def __init__(self, api: Api, logger: Any) -> None:
        self.api, self.logger, self.machine = api, logger, api.machine
        self.machine.say = partial(say, logger, api, "ERROR")

    def error(self, words: str) -> None:
        say(self.logger, self.api, "ERROR", words)


class Logger:
    """The one that writes to stderr."""

    def __init__(self, api: Api, min_severity: Any = None) -> None:
        self.least = int(min_severity or api.value("Severity", "WARNING"))

    def log(self, severity: Any, msg: str) -> None:
        if int(severity) <= self.least:
            sys.stderr.write(f"[TRT] {msg}\n")


class Builder(Part):
    def __init__(self, api: Api, logger: Any) -> None:
        super().__init__(api, logger)
        self.num_DLA_cores = self.machine.dla_cores

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        return INetworkDefinition(self, flags)

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig(self)

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> HostMemory | None:
        reason = network.refusal(config)
        if reason:
            self.error(reason)
            return None
        nodes = network.model.graph.node
        if not self._progress(config.progress_monitor, len(nodes)):
            self.error("Error Code 10: Internal Error (Build was cancelled by the progress monitor)")
            return None
        cache = config.cache or ITimingCache(self)
        self.machine.timed += sum(f"{node.op_type} {node.name}" not in cache.entries for node in nodes)
        cache.entries |= {f"{node.op_type} {node.name}" for node in nodes}
        plan = {
            "version": self.api.version,
            "compute": list(self.machine.capability),
            "profile": config.profiles[0].shapes,
            "strong": network.strong,
            "detailed": int(config.profiling_verbosity) == 2,
        }
        body = json.dumps(plan).encode() + b"\n" + network.model.SerializeToString()
        return HostMemory(MAGIC + zlib.crc32(body).to_bytes(4, "big") + body)

    def _progress(self, monitor: Any, steps: int) -> bool:
        """Tells of two phases, from a thread of its own, as TensorRT may; False when the monitor had enough."""
        going: list[bool] = []

        def tell() -> None:
            _swallow(monitor.phase_start, "Building engine", None, 1)
            _swallow(monitor.phase_start, "Timing tactics", "Building engine", steps)
            going.append(all(_swallow(monitor.step_complete, "Timing tactics", step) for step in range(steps)))
            _swallow(monitor.phase_finish, "Timing tactics")
            _swallow(monitor.phase_finish, "Building engine")

        if monitor is not None:
            thread = threading.Thread(target=tell, name="TensorRT's builder")
            thread.start()
            thread.join()
        return all(going)


def _swallow(function: Any, *args: Any) -> Any:
    """A callback's exception ends in the bindings; step_complete then counts as False."""
    try:
        return function(*args)
    except BaseException as error:
        sys.stderr.write(f"[ERROR] Exception caught in {function.__name__}(): {error}\n")


class INetworkDefinition:
    def __init__(self, builder: Builder, flags: int) -> None:
        flag = builder.api.value("NetworkDefinitionCreationFlag", "STRONGLY_TYPED")
        self.strong, self.builder = bool(flags >> int(flag) & 1), builder
        self.model: Any = None

    @property
    def num_inputs(self) -> int:
        return len(self.model.graph.input) if self.model else 0

    @property
    def num_outputs(self) -> int:
        return len(self.model.graph.output) if self.model else 0

    def get_input(self, index: int) -> ITensor:
        return ITensor(self.builder.api, self.model.graph.input[index])

    def get_output(self, index: int) -> ITensor:
        return ITensor(self.builder.api, self.model.graph.output[index])

    def refusal(self, config: IBuilderConfig) -> str:
        """Why TensorRT would not build it."""
        if self.model is None or not self.num_outputs:
            return "Error Code 4: Internal Error (Network must have at least one output)"
        if not config.profiles:
            return "Error Code 4: Internal Error (Network has dynamic or shape inputs, but no optimization profile has been defined.)"
        for port in self.model.graph.input:
            low, _, high = config.profiles[0].shapes.get(port.name, ((), (), ()))
            shape = ITensor(self.builder.api, port).shape
            if len(low) != len(shape) or any(side not in (-1, low[i], high[i]) for i, side in enumerate(shape)):
                return f"Error Code 4: API Usage Error (Optimization profile does not fit input {port.name})"
            fed = [node.op_type for node in self.model.graph.node if port.name in node.input]
            if port.type.tensor_type.elem_type == onnx.TensorProto.UINT8 and set(fed) != {"Cast"}:
                return f"Error Code 4: API Usage Error ({port.name}: uint8 inputs must feed a cast)"
        names = {flag.name for flag in config.set_flags}
        if self.strong and names & {"FP16", "INT8"}:
            return "Error Code 3: API Usage Error (FP16 and INT8 are not allowed in a strongly typed network)"
        quantised = any(node.op_type == "QuantizeLinear" for node in self.model.graph.node)
        if quantised and not self.strong and "INT8" not in names:
            return "Error Code 4: API Usage Error (Int8 precision has been set for a layer or layer output, but int8 is not configured in the builder)"
        return ""


class ITensor:
    def __init__(self, api: Api, port: Any) -> None:
        kind = port.type.tensor_type
        self.name = port.name
        self.dtype = api.value("DataType", TYPES[onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name])
        self.shape = Dims(
            -1 if side.dim_param or not side.HasField("dim_value") else side.dim_value for side in kind.shape.dim
        )


class OnnxParser(Part):
    def __init__(self, api: Api, network: INetworkDefinition, logger: Any) -> None:
        super().__init__(api, logger)
        self.network, self.errors = network, []

    def parse(self, model: Any, path: str | None = None) -> bool:
        try:
            graph = onnx.load_from_string(bytes(model))
            onnx.checker.check_model(graph)
        except Exception:
            self.errors.append(
                ParserError(self.api, "MODEL_DESERIALIZE_FAILED", -1, "", "", "Failed to parse the ONNX model")
            )
            return False
        for at, node in enumerate(graph.graph.node):
            if node.op_type in UNSUPPORTED or node.domain not in ("", "ai.onnx"):
                words = f"No importer registered for op: {node.op_type}"
                self.errors.append(ParserError(self.api, "UNSUPPORTED_NODE", at, node.name, node.op_type, words))
        self.network.model = None if self.errors else graph
        return not self.errors

    @property
    def num_errors(self) -> int:
        return len(self.errors)

    def get_error(self, index: int) -> ParserError:
        return self.errors[index]


class ParserError:
    def __init__(self, api: Api, code: str, node: int, name: str, operator: str, desc: str) -> None:
        self.code = lambda: api.value("ErrorCode", code)
        self.node, self.node_name, self.node_operator = lambda: node, lambda: name, lambda: operator
        self.desc = lambda: desc


class IBuilderConfig(Part):
    TYPES = {
        "progress_monitor": "IProgressMonitor",
        "profiling_verbosity": "ProfilingVerbosity",
        "default_device_type": "DeviceType",
        "DLA_core": "int",
        "int8_calibrator": "IInt8Calibrator",
    }

    def __init__(self, builder: Builder) -> None:
        super().__init__(builder.api, builder.logger)
        self.progress_monitor = self.int8_calibrator = None
        self.profiling_verbosity = self.api.value("ProfilingVerbosity", "LAYER_NAMES_ONLY")
        self.default_device_type, self.DLA_core = self.api.value("DeviceType", "GPU"), -1
        self.set_flags, self.limits = {self.api.value("BuilderFlag", "TF32")}, {}
        self.profiles: list[IOptimizationProfile] = []
        self.cache: ITimingCache | None = None

    def set_flag(self, flag: Any) -> None:
        self.set_flags.add(flag)

    def clear_flag(self, flag: Any) -> None:
        self.set_flags.discard(flag)

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        self.limits[pool.name] = pool_size

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1 if profile.shapes else -1

    def create_timing_cache(self, serialized_timing_cache: Any) -> ITimingCache | None:
        return ITimingCache(self).read(bytes(serialized_timing_cache))

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        self.cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache | None:
        return self.cache


class ITimingCache:
    def __init__(self, part: Part) -> None:
        self.part, self.entries = part, set()
        self.head = CACHE_MAGIC + f"{part.api.version} {part.machine.capability}\n".encode()

    def read(self, blob: bytes) -> ITimingCache | None:
        if blob and not blob.startswith(self.head):
            self.part.error("The timing cache will not be used: it was made by another TensorRT or for another device")
            return None
        self.entries = set(json.loads(blob[len(self.head) :] or b"[]"))
        return self

    def serialize(self) -> HostMemory:
        return HostMemory(self.head + json.dumps(sorted(self.entries)).encode())


class IOptimizationProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, list[tuple[int, ...]]] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
        if not len(min) == len(opt) == len(max) or any(not a <= b <= c for a, b, c in zip(min, opt, max, strict=True)):
            raise RuntimeError("Shape provided for min is inconsistent with other shapes.")
        self.shapes[input] = [tuple(min), tuple(opt), tuple(max)]


class Runtime(Part):
    TYPES = {"DLA_core": "int"}
    DLA_core = -1

    def deserialize_cuda_engine(self, serialized_engine: Any) -> ICudaEngine | None:
        plan = bytes(serialized_engine)
        body = plan[len(MAGIC) + 4 :]
        if not plan.startswith(MAGIC) or zlib.crc32(body).to_bytes(4, "big") != plan[len(MAGIC) : len(MAGIC) + 4]:
            self.error(
                "Error Code 1: Serialization (Serialization assertion magicTagRead == kMAGIC_TAG failed.Magic tag does not match)"
            )
            return None
        head, _, graph = body.partition(b"\n")
        made = json.loads(head)
        if made["version"] != self.api.version:
            self.error(
                "Error Code 6: API Usage Error (The engine plan file is not compatible with this version of TensorRT, "
                f"expecting library version {self.api.version} got {made['version']}, please rebuild.)"
            )
            return None
        if tuple(made["compute"]) != self.machine.capability:
            here, there = (".".join(map(str, pair)) for pair in (self.machine.capability, made["compute"]))
            self.error(
                "Error Code 6: API Usage Error (The engine plan file is generated on an incompatible device, "
                f"expecting compute {here} got compute {there}, please rebuild.)"
            )
            return None
        return ICudaEngine(self, made, graph)


class Held(Part):
    """Something on the device, there until the last reference to it goes."""

    def __init__(self, part: Part, words: str) -> None:
        super().__init__(part.api, part.logger)
        self.part, self.words = part, words
        self.number = self.machine.born(words)

    def __del__(self) -> None:
        self.machine.gone(self.number)


class ICudaEngine(Held):
    def __init__(self, runtime: Runtime, made: dict[str, Any], graph: bytes) -> None:
        super().__init__(runtime, "engine")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        model = onnx.load_from_string(graph).graph
        self.nodes, self.made = model.node, made
        self.ports = {port.name: ITensor(self.api, port) for port in (*model.input, *model.output)}
        self.inputs = [port.name for port in model.input]
        self.num_io_tensors = len(self.ports)
        self.device_memory_size_v2 = 1 << 20

    def get_tensor_name(self, index: int) -> str:
        return list(self.ports)[index]

    def get_tensor_dtype(self, name: str) -> Any:
        return self.port(name).dtype

    def get_tensor_shape(self, name: str) -> Dims:
        return self.port(name).shape

    def get_tensor_mode(self, name: str) -> Any:
        self.port(name)
        return self.api.value("TensorIOMode", "INPUT" if name in self.inputs else "OUTPUT")

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Dims]:
        if name not in self.inputs or profile_index != 0:
            self.machine.violation("no such tensor", f"profile {profile_index} of {name}")
        return [Dims(shape) for shape in self.made["profile"][name]]

    def create_execution_context(self, strategy: Any = None) -> IExecutionContext:
        self.machine.current("create_execution_context")
        return IExecutionContext(self, strategy is not None and strategy.name == "USER_MANAGED")

    def create_engine_inspector(self) -> EngineInspector:
        return EngineInspector(self)

    def port(self, name: str) -> ITensor:
        if name not in self.ports:
            self.machine.violation("no such tensor", name)
        return self.ports[name]


class EngineInspector:
    TYPES = {"execution_context": "IExecutionContext"}

    def __init__(self, engine: ICudaEngine) -> None:
        self.engine, self.execution_context = engine, None

    def get_engine_information(self, format: Any) -> str:
        """Layers with the datatypes of what they give; without an execution context the shapes are unknown."""
        if not self.engine.made["detailed"]:
            return json.dumps({"Layers": [node.name for node in self.engine.nodes]})
        unknown = self.execution_context is None
        return json.dumps({"Layers": [_layer(node, unknown) for node in self.engine.nodes]})


def _layer(node: Any, unknown: bool) -> dict[str, Any]:
    words = "Int8" if node.op_type == "QuantizeLinear" else "Row major linear FP32"
    ports = [[{"Name": name, "Format/Datatype": "N/A due to dynamic shapes" if unknown else words} for name in names]
             for names in (node.input, node.output)]  # fmt: skip
    return {"Name": node.name, "LayerType": node.op_type, "Inputs": ports[0], "Outputs": ports[1]}


class IExecutionContext(Held):
    def __init__(self, engine: ICudaEngine, user_memory: bool) -> None:
        super().__init__(engine, "execution context")
        self.engine, self.user_memory = engine, user_memory
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.scratch = (0, 0)
        self.warm: object = None

    def __del__(self) -> None:
        pending = [
            work.words for lane in self.machine.lanes.values() for work in lane.queue if work.owner is self.shapes
        ]
        super().__del__()
        if pending:
            self.machine.findings.append(f"freed early: {self.words} {self.number:#x} under {pending[0]}")

    @property
    def state(self) -> object:
        return dict(self.shapes), dict(self.addresses), self.scratch

    def set_input_shape(self, name: str, shape: Any) -> bool:
        low, _, high = self.engine.made["profile"].get(name) or self.machine.violation("no such tensor", name)
        fits = len(shape) == len(low) and all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True))
        if not fits:
            self.shapes.pop(name, None)
            self.error(
                f"Error Code 3: API Usage Error (Shape {list(shape)} of {name} is not in the profile {low} to {high})"
            )
            return False
        self.shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.engine.port(name)
        if memory % 256:
            self.machine.violation("wrong address", f"{name} at {memory:#x}: TensorRT wants 256-byte alignment")
        self.addresses[name] = memory
        return True

    def set_device_memory(self, memory: int, size: int) -> None:
        if not self.user_memory or size < self.engine.device_memory_size_v2:
            self.machine.violation(
                "too small", f"{size} bytes for the activations, {self.engine.device_memory_size_v2} needed"
            )
        self.scratch = (memory, size)

    def execute_async_v3(self, stream_handle: int) -> bool:
        machine = self.machine
        machine.current("execute_async_v3")
        lane = machine.lane(stream_handle, "execute_async_v3")
        missing = [name for name in self.engine.inputs if name not in self.shapes]
        if missing:
            machine.violation("shape outside the profile or not set", f"{missing[0]} when executed")
        unset = [name for name in self.engine.ports if name not in self.addresses]
        if unset or (self.user_memory and not self.scratch[0]):
            machine.violation("wrong address", f"{unset[0] if unset else 'activations'} when executed: none was set")
        if lane.captured is not None and self.warm != self.state:
            machine.violation("captured before it ran", "a first execute_async_v3 with these shapes has to come before")
        machine.enqueue(stream_handle, self.work())
        self.warm = self.state
        return True

    def work(self) -> Work:
        """The execution as it is set up now."""
        machine, batch = self.machine, next(iter(self.shapes.values()))[0]
        reads, writes, kinds = {}, {}, {}
        for name, port in self.engine.ports.items():
            shape = self.shapes.get(name) or tuple(batch if side == -1 else side for side in port.shape)
            dtype = np.dtype(next(key for key, value in TYPES.items() if value == port.dtype.name))
            span = machine.span(self.addresses[name], int(np.prod(shape)) * dtype.itemsize, name)
            kinds[name] = (dtype, shape)
            (reads if name in self.engine.inputs else writes)[name] = span
            if name in self.engine.inputs or span.block.host:
                machine.typed(span, dtype, name)

        session = self.engine.session

        def run() -> None:
            feeds = {name: span.bytes.view(kinds[name][0]).reshape(kinds[name][1]) for name, span in reads.items()}
            for (name, span), result in zip(writes.items(), session.run(list(writes), feeds), strict=True):
                if result.shape != kinds[name][1] or result.dtype != kinds[name][0]:
                    raise AssertionError(
                        f"the double expected {kinds[name]} of {name}, got {result.dtype}{result.shape}"
                    )
                span.bytes[:] = result.reshape(-1).view(np.uint8)
                span.block.dtype = span.block.dtype if span.block.host else result.dtype

        state, me = self.state, weakref.ref(self)

        def still() -> str:
            now = me()
            return "its execution context is gone" if now is None else "" if now.state == state else "its execution context was set up anew since"  # fmt: skip

        scratch = [machine.span(*self.scratch, "activations")] if self.user_memory else []
        return Work(
            f"execute_async_v3 of {batch}",
            run,
            [*reads.values()],
            [*writes.values()],
            scratch=scratch,
            owner=self.shapes,
            still=still,
        )


BEHAVIOURS = {cls.__name__: cls for cls in (Builder, OnnxParser, Runtime, Logger)}
"""Those with a constructor; they make the others."""
