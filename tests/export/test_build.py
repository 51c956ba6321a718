"""Graph → TensorRT engine, on the double of TensorRT. No plan of a real TensorRT was made here."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_wbc.engines.base import open_engine
from edge_wbc.engines.cuda import Device
from edge_wbc.engines.engine_file import BATCHES, place_of, read_engine
from edge_wbc.engines.tensorrt import machine
from edge_wbc.errors import EdgeWbcError, EnvironmentMissing, GpuError, ModelError, OutputFailed
from edge_wbc.golden import golden_crops
from edge_wbc.manifest import Model, load_model, manifest_path, read_manifest, sha256, write_manifest
from export.compile import compile_graph
from export.engine import LEAST_FREE, MOST_WORKSPACE, Built, _locked, build, workspace_bytes
from export.layers import UNKNOWN, read_layers
from tests.doubles import VERSIONS, Fault
from tests.on_the_double import tensorrt_here

STRONG = [version for version in VERSIONS if version != "10.3.0"]


def make(model: Model, dla: int | None = None, said: list[str] | None = None) -> Built:
    return build(model, dla, [].append if said is None else said.append)


@pytest.mark.parametrize("name", ["leukonet", "leukonet-int8"])
@pytest.mark.parametrize("version", VERSIONS)
def test_built_once_with_its_manifest(version: str, name: str, tmp_path: Path) -> None:
    model = load_model(name)
    with tensorrt_here(tmp_path, version) as here:
        built = make(model)
        flags = here.calls["IBuilderConfig.set_flag"]
        assert built.fresh
        again = make(model)
        assert here.calls["Builder.build_serialized_network"] == 1
    group = built.group
    assert not again.fresh
    assert again.group == group
    assert group.strongly_typed == (version in STRONG)
    assert flags == (2 if name == "leukonet-int8" and version not in STRONG else 0)
    assert group.precision == model.manifest.graph.precision
    assert group.graph_sha256 == model.manifest.graph.sha256
    assert group.batches == BATCHES
    assert group.sha256 == sha256(built.place.engine)
    assert group.tensorrt == version or group.tensorrt.startswith(version)
    assert sum(group.layers.values()) > 0
    assert UNKNOWN not in group.layers, "looked at with a batch of one size"
    assert bool(group.unfused) == (name == "leukonet-int8"), "the double fuses nothing"
    whole = read_manifest(manifest_path(built.place.engine))
    assert whole.labels == model.manifest.labels


@pytest.mark.parametrize(
    ("name", "version", "wanted"),
    [
        ("leukonet", "10.3.0", set()),
        ("leukonet-fp16", "10.3.0", {"FP16"}),
        ("leukonet-int8", "10.3.0", {"FP16", "INT8"}),
        *((name, version, set()) for name in ("leukonet-fp16", "leukonet-int8") for version in STRONG),
    ],
)
def test_the_builders_flags_are_those_of_the_graph_and_tf32_is_off(
    name: str, version: str, wanted: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tensorrt_here(tmp_path, version):
        import tensorrt

        asked: dict[str, set[str]] = {"set_flag": set(), "clear_flag": set()}
        for call, flags in asked.items():
            given = getattr(tensorrt.IBuilderConfig, call)

            def noted(config: Any, flag: Any, given: Any = given, flags: set[str] = flags) -> Any:
                flags.add(flag.name)
                return given(config, flag)

            monkeypatch.setattr(tensorrt.IBuilderConfig, call, noted)
        make(load_model(name))
    assert asked == {"set_flag": wanted, "clear_flag": {"TF32"}}


@pytest.fixture
def with_nodes(model: Model, tmp_path: Path) -> Callable[..., Model]:
    """The shipped graph with more nodes, with a manifest that fits."""

    def add(*operators: str) -> Model:
        onnx = pytest.importorskip("onnx")
        graph = onnx.load(model.graph)
        for operator in operators:
            node = onnx.helper.make_node(operator, ["logits"], [f"{operator}.out"], name=f"the {operator}")
            graph.graph.node.append(node)
        path = tmp_path / "more.onnx"
        onnx.save(graph, path)
        group = model.manifest.graph.model_copy(update={"file": path.name, "sha256": sha256(path)})
        write_manifest(manifest_path(path), model.manifest.model_copy(update={"graph": group}))
        return load_model(path)

    return add


def test_every_error_of_the_parser_is_shown_with_its_node(with_nodes: Callable[..., Model], tmp_path: Path) -> None:
    with tensorrt_here(tmp_path), pytest.raises(ModelError) as caught:
        make(with_nodes("Det", "Unique"))
    text = str(caught.value)
    assert "TensorRT 10.3.0 refuses it: node " in text
    for name in ("Det", "Unique"):
        assert f"({name} the {name}): No importer registered for op: {name} [UNSUPPORTED_NODE]" in text
    assert "\n" not in text


FAULTS: list[tuple[str, Any, type[EdgeWbcError], str]] = [
    ("OnnxParser.parse", False, ModelError, "refuses it: said by the test"),
    ("Builder.build_serialized_network", None, GpuError, "built nothing from .*: said by the test; if memory ran out"),
    ("IBuilderConfig.add_optimization_profile", -1, ModelError, "refuses batches of 1 to 8"),
    ("Runtime.deserialize_cuda_engine", None, GpuError, "just built can't be loaded: said by the test"),
    ("ICudaEngine.create_execution_context", None, GpuError, "just built can't be loaded: said by the test"),
    ("IExecutionContext.set_input_shape", False, GpuError, "just built refuses a batch of 4"),
]


@pytest.mark.parametrize(("call", "gives", "error", "says"), FAULTS, ids=[case[0] for case in FAULTS])
def test_a_call_that_fails_is_named_and_nothing_is_left(
    call: str, gives: Any, error: type[EdgeWbcError], says: str, model: Model, tmp_path: Path
) -> None:
    with tensorrt_here(tmp_path, faults={call: Fault(gives, "said by the test")}):
        with pytest.raises(error, match=says) as caught:
            make(model)
        assert "\n" not in str(caught.value)
        caught.value.__traceback__ = None
    assert left(tmp_path) == []


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("edge-wbc/engines/*") if path.name != ".lock")


def test_a_damaged_engine_is_built_anew(model: Model, tmp_path: Path) -> None:
    said: list[str] = []
    with tensorrt_here(tmp_path):
        engine = make(model).place.engine
        engine.write_bytes(engine.read_bytes()[:50])
        built = make(model, said=said)
        assert built.fresh
        read_engine(built.place)
    assert "was changed or damaged" in said[0]


def test_what_was_timed_is_not_timed_again(model: Model, tmp_path: Path) -> None:
    with tensorrt_here(tmp_path) as here:
        place = make(model).place
        first = here.timed
        place.manifest.unlink()
        assert make(model).fresh
        assert first > 0
        assert here.timed == first
    (timing,) = tmp_path.glob("edge-wbc/engines/timing*")
    timing.write_bytes(b"of another TensorRT")
    with tensorrt_here(tmp_path) as here:
        place.manifest.unlink()
        assert make(model).fresh, "a timing cache that does not fit is made anew"
        assert here.timed == first


def test_a_dla_core_builds_for_one_batch_size(model: Model, tmp_path: Path) -> None:
    golden = golden_crops(model.manifest.input.size_px)
    reference = open_engine("onnxruntime", model, threads=1)
    with tensorrt_here(tmp_path) as here:
        here.dla_cores = 1
        engine = open_engine("tensorrt-dla0", model)
        assert (engine.name, engine.precision) == ("tensorrt-dla0", "f16")
        for count in (3, 8, 11):
            found = engine.infer(golden[:count]).probabilities
            here.verify(found)
            assert np.abs(found - reference.infer(golden[:count]).probabilities).max() <= 1e-5
        engine.close()
        group = read_engine(place_of(model, machine(), 0))[1]
        assert (group.batches, group.precision, group.dla) == ((8, 8, 8), "fp16", 0)
        assert here.calls["IBuilderConfig.DLA_core="] == 1
        assert here.calls["Runtime.DLA_core="] == 2
        with pytest.raises(EnvironmentMissing, match="no DLA core 1"):
            make(model, 1)
        with pytest.raises(ModelError, match="the DLA takes no Q/DQ graph; give the fp32 graph"):
            make(load_model("leukonet-int8"), 0)


@pytest.mark.parametrize("integrated", [True, False])
def test_little_memory(integrated: bool, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: 8000000 kB\nMemAvailable: {300 << 10} kB\n")
    monkeypatch.setattr("export.engine.MEMINFO", meminfo)
    options = {"integrated": integrated, "memory": (4 << 30, 8 << 30) if integrated else (300 << 20, 8 << 30)}
    says = r"300 MiB of memory are free .* takes 512 MiB or more; end other"
    with tensorrt_here(tmp_path, **options), pytest.raises(EnvironmentMissing, match=says):
        make(model)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("available", "on_gpu", "integrated", "expected"),
    [
        (4 << 30, 1 << 20, True, 1 << 30),
        (2 << 30, 1 << 20, True, 1 << 29),
        (1 << 20, 64 << 30, False, MOST_WORKSPACE),
        (None, LEAST_FREE, True, LEAST_FREE // 4),
    ],
)
def test_the_workspace_fits_the_free_memory(
    available: int | None, on_gpu: int, integrated: bool, expected: int, tmp_path: Path, monkeypatch: Any
) -> None:
    class Stub:
        device = Device("a GPU", (8, 7), integrated, "12.6", "12.6")

        def free_bytes(self) -> int:
            return on_gpu

    meminfo = tmp_path / "meminfo"
    if available is not None:
        meminfo.write_text(f"MemFree: 1 kB\nMemAvailable: {available >> 10} kB\n")
    monkeypatch.setattr("export.engine.MEMINFO", meminfo)
    assert workspace_bytes(Stub()) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("at", [1, 2])
def test_a_full_disk_leaves_nothing_half(
    call: str, at: int, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = getattr(os, call), []

    def full(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) >= at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments)

    with tensorrt_here(tmp_path):
        monkeypatch.setattr(os, call, full)
        with pytest.raises(OutputFailed, match=r"no space left on device; make room \(\d+ KiB are needed\)") as caught:
            make(model)
        monkeypatch.setattr(os, call, real)
        assert caught.value.exit_code == 5
        place = place_of(model, machine())
        assert not place.exists()
        assert not [name for name in left(tmp_path) if name.endswith(".part")]
        assert make(model).fresh


def test_a_folder_that_takes_no_files(model: Model, tmp_path: Path) -> None:
    (tmp_path / "edge-wbc").write_text("in the way")
    with tensorrt_here(tmp_path), pytest.raises(OutputFailed, match="make it writable, or set XDG_CACHE_HOME"):
        make(model)


POWER_CUT = """
import hashlib, os, sys
from pathlib import Path
from export.compile import compile_graph
from export.engine import _write
from edge_wbc.engines.engine_file import EngineGroup, Machine, place_of, read_engine
from edge_wbc.manifest import load_model
from edge_wbc.errors import ModelError

model = load_model("leukonet")
here = Machine("10.3.0", "12.6", "12.6", "", "Orin", "8.7")
place = place_of(model, here)
place.engine.parent.mkdir(parents=True, exist_ok=True)

def group(plan):
    return EngineGroup(
        file=place.engine.name, sha256=hashlib.sha256(plan).hexdigest(), recipe=1, edge_wbc="0", built="",
        graph_sha256=place.graph_sha256, precision="fp32", strongly_typed=False, tensorrt=here.tensorrt, cuda=here.cuda,
        driver=here.driver, l4t=here.l4t, gpu=here.gpu, compute_capability=here.capability, dla=None, batches=(1, 4, 8),
        workspace_bytes=0, build_seconds=0.0, layers={}, unfused=(),
    )

old, new = b"old" * 100_000, b"new" * 100_000
step, seen = 0, set()
while True:
    step += 1
    _write(model, place, old, group(old))
    child = os.fork()
    if not child:
        left = step
        def cut(owner, name):
            real = getattr(owner, name)
            def call(*arguments, **options):
                global left
                left -= 1
                if left == 0:
                    os._exit(9)
                result = real(*arguments, **options)
                left -= 1
                if left == 0:
                    os._exit(9)
                return result
            setattr(owner, name, call)
        for owner, name in ((os, "replace"), (os, "fsync"), (Path, "unlink")):
            cut(owner, name)
        _write(model, place, new, group(new))
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = read_engine(place)[0][:3].decode() if place.exists() else "none"
    seen.add(found)
    if code == 0:
        break
assert found == "new", found
print(step, *sorted(seen))
"""


def test_power_cut_at_each_step_of_writing(tmp_path: Path) -> None:
    """What lies there afterwards is whole and fits, or counts as not there: ``read_engine`` never fails."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", POWER_CUT]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    steps, *seen = done.stdout.split()
    assert int(steps) > 12
    assert seen == ["new", "none", "old"]


def test_ctrl_c_stops_the_builder_at_its_next_step(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[threading.Event] = []

    def compile_kept(*arguments: Any, cancelled: threading.Event, **options: Any) -> Any:
        events.append(cancelled)
        return compile_graph(*arguments, cancelled=cancelled, **options)

    told: list[float] = []
    heard: list[bool] = []

    def interrupt(done: float, what: str) -> None:
        told.append(done)
        if len(told) == 1:
            os.kill(os.getpid(), signal.SIGINT)
            heard.append(events[0].wait(10))

    with tensorrt_here(tmp_path) as here:
        monkeypatch.setattr("export.engine.compile_graph", compile_kept)
        with pytest.raises(KeyboardInterrupt):
            build(model, None, lambda line: None, interrupt)
        assert here.calls["Runtime.deserialize_cuda_engine"] == 0
    assert heard == [True], "by the main thread, while TensorRT was at work"
    assert len(told) == 1
    assert left(tmp_path) == []


def test_progress_goes_up(model: Model, tmp_path: Path) -> None:
    told: list[float] = []
    with tensorrt_here(tmp_path):
        build(model, None, lambda line: None, lambda done, what: told.append(done))
    assert told == sorted(told)
    assert 0 < told[0] < 0.5
    assert told[-1] == 1.0


def test_a_graph_that_changes_meanwhile_is_refused(copied: Path, tmp_path: Path) -> None:
    loaded = load_model(copied)
    real = Path.read_bytes

    with tensorrt_here(tmp_path / "cache"), pytest.MonkeyPatch.context() as patch:
        place = place_of(loaded, machine())
        patch.setattr("export.engine.place_of", lambda *_: replace(place, graph_sha256="0" * 64))
        patch.setattr(Path, "read_bytes", real)
        with pytest.raises(ModelError, match="it changed while it was read"):
            make(loaded)


LAYERS = {
    "Layers": [
        {
            "Name": "stem.q",
            "Inputs": [{"Format/Datatype": "Row major linear FP32"}],
            "Outputs": [{"Format/Datatype": "Int8"}],
        },
        {
            "Name": "w.q + w.dq + stem",
            "Outputs": [{"Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format."}],
            "Weights": {"Type": "Int8", "Count": 9},
        },
        {"Name": "head", "Weights": {"Type": "Half"}, "Outputs": [{"Format/Datatype": "Row major linear FP32"}]},
        {"Name": "pool", "Outputs": [{"Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}]},
        {"Name": "softmax", "Outputs": [{"Format/Datatype": "Float"}]},
        {"Name": "free", "Outputs": [{"Format/Datatype": "N/A due to dynamic shapes"}]},
        {"Name": "cast", "Outputs": [], "Inputs": [{"Format/Datatype": "UInt8"}]},
        "only a name",
    ]
}


def test_layers_by_precision_and_what_stands_alone() -> None:
    found = read_layers(json.dumps(LAYERS), {"stem.q", "w.q", "w.dq"})
    assert found.by_precision == {"int8": 2, "fp16": 2, "fp32": 1, "int": 1, UNKNOWN: 2}
    assert found.unfused == ("stem.q",)


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"Layers": []}'])
def test_an_inspector_that_says_nothing(text: str) -> None:
    assert read_layers(text, {"q"}).by_precision == {}


def test_one_builder_at_a_time(tmp_path: Path) -> None:
    with _locked(tmp_path, [].append), (tmp_path / ".lock").open("w") as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    with (tmp_path / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
