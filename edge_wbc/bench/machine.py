"""The machine a figure was measured on: what it is, and how it stands before and after.

All from files below a root, but for desktop GPUs. What can't be read is left out, and why is kept in ``absent``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_wbc.bench import jetson as board
from edge_wbc.bench import nvml
from edge_wbc.bench.processor import Clock, Processor, clocks, governors, memory_limit, processor, throttles
from edge_wbc.bench.tree import ROOT, Tree


@dataclass(frozen=True, slots=True)
class Machine:
    """What does not change while a benchmark runs."""

    processor: Processor
    memory_bytes: int | None
    memory_limit_bytes: int | None
    """Of the control group; None without a limit."""
    system: str | None
    """Such as ``Ubuntu 22.04.5 LTS``."""
    kernel: str | None
    jetson: board.Jetson | None
    gpus: tuple[nvml.Gpu, ...]
    absent: dict[str, str]
    """What was looked for and could not be had → why."""

    @property
    def name(self) -> str:
        """The module or the processor, for a line of a report."""
        return (self.jetson and self.jetson.module) or self.processor.model or "unknown processor"

    @property
    def processors(self) -> int:
        """How many this process may use; 0 where it is not told."""
        return len(self.processor.usable) or self.processor.online or 0


@dataclass(frozen=True, slots=True)
class State:
    """One look at what does change."""

    governors: tuple[str, ...]
    """Of the processors' clocks."""
    clocks: tuple[Clock, ...]
    """By processor."""
    gpu: Clock | None
    """Of a Jetson's GPU."""
    power_mode: str | None
    """A Jetson's, as nvpmodel names it."""
    temperatures_c: dict[str, float]
    """By thermal zone or sensor."""
    rails_mw: dict[str, float]
    """By power rail."""
    throttles: dict[str, int]
    """Counters that rise when something was slowed."""
    load: float | None
    """Average over the last minute, of programs that ran or would have."""
    memory_available_bytes: int | None
    gpus: tuple[nvml.GpuState, ...]
    absent: dict[str, str]

    @property
    def jetson_clocks(self) -> bool | None:
        """Whether all clocks are pinned, as ``jetson_clocks`` leaves them; None where no GPU's clock is told."""
        return None if self.gpu is None else self.gpu.pinned and all(each.pinned for each in self.clocks)


def in_words(machine: Machine, state: State) -> str:
    """One line for under a table."""
    load = "" if state.load is None else f", load {state.load:.1f} at the start"
    return f"{machine.name}, {machine.processors} processors{load}"


def called(root: Path = ROOT) -> str:
    """What this machine is called in a history: the same tomorrow, which a container's host name is not."""
    machine = identify(root)
    return f"{machine.name}, {machine.processors} processors"


def identify(root: Path = ROOT) -> Machine:
    """What the machine is."""
    tree = Tree(root)
    release = dict(tree.lines("system", "etc/os-release", "="))
    return Machine(
        processor(tree),
        _memory(tree, "MemTotal"),
        memory_limit(tree),
        release.get("PRETTY_NAME", "").strip('"') or None,
        tree.text("kernel", "proc/sys/kernel/osrelease"),
        board.jetson(tree),
        nvml.gpus(tree.absent) if root == ROOT else (),
        tree.absent,
    )


def look(root: Path = ROOT) -> State:
    """How the machine stands now."""
    tree = Tree(root)
    on_a_board = board.jetson(Tree(root)) is not None
    load = (tree.text("load", "proc/loadavg") or "").partition(" ")[0]
    return State(
        governors(tree),
        clocks(tree),
        board.gpu_clock(tree) if on_a_board else None,
        board.power_mode(tree) if on_a_board else None,
        _temperatures(tree),
        board.rails(tree) if on_a_board else {},
        throttles(tree),
        float(load) if load.replace(".", "", 1).isdigit() else None,
        _memory(tree, "MemAvailable"),
        nvml.look_at_gpus(tree.absent) if root == ROOT else (),
        tree.absent,
    )


def _memory(tree: Tree, key: str) -> int | None:
    text = dict(tree.lines("memory", "proc/meminfo", ":")).get(key, "").removesuffix("kB").strip()
    return 1024 * int(text) if text.isdigit() else None


def _temperatures(tree: Tree) -> dict[str, float]:
    """Of the thermal zones, and of sensors that have none, in °C."""
    found: dict[str, float] = {}
    for place in tree.named("temperatures, thermal zones", "sys/class/thermal/thermal_zone*/temp"):
        folder = place.rpartition("/")[0]
        name = Tree(tree.root).text("", f"{folder}/type") or folder.rpartition("/")[2]
        _add(tree, found, name, place)
    for place in tree.named("temperatures, sensors", "sys/class/hwmon/hwmon*/temp[0-9]*_input"):
        folder, _, channel = place.rpartition("/")
        quiet = Tree(tree.root)
        sensor = quiet.text("", f"{folder}/name") or folder.rpartition("/")[2]
        label = quiet.text("", f"{folder}/{channel.removesuffix('_input')}_label")
        if sensor not in found:  # a zone of that name is the same sensor
            _add(tree, found, f"{sensor} {label or channel.removesuffix('_input')}", place)
    return found


def _add(tree: Tree, found: dict[str, float], name: str, place: str) -> None:
    value = tree.number(f"temperature of {name}", place)
    if value is not None:
        while name in found:
            name += "'"
        found[name] = value / 1000
