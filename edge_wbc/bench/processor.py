"""The processor: what it is, what of it this process may use, and how its clocks stand.

Places: the kernel's ABI documents (sysfs-devices-system-cpu, cgroup-v1, cgroup-v2) and proc(5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge_wbc.bench.tree import Tree, ranges

_CPU = "sys/devices/system/cpu"
_CGROUP = "sys/fs/cgroup"
EXTENSIONS = (
    *("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
"""Instruction sets that decide how fast an engine computes; the kernel's names, x86 and Arm."""
_PARTS = {
    ("0x41", "0xd03"): "Arm Cortex-A53",
    ("0x41", "0xd07"): "Arm Cortex-A57",
    ("0x41", "0xd08"): "Arm Cortex-A72",
    ("0x41", "0xd0b"): "Arm Cortex-A76",
    ("0x41", "0xd42"): "Arm Cortex-A78AE",
    ("0x41", "0xd83"): "Arm Neoverse-V3AE",
    ("0x4e", "0x003"): "NVIDIA Denver 2",
    ("0x4e", "0x004"): "NVIDIA Carmel",
}
"""Implementer and part of an Arm core → its name, as in util-linux's lscpu-arm.c."""


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
class Processor:
    """What does not change while a benchmark runs."""

    model: str | None
    online: int | None
    """Processors that the system uses; a core with two threads counts as two."""
    usable: tuple[int, ...]
    """Numbers of those that this process may run on; empty where it is not told."""
    quota: float | None
    """Processors' worth of time that the control group may take; None without a limit."""
    threads_a_core: bool | None
    """Whether cores run two threads."""
    extensions: tuple[str, ...]
    caches: dict[str, int]
    """Of the first processor, such as ``L1 data`` → bytes."""


def processor(tree: Tree) -> Processor:
    """Read what the processor is."""
    first: dict[str, str] = {}
    for key, value in tree.lines("processor", "proc/cpuinfo", ":"):
        first.setdefault(key, value)
    online = ranges(tree.text("processors online", f"{_CPU}/online") or "")
    allowed = next(
        (v for k, v in tree.lines("usable processors", "proc/self/status", ":") if k == "Cpus_allowed_list"), ""
    )
    usable = tuple(number for number in ranges(allowed) if not online or number in online)
    if not usable:
        tree.absent.setdefault("usable processors", "/proc/self/status names none")
    flags = (first.get("flags") or first.get("Features") or "").split()
    smt = tree.number("threads a core", f"{_CPU}/smt/active")
    return Processor(
        _model(tree, first),
        len(online) or None,
        usable,
        _quota(tree),
        None if smt is None else bool(smt),
        tuple(name for name in EXTENSIONS if name in flags),
        _caches(tree),
    )


def governors(tree: Tree) -> tuple[str, ...]:
    """Of the processors' clocks, each once."""
    places = tree.named("governors", f"{_CPU}/cpu[0-9]*/cpufreq/scaling_governor")
    return tuple(sorted({text for place in places if (text := tree.text("governors", place))}))


def clocks(tree: Tree) -> tuple[Clock, ...]:
    """Of each processor that tells."""
    names = ("scaling_cur_freq", "scaling_min_freq", "scaling_max_freq")
    folders = tree.named("processor clocks", f"{_CPU}/cpu[0-9]*/cpufreq")
    return tuple(found for folder in folders if (found := clock(tree, "processor clocks", folder, names, 1e3)))


def clock(tree: Tree, what: str, folder: str, names: tuple[str, str, str], per_mhz: float) -> Clock | None:
    """A clock from its three files; None unless all can be read."""
    now, least, greatest = (tree.number(what, f"{folder}/{name}") for name in names)
    if now is None or least is None or greatest is None:
        return None
    return Clock(now / per_mhz, least / per_mhz, greatest / per_mhz)


def throttles(tree: Tree) -> dict[str, int]:
    """Counters that rise when something was slowed: by heat (x86), by over-current or low voltage (Orin and Thor, the
    guide's ``oc*_event_cnt``), or by the control group's quota.
    """
    found = {}
    for kind in ("core", "package"):
        what = f"thermal throttling, {kind}"
        places = tree.named(what, f"{_CPU}/cpu[0-9]*/thermal_throttle/{kind}_throttle_count")
        counts = [count for place in places if (count := tree.number(what, place)) is not None]
        if counts:
            found[what] = sum(counts) if kind == "core" else max(counts)
    for place in tree.named("over-current events", "sys/class/hwmon/hwmon*/oc[0-9]*_event_cnt"):
        name = place.rpartition("/")[2].partition("_")[0]
        count = tree.number(f"over-current events, {name}", place)
        if count is not None:
            found[f"over-current events, {name}"] = count
    for folder in (*_groups(tree, ""), *_groups(tree, "cpu")):
        for key, value in _pairs(tree, f"{folder}/cpu.stat"):
            if key == "nr_throttled" and value.isdigit():
                name = "periods cut short by the quota"
                found[name] = max(found.get(name, 0), int(value))
    return found


def memory_limit(tree: Tree) -> int | None:
    """Bytes that the control group may use; None without a limit."""
    texts = [_there(tree, f"{folder}/memory.max") for folder in _groups(tree, "")]
    texts += [_there(tree, f"{folder}/memory.limit_in_bytes") for folder in _groups(tree, "memory")]
    return min((int(text) for text in texts if text.isdigit() and int(text) < 2**60), default=None)


def _quota(tree: Tree) -> float | None:
    shares = []
    for folder in _groups(tree, ""):
        limit, _, period = _there(tree, f"{folder}/cpu.max").partition(" ")
        shares.append((limit, period))
    for folder in _groups(tree, "cpu"):
        shares.append((_there(tree, f"{folder}/cpu.cfs_quota_us"), _there(tree, f"{folder}/cpu.cfs_period_us")))
    return min((int(a) / int(b) for a, b in shares if a.isdigit() and b.isdigit() and int(b)), default=None)


def _groups(tree: Tree, controller: str) -> list[str]:
    """Folders of this process's control group and all above it; version 2 where ``controller`` is empty."""
    path = next((path for name, path in _own_groups(tree) if controller in name.split(",")), None)
    if path is None:
        return []
    base = f"{_CGROUP}/{controller}" if controller else _CGROUP
    parts = [part for part in path.split("/") if part]
    return ["/".join((base, *parts[:count])) for count in range(len(parts) + 1)]


def _own_groups(tree: Tree) -> Iterator[tuple[str, str]]:
    for line in (tree.text("control group", "proc/self/cgroup") or "").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        yield controllers, path


def _there(tree: Tree, place: str) -> str:
    """The text of a file that may well be missing: a limit that is not set is no loss."""
    return Tree(tree.root).text("", place) or ""


def _pairs(tree: Tree, place: str) -> Iterator[tuple[str, str]]:
    for line in _there(tree, place).splitlines():
        key, _, value = line.partition(" ")
        yield key, value


def _model(tree: Tree, first: dict[str, str]) -> str | None:
    told = first.get("model name") or _PARTS.get((first.get("CPU implementer", ""), first.get("CPU part", "").lower()))
    if told is None and first:
        part = first.get("CPU part")
        tree.absent["processor"] = f"/proc/cpuinfo names no model{f', only part {part}' if part else ''}"
    return told


def _caches(tree: Tree) -> dict[str, int]:
    found = {}
    for folder in tree.named("caches", f"{_CPU}/cpu0/cache/index[0-9]*"):
        level, kind, size = (tree.text("caches", f"{folder}/{name}") for name in ("level", "type", "size"))
        if level and kind and size and size[:-1].isdigit() and size[-1] in "KM":
            name = f"L{level}" if kind == "Unified" else f"L{level} {kind.lower()}"
            found[name] = int(size[:-1]) * (1024 if size[-1] == "K" else 1024**2)
    return found
