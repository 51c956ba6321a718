"""What the calls of TensorRT do in the double: a graph becomes an engine of bytes, and ONNX Runtime executes it."""

from __future__ import annotations

import json
import sys
import threading
import weakref
import zlib
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime

from tests.doubles.cuda import Machine, Work
from tests.doubles.surface import Api, Dims, HostMemory

MAGIC = b"double of a TensorRT plan\n"
UNSUPPORTED = {"ConvInteger", "Det", "MatMulInteger", "QLinearConv", "QLinearMatMul", "StringNormalizer", "Unique"}
"""Some of those onnx-tensorrt's docs/operators.md marks N."""
TYPES = {"UINT8": np.uint8, "INT32": np.int32, "INT64": np.int64, "HALF": np.float16, "FLOAT": np.float32}


def swallow(function: Any, *args: Any) -> Any:
    """Call what the user overrode; what it raises ends in the bindings, Ctrl-C too, and gives nothing."""
    try:
        return function(*args)
    except BaseException as error:
        sys.stderr.write(f"[ERROR] Exception caught in {function.__name__}(): {error}\n")


class Part:
    """What the bindings' classes get from ``Api``."""

    _api: Api
    _machine: Machine

    def _listen(self, logger: Any) -> None:
        severity = self._api.classes["Severity"].ERROR
        self._machine.say = lambda words: swallow(logger.log, severity, words)


class Builder(Part):
    def _setup(self, logger: Any) -> None:
        self._listen(logger)
        self._num_DLA_cores = self._machine.dla_cores

    def create_network(self, flags: int = 0) -> Any:
        return self._api.make("INetworkDefinition", flags)

    def create_builder_config(self) -> Any:
        return self._api.make("IBuilderConfig")

    def create_optimization_profile(self) -> Any:
        return self._api.make("IOptimizationProfile")

    def build_serialized_network(self, network: Any, config: Any) -> HostMemory | None:
        reason = network._refusal(config)
        if not reason and not _told(config._progress_monitor, len(network._model.graph.node)):
            reason = "the progress monitor had enough"
        if reason:
            return self._machine.say(f"IBuilder::buildSerializedNetwork: Error Code 4: {reason}")
        tactics = {f"{node.op_type} {node.name}" for node in network._model.graph.node}
        cache = config._cache or self._api.make("ITimingCache", set())
        self._machine.timed += len(tactics - cache._entries)
        cache._entries |= tactics
        detailed = config._profiling_verbosity.name == "DETAILED"
        made = [self._api.version, self._machine.capability, config._profiles[0]._shapes, detailed]
        body = json.dumps(made).encode() + b"\n" + network._model.SerializeToString()
        return HostMemory(MAGIC + zlib.crc32(body).to_bytes(4, "big") + body)


def _told(monitor: Any, steps: int) -> bool:
    """Tells of two phases, from a thread of its own, as TensorRT may; False when the monitor had enough."""
    going = [True]

    def tell() -> None:
        swallow(monitor.phase_start, "Building engine", None, 1)
        swallow(monitor.phase_start, "Timing tactics", "Building engine", steps)
        going.append(all(swallow(monitor.step_complete, "Timing tactics", step) for step in range(steps)))
        swallow(monitor.phase_finish, "Timing tactics")
        swallow(monitor.phase_finish, "Building engine")

    if monitor is not None:
        thread = threading.Thread(target=tell, name="TensorRT's builder")
        thread.start()
        thread.join()
    return all(going)


class INetworkDefinition(Part):
    def _setup(self, flags: int) -> None:
        self._strong = bool(flags >> int(self._api.classes["NetworkDefinitionCreationFlag"].STRONGLY_TYPED) & 1)
        self._take(onnx.ModelProto())

    def _take(self, model: Any) -> None:
        self._model = model
        self._inputs = [_tensor(self._api, port) for port in model.graph.input]
        self._outputs = [_tensor(self._api, port) for port in model.graph.output]
        self._num_inputs, self._num_outputs = len(self._inputs), len(self._outputs)
        self._num_layers = len(model.graph.node)

    def get_input(self, index: int) -> Any:
        return self._inputs[index]

    def get_output(self, index: int) -> Any:
        return self._outputs[index]

    def get_layer(self, index: int) -> Any:
        node, kinds = self._model.graph.node[index], {"QuantizeLinear": "QUANTIZE", "DequantizeLinear": "DEQUANTIZE"}
        kind = getattr(self._api.classes["LayerType"], kinds.get(node.op_type, "ELEMENTWISE"))
        return self._api.make("ILayer", name=node.name, type=kind)

    def _refusal(self, config: Any) -> str:
        """Why TensorRT would not build it."""
        if not self._outputs:
            return "Network must have at least one output"
        if not config._profiles:
            return "Network has dynamic or shape inputs, but no optimization profile has been defined."
        for port in self._inputs:
            low, _, high = config._profiles[0]._shapes.get(port._name, ((), (), ()))
            sides = zip(port._shape, low, high, strict=False)
            if len(low) != len(port._shape) or any(side not in (-1, a) or a > b for side, a, b in sides):
                return f"the optimization profile does not fit the input {port._name}"
            fed = {node.op_type for node in self._model.graph.node if port._name in node.input}
            if port._dtype.name == "UINT8" and fed != {"Cast"}:
                return f"the uint8 input {port._name} must feed a cast"
        flags = {flag.name for flag in config._set}
        if self._strong and flags & {"FP16", "INT8"}:
            return "precision flags are not allowed in a strongly typed network"
        quantised = any(node.op_type == "QuantizeLinear" for node in self._model.graph.node)
        if quantised and not self._strong and "INT8" not in flags:
            return "Int8 precision has been set for a layer, but int8 is not configured in the builder"
        return ""


def _tensor(api: Api, port: Any) -> Any:
    kind = port.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    shape = Dims(side.dim_value if side.HasField("dim_value") else -1 for side in kind.shape.dim)
    name = next(name for name, value in TYPES.items() if value == dtype)
    return api.make("ITensor", name=port.name, dtype=getattr(api.classes["DataType"], name), shape=shape)


class OnnxParser(Part):
    def _setup(self, network: Any, logger: Any) -> None:
        self._listen(logger)
        self._network, self._errors, self._num_errors = network, [], 0

    def parse(self, model: Any, path: str | None = None) -> bool:
        try:
            graph = onnx.load_from_string(bytes(model))
            onnx.checker.check_model(graph)
            self._errors = [
                ("UNSUPPORTED_NODE", at, node.name, node.op_type, f"No importer registered for op: {node.op_type}")
                for at, node in enumerate(graph.graph.node)
                if node.op_type in UNSUPPORTED or node.domain not in ("", "ai.onnx")
            ]
        except Exception:
            self._errors = [("MODEL_DESERIALIZE_FAILED", -1, "", "", "Failed to parse the ONNX model")]
        self._num_errors = len(self._errors)
        if not self._errors:
            self._network._take(graph)
        return not self._errors

    def get_error(self, index: int) -> Any:
        code, node, name, operator, desc = self._errors[index]
        code = getattr(self._api.classes["ErrorCode"], code)
        held = {"node": node, "node_name": name, "node_operator": operator, "desc": desc}
        return self._api.make("ParserError", code=code, **held)


class IBuilderConfig(Part):
    _types: ClassVar = {
        "progress_monitor": "IProgressMonitor",
        "profiling_verbosity": "ProfilingVerbosity",
        "default_device_type": "DeviceType",
        "DLA_core": "int",
    }

    def _setup(self) -> None:
        self._progress_monitor = self._cache = None
        self._profiling_verbosity = self._api.classes["ProfilingVerbosity"].LAYER_NAMES_ONLY
        self._set, self._limits, self._profiles = {self._api.classes["BuilderFlag"].TF32}, {}, []

    def set_flag(self, flag: Any) -> None:
        self._set.add(flag)

    def clear_flag(self, flag: Any) -> None:
        self._set.discard(flag)

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        self._limits[pool.name] = pool_size

    def add_optimization_profile(self, profile: Any) -> int:
        self._profiles.append(profile)
        return len(self._profiles) - 1 if profile._shapes else -1

    def create_timing_cache(self, serialized_timing_cache: Any) -> Any:
        blob, head = bytes(serialized_timing_cache), self._api.make("ITimingCache", set())._head
        if blob and not blob.startswith(head):
            return self._machine.say("The timing cache was made by another TensorRT or for another device: not used")
        return self._api.make("ITimingCache", set(json.loads(blob[len(head) :] or b"[]")))

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        self._cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return self._cache


class ITimingCache(Part):
    def _setup(self, entries: set[str]) -> None:
        self._head = f"double of a timing cache {self._api.version} {self._machine.capability}\n".encode()
        self._entries = entries

    def serialize(self) -> HostMemory:
        return HostMemory(self._head + json.dumps(sorted(self._entries)).encode())


class IOptimizationProfile(Part):
    def _setup(self) -> None:
        self._shapes: dict[str, list[tuple[int, ...]]] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
        if not len(min) == len(opt) == len(max) or any(not a <= b <= c for a, b, c in zip(min, opt, max, strict=True)):
            raise RuntimeError("Shape provided for min is inconsistent with other shapes.")
        self._shapes[input] = [tuple(min), tuple(opt), tuple(max)]


class Runtime(Part):
    _types: ClassVar = {"DLA_core": "int"}

    def _setup(self, logger: Any) -> None:
        self._listen(logger)

    def deserialize_cuda_engine(self, serialized_engine: Any) -> Any:
        plan, start, here = bytes(serialized_engine), len(MAGIC) + 4, self._machine.capability
        if plan[:start] != MAGIC + zlib.crc32(plan[start:]).to_bytes(4, "big"):
            return self._machine.say("Error Code 1: Serialization (magicTagRead == kMAGIC_TAG failed.)")
        head, _, graph = plan[start:].partition(b"\n")
        version, compute, profile, detailed = json.loads(head)
        reason = f"expecting library version {self._api.version} got {version}" if version != self._api.version else ""
        if tuple(compute) != here:
            reason = "expecting compute {}.{} got compute {}.{}".format(*here, *compute)
        if reason:
            return self._machine.say(f"Error Code 6: API Usage Error (The engine plan file: {reason}, please rebuild.)")
        return self._api.make("ICudaEngine", self, graph, profile, detailed)


class Held(Part):
    """Something on the device, there until the last reference to it goes."""

    def _hold(self, words: str) -> None:
        self._number = self._machine.born(words)

    def __del__(self) -> None:
        self._machine.gone(getattr(self, "_number", 0))


class ICudaEngine(Held):
    def _setup(self, runtime: Any, graph: bytes, profile: dict[str, Any], detailed: bool) -> None:
        self._hold("engine")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        model = onnx.load_from_string(graph).graph
        self._runtime, self._nodes, self._profile, self._detailed = runtime, model.node, profile, detailed
        self._ports = {port.name: _tensor(self._api, port) for port in (*model.input, *model.output)}
        self._num_io_tensors, self._device_memory_size_v2 = len(self._ports), 1 << 20

    def _port(self, name: str) -> Any:
        return self._ports.get(name) or self._machine.violation("no such tensor", name)

    def get_tensor_name(self, index: int) -> str:
        return list(self._ports)[index]

    def get_tensor_dtype(self, name: str) -> Any:
        return self._port(name)._dtype

    def get_tensor_shape(self, name: str) -> Dims:
        return self._port(name)._shape

    def get_tensor_mode(self, name: str) -> Any:
        return getattr(
            self._api.classes["TensorIOMode"], "INPUT" if self._port(name)._name in self._profile else "OUTPUT"
        )

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Dims]:
        return [Dims(shape) for shape in self._profile[name]]

    def create_execution_context(self, strategy: Any = None) -> Any:
        self._machine.current("create_execution_context")
        return self._api.make("IExecutionContext", self, strategy is not None and strategy.name == "USER_MANAGED")

    def create_engine_inspector(self) -> Any:
        return self._api.make("EngineInspector", self)


class EngineInspector(Part):
    _types: ClassVar = {"execution_context": "IExecutionContext"}

    def _setup(self, engine: Any) -> None:
        self._engine, self._execution_context = engine, None

    def get_engine_information(self, format: Any) -> str:
        """One layer a node; without an execution context the types are unknown."""
        return json.dumps({"Layers": [self._layer(node) for node in self._engine._nodes]})

    def _layer(self, node: Any) -> Any:
        words = "Int8" if node.op_type == "QuantizeLinear" else "Row major linear FP32"
        words = words if self._execution_context else "N/A due to dynamic shapes"
        inputs, outputs = (
            [{"Name": x, "Format/Datatype": words} for x in names] for names in (node.input, node.output)
        )
        layer = {"Name": node.name, "LayerType": node.op_type, "Inputs": inputs, "Outputs": outputs}
        return layer if self._engine._detailed else node.name


class IExecutionContext(Held):
    def _setup(self, engine: Any, user_memory: bool) -> None:
        self._hold("execution context")
        self._engine, self._user_memory, self._scratch, self._warm = engine, user_memory, (0, 0), None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def __del__(self) -> None:
        super().__del__()
        for work in self._machine.pending():
            if work.owner is self._shapes:
                self._machine.findings.append(f"freed early: an execution context under {work.words}")

    def _state(self) -> object:
        return dict(self._shapes), dict(self._addresses), self._scratch

    def set_input_shape(self, name: str, shape: Any) -> bool:
        self._engine._port(name)
        low, _, high = self._engine._profile[name]
        self._shapes.pop(name, None)
        if len(shape) != len(low) or not all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True)):
            self._machine.say(f"Error Code 3: API Usage Error ({name} {list(shape)}: the profile is {low} to {high})")
            return False
        self._shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._engine._port(name)
        if memory % 256:
            self._machine.violation("wrong address", f"{name} at {memory:#x}: TensorRT wants 256-byte alignment")
        self._addresses[name] = memory
        return True

    def set_device_memory(self, memory: int, size: int) -> None:
        needed = self._engine._device_memory_size_v2
        if not self._user_memory or size < needed:
            self._machine.violation("too small", f"{size} bytes for the activations, {needed} needed")
        self._scratch = (memory, size)

    def execute_async_v3(self, stream_handle: int) -> bool:
        machine = self._machine
        machine.current("execute_async_v3")
        lane = machine.lane(stream_handle, "execute_async_v3")
        if set(self._shapes) != set(self._engine._profile):
            machine.violation("shape outside the profile or not set", "when executed")
        if set(self._addresses) != set(self._engine._ports) or (self._user_memory and not self._scratch[0]):
            machine.violation("wrong address", f"only {sorted(self._addresses)} and {self._scratch} were set")
        if lane.captured is not None and self._warm != self._state():
            machine.violation("captured before it ran", "execute_async_v3 with these shapes has to come first")
        machine.enqueue(stream_handle, self._work())
        self._warm = self._state()
        return True

    def _work(self) -> Work:
        """The execution as it is set up now."""
        machine, batch = self._machine, next(iter(self._shapes.values()))[0]
        reads, writes, kinds = {}, {}, {}
        for name, port in self._engine._ports.items():
            dtype = np.dtype(TYPES[port._dtype.name])
            shape = self._shapes.get(name) or tuple(batch if side == -1 else side for side in port._shape)
            span = machine.span(self._addresses[name], int(np.prod(shape)) * dtype.itemsize, name)
            kinds[name] = (dtype, shape)
            (reads if name in self._shapes else writes)[name] = span
        session, me, state = self._engine._session, weakref.ref(self), self._state()

        def run() -> None:
            for name, span in reads.items():
                machine.typed(span, kinds[name][0], name)
            feeds = {name: span.bytes.view(kinds[name][0]).reshape(kinds[name][1]) for name, span in reads.items()}
            for (name, span), result in zip(writes.items(), session.run(list(writes), feeds), strict=True):
                assert (result.dtype, result.shape) == kinds[name], "the double foresaw another output"
                span.fill(result.reshape(-1).view(np.uint8), result.dtype)

        def changed() -> str:
            return "" if (now := me()) and now._state() == state else "its execution context is gone or was set up anew"

        for name, span in writes.items():
            if span.block.host:
                machine.typed(span, kinds[name][0], name)
        scratch = [machine.span(*self._scratch, "activations")] if self._user_memory else []
        return Work(
            f"execute_async_v3 of {batch}", run, [*reads.values()], [*writes.values()], scratch, self._shapes, changed
        )


BEHAVIOURS = {cls.__name__: cls for base in (Part, Held) for cls in base.__subclasses__()}
