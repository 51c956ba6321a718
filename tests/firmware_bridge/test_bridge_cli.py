"""The simulated instrument from the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import firmware_bridge
from firmware_bridge import CellResult, Differential, InstrumentLink

ROOT = Path(firmware_bridge.__file__).parents[1]


def test_the_text_lines(tmp_path: Path) -> None:
    link_path = tmp_path / "instrument"
    process = subprocess.Popen(
        [sys.executable, "-m", "firmware_bridge", "simulate", "--link", str(link_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first == f"port: {os.readlink(link_path)}\n"
    with InstrumentLink.open(str(link_path)) as link:
        link.send(CellResult(4, 0, "basophil", 0.9, (10, 20, 30, 40)))
        link.send(Differential({"basophil": 1}, 1, 0))
        assert link.drain(10.0) == 0
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert output.splitlines() == [
        "applied 1: cell 4 basophil 0.900 at 10,20 30x40",
        "differential 2: basophil 1; total 1, unidentified 0",
        "applied 1 results, 1 differentials, doubled 0, out of order 0, crc errors 0",
    ]
    assert not link_path.is_symlink()


def test_the_link_replaces_a_symlink_but_nothing_else(tmp_path: Path, start_simulator: Callable[..., Any]) -> None:
    old = tmp_path / "old"
    old.symlink_to(tmp_path / "nowhere")
    simulator = start_simulator("--quiet", "--link", str(old))
    assert os.readlink(old) == simulator.port
    simulator.stop()
    file = tmp_path / "file"
    file.write_text("mine")
    refused = subprocess.run(
        [sys.executable, "-m", "firmware_bridge", "simulate", "--link", str(file)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "is not a symbolic link" in refused.stderr
    assert file.read_text() == "mine"


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "firmware_bridge", "simulate"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    port = process.stdout.readline().removeprefix("port: ").strip()
    process.stdout.close()
    with InstrumentLink.open(port) as link:
        link.send(CellResult(4, 0, "basophil", 0.9, (10, 20, 30, 40)))
        assert process.wait(timeout=10) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


def test_help_needs_neither_the_port_nor_the_simulator() -> None:
    code = (
        "import sys, click.testing, firmware_bridge.cli as cli\n"
        "result = click.testing.CliRunner().invoke(cli.instrument, ['simulate', '--help'])\n"
        "assert result.exit_code == 0 and '--link PATH' in result.output\n"
        "print(sorted({'serial', 'cobs', 'numpy', 'firmware_bridge.link'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"


def test_it_runs_without_a_standard_input() -> None:
    process = subprocess.Popen(
        ["sh", "-c", 'exec "$0" -m firmware_bridge simulate <&-', sys.executable],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    port = process.stdout.readline().removeprefix("port: ").strip()
    with InstrumentLink.open(port) as link:
        link.send(CellResult(4, 0, "basophil", 0.9, (10, 20, 30, 40)))
        assert link.drain(10.0) == 0
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")
