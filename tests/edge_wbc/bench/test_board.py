"""On trees with the files of a Jetson Orin, as NVIDIA's guide lays them out: no such board was at hand."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from edge_wbc.bench import board
from edge_wbc.bench.board import Clock, PowerMeter, look, rails, throttled


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


SENSOR = "sys/bus/i2c/devices/1-0040"
ORIN = {
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "schedutil\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "729600\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "729600\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1728000\n",
    "sys/class/devfreq/17000000.gpu/cur_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/min_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/max_freq": "1020000000\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48156\n",
    "sys/class/thermal/thermal_zone1/type": "cv0-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "\n",
    f"{SENSOR}/name": "ina3221\n",
    f"{SENSOR}/hwmon/hwmon1/in1_label": "VDD_IN\n",
    f"{SENSOR}/hwmon/hwmon1/in1_input": "5056\n",
    f"{SENSOR}/hwmon/hwmon1/curr1_input": "1000\n",
    f"{SENSOR}/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV\n",
    f"{SENSOR}/hwmon/hwmon1/in2_input": "5056\n",
    f"{SENSOR}/hwmon/hwmon1/curr2_input": "250\n",
    f"{SENSOR}/hwmon/hwmon1/in4_label": "NC\n",
    f"{SENSOR}/hwmon/hwmon1/in4_input": "5000\n",
    f"{SENSOR}/hwmon/hwmon1/curr4_input": "1\n",
    "sys/bus/i2c/devices/0-0050/name": "24c02\n",
}


@pytest.fixture
def orin(tmp_path):
    return write(tmp_path / "orin", ORIN)


def test_a_jetson_is_read_from_its_files(orin):
    found = look(orin)
    assert found.module == "NVIDIA Jetson Orin Nano Developer Kit"
    assert found.governors == ("schedutil",)
    assert found.cpu == Clock(729.6, 729.6, 1728.0)
    assert found.gpu == Clock(306.0, 306.0, 1020.0)
    assert found.temperatures_c == {"cpu-thermal": 48.156}, "a zone that is off is left out"
    assert found.rails_mw == {"VDD_IN": 5056.0, "VDD_CPU_GPU_CV": 1264.0}


def test_a_machine_without_any_of_it_is_no_error(tmp_path):
    found = look(tmp_path)
    assert found == board.Board("", "", (), None, None, {}, {})
    assert throttled(found, found) == ""


def test_this_machine_can_be_looked_at():
    found = look()
    assert all(-50 < celsius < 150 for celsius in found.temperatures_c.values())


def test_clocks_that_may_move_or_did_are_told(orin):
    found = look(orin)
    assert "jetson_clocks" in throttled(found, found)
    pinned = replace(found, gpu=Clock(1020, 1020, 1020))
    assert throttled(pinned, pinned) == ""
    lower = replace(pinned, gpu=Clock(612, 612, 612), power_mode="15W")
    assert throttled(pinned, lower) == (
        "the power mode changed from  to 15W; the GPU's highest clock changed from 1020 to 612 MHz"
    )


def test_the_power_meter_means_what_it_reads_while_it_is_open(orin, monkeypatch):
    monkeypatch.setattr(board, "_SAMPLE_S", 0.0)
    current = orin / SENSOR / "hwmon/hwmon1/curr1_input"
    read = threading.Semaphore(0)

    def counted(root):
        found = rails(root)
        read.release()
        return found

    monkeypatch.setattr(board, "rails", counted)
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


@pytest.mark.parametrize(("printed", "mode"), [("NV Power Mode: MAXN_SUPER\n2\n", "MAXN_SUPER"), ("error\n", "")])
def test_the_power_mode_is_nvpmodels(printed, mode, tmp_path, monkeypatch):
    command = tmp_path / "nvpmodel"
    command.write_text(f"#!/bin/sh\n[ \"$1\" = -q ] && printf '{printed}'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert look().power_mode == mode
