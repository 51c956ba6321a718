"""What a Jetson says of itself in files: module, releases, power mode, clocks of its GPU, power rails.

Places: NVIDIA's Jetson Linux developer guide (releases 35 and 36, "Platform Power and Performance"), and what users of
such boards report of ``/var/lib/nvpmodel/status``. None was read on a board by us.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from edge_wbc.bench.processor import Clock, clock
from edge_wbc.bench.tree import Tree

_GPUS = ("*gpu*", "*gv11b*", "*ga10b*", "*gp10b*")
"""A Jetson's GPU among the devices that scale their clocks: of newer releases; of older ones Xavier, Orin and TX2."""
_SENSORS = "sys/bus/i2c/devices"


@dataclass(frozen=True, slots=True)
class Jetson:
    """What does not change while a benchmark runs."""

    module: str | None
    l4t: str | None
    """Release of Jetson Linux, such as ``36.4.3``."""
    tensorrt: str | None
    """As installed by JetPack's packages."""
    cuda: str | None


def jetson(tree: Tree) -> Jetson | None:
    """What the board is; None elsewhere than on one."""
    probe = Tree(tree.root)
    release = probe.text("l4t", "etc/nv_tegra_release")
    model = probe.text("module", "proc/device-tree/model", "sys/firmware/devicetree/base/model")
    if release is None and "nvidia" not in (model or "").lower():
        return None
    tree.absent.update(probe.absent)
    found = re.match(r"# R(\d+) \(release\), REVISION: ([\d.]+)", release or "")
    return Jetson(model, f"{found[1]}.{found[2]}" if found else None, _tensorrt(tree), _cuda(tree))


def power_mode(tree: Tree) -> str | None:
    """The name of the mode that ``nvpmodel`` wrote it has set; its number where the list of modes does not name it."""
    status = tree.text("power mode", "var/lib/nvpmodel/status")
    found = re.search(r"pmode:(\d+)", status or "")
    if found is None:
        if status is not None:
            tree.absent["power mode"] = f"/var/lib/nvpmodel/status holds {status[:40]!r}"
        return None
    number = int(found[1])
    modes = Tree(tree.root).text("modes", "etc/nvpmodel.conf") or ""
    named = re.search(rf"^\s*<\s*POWER_MODEL\s+ID={number}\s+NAME=(\S+)", modes, re.MULTILINE)
    return named[1] if named else str(number)


def gpu_clock(tree: Tree) -> Clock | None:
    """Of the GPU that shares the processor's memory."""
    for pattern in _GPUS:
        for folder in Tree(tree.root).named("", f"sys/class/devfreq/{pattern}"):
            return clock(tree, "GPU clock", folder, ("cur_freq", "min_freq", "max_freq"), 1e6)
    tree.absent["GPU clock"] = f"no /sys/class/devfreq/{_GPUS[0]}"
    return None


def rails(tree: Tree) -> dict[str, float]:
    """Power now, in mW, of each rail that an INA3221 sensor measures: volts times amperes of a channel.

    A channel without a load is labelled NC, and one that sums others has no voltage of its own.
    """
    found = {}
    names = tree.named("power rails", f"{_SENSORS}/*/name")
    sensors = [name.rpartition("/")[0] for name in names if tree.text("power rails", name) == "ina3221"]
    if names and not sensors:
        tree.absent["power rails"] = f"no ina3221 among /{_SENSORS}"
    for sensor in sensors:
        for label in tree.named("power rails", f"{sensor}/hwmon/hwmon*/in*_label"):
            folder, _, name = label.rpartition("/")
            channel = name.removeprefix("in").removesuffix("_label")
            rail = tree.text("power rails", label)
            if rail is None or rail.startswith("NC") or rail.lower() == "sum of shunt voltages":
                continue
            what = f"power of {rail}"
            volts, amperes = (tree.number(what, f"{folder}/{kind}{channel}_input") for kind in ("in", "curr"))
            if volts is not None and amperes is not None:
                found[rail] = volts * amperes / 1000  # mV, mA
    return found


def _tensorrt(tree: Tree) -> str | None:
    package = r"^Package: (?:libnvinfer\d+|tensorrt)\n(?:(?!\n\n).)*?^Version: (?:\d+:)?(\d+(?:\.\d+)+)"
    listed = tree.text("TensorRT", "var/lib/dpkg/status")
    found = re.search(package, listed or "", re.MULTILINE | re.DOTALL)
    if found is None:
        tree.absent.setdefault("TensorRT", "/var/lib/dpkg/status has no libnvinfer")
    return found[1] if found else None


def _cuda(tree: Tree) -> str | None:
    text = tree.text("CUDA", "usr/local/cuda/version.json")
    try:
        return None if text is None else str(json.loads(text)["cuda"]["version"])
    except (ValueError, KeyError, TypeError):
        tree.absent["CUDA"] = "/usr/local/cuda/version.json is not understood"
        return None
