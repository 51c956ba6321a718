"""``edge-wbc instrument`` against the simulated instrument: list, flash-check, send, monitor, log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import firmware_bridge
from firmware_bridge import CellResult, Differential, InstrumentLink, Outbox
from firmware_bridge.monitor import TO_INSTRUMENT, Monitor
from firmware_bridge.protocol import Frame, encode_frame
from firmware_bridge.schema import MessageType
from firmware_bridge.store import Resumption, Stream

ROOT = Path(firmware_bridge.__file__).parents[1]
Start = Callable[..., Any]


def verb(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "firmware_bridge", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "120", **environment},
    )


def printed(*arguments: str, **environment: str) -> Any:
    done = verb(*arguments, "--json", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def one_line(done: subprocess.CompletedProcess[str], code: int, says: str) -> None:
    assert done.returncode == code
    assert done.stdout == ""
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_an_instrument_is_asked_what_it_is_and_left_as_it_was(start_simulator: Start) -> None:
    simulator = start_simulator("--quiet")
    with InstrumentLink.open(simulator.port) as link:
        link.send(CellResult(1, 0, "basophil", 1.0, (0, 0, 1, 1)))
        assert link.drain(10.0) == 0
    told = printed("flash-check", simulator.port)
    assert (told["unique_id"], told["firmware"], told["protocol"]) == ("simulator", "0.1.0", "1.1")
    assert told["capabilities"] == [
        *("command", "event", "heartbeat", "time_sync", "log"),
        *("indicator", "trigger", "stage"),
    ]
    assert (told["persistence"], told["largest_payload"], told["last_applied_seq"]) == ("RAM_ONLY", 64, 1)
    assert printed("flash-check", simulator.port) == told
    table = verb("flash-check", simulator.port)
    assert table.returncode == 0
    assert "RAM_ONLY" in table.stdout
    assert simulator.stop()[-1]["applied"] == 1


def test_commands_are_given_from_the_command_line(start_simulator: Start) -> None:
    simulator = start_simulator()
    assert printed("command", simulator.port, "stage", "100", "-50.5", "0")["done"]
    assert verb("command", simulator.port, "indicator", "monocyte", "0.5").stdout.startswith("done, ")
    assert verb("command", simulator.port, "stop").stdout.startswith("done, ")
    refused = verb("command", simulator.port, "trigger", "77", "0.001")
    assert (refused.returncode, refused.stdout) == (5, "")
    assert "bad argument" in refused.stderr
    late = verb("command", simulator.port, "stage", "70000", "0", "0", "--deadline", "0.1")
    assert "expired" in late.stderr
    for nonsense in (["dance"], ["stage", "1"], ["trigger", "x", "1"], ["own", "0x81", "1", "2", "3", "4"]):
        assert verb("command", simulator.port, *nonsense).returncode == 2
    lines = [line for line in simulator.stop() if line["type"] in ("command", "arrived", "stopped")]
    assert [line.get("command", line["type"]) for line in lines] == [
        *("stage move", "arrived", "indicator"),
        *("stage move", "stopped"),
    ]
    assert lines[0]["to_nm"] == lines[1]["at_nm"] == [100_000, -50_500, 0]


def test_results_are_sent_from_the_command_line(start_simulator: Start, tmp_path: Path) -> None:
    simulator = start_simulator()
    sent = printed("send", simulator.port, "monocyte", "--count", "3", "--cell", "7", "--probability", "0.5")
    assert (sent["acknowledged"], sent["left"], sent["in_doubt"]) == (3, 0, 0)
    words = verb("send", simulator.port, "basophil", "--outbox", str(tmp_path / "outbox"))
    assert words.stdout.startswith("1 acknowledged, 0 left, ")
    *applied, _ = simulator.stop()
    assert [(line["cell"], line["label"]) for line in applied] == [
        (7, "monocyte"),
        (8, "monocyte"),
        (9, "monocyte"),
        (1, "basophil"),
    ]
    assert (tmp_path / "outbox").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("send", "/dev/ttyNONE", "leukocyte"), 2, "there is no label 'leukocyte'"),
        (("send", "/dev/ttyNONE", "monocyte"), 4, "there is no port /dev/ttyNONE"),
        (("flash-check", "/dev/ttyNONE"), 4, "there is no port /dev/ttyNONE"),
        (("flash-check", "socket://127.0.0.1:1"), 4, "can't be reached"),
        (("monitor", "/dev/ttyNONE"), 4, "there is no port /dev/ttyNONE"),
        (("log", "no/such/outbox"), 4, "there is no outbox no/such/outbox"),
        (("log", "/dev/pts/7"), 2, "a pseudo-terminal, which has no outbox of its own"),
        (("log", "pyproject.toml"), 4, "is damaged"),
        (("log", "--new-stream"), 2, "--new-stream needs the port or the file"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(arguments: tuple[str, ...], code: int, says: str) -> None:
    one_line(verb(*arguments), code, says)


class RunningMonitor:
    def __init__(self, port: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "firmware_bridge", "monitor", port, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        self.port = json.loads(first)["port"] if "--json" in arguments else first.removeprefix("port: ").strip()

    def stop(self) -> tuple[int, list[str], str]:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        output, errors = self.process.communicate(timeout=10)
        return self.process.returncode, output.splitlines(), errors


@pytest.fixture
def start_monitor() -> Iterator[Callable[..., RunningMonitor]]:
    running: list[RunningMonitor] = []

    def start(port: str, *arguments: str) -> RunningMonitor:
        running.append(RunningMonitor(port, *arguments))
        return running[-1]

    yield start
    for monitor in running:
        monitor.process.kill()
        monitor.process.communicate(timeout=10)


def test_every_frame_that_goes_by_is_shown_and_passed_on(start_simulator: Start, start_monitor: Start) -> None:
    simulator = start_simulator("--quiet")
    monitor = start_monitor(simulator.port, "--json")
    with InstrumentLink.open(monitor.port) as link:
        for number in range(1, 201):
            link.send(CellResult(number, 0, "eosinophil", 0.5, (1, 2, 3, 4)))
        link.send(Differential({"eosinophil": 200}, 200, 0))
        assert link.drain(10.0) == 0
    code, lines, errors = monitor.stop()
    assert (code, errors) == (0, "")
    *frames, total = [json.loads(line) for line in lines]
    cells = [frame for frame in frames if frame["kind"] == "CELL_RESULT"]
    assert {frame["seq"] for frame in cells} == set(range(1, 201))
    assert cells[0]["fields"]["label"] == "eosinophil"
    assert [frame["kind"] for frame in frames[:4]] == ["HELLO", "HELLO_ACK", "NEW_STREAM", "ACK"]
    assert [frame["to"] for frame in frames[:4]] == ["instrument", "host", "instrument", "host"]
    assert total["to_instrument"]["frames"]["DIFFERENTIAL"] >= 1
    assert (total["to_instrument"]["crc_errors"], total["to_host"]["crc_errors"]) == (0, 0)
    assert simulator.stop()[-1]["applied"] == 200


def test_the_monitor_in_words_under_a_name_of_its_own(
    start_simulator: Start, start_monitor: Start, tmp_path: Path
) -> None:
    simulator = start_simulator("--quiet")
    link_path = tmp_path / "watched"
    monitor = start_monitor(simulator.port, "--link", str(link_path))
    assert os.readlink(link_path) == monitor.port
    with InstrumentLink.open(str(link_path)) as link:
        link.send(CellResult(5, 0, "eosinophil", 0.5, (1, 2, 3, 4)))
        assert link.drain(10.0) == 0
    code, lines, _ = monitor.stop()
    assert code == 0
    assert any("→ CELL_RESULT" in line and "cell_id=5 " in line and "label=eosinophil" in line for line in lines)
    told = "to instrument: HELLO 1, NEW_STREAM 1, HEARTBEAT 1, TIME_SYNC 1, CELL_RESULT 1; crc errors 0"
    assert lines[-2].startswith(told)
    assert not link_path.exists()


def test_a_monitored_instrument_that_vanishes_ends_the_monitor(start_simulator: Start, start_monitor: Start) -> None:
    simulator = start_simulator("--quiet")
    monitor = start_monitor(simulator.port, "--json")
    simulator.kill()
    assert monitor.process.wait(timeout=10) == 4
    _, lines, errors = monitor.stop()
    assert json.loads(lines[-1])["type"] == "total"
    assert "vanished while in use" in errors
    assert len(errors.splitlines()) == 1


def test_faults_are_counted_and_unknown_frames_shown_as_they_are() -> None:
    monitor = Monitor()
    good = encode_frame(Frame(0x7F, 3, 9, b"\x01\x02"))
    flipped = bytearray(good)
    flipped[4] ^= 1
    (line,) = monitor.feed(TO_INSTRUMENT, good + bytes(flipped), 1.5)
    assert "0x7f" in line
    assert "payload=0102" in line
    assert monitor.totals()["to_instrument"] == {
        "bytes": 2 * len(good),
        "frames": {"0x7f": 1},
        "crc_errors": 1,
        "malformed": 0,
        "oversize": 0,
    }


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with the outbox of one port, in it two that wait and one in doubt."""
    folder = tmp_path / "state"
    with Outbox(folder / "edge-wbc" / "outbox" / "ttyS77.sqlite") as outbox:
        for number in (1, 2, 3):
            outbox.put(MessageType.CELL_RESULT, CellResult(number, 0, "monocyte", 0.5, (0, 0, 1, 1)).encode())
        outbox.flush()
        outbox.adopt(Resumption(Stream(9, 1, 4, b"board"), acknowledged=1, repeated=2))
    return folder


@pytest.mark.parametrize("place", [(), ("/dev/ttyS77",)])
def test_the_log_says_what_waits_and_what_was_in_doubt(state: Path, place: tuple[str, ...]) -> None:
    held = printed("log", *place, XDG_STATE_HOME=str(state))
    assert (held["waiting"], held["stream_id"], held["boot_id"]) == (2, 9, 4)
    (doubt,) = held["doubts"]
    assert (doubt["position"], doubt["message"], doubt["repeated"], doubt["delivered"]) == (
        2,
        "cell 2 monocyte 0.500",
        True,
        False,
    )
    words = verb("log", *place, XDG_STATE_HOME=str(state))
    assert words.returncode == 0
    assert "2 wait" in words.stdout.replace("\n", " ")
    assert "sent again, flagged" in words.stdout


def test_the_log_can_be_read_while_a_session_runs_and_a_new_stream_only_after(
    start_simulator: Start, tmp_path: Path
) -> None:
    simulator = start_simulator("--quiet")
    path = tmp_path / "outbox.sqlite"
    with InstrumentLink.open(simulator.port, outbox=path) as link:
        link.send(CellResult(1, 0, "basophil", 1.0, (0, 0, 1, 1)), durable=True)
        assert printed("log", str(path))["stream_id"] == link._store.stream.stream_id
        one_line(verb("log", str(path), "--new-stream"), 4, "is in use by another program")
        assert link.drain(10.0) == 0
    before = printed("log", str(path))["stream_id"]
    assert printed("log", str(path), "--new-stream")["stream_id"] != before
    with InstrumentLink.open(simulator.port, outbox=path) as link:
        link.send(CellResult(2, 0, "basophil", 1.0, (0, 0, 1, 1)))
        assert link.drain(10.0) == 0
        assert list(link.in_doubt) == []
    assert simulator.stop()[-1]["applied"] == 2


def test_without_outboxes_the_log_says_where_they_would_be(tmp_path: Path) -> None:
    done = verb("log", XDG_STATE_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "")
    assert f"no outbox in {tmp_path}" in done.stderr


def test_ports_are_listed() -> None:
    assert isinstance(printed("list"), list)
    assert verb("list").returncode == 0


def test_help_of_every_verb_needs_neither_ports_nor_tables() -> None:
    code = (
        "import sys, click.testing, firmware_bridge.cli as cli\n"
        "for verb in cli.instrument.commands:\n"
        "    result = click.testing.CliRunner().invoke(cli.instrument, [verb, '--help'])\n"
        "    assert result.exit_code == 0, result.output\n"
        "print(sorted({'serial', 'cobs', 'sqlite3', 'rich', 'platformdirs'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"
