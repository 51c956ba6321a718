"""``build``, ``run`` and ``classify`` with TensorRT, as processes that find the double of it; none ran on a GPU."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest

from tests.data import drawn_cell

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "tests" / "doubles" / "site"
DEADLINE_S = 60


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts ``edge-wbc ARGUMENTS…`` where TensorRT 10.3 is a double, engines in a folder of the test's own."""
    started: list[subprocess.Popen[str]] = []
    environment = {
        **os.environ,
        "PYTHONPATH": str(SITE),
        "EDGE_WBC_DOUBLE": "10.3.0",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }

    def start(*arguments: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "edge_wbc", *map(str, arguments)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, env=environment)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def finished(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        process = start(*arguments)
        out, err = process.communicate(timeout=DEADLINE_S)
        return process.returncode, out, err

    return run


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Another builder is at work, until the function given is called."""
    folder = tmp_path / "cache" / "edge-wbc" / "engines"
    folder.mkdir(parents=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(file, fcntl.LOCK_UN)


def waits(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    assert "another edge-wbc is building an engine; waiting for it" in process.stderr.readline()


def test_built_on_first_use_and_kept(finished: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    image = tmp_path / "cell.png"
    cv2.imwrite(str(image), drawn_cell(1))
    arguments = ("classify", image, "--mode", "cell", "--engine", "tensorrt", "--json")
    code, out, err = finished(*arguments)
    assert code == 0, err
    assert "building leukonet-" in err
    assert json.loads(out.splitlines()[-1])["cells"] == 1, "and nothing else on standard output"
    code, again, err = finished(*arguments)
    assert code == 0
    assert "building" not in err
    first, second = (json.loads(text)["results"][0] for text in (out, again))
    assert second["probabilities"] == first["probabilities"]


def test_a_pipeline_on_it(finished: Callable[..., tuple[int, str, str]]) -> None:
    """Both engines see the same slide, and say the same of it."""
    told = []
    for engine in ("tensorrt", "onnxruntime"):
        code, out, err = finished("run", "smear://?seed=2&cells=12", "--engine", engine, "--json")
        assert code == 0, err
        told.append(json.loads(out.splitlines()[-1])["differential"])
    assert told[0] == told[1]
    assert told[0]["total"] > 0


def test_two_builders_at_once(start: Callable[..., subprocess.Popen[str]], lock: Callable[[], None]) -> None:
    builders = [start("build", "leukonet", "--json") for _ in range(2)]
    for builder in builders:
        waits(builder)
    lock()
    told = []
    for builder in builders:
        out, err = builder.communicate(timeout=DEADLINE_S)
        assert builder.returncode == 0, err
        told.append(json.loads(out))
    assert sorted(one.pop("fresh") for one in told) == [False, True], "one builds, the other finds what it built"
    assert told[0] == told[1]


def test_ctrl_c_while_waiting(start: Callable[..., subprocess.Popen[str]], lock: Callable[[], None]) -> None:
    builder = start("build")
    waits(builder)
    builder.send_signal(signal.SIGINT)
    _, err = builder.communicate(timeout=DEADLINE_S)
    assert builder.returncode == 130
    assert err.splitlines()[-1] == "edge-wbc: interrupted"


def test_ctrl_c_while_run_builds(
    start: Callable[..., subprocess.Popen[str]], lock: Callable[[], None], tmp_path: Path
) -> None:
    running = start("run", "smear://?seed=1&cells=3", "--engine", "tensorrt")
    waits(running)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 130
    assert [path.name for path in tmp_path.glob("cache/edge-wbc/engines/*")] == [".lock"]


def test_a_builder_that_fails_says_why_and_run_ends_with_its_code(
    finished: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "edge-wbc").write_text("in the way")
    code, out, err = finished("run", "smear://?seed=1&cells=3", "--engine", "tensorrt")
    assert code == 5
    assert out == ""
    said = [line for line in err.splitlines() if line.startswith("edge-wbc: ")]
    assert len(said) == 2
    assert "make it writable" in said[0]
    assert "no engine was built for" in said[1]
    assert "Traceback" not in err


def test_build_prints_what_it_made(finished: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = finished("build", "leukonet-int8")
    assert code == 0, err
    assert "TensorRT 10.3.0" in out
    assert "int8" in out
    assert "on its own, not fused:" in err
    assert "next: edge-wbc run SOURCE --model leukonet-int8 --engine tensorrt" in err


def test_doctor_looks_without_building(finished: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    _, out, err = finished("doctor", "--json")
    (found,) = (check for check in json.loads(out)["checks"] if check["what"] == "engine tensorrt")
    assert found["good"] is True, err
    assert "TensorRT 10.3.0 on sm_87" in found["found"]
    assert not list(tmp_path.glob("cache/**/*.engine"))


def test_without_tensorrt_one_line_says_what_is_missing() -> None:
    for arguments in (("run", "smear://?seed=1&cells=3", "--engine", "tensorrt"), ("build",)):
        command = [sys.executable, "-m", "edge_wbc", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=DEADLINE_S, check=False)
        assert done.returncode == 4
        (line,) = done.stderr.splitlines()
        assert "TensorRT is not here" in line
        assert "JetPack" in line
        assert "--system-site-packages" in line
        assert done.stdout == ""
