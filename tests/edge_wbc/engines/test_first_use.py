"""Before TensorRT runs: what is missing, what ``auto`` takes, and the process that builds an engine on first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_wbc.engines import base, engine_file
from edge_wbc.engines.base import open_engine
from edge_wbc.engines.tensorrt import build_first, machine
from edge_wbc.errors import EdgeWbcError, EnvironmentMissing, GpuError, ModelError
from edge_wbc.manifest import Model
from tests.doubles.driver import MemoryError as GpuMemoryError
from tests.on_the_double import tensorrt_here


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


MISSING: list[tuple[dict[str, Any], str]] = [
    ({"missing": ("tensorrt",)}, "TensorRT is not here: .*JetPack.*--system-site-packages"),
    ({"missing": ("pycuda",)}, r"pycuda is not installed; pip install 'edge-wbc\[jetson\]'"),
    ({"devices": 0}, "no NVIDIA GPU|finds no GPU"),
    (
        {"faults": {"driver.init": GpuMemoryError("cuInit failed: no")}},
        "the NVIDIA driver finds no GPU .*nvidia-smi or tegrastats",
    ),
]


@pytest.mark.parametrize(("options", "says"), MISSING)
def test_what_is_missing_is_said_in_one_line(options: dict[str, Any], says: str, cache: Path, model: Model) -> None:
    with tensorrt_here(cache, **options):
        with pytest.raises(EnvironmentMissing, match=says) as caught:
            open_engine("tensorrt", model)
        assert "\n" not in str(caught.value)
        assert not base.ready("tensorrt")
        assert base.engine_name("auto") == "openvino", "a module that can be imported makes no GPU"


def test_a_missing_driver_is_named(cache: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    with tensorrt_here(cache):
        monkeypatch.setitem(sys.modules, "pycuda.driver", None)
        with pytest.raises(EnvironmentMissing, match=r"the NVIDIA driver can't be loaded .*JetPack.*--runtime nvidia"):
            open_engine("tensorrt", model)
        assert not base.ready("tensorrt")


def test_missing_libraries_of_tensorrt_are_named(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a package from the index without its libraries does."""
    (tmp_path / "tensorrt").mkdir()
    (tmp_path / "tensorrt" / "__init__.py").write_text("raise ImportError('libnvinfer.so.10: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(EnvironmentMissing, match=r"TensorRT can't be loaded \(libnvinfer.so.10: cannot open\); on"):
        open_engine("tensorrt", model)


@pytest.mark.parametrize("hidden", [True, False])
def test_a_virtual_environment_that_hides_tensorrt(
    hidden: bool, cache: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_wbc.engines.binding.Path.is_dir", lambda path: hidden)
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    with tensorrt_here(cache, missing=("tensorrt",)), pytest.raises(EnvironmentMissing) as caught:
        open_engine("tensorrt", model)
    assert ("the system has it, this virtual environment hides it" in str(caught.value)) == hidden
    assert "--system-site-packages" in str(caught.value)


def test_auto_takes_tensorrt_where_an_engine_can_be_had(cache: Path) -> None:
    with tensorrt_here(cache):
        assert base.engine_name("auto") == "tensorrt"


def test_an_old_tensorrt_is_refused(cache: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    with tensorrt_here(cache):
        monkeypatch.setattr(sys.modules["tensorrt"], "__version__", "8.5.2")
        with pytest.raises(EnvironmentMissing, match=r"TensorRT 8\.5\.2 can't be used; 10\.3 or later"):
            open_engine("tensorrt", model)


@pytest.mark.parametrize(
    ("name", "says"),
    [("tensorrt-dla7", "DLA cores are"), ("openvino-dla0", "DLA cores are"), ("tensorrt-dlax", "DLA cores are")],
)
def test_an_unknown_core_is_refused(name: str, says: str, model: Model) -> None:
    with pytest.raises(EdgeWbcError, match=says):
        open_engine(name, model)


def test_importing_edge_wbc_pulls_no_gpu() -> None:
    program = (
        "import sys, edge_wbc.engines.tensorrt, edge_wbc.pipeline, edge_wbc.cli.main, export.build_cli;"
        "print([m for m in ('tensorrt', 'pycuda', 'cuda', 'onnx', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class Child:
    """A builder that ends with a code, or is interrupted while it is waited for."""

    def __init__(self, ends: int | BaseException) -> None:
        self.ends = ends
        self.signals: list[int] = []
        self.waited = 0

    def __call__(self, command: list[str], **_: Any) -> Child:
        self.command = command
        return self

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None: ...

    def wait(self) -> int:
        self.waited += 1
        if isinstance(self.ends, BaseException) and self.waited == 1:
            raise self.ends
        return self.ends if isinstance(self.ends, int) else 130

    def send_signal(self, number: int) -> None:
        self.signals.append(number)


@pytest.mark.parametrize(("code", "error"), [(3, ModelError), (4, GpuError), (5, EdgeWbcError), (1, GpuError)])
def test_a_builder_that_fails_ends_with_its_code(
    code: int, error: type[EdgeWbcError], cache: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = Child(code)
    monkeypatch.setattr("edge_wbc.engines.tensorrt.subprocess.Popen", child)
    with tensorrt_here(cache):
        place = engine_file.place_of(model, machine(), 1)
    with pytest.raises(error, match=f"no engine was built .*exit code {code}.*edge-wbc build .* --dla 1") as caught:
        build_first(place)
    assert caught.value.exit_code == (4 if code == 1 else code)
    assert child.command[1:] == ["-m", "edge_wbc", "build", str(model.graph), "--dla", "1"]


def test_a_builder_that_was_killed(cache: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_wbc.engines.tensorrt.subprocess.Popen", Child(-9))
    with tensorrt_here(cache):
        place = engine_file.place_of(model, machine())
    with pytest.raises(GpuError, match="was ended by signal 9; if memory ran out, end other programs, then `edge-wbc"):
        build_first(place)


def test_ctrl_c_reaches_the_builder(cache: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child(KeyboardInterrupt())
    monkeypatch.setattr("edge_wbc.engines.tensorrt.subprocess.Popen", child)
    with tensorrt_here(cache):
        place = engine_file.place_of(model, machine())
    with pytest.raises(KeyboardInterrupt):
        build_first(place)
    assert child.signals == [2]
    assert child.waited == 2, "it is left to end in order"
