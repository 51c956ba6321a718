"""The verb ``doctor``."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from edge_wbc.cli.common import print_json


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    what: str
    good: bool | None
    """None: not needed for running, only for more."""
    found: str
    fix: str = ""


@click.command()
@click.option(
    "--prove",
    is_flag=True,
    help="Hold every engine here against the reference on every shipped model, and write a report of it.",
)
@click.option("--cells", type=click.Path(path_type=Path), help="With --prove: images of one real cell each, as well.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    default="edge-wbc-report.json",
    show_default=True,
    help="With --prove: the file to send with an issue.",
)
@click.option("--smoke", is_flag=True, help="With --prove: times of a moment only, to see that everything works.")
@click.option("--json", "as_json", is_flag=True, help="Print the checks, or the report, as one JSON object.")
def doctor(prove: bool, cells: Path | None, report: Path, smoke: bool, as_json: bool) -> int:
    """What is here, what is missing, what to type next."""
    checks = [*_machine(), *_packages(), *_models(), *_engines(), *_gstreamer(), *_argus(), *_cameras(), *_ports()]
    if prove:
        from edge_wbc.cli.prove import prove_all

        return prove_all([asdict(check) for check in checks], cells, report, smoke, as_json)
    broken = [check for check in checks if check.good is False]
    if as_json:
        print_json({"checks": [asdict(check) for check in checks], "broken": len(broken)})
    else:
        for check in checks:
            mark = {True: "ok ", False: "NO ", None: " · "}[check.good]
            click.echo(f"{mark} {check.what:<22} {check.found}" + (f"  → {check.fix}" if check.fix else ""))
        click.echo(f"next: {broken[0].fix}" if broken else "next: edge-wbc demo")
    return 4 if broken else 0


def _machine() -> list[Check]:
    from edge_wbc import __version__
    from edge_wbc.engines.base import usable_processors

    good = (3, 10) <= sys.version_info[:2] <= (3, 13)
    fix = "" if good else "install Python 3.10 to 3.13"
    return [
        Check("edge-wbc", True, __version__),
        Check("python", good, f"{platform.python_version()} on {platform.machine()}", fix),
        Check("processors", True, str(usable_processors())),
    ]


def _packages() -> list[Check]:
    checks = []
    for module, package, extra in (
        ("numpy", "numpy", ""),
        ("cv2", "opencv", ""),
        ("serial", "pyserial", ""),
        ("torch", "torch", "train"),
        ("matplotlib", "matplotlib", "train"),
        ("onnx", "onnx", "export"),
        ("tensorrt", "tensorrt", "JetPack"),
        ("pycuda", "pycuda", "jetson"),
    ):
        here = importlib.util.find_spec(module) is not None
        if here:
            checks.append(Check(package, True, _version(package)))
        elif extra == "JetPack":
            checks.append(
                Check(package, None, "not here, only for NVIDIA's GPUs", "on a Jetson: sudo apt install nvidia-jetpack")
            )
        elif extra:
            checks.append(Check(package, None, f"not here, only for {extra}", f"pip install 'edge-wbc[{extra}]'"))
        else:
            checks.append(Check(package, False, "missing", "pip install edge-wbc"))
    if (plain := _installed("opencv-python")) and _installed("opencv-python-headless"):
        fix = "pip uninstall opencv-python opencv-python-headless; pip install opencv-python-headless"
        checks.append(Check("opencv twice", False, f"opencv-python {plain} overwrites the headless one", fix))
    return checks


def _models() -> list[Check]:
    from edge_wbc.errors import ModelError
    from edge_wbc.manifest import load_model, shipped

    checks = []
    for name in shipped():
        try:
            manifest = load_model(name).manifest
            checks.append(
                Check(f"model {name}", True, f"{manifest.graph.precision}, {len(manifest.labels.names)} classes")
            )
        except ModelError as error:
            checks.append(Check(f"model {name}", False, str(error), "pip install --force-reinstall edge-wbc"))
    return checks or [Check("models", False, "none shipped", "pip install --force-reinstall edge-wbc")]


def _engines() -> list[Check]:
    import numpy as np

    from edge_wbc.engines.base import ENGINES, installed, open_engine
    from edge_wbc.engines.engine_file import l4t
    from edge_wbc.errors import EdgeWbcError
    from edge_wbc.manifest import load_model

    checks = []
    for name in ENGINES:
        if name == "tensorrt":
            checks.append(_tensorrt() if installed(name) or l4t() else Check("engine tensorrt", None, "no Jetson here"))
            continue
        if not installed(name):
            checks.append(Check(f"engine {name}", False, "missing", f"pip install {name}"))
            continue
        try:
            engine = open_engine(name, load_model())
            size = engine.model.manifest.input.size_px
            engine.infer(np.zeros((1, size, size, 3), np.uint8))
            engine.close()
            checks.append(
                Check(f"engine {name}", True, f"{_version(name)}, runs the shipped model in {engine.precision}")
            )
        except (EdgeWbcError, RuntimeError) as error:
            checks.append(
                Check(f"engine {name}", False, str(error).splitlines()[0], f"pip install --force-reinstall {name}")
            )
    return checks


def _tensorrt() -> Check:
    """Nothing is built for it: that takes minutes."""
    from edge_wbc.engines.tensorrt import machine
    from edge_wbc.errors import EnvironmentMissing

    try:
        return Check("engine tensorrt", True, f"{machine()}; edge-wbc build makes its engines")
    except EnvironmentMissing as error:
        found, _, fix = str(error).partition("; ")
        return Check("engine tensorrt", False, found, fix)


def _gstreamer() -> list[Check]:
    """CSI cameras, pipelines and RTSP streams come through gst-launch-1.0."""
    from edge_wbc.sources.gst_child import INSTALL
    from edge_wbc.sources.probe import installed

    found = installed()
    if found is None:
        return [Check("gstreamer", None, "not here, only for csi:// and gst://", INSTALL)]
    if found.missing:
        return [Check("gstreamer", None, f"{found.version}, not whole", f"sudo apt install {' '.join(found.missing)}")]
    fix = "" if found.h264 else "sudo apt install gstreamer1.0-libav"
    return [Check("gstreamer", True, f"{found.version}, H.264 by {found.h264 or 'nothing here'}", fix)]


def _argus() -> list[Check]:
    """NVIDIA's camera daemon, which CSI cameras on a Jetson speak through."""
    from edge_wbc.engines.engine_file import l4t

    if not l4t():
        return []
    if Path("/tmp/argus_socket").exists():
        return [Check("argus", True, "here")]
    return [Check("argus", None, "not here, only for CSI cameras", "sudo systemctl restart nvargus-daemon")]


def _cameras() -> list[Check]:
    from edge_wbc.cli.sources import cameras

    checks = []
    for camera in cameras():
        fix = "" if camera["readable"] else "sudo usermod -aG video $USER, then log in again"
        checks.append(Check("camera", camera["readable"], f"{camera['uri']} {camera['name']}", fix))
    return checks or [Check("camera", None, "none found; images, videos and smear:// work without")]


def _ports() -> list[Check]:
    from serial.tools import list_ports

    checks = []
    for port in sorted(list_ports.comports()):
        usable = os.access(port.device, os.R_OK | os.W_OK)
        fix = "" if usable else "sudo usermod -aG dialout $USER, then log in again"
        checks.append(Check("serial port", usable, f"{port.device} {port.description}", fix))
    return checks or [Check("serial port", None, "none found", "edge-wbc instrument simulate gives one to try")]


def _version(package: str) -> str:
    if package == "opencv":
        names = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless")
        return next((f"{found} ({name})" for name in names if (found := _installed(name))), "from the system")
    return _installed(package) or "version unknown"


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
