"""The state of the board that a figure was measured on: module, power mode, clocks, temperatures, power rails.

Read from the files where Linux and NVIDIA's drivers keep them; what a machine does not have stays empty. The layout of
a Jetson's files: NVIDIA's Jetson Linux developer guide, and facts seen on such boards by others; not read on one by us.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
_SAMPLE_S = 0.05
"""Between two readings of the power rails; INA3221 sensors average over some milliseconds."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock's frequency now, and between what it may move; all in MHz."""

    now: float
    least: float
    greatest: float

    @property
    def pinned(self) -> bool:
        """Whether it can't move, as after ``jetson_clocks``."""
        return self.least == self.greatest


@dataclass(frozen=True, slots=True)
class Board:
    """One look at the machine."""

    module: str
    """Such as ``NVIDIA Jetson Orin Nano Developer Kit``; empty where no device tree tells."""
    power_mode: str
    """As ``nvpmodel -q`` names it; empty where there is none."""
    governors: tuple[str, ...]
    """Of the processors' clocks."""
    cpu: Clock | None
    """Of the first processor."""
    gpu: Clock | None
    temperatures_c: dict[str, float]
    """By thermal zone."""
    rails_mw: dict[str, float]
    """By power rail."""


def look(root: Path = ROOT) -> Board:
    """What the files say now."""
    cpu = root / "sys/devices/system/cpu"
    return Board(
        _text(root / "proc/device-tree/model"),
        _power_mode() if root == ROOT else "",
        tuple(sorted({_text(path) for path in cpu.glob("cpu[0-9]*/cpufreq/scaling_governor")})),
        _clock(cpu / "cpu0/cpufreq", ("scaling_cur_freq", "scaling_min_freq", "scaling_max_freq"), 1e3),
        next(
            filter(
                None,
                (
                    _clock(path, ("cur_freq", "min_freq", "max_freq"), 1e6)
                    for path in sorted((root / "sys/class/devfreq").glob("*gpu*"))
                ),
            ),
            None,
        ),
        _temperatures(root),
        rails(root),
    )


def rails(root: Path = ROOT) -> dict[str, float]:
    """Power now, in mW, of each rail that an INA3221 sensor measures."""
    found = {}
    for name in sorted((root / "sys/bus/i2c/devices").glob("*/name")):
        if _text(name) != "ina3221":
            continue
        for label in sorted(name.parent.glob("hwmon/hwmon*/in*_label")):
            channel = label.name.removeprefix("in").removesuffix("_label")
            volts, amperes = (_number(label.with_name(f"{kind}{channel}_input")) for kind in ("in", "curr"))
            rail = _text(label)
            if volts is not None and amperes is not None and not rail.startswith("NC"):
                found[rail] = volts * amperes / 1000  # mV, mA
    return found


def throttled(before: Board, after: Board) -> str:
    """Why a figure measured between two looks is not to be trusted, in words; empty if nothing speaks against it."""
    said = []
    if before.power_mode != after.power_mode:
        said.append(f"the power mode changed from {before.power_mode} to {after.power_mode}")
    for name, first, then in (("processor", before.cpu, after.cpu), ("GPU", before.gpu, after.gpu)):
        if first and then and first.greatest != then.greatest:
            said.append(f"the {name}'s highest clock changed from {first.greatest:g} to {then.greatest:g} MHz")
    if before.gpu and not before.gpu.pinned:
        said.append("the GPU's clock may move; `sudo jetson_clocks` pins it")
    return "; ".join(said)


class PowerMeter:
    """Mean power of each rail while it is open; a thread reads the sensors."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._ended = threading.Event()
        self._read: list[dict[str, float]] = []
        self._thread = threading.Thread(target=self._run, name="power", daemon=True)

    def __enter__(self) -> PowerMeter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def mean_mw(self) -> dict[str, float]:
        """By rail; empty where the board has no sensor."""
        rails_read = {rail for reading in self._read for rail in reading}
        return {
            rail: sum(values) / len(values)
            for rail in sorted(rails_read)
            if (values := [reading[rail] for reading in self._read if rail in reading])
        }

    def _run(self) -> None:
        while True:
            if not (reading := rails(self._root)):
                return
            self._read.append(reading)
            if self._ended.wait(_SAMPLE_S):
                return


def _power_mode() -> str:
    command = shutil.which("nvpmodel")
    if command is None:
        return ""
    done = subprocess.run([command, "-q"], capture_output=True, text=True, check=False, timeout=10)
    found = re.search(r"NV Power Mode: *(\S+)", done.stdout)
    return found[1] if found else ""


def _temperatures(root: Path) -> dict[str, float]:
    found = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        value = _number(zone / "temp")
        if value is not None:  # a zone that is switched off can't be read
            found[_text(zone / "type") or zone.name] = value / 1000
    return found


def _clock(folder: Path, names: tuple[str, str, str], per_mhz: float) -> Clock | None:
    now, least, greatest = (_number(folder / name) for name in names)
    if now is None or least is None or greatest is None:
        return None
    return Clock(now / per_mhz, least / per_mhz, greatest / per_mhz)


def _number(path: Path) -> float | None:
    text = _text(path)
    return float(text) if re.fullmatch(r"-?\d+", text) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""
