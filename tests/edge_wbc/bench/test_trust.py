from __future__ import annotations

from dataclasses import replace

import pytest

from edge_wbc.bench.machine import look
from edge_wbc.bench.nvml import GpuState
from edge_wbc.bench.processor import Clock
from edge_wbc.bench.trust import Times, Watch, changed, disturbed, now
from tests.edge_wbc.bench.trees import LAPTOP, ORIN, SERVER, write

QUIET = Times(0, 0, 0, own_s=0.0, busy_s=0.0, stolen_s=0.0, processors=2)
LATER = Times(10**10, 10**10, 10**10, own_s=9.0, busy_s=9.5, stolen_s=0.1, processors=2)


@pytest.fixture
def orin(tmp_path):
    return look(write(tmp_path / "orin", ORIN))


def kinds(doubts):
    return [doubt.kind for doubt in doubts]


def test_clocks_that_may_move_or_did_are_told(orin):
    (doubt,) = changed(orin, orin)
    assert doubt.kind == "clock"
    assert "jetson_clocks" in doubt.said
    pinned = replace(orin, gpu=Clock(1020, 1020, 1020))
    assert changed(pinned, pinned) == []
    lower = replace(pinned, gpu=Clock(612, 612, 612), power_mode="15W", governors=("performance",))
    assert [doubt.said for doubt in changed(pinned, lower)] == [
        "the power mode changed from MAXN_SUPER to 15W",
        "the clocks' governor changed from schedutil to performance",
        "the GPU's highest clock changed from 1020 to 612 MHz",
    ]


def test_counters_that_rose_are_told(tmp_path):
    before = look(write(tmp_path, LAPTOP))
    hot = {**before.throttles, "thermal throttling, core": 15}
    (doubt,) = changed(before, replace(before, throttles=hot))
    assert (doubt.kind, doubt.said) == ("throttled", "thermal throttling, core: 3 more")
    assert changed(before, before) == []


def test_a_desktop_gpu_that_is_slowed_is_told(tmp_path):
    before = look(write(tmp_path, SERVER))
    gpu = GpuState(1000, 3105, 2000, 85, None, None, 0x20, 2)
    assert kinds(changed(before, replace(before, gpus=(gpu,)))) == ["throttled"]
    assert changed(before, replace(before, gpus=(replace(gpu, slowed_by=0),))) == []


def test_a_quiet_run_is_not_doubted():
    assert disturbed(QUIET, LATER) == []


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"busy_s": 11.0}, "load", "other programs took 10 %"),
        ({"stolen_s": 2.0}, "load", "the hypervisor gave 10 %"),
        ({"monotonic_ns": 10**10 + 10**9, "boot_ns": 10**10 + 10**9}, "time", "the monotonic clock went 11.000 s"),
        ({"monotonic_ns": -1, "raw_ns": -1, "boot_ns": -1}, "time", "the monotonic clock went -0.000 s"),
        ({"boot_ns": 10**10 + 10**8}, "time", "slept for 0.100 s"),
    ],
)
def test_what_disturbs_a_run_is_told(change, kind, said):
    (doubt,) = disturbed(QUIET, replace(LATER, **change))
    assert doubt.kind == kind
    assert said in doubt.said


def test_without_proc_stat_nothing_is_said_of_load(tmp_path):
    there = now(tmp_path)
    assert (there.busy_s, there.stolen_s) == (None, None)
    assert disturbed(there, replace(there, monotonic_ns=there.monotonic_ns + 1)) == []


def test_time_of_the_processors_is_read(tmp_path):
    times = now(write(tmp_path, SERVER))
    assert (times.busy_s, times.stolen_s, times.processors) == (16.0, 0.5, 2)


def test_a_clock_that_moves_between_rounds_is_told(tmp_path):
    root = write(tmp_path, LAPTOP)
    watch = Watch(root)
    watch.round()
    assert "clock" not in kinds(watch.end())
    for cpu in (0, 10):
        (root / f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq").write_text("2400000\n")
    watch.round()
    (doubt,) = [doubt for doubt in watch.end() if doubt.kind == "clock"]
    assert doubt.said == "the fastest processor's clock was between 2400 and 3400 MHz"
