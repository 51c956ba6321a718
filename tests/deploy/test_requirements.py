"""What JetPack gets installed: pins that are complete, of which every one has a wheel for the board."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.deploy.recipe import JETPACKS, ROOT, SOURCE_BUILT, canonical, pinned
from tests.deploy.test_image import ASKS_INDEX

FROM_SYSTEM = {"opencv-python-headless"}
"""JetPack or Ubuntu brings it, with GStreamer."""
PYCUDA_NEEDS = {"2026.1": ["pytools>=2011.2", "platformdirs>=2.2.0", "mako"]}
"""From PKG-INFO of the source archive: to ask pip would need the archive's build, and CUDA for that."""
GLIBC = {"6": 35, "7": 39}
"""Ubuntu 22.04 and 24.04: 2.35 and 2.39."""


def board(jetpack: str) -> dict[str, str]:
    """A Jetson's values of the environment markers."""
    return {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": "aarch64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{JETPACKS[jetpack]}.12",
        "python_version": JETPACKS[jetpack],
        "sys_platform": "linux",
    }


def needed(lines: list[str], jetpack: str, extras: frozenset[str] = frozenset()) -> dict[str, Requirement]:
    """The requirements that count on the board, by name."""
    requirements = [Requirement(line) for line in lines]
    return {
        canonical(requirement.name): requirement
        for requirement in requirements
        if requirement.marker is None
        or any(requirement.marker.evaluate(board(jetpack) | {"extra": extra}) for extra in extras | {""})
    }


def unmet(requirements: dict[str, Requirement], pins: dict[str, str]) -> list[str]:
    return [
        str(requirement)
        for name, requirement in requirements.items()
        if name not in FROM_SYSTEM and (name not in pins or not requirement.specifier.contains(pins[name]))
    ]


def resolved(jetpack: str, pins: dict[str, str], folder: Path) -> list[dict[str, Any]]:
    """What pip would install on the board, wheels only, from these pins: metadata of each.

    :raises AssertionError: pip finds no wheel for one of them.
    """
    (folder / "pins.txt").write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
    platforms = ["manylinux2014", *(f"manylinux_2_{minor}" for minor in range(17, GLIBC[jetpack] + 1)), "linux"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run", "--no-deps"]
        + ["--ignore-installed", "--only-binary", ":all:", "--target", folder, "--report", folder / "report.json"]
        + ["--python-version", JETPACKS[jetpack], "-r", folder / "pins.txt"]
        + [word for platform in platforms for word in ("--platform", f"{platform}_aarch64")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [item["metadata"] for item in json.loads((folder / "report.json").read_text())["install"]]


@pytest.mark.parametrize("jetpack", JETPACKS)
def test_our_requirements_are_pinned_within_their_bounds(jetpack):
    ours = needed(requires("edge-wbc") or [], jetpack, frozenset({"jetson", "web"}))
    pins = pinned(f"constraints/jetpack-{jetpack}.txt")
    assert not unmet(ours, pins)
    assert ours.keys() >= FROM_SYSTEM
    assert not {name for name in pins if "opencv" in name or name == "tensorrt"}


@pytest.mark.parametrize("jetpack", JETPACKS)
def test_versions_are_those_tested_everywhere_but_for_numpy(jetpack):
    pins = pinned(f"constraints/jetpack-{jetpack}.txt")
    everywhere = pinned(f"constraints/py{JETPACKS[jetpack].replace('.', '')}.txt")
    differing = {name for name in pins.keys() & everywhere.keys() if pins[name] != everywhere[name]}
    assert differing == {"numpy"}
    assert pins["numpy"].startswith("1."), "Ubuntu's OpenCV is built for NumPy 1"
    assert pins["numpy"] == pinned("constraints/jetpack-build.txt")["numpy"]


@ASKS_INDEX
@pytest.mark.parametrize("jetpack", JETPACKS)
def test_every_pin_has_a_wheel_for_the_board_and_nothing_is_missing(jetpack, tmp_path):
    pins = pinned(f"constraints/jetpack-{jetpack}.txt")
    wheels = {name: version for name, version in pins.items() if name not in SOURCE_BUILT}
    needs = {
        canonical(found["name"]): found.get("requires_dist", []) for found in resolved(jetpack, wheels, tmp_path)
    } | {"pycuda": PYCUDA_NEEDS[pins["pycuda"]], "cobs": []}
    assert needs.keys() == pins.keys()
    ours = needed(requires("edge-wbc") or [], jetpack, frozenset({"jetson", "web"}))
    reached, waiting = set(), [(name, ours[name].extras) for name in ours.keys() - FROM_SYSTEM]
    while waiting:
        name, extras = waiting.pop()
        reached.add(name)
        its = needed(needs[name], jetpack, frozenset(extras))
        assert not unmet(its, pins), name
        waiting += [(other, its[other].extras) for other in its.keys() - reached - FROM_SYSTEM]
    assert reached == pins.keys(), "what nobody needs is not pinned"


@ASKS_INDEX
@pytest.mark.parametrize("jetpack", JETPACKS)
def test_the_tools_that_build_have_wheels_for_the_board(jetpack, tmp_path):
    tools = pinned("constraints/jetpack-build.txt")
    assert len(resolved(jetpack, tools, tmp_path)) == len(tools)
    backend = re.search(r'requires = \["(.+)"\]', (ROOT / "pyproject.toml").read_text())
    assert backend
    assert not unmet(needed([backend[1]], jetpack), tools)
