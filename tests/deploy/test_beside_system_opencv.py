"""The guide's install without a container, beside the OpenCV that this machine's distribution has.

Debian 12 has that of Ubuntu 24.04, 4.6.0 with GStreamer. pycuda is left out: it wants CUDA.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.deploy.recipe import ROOT, copy_context
from tests.deploy.test_image import ASKS_INDEX

PYTHON = Path("/usr/bin/python3")
WANTED = "import cv2, ensurepip; print(cv2.__version__)"


@ASKS_INDEX
def test_the_guide_gives_an_edge_wbc_that_runs_on_it(tmp_path):
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    bare |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "OPENBLAS_"))}

    def call(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True, check=False)

    if not PYTHON.exists() or call(str(PYTHON), "-c", WANTED).returncode:
        pytest.skip(f"{PYTHON} has no OpenCV or no venv; apt-get install python3-opencv python3-venv python3-dev")
    copy_context(tmp_path)
    pins = tmp_path / "constraints" / "jetpack-7.txt"
    pins.write_text(re.sub(r"^pycuda==.*\n", "", pins.read_text(), flags=re.MULTILINE))
    guide = (ROOT / "docs" / "jetson.md").read_text().replace("jetpack-6.txt", "jetpack-7.txt")
    lines = re.findall(r"^sudo (.*(?:-m venv|pip install) .*)$", guide, re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        done = call(*shlex.split(line.replace("/opt/edge-wbc", f"{tmp_path}/opt").replace("$PATH", bare["PATH"])))
        assert done.returncode == 0, done.stderr

    seen = call("opt/bin/python", "-c", "import cv2; print(cv2.__file__, cv2.getBuildInformation())").stdout
    assert not seen.startswith(str(tmp_path))
    assert re.search("GStreamer: +YES", seen)
    doctor = call("opt/bin/edge-wbc", "doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert re.search("ok  opencv +from the system", doctor.stdout)
    slide = call("opt/bin/edge-wbc", "run", "smear://?seed=1&cells=12")
    assert slide.returncode == 0, slide.stderr
    camera = call("opt/bin/edge-wbc", "run", "v4l2:///dev/video999")
    assert camera.returncode == 4, camera.stderr
    assert "no such camera" in camera.stderr
