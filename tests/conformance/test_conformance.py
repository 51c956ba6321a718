"""What the TensorRT engine uses of the bindings exists in every version it may meet, and is called as it can be."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import datetime
import functools
import hashlib
import inspect
import json
import pathlib
import re
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pydantic
import pytest

from edge_wbc.engines import binding
from edge_wbc.engines.base import open_engine
from edge_wbc.manifest import Model, load_model
from tests.conformance.calls import python_names
from tests.conformance.check import Checker, Kind, cu, trt
from tests.conformance.record import SURFACES, cut
from tests.conformance.surfaces import RECORDED, surface
from tests.doubles import VERSIONS, Machine
from tests.doubles.driver import CUresult, CUstreamCaptureMode, bindings, pycuda
from tests.doubles.surface import Api
from tests.doubles.tensorrt import BEHAVIOURS
from tests.on_the_double import tensorrt_here

ROOT = Path(__file__).parents[2]
FULL = ROOT.parent / "shared" / "reference" / "tensorrt_api"
PYTHON = (
    *(str, bytes, list, dict, set, tuple, int, float, BaseException, np.ndarray, np.dtype, pathlib.Path),
    *(threading.Event, threading.Thread, concurrent.futures.Future, concurrent.futures.Executor, collections.deque),
    *(contextlib.ExitStack, subprocess.Popen, datetime.datetime, pydantic.BaseModel, collections.Counter),
    *(type(hashlib.sha256()), re.Pattern, re.Match),
)
"""Whose attributes may stand on values of unknown type."""

FILES: dict[str, dict[str, Kind]] = {
    "calibration/cache.py": {"calibrator.tensorrt": Kind("tensorrt", "")},
    "edge_wbc/engines/binding.py": {"dtype": trt("DataType")},
    "edge_wbc/engines/cuda.py": {
        ".base": cu("PagelockedHostAllocation"),
        "self._context": cu("Context"),
        "close.context": cu("Context"),
        "self._pinned": cu("PagelockedHostAllocation"),
        "close.pinned": cu("PagelockedHostAllocation"),
        "self._memory": cu("DeviceAllocation"),
        "close.memory": cu("DeviceAllocation"),
        "_driver()": Kind("pycuda", ""),
    },
    "edge_wbc/engines/cuda_graph.py": {"_failed.result": Kind("cuda", "CUresult")},
    "edge_wbc/engines/engine_file.py": {},
    "edge_wbc/engines/plan.py": {
        ".stream": cu("Stream"),
        "self.stream": cu("Stream"),
        "self._context": trt("IExecutionContext"),
        "_drop.memory": cu("DeviceAllocation"),
    },
    "edge_wbc/engines/tensorrt.py": {".stream": cu("Stream"), ".done": cu("Event")},
    "export/compile.py": {
        "builder": trt("Builder"),
        "config": trt("IBuilderConfig"),
        "network": trt("INetworkDefinition"),
        "_error.error": trt("ParserError"),
        "tensor": trt("ITensor"),
    },
    "export/engine.py": {},
    "export/layers.py": {},
}
"""File → names whose type the check can't infer."""
FORWARDS = {"edge_wbc/engines/cuda_graph.py": {"self._call": 0}, "edge_wbc/engines/cuda.py": {"self._call": 1}}
"""File → functions that call what they are given, and how many of their last arguments they keep."""


@functools.cache
def known() -> set[str]:
    fields = set(onnx.NodeProto.DESCRIPTOR.fields_by_name)
    return python_names([ROOT / "edge_wbc", ROOT / "export", ROOT / "calibration"], PYTHON) | {"__name__"} | fields


@functools.cache
def strong() -> frozenset[str]:
    """The versions where the code makes strongly typed networks, asked of the code itself."""
    return frozenset(version for version in VERSIONS if binding.strongly_typed(api(version).module()))


def api(version: str) -> Api:
    return Api(version, BEHAVIOURS, Machine(True, (8, 7), (0, 0), 1, {}))


def source_of(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def checked(file: str, source: str) -> Checker:
    checker = Checker(file, FILES[file], known(), strong(), FORWARDS.get(file, {}))
    checker.run(source)
    return checker


@pytest.mark.parametrize("file", list(FILES))
def test_everything_used_exists_in_every_version(file: str) -> None:
    assert checked(file, source_of(file)).problems == []


def test_the_versions_take_both_ways_of_typing() -> None:
    assert strong() == {"10.13.3", "10.16.1", "11.4.0"}


COMPILE, BINDING, PLAN = "export/compile.py", "edge_wbc/engines/binding.py", "edge_wbc/engines/plan.py"
CUDA, CUDA_GRAPH = "edge_wbc/engines/cuda.py", "edge_wbc/engines/cuda_graph.py"


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("calibration/cache.py", "if not hasattr(tensorrt", "if not callable(tensorrt", "has no tensorrt.IInt8"),
        (COMPILE, "trt.BuilderFlag.TF32", "trt.BuilderFlag.FP16", "tensorrt 11.4.0 has no BuilderFlag.FP16"),
        (BINDING, "if strongly_typed(trt) or precision", "if precision", "has no BuilderFlag.FP16"),
        (PLAN, "execute_async_v3", "execute_async_v2", "has no IExecutionContext.execute_async_v2"),
        (COMPILE, "config.set_flag(trt.BuilderFlag.GPU_FALLBACK)", "config.set_flag(3)", "does not fit"),
        (BINDING, "1 << int(kinds.STRONGLY_TYPED)", "1 << 1", "shifted by 1"),
        (COMPILE, "binding.network_flags(trt))", "2)", "does not fit"),
        (BINDING, "flags |= 1 << int(kinds.STRONGLY_TYPED)", "flags |= 2", "2 stands for a flag"),
        (BINDING, 'if hasattr(kinds, "EXPLICIT_BATCH"):', "if True:", "11.4.0 has no"),
        (PLAN, "device_memory_size_v2", "device_memory_size", "11.4.0 has no ICudaEngine.device_mem"),
        (PLAN, "(name, buffer.address)", "(name)", "does not fit tensorrt"),
        (COMPILE, "ignore_mismatch=False", "ignore=False", "does not fit tensorrt"),
        (COMPILE, "parser = trt.OnnxParser", "parser = trt.OnnxRefitter", "has no tensorrt.OnnxRefitter"),
        (COMPILE, "not parser.parse(graph)", "not parser.set_builder_config(graph)", "10.13.3, 10.3.0 has no"),
        (COMPILE, "del parser", "network.num_inputs = 1", "can't be set"),
        (COMPILE, "del parser", "model.max_workspace_size = 1; model.num_bindings", "nothing known has"),
        (BINDING, "def log(self, severity: Any, msg: str)", "def log(self, msg: str)", "not 1 arguments"),
        (CUDA, "retain_primary_context", "retain_context", "pycuda 2026.1 has no Device.retain"),
        (CUDA, "driver.host_alloc_flags.DEVICEMAP", "2", "does not fit pycuda"),
        (CUDA, "self._from(rows, self.address, stream)", "self._from(rows)", "does not fit pycuda"),
        (CUDA, "pinned.free()", "pinned.release()", "has no PagelockedHostAllocation.release"),
        (CUDA_GRAPH, "CaptureMode.CU_STREAM", "CaptureMode.STREAM", "cuda 12, 13 has no"),
        (CUDA_GRAPH, "cuGraphInstantiate, drawn, 0", "cuGraphInstantiate, drawn", "does not fit cuda"),
        (CUDA_GRAPH, "cuStreamBeginCapture, stream, mode", "cuStreamBeginCapture, stream, 1", "not fit"),
    ],
)  # fmt: skip
def test_what_is_planted_is_seen(file: str, old: str, new: str, says: str) -> None:
    source = source_of(file)
    assert old in source, "the place to plant at is gone; choose another"
    assert says in "\n".join(checked(file, source.replace(old, new)).problems)


def test_nothing_else_touches_the_bindings() -> None:
    """Files that import them, or are handed them, are all looked at above."""
    words = re.compile(r"\btrt\.[A-Z_]|pycuda\.driver|cuda\.bindings|import_module\(.tensorrt|import tensorrt\b")
    folders = ("edge_wbc", "export", "calibration", "firmware_bridge", "training")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    touching = {str(path.relative_to(ROOT)) for path in paths if words.search(path.read_text(encoding="utf-8"))}
    assert touching <= set(FILES)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("graph", ["leukonet.onnx", "leukonet-int8.onnx"])
def test_what_a_whole_run_calls_is_what_was_checked(version: str, graph: str, tmp_path: Path, model: Model) -> None:
    """Built, loaded, run and closed on the double, which has no call that the surface lacks: the check saw each."""
    used = {name for file in FILES for name in checked(file, source_of(file)).used}
    with tensorrt_here(tmp_path, version, integrated=False) as machine:
        engine = open_engine("tensorrt", load_model(model.graph.with_name(graph)))
        engine.infer(np.zeros((3, 64, 64, 3), np.uint8))
        engine.close()
        called = set(machine.calls)
    assert {"IExecutionContext.execute_async_v3", "driver.memcpy_htod_async", "bindings.cuGraphLaunch"} <= called
    assert {_name(call) for call in called} <= used


def _name(call: str) -> tuple[str, str, str]:
    """As the check names it: (binding, owner, name)."""
    place = {"driver": "pycuda", "bindings": "cuda"}
    first, *rest = call.rstrip("=").split(".")
    owner, name = ["", *rest][-2:] if first in place else ["", first, *rest][-2:]
    return place.get(first, "tensorrt"), owner, name


def test_the_double_of_pycuda_and_cuda_bindings_is_called_as_they_are() -> None:
    machine = Machine(True, (8, 7), (0, 0), 1, {})
    for name, made in (("pycuda", pycuda(machine)), ("cuda", bindings(machine))):
        for version in RECORDED[name]:
            recorded = surface(name, version)
            for key, value in made.items():
                assert recorded.find("", key), f"{name} {version} has no {key}"
                methods = vars(value) if isinstance(value, type) else {}
                for member, method in [("", value), *methods.items()]:
                    if inspect.isroutine(method) and not member.startswith("_"):
                        found = recorded.find(key, member) if member else recorded.find("", key)
                        assert found, f"{name} {version} has no {key}.{member}"
                        assert _counts(method, bool(member)) in _recorded_counts(found.overloads), (key, member)


def _counts(function: Any, method: bool) -> tuple[int, int]:
    """How many arguments it needs and takes at most."""
    function = function.__func__ if isinstance(function, staticmethod) else function
    parameters = list(inspect.signature(function).parameters.values())
    parameters = parameters[1:] if method and parameters and parameters[0].name == "self" else parameters
    return sum(parameter.default is parameter.empty for parameter in parameters), len(parameters)


def _recorded_counts(overloads: Any) -> list[tuple[int, int]]:
    return [(sum(not parameter.optional for parameter in overload), len(overload)) for overload in overloads]


def test_numbers_of_the_double_are_the_recorded_ones() -> None:
    for version in RECORDED["cuda"]:
        names = json.loads((SURFACES / f"cuda_bindings-{version}.json").read_text())["names"]
        for enum in (CUresult, CUstreamCaptureMode):
            assert {member.name: int(member) for member in enum}.items() <= names[enum.__name__]["enum"].items()
    flags = json.loads((SURFACES / "pycuda.json").read_text())["names"]
    assert flags["host_alloc_flags"]["members"]["DEVICEMAP"] == flags["event_flags"]["members"]["DISABLE_TIMING"] == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_the_double_of_tensorrt_adds_no_name(version: str) -> None:
    classes = api(version).surface["classes"]
    for name, behaviour in BEHAVIOURS.items():
        if name in classes:
            extra = {member for member in vars(behaviour) if not member.startswith("_")} - set(classes[name]["members"])
            assert not extra


@pytest.mark.parametrize("version", VERSIONS)
def test_the_cut_is_the_shared_record(version: str) -> None:
    if not FULL.exists():
        pytest.skip("the recorded bindings (../shared/reference/tensorrt_api) are not here")
    full = json.loads((FULL / f"{version}.json").read_text())
    assert json.loads((SURFACES / f"tensorrt-{version}.json").read_text()) == cut(full)
