from __future__ import annotations

import sys
import threading
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_wbc.bench import machine, nvml, power
from edge_wbc.bench.machine import identify, in_words, look
from edge_wbc.bench.power import PowerMeter, total_mw
from edge_wbc.bench.processor import Clock
from edge_wbc.bench.tree import Tree, ranges
from tests.edge_wbc.bench.trees import CONTAINER, LAPTOP, ORIN, SERVER, XAVIER, write


@pytest.fixture
def orin(tmp_path):
    return write(tmp_path / "orin", ORIN)


def test_a_server_without_sensors(tmp_path):
    root = write(tmp_path, SERVER)
    found, state = identify(root), look(root)
    assert found.processor.model == "AMD EPYC 9354P"
    assert found.processor.online == 4
    assert found.processor.usable == (0, 1), "processor 4 is allowed but not online"
    assert found.processors == 2
    assert found.processor.quota == 1.5, "of the folder above"
    assert found.processor.threads_a_core is False
    assert found.processor.extensions == ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16")
    assert found.processor.caches == {"L1 data": 32 * 1024, "L3": 32 * 1024**2}
    assert (found.memory_bytes, found.memory_limit_bytes) == (16384 * 1024, None)
    assert (found.system, found.kernel, found.jetson) == ("Ubuntu 24.04.1 LTS", "6.8.0-45-generic", None)
    assert (state.clocks, state.governors, state.temperatures_c) == ((), (), {})
    assert (state.load, state.memory_available_bytes) == (0.52, 8192 * 1024)
    assert state.throttles == {"periods cut short by the quota": 3}
    assert state.absent["governors"] == "no /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"
    assert in_words(found, state) == "AMD EPYC 9354P, 2 processors, load 0.5 at the start"


def test_a_laptop_with_clocks_and_throttle_counters(tmp_path):
    state = look(write(tmp_path, LAPTOP))
    assert state.governors == ("powersave",)
    assert state.clocks == (Clock(1200, 400, 4700), Clock(3400, 400, 3400))
    assert state.throttles["thermal throttling, core"] == 12
    assert state.throttles["thermal throttling, package"] == 40, "every processor of a package tells the same count"
    assert state.temperatures_c == {"acpitz": 27.8, "coretemp Package id 0": 61.0}
    assert state.jetson_clocks is None
    assert state.power_mode is None
    assert "power mode" not in state.absent, "nobody looks for a Jetson's on a laptop"


def test_an_orin_nano_on_jetpack_6(orin):
    found, state = identify(orin), look(orin)
    assert asdict(found.jetson) == {
        "module": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        "l4t": "36.4.3",
        "tensorrt": "10.3.0.30",
        "cuda": "12.6.11",
    }
    assert found.processor.model == "Arm Cortex-A78AE"
    assert found.name == found.jetson.module
    assert state.power_mode == "MAXN_SUPER"
    assert state.gpu == Clock(306, 306, 1020)
    assert state.jetson_clocks is False
    assert state.temperatures_c == {"cpu-thermal": 48.156}, "a zone that is off is left out"
    assert state.absent["temperature of cv0-thermal"] == "/sys/class/thermal/thermal_zone1/temp is empty"
    assert state.rails_mw == {"VDD_IN": 5056.0, "VDD_CPU_GPU_CV": 1264.0}
    assert total_mw(state.rails_mw) == 5056.0
    assert state.throttles == {"over-current events, oc1": 0, "over-current events, oc3": 37}


def test_an_agx_xavier_on_jetpack_5_after_jetson_clocks(tmp_path):
    root = write(tmp_path, XAVIER)
    found, state = identify(root), look(root)
    assert (found.jetson.l4t, found.jetson.tensorrt, found.jetson.cuda) == ("35.4.1", "8.5.2.2", "11.4.19")
    assert found.processor.model == "NVIDIA Carmel"
    assert (state.power_mode, state.jetson_clocks) == ("MAXN", True)
    assert state.gpu == Clock(1377, 1377, 1377)
    assert total_mw(state.rails_mw) == pytest.approx(1900 + 950 + 0), "no rail is the whole board's"


def test_a_container_sees_its_own_limits(tmp_path):
    root = write(tmp_path, CONTAINER)
    found = identify(root)
    assert (found.processor.usable, found.processor.quota) == ((3,), 2.0)
    assert found.memory_limit_bytes == 2**30
    assert look(root).throttles == {"periods cut short by the quota": 4}


def test_an_empty_tree_is_no_error_and_every_gap_has_its_reason(tmp_path):
    found, state = identify(tmp_path), look(tmp_path)
    assert found.name == "unknown processor"
    assert found.processors == 0
    assert found.absent["memory"] == "no /proc/meminfo"
    assert found.absent["processor"] == "no /proc/cpuinfo"
    assert state.absent["load"] == "no /proc/loadavg"
    assert (state.load, state.rails_mw, state.throttles) == (None, {}, {})
    assert total_mw({}) is None


def test_sensors_that_may_not_be_read_are_left_out_with_the_reason(orin, monkeypatch):
    honest = Path.read_bytes

    def refuse(path):
        if path.name in ("in1_input", "scaling_cur_freq", "temp", "status"):
            raise PermissionError(13, "Permission denied")
        return honest(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    state = look(orin)
    assert state.rails_mw == {"VDD_CPU_GPU_CV": 1264.0}
    assert (state.clocks, state.temperatures_c, state.power_mode) == ((), {}, None)
    place = "/sys/bus/i2c/devices/1-0040/hwmon/hwmon1/in1_input"
    assert state.absent["power of VDD_IN"] == f"{place}: permission denied"
    assert state.absent["power mode"] == "/var/lib/nvpmodel/status: permission denied"
    assert "permission denied" in state.absent["processor clocks"]


def test_a_folder_that_may_not_be_read_is_told_apart_from_one_that_is_not_there(orin, monkeypatch):
    honest = Path.iterdir

    def refuse(path):
        if path.name == "thermal":
            raise PermissionError(13, "Permission denied")
        return honest(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert look(orin).absent["temperatures, thermal zones"] == "/sys/class/thermal: permission denied"


def test_what_is_not_understood_is_absent(tmp_path):
    files = {
        **ORIN,
        "var/lib/nvpmodel/status": "?",
        "usr/local/cuda/version.json": "[]",
        "var/lib/dpkg/status": "Package: zip\nVersion: 1\n",
        "sys/class/thermal/thermal_zone0/temp": "warm\n",
    }
    root = write(tmp_path, files)
    found, state = identify(root), look(root)
    assert (found.jetson.cuda, found.jetson.tensorrt, state.power_mode, state.temperatures_c) == (None, None, None, {})
    assert found.absent["TensorRT"] == "/var/lib/dpkg/status has no libnvinfer"
    assert state.absent["temperature of cpu-thermal"].endswith("holds 'warm', no number")


def test_a_mode_that_the_list_does_not_name_keeps_its_number(tmp_path):
    assert look(write(tmp_path, {**ORIN, "var/lib/nvpmodel/status": "pmode:0007"})).power_mode == "7"


def test_this_machine_can_be_looked_at():
    found, state = identify(), look()
    assert found.processors >= 1
    assert found.memory_bytes > 2**28
    assert all(-50 < celsius < 150 for celsius in state.temperatures_c.values())


def test_the_power_meter_means_what_it_reads_while_it_is_open(orin, monkeypatch):
    monkeypatch.setattr(power, "_SAMPLE_S", 0.0)
    current = orin / "sys/bus/i2c/devices/1-0040/hwmon/hwmon1/curr1_input"
    read = threading.Semaphore(0)
    honest = power.rails

    def counted(tree):
        found = honest(tree)
        read.release()
        return found

    monkeypatch.setattr(power, "rails", counted)
    with PowerMeter(orin) as meter:
        assert read.acquire(timeout=5)
        current.write_text("3000\n")
        for _ in range(20):
            assert read.acquire(timeout=5)
    assert 5056 < meter.mean_mw["VDD_IN"] <= 3 * 5056
    assert meter.mean_mw["VDD_CPU_GPU_CV"] == pytest.approx(1264)


def test_without_sensors_no_power_is_told(tmp_path):
    with PowerMeter(tmp_path) as meter:
        pass
    assert meter.mean_mw == {}


class NVMLError(Exception):
    pass


def _nvml_double(**calls):
    """Has the names of nvidia-ml-py that are used here, and nothing of a GPU."""

    def refuse(*_):
        raise NVMLError("Not Supported")

    known = {
        "NVMLError": NVMLError,
        "NVML_CLOCK_SM": 1,
        "NVML_CLOCK_MEM": 2,
        "NVML_TEMPERATURE_GPU": 0,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: "570.86",
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda _: "NVIDIA GeForce RTX 4070",
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=12 * 2**30),
        "nvmlDeviceGetClockInfo": lambda _, kind: 1000 * kind,
        "nvmlDeviceGetMaxClockInfo": lambda *_: 3105,
        "nvmlDeviceGetTemperature": lambda *_: 55,
        "nvmlDeviceGetPowerUsage": refuse,
        "nvmlDeviceGetEnforcedPowerLimit": lambda _: 200_000,
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda _: 0x21,
        "nvmlDeviceGetPerformanceState": lambda _: 2,
    }
    return SimpleNamespace(**{**known, **calls})


@pytest.fixture
def pynvml(monkeypatch):
    def install(**calls):
        monkeypatch.setitem(sys.modules, "pynvml", _nvml_double(**calls))
        monkeypatch.setattr(nvml.importlib.util, "find_spec", lambda name: name == "pynvml")

    return install


def test_a_desktop_gpu_is_read_through_nvml(pynvml):
    ended = []
    pynvml(nvmlShutdown=lambda: ended.append(True))
    absent = {}
    assert nvml.gpus(absent) == (nvml.Gpu("NVIDIA GeForce RTX 4070", "570.86", 12 * 2**30),)
    (state,) = nvml.look_at_gpus(absent)
    assert state == nvml.GpuState(1000, 3105, 2000, 55, None, 200_000, 0x20, 2), "idling slows nothing"
    assert absent == {}
    assert ended == [True, True]


def test_nvml_that_does_not_start_or_is_not_installed_is_a_reason(pynvml, monkeypatch):
    def refuse():
        raise NVMLError("Driver Not Loaded")

    pynvml(nvmlInit=refuse)
    absent = {}
    assert nvml.gpus(absent) == ()
    assert absent == {"desktop GPU": "NVML does not start: Driver Not Loaded"}
    monkeypatch.setattr(nvml.importlib.util, "find_spec", lambda _: None)
    assert machine.look().gpus == ()
    assert "pip install 'edge-wbc[gpu]'" in machine.look().absent["desktop GPU"]


def test_lists_of_processors():
    assert ranges("0-2,5") == (0, 1, 2, 5)
    assert ranges("") == ()
    assert ranges("0-x") == ()


def test_the_first_place_that_can_be_read_is_taken(tmp_path):
    tree = Tree(write(tmp_path, {"b": "text\n"}))
    assert tree.text("it", "a", "b") == "text"
    assert tree.absent == {}
    assert tree.text("it", "a") is None
    assert tree.absent == {"it": "no /a"}
