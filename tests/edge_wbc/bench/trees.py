"""Trees with the files of systems as the kernel's and NVIDIA's documents lay them out. None was recorded on a board."""

from __future__ import annotations

from pathlib import Path


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def _memory(total_kb: int, available_kb: int) -> dict[str, str]:
    return {"proc/meminfo": f"MemTotal:  {total_kb} kB\nMemFree:  1 kB\nMemAvailable: {available_kb} kB\n"}


def _clock(cpu: int, governor: str, now: int, least: int, greatest: int) -> dict[str, str]:
    folder = f"sys/devices/system/cpu/cpu{cpu}/cpufreq"
    return {
        f"{folder}/scaling_governor": f"{governor}\n",
        f"{folder}/scaling_cur_freq": f"{now}\n",
        f"{folder}/scaling_min_freq": f"{least}\n",
        f"{folder}/scaling_max_freq": f"{greatest}\n",
    }


def _rail(sensor: str, channel: int, label: str, mv: int, ma: int) -> dict[str, str]:
    folder = f"sys/bus/i2c/devices/{sensor}/hwmon/hwmon1"
    return {
        f"{folder}/in{channel}_label": f"{label}\n",
        f"{folder}/in{channel}_input": f"{mv}\n",
        f"{folder}/curr{channel}_input": f"{ma}\n",
    }


def _zone(number: int, kind: str, value: str) -> dict[str, str]:
    folder = f"sys/class/thermal/thermal_zone{number}"
    return {f"{folder}/type": f"{kind}\n", f"{folder}/temp": f"{value}\n"}


def _x86(model: str, flags: str) -> str:
    return f"processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: {model}\nflags\t\t: fpu {flags} rdtscp\n\n"


_CACHE = "sys/devices/system/cpu/cpu0/cache"

SERVER = {
    "proc/cpuinfo": _x86("AMD EPYC 9354P", "avx2 fma avx512f avx512_vnni avx512_bf16") * 2,
    "proc/self/status": "Name:\tpython\nCpus_allowed:\tff\nCpus_allowed_list:\t0-1,4\n",
    "proc/self/cgroup": "0::/user.slice/user-1000.slice\n",
    "proc/loadavg": "0.52 0.40 0.31 1/123 4567\n",
    "proc/sys/kernel/osrelease": "6.8.0-45-generic\n",
    "proc/stat": "cpu  1000 0 500 8000 0 0 100 50 0 0\ncpu0 500 0 250 4000 0 0 50 25 0 0\ncpu1 1 0 1 1 0 0 1 1\n",
    "etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 24.04.1 LTS"\n',
    "sys/devices/system/cpu/online": "0-3\n",
    "sys/devices/system/cpu/smt/active": "0\n",
    f"{_CACHE}/index0/level": "1\n",
    f"{_CACHE}/index0/type": "Data\n",
    f"{_CACHE}/index0/size": "32K\n",
    f"{_CACHE}/index3/level": "3\n",
    f"{_CACHE}/index3/type": "Unified\n",
    f"{_CACHE}/index3/size": "32M\n",
    "sys/fs/cgroup/user.slice/cpu.max": "150000 100000\n",
    "sys/fs/cgroup/user.slice/user-1000.slice/cpu.max": "max 100000\n",
    "sys/fs/cgroup/user.slice/user-1000.slice/memory.max": "max\n",
    "sys/fs/cgroup/user.slice/cpu.stat": "usage_usec 1\nnr_periods 10\nnr_throttled 3\nthrottled_usec 9\n",
    **_memory(16384, 8192),
}
"""A virtual machine: no clocks and no sensors, control groups of version 2, a quota of a folder above its own."""

LAPTOP = {
    **SERVER,
    "proc/cpuinfo": _x86("12th Gen Intel(R) Core(TM) i7-1260P", "avx2 fma avx_vnni") * 2,
    "sys/devices/system/cpu/smt/active": "1\n",
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "7\n",
    "sys/devices/system/cpu/cpu10/thermal_throttle/core_throttle_count": "5\n",
    "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "40\n",
    "sys/devices/system/cpu/cpu10/thermal_throttle/package_throttle_count": "40\n",
    "sys/class/hwmon/hwmon5/name": "coretemp\n",
    "sys/class/hwmon/hwmon5/temp1_label": "Package id 0\n",
    "sys/class/hwmon/hwmon5/temp1_input": "61000\n",
    "sys/class/hwmon/hwmon6/name": "acpitz\n",
    "sys/class/hwmon/hwmon6/temp1_input": "27800\n",
    **_clock(0, "powersave", 1200000, 400000, 4700000),
    **_clock(10, "powersave", 3400000, 400000, 3400000),
    **_zone(0, "acpitz", "27800"),
}

_TEGRA = "processor\t: 0\nFeatures\t: fp asimd {features}\nCPU implementer\t: {implementer}\nCPU part\t: {part}\n\n"

ORIN = {
    "proc/cpuinfo": _TEGRA.format(features="asimdhp asimddp", implementer="0x41", part="0xd42"),
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "proc/self/status": "Cpus_allowed_list:\t0-5\n",
    "proc/self/cgroup": "0::/\n",
    "proc/loadavg": "1.00 1.00 1.00 1/2 3\n",
    "sys/devices/system/cpu/online": "0-5\n",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
    "etc/nvpmodel.conf": (
        "# MAXN is not the first\n< PARAM TYPE=FILE NAME=CPU_ONLINE >\n< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE 1\n"
        "< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< PM_CONFIG DEFAULT=1 >\n"
    ),
    "var/lib/nvpmodel/status": "pmode:0002",
    "var/lib/dpkg/status": (
        "Package: libnvidia\nVersion: 1.0\n\nPackage: libnvinfer10\nStatus: install ok installed\nArchitecture: arm64\n"
        "Version: 10.3.0.30-1+cuda12.5\n\nPackage: zip\nVersion: 3.0\n"
    ),
    "usr/local/cuda/version.json": '{"cuda": {"name": "CUDA SDK", "version": "12.6.11"}}',
    "sys/class/devfreq/17000000.gpu/cur_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/min_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/max_freq": "1020000000\n",
    "sys/bus/i2c/devices/1-0040/name": "ina3221\n",
    "sys/bus/i2c/devices/0-0050/name": "24c02\n",
    "sys/bus/i2c/devices/1-0040/hwmon/hwmon1/in7_label": "Sum of shunt voltages\n",
    "sys/bus/i2c/devices/1-0040/hwmon/hwmon1/in7_input": "12\n",
    "sys/class/hwmon/hwmon3/name": "soctherm_oc\n",
    "sys/class/hwmon/hwmon3/oc1_event_cnt": "0\n",
    "sys/class/hwmon/hwmon3/oc3_event_cnt": "37\n",
    **_clock(0, "schedutil", 729600, 729600, 1728000),
    **_clock(1, "schedutil", 729600, 729600, 1728000),
    **_zone(0, "cpu-thermal", "48156"),
    **_zone(1, "cv0-thermal", ""),
    **_rail("1-0040", 1, "VDD_IN", 5056, 1000),
    **_rail("1-0040", 2, "VDD_CPU_GPU_CV", 5056, 250),
    **_rail("1-0040", 4, "NC", 5000, 1),
    **_memory(7_800_000, 5_000_000),
}
"""Orin Nano, JetPack 6.2: clocks that move, a zone that is off."""

XAVIER = {
    "proc/cpuinfo": _TEGRA.format(features="asimdhp", implementer="0x4e", part="0x004"),
    "proc/device-tree/model": "Jetson-AGX\0",
    "proc/self/status": "Cpus_allowed_list:\t0-7\n",
    "sys/devices/system/cpu/online": "0-7\n",
    "etc/nv_tegra_release": "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64\n",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=2 NAME=MODE_15W >\n",
    "var/lib/nvpmodel/status": "pmode:0000 fmode:quiet\n",
    "var/lib/dpkg/status": "Package: tensorrt\nStatus: install ok installed\nVersion: 8.5.2.2-1+cuda11.4\n",
    "usr/local/cuda/version.json": '{"cuda": {"version": "11.4.19"}}',
    "sys/class/devfreq/17000000.gv11b/cur_freq": "1377000000\n",
    "sys/class/devfreq/17000000.gv11b/min_freq": "1377000000\n",
    "sys/class/devfreq/17000000.gv11b/max_freq": "1377000000\n",
    "sys/bus/i2c/devices/1-0040/name": "ina3221\n",
    "sys/bus/i2c/devices/1-0041/name": "ina3221\n",
    **_clock(0, "schedutil", 2265600, 2265600, 2265600),
    **_zone(0, "CPU-therm", "35500"),
    **_rail("1-0040", 1, "GPU", 19000, 100),
    **_rail("1-0040", 2, "CPU", 19000, 50),
    **_rail("1-0041", 1, "CV", 19000, 0),
    **_memory(32_000_000, 30_000_000),
}
"""AGX Xavier, JetPack 5.1, after ``jetson_clocks``: two sensors, no rail for the whole board."""

CONTAINER = {
    "proc/cpuinfo": _x86("Intel(R) Xeon(R) Platinum 8370C", "avx2 fma avx512f avx512_vnni"),
    "proc/self/status": "Cpus_allowed_list:\t3\n",
    "proc/self/cgroup": "12:cpu,cpuacct:/docker/0123\n11:memory:/docker/0123\n1:name=systemd:/docker/0123\n",
    "sys/devices/system/cpu/online": "0-15\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpu/cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 9\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n",
    **_memory(64_000_000, 60_000_000),
}
"""Control groups of version 1 mounted as a container sees them: its own folder stands where the top would be."""
