"""The rates, short: `make rates` holds the figures against what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.firmware_bridge.firmware.rates import Rates, Size, burst, measure

Build = Callable[..., Path]


@pytest.mark.parametrize("name", ["microbit", "atmega328p"])
def test_the_rates_of_a_board_can_be(build: Build, name: str) -> None:
    rates = measure(name, build(name), Size(unpaced=300, paced=150, single=20, replugs=3))
    assert rates.unpaced > 50
    assert 0.3 < rates.share < 1.0, "the wire takes no more than its capacity"
    assert 0.005 < rates.single_s[0] <= rates.single_s[1] < 1.0, "a frame and its answer take 5 ms"
    assert rates.replug_s < 2.0


def test_a_burst_does_not_wait_for_a_slow_disk(build: Build, faults: Path) -> None:
    slow = burst(build("microbit"), faults)
    assert slow.one_s >= 0.015, "the disk was to be slow"
    assert slow.durable_s < 1.0
    assert slow.longest_send_s < slow.one_s, "a caller waited for the disk"


def test_each_bar_that_is_missed_is_told() -> None:
    assert Rates("microbit", 1500.0, 0.9, (0.006, 0.010), 0.1).missed() == []
    assert len(Rates("microbit", 900.0, 0.8, (0.006, 0.030), 0.3).missed()) == 4
    assert len(Rates("atmega328p", 900.0, 0.8, (0.006, 0.030), 0.3).missed()) == 2
