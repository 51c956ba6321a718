"""Commands, stops and events on the boards: what stage, outputs and button do, by the board's own memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from firmware_bridge import (
    CellResult,
    CommandFailedError,
    CommandStatus,
    EventCode,
    Indicate,
    Instrument,
    Logged,
    MoveStage,
    OwnCommand,
    Reported,
    Trigger,
)
from firmware_bridge.messages import (
    Ack,
    Command,
    CommandDone,
    Hello,
    InstrumentEvent,
    NewStream,
    Stop,
    TimeSync,
    decode_message,
)
from firmware_bridge.protocol import Frame, encode_frame
from firmware_bridge.schema import LABEL_CODES, SCHEMA_HASH, Capability, MessageType, Opcode
from tests.firmware_bridge.firmware.bench import BOARDS, PATIENCE_S
from tests.firmware_bridge.firmware.board import Board
from tests.firmware_bridge.firmware.ledger import results
from tests.firmware_bridge.firmware.panel import NM_PER_MS, TRAVEL_NM, panel, press, push_stage, until
from tests.firmware_bridge.firmware.raw_host import RawHost
from tests.firmware_bridge.firmware.relay import Faults

Build = Callable[..., Path]

WIRE = Faults(drop=0.05, flip=0.05, double=0.05, delay=0.05, delay_s=0.15)
MOST_MOVES = 100
"""By then a wire has shown all its faults."""
FAR_UM = 70_000.0
"""Seven seconds away."""
CLOCK_TOLERANCE = 0.2
"""An emulator on a busy machine keeps no better time."""
each_board = pytest.mark.parametrize("name", BOARDS)


def move(number: int, x_um: float, deadline_ms: int = 20_000, issuer: int = 9) -> Command:
    return Command(issuer, number, Opcode.STAGE_MOVE, deadline_ms, round(1000 * x_um), 0, 0)


@each_board
def test_a_command_is_carried_out_once_on_a_bad_wire(build: Build, name: str) -> None:
    with Board(name, build(name), faults=WIRE, seed=11) as board, Instrument.open(board.port) as link:
        wanted = ("drop", "flip", "double", "delay")
        for n in range(1, MOST_MOVES):
            if n > 8 and all(board.relay.done[fault] for fault in wanted):
                break
            assert link.command(MoveStage(n, -n, 0), deadline_s=PATIENCE_S) == 0
            now = panel(board)
            assert (now.place_nm, now.moves) == ((1000 * n, -1000 * n, 0), n)
            link.command(Trigger(n % 4, 0.002), deadline_s=PATIENCE_S)
            now = panel(board)
            assert (now.pulses, now.pulse_us, now.outputs) == (n, 2000, 0)
        assert all(board.relay.done[fault] for fault in wanted)


@each_board
def test_a_doubled_command_and_one_held_back_do_nothing(build: Build, name: str) -> None:
    with Board(name, build(name)) as board, RawHost(board.port) as host:
        for _ in range(3):
            host.send(move(1, 1000))
        host.send(move(2, 5))
        until(board, lambda now: now.moves > 0)
        host.send(Stop(1, 9, 5))
        host.send(move(5, 2000))
        host.send(move(4, 3000))
        host.heartbeat()
        now = panel(board)
        assert (now.moves, now.moving, now.stops) == (1, False, 1)
        told = [decode_message(frame.type, frame.payload) for frame in host.heard[1:]]
        assert told[0] == CommandDone(9, 1, CommandStatus.RUNNING, 0)
        assert CommandDone(9, 2, CommandStatus.BUSY, 0) in told
        assert Stop(1, 9, 5) in told
        assert CommandDone(9, 5, CommandStatus.STOPPED, 0) in told
        assert not [message for message in told if isinstance(message, CommandDone) and message.number == 4]


@each_board
def test_stop_halts_the_stage(build: Build, name: str) -> None:
    with Board(name, build(name), faults=WIRE, seed=12) as board, Instrument.open(board.port) as link:
        ended: list[CommandFailedError] = []

        def go() -> None:
            with pytest.raises(CommandFailedError) as caught:
                link.command(MoveStage(FAR_UM, FAR_UM, FAR_UM), deadline_s=PATIENCE_S)
            ended.append(caught.value)

        program = Thread(target=go)
        program.start()
        until(board, lambda now: now.place_nm[0] > 20 * NM_PER_MS)
        link.stop(PATIENCE_S)
        at = panel(board)
        assert not at.moving
        assert 0 < at.place_nm[0] < 1000 * FAR_UM
        program.join(PATIENCE_S)
        assert [error.status for error in ended] == [CommandStatus.STOPPED]
        assert panel(board).place_nm == at.place_nm
        link.command(MoveStage(at.place_nm[0] / 1000 + 10, 0, 0), deadline_s=PATIENCE_S)
        assert panel(board).moves == 2


@each_board
def test_stop_is_obeyed_from_any_connection(build: Build, name: str) -> None:
    with Board(name, build(name)) as board, RawHost(board.port) as host:
        host.ask(move(1, FAR_UM))
        until(board, lambda now: now.place_nm[0] > 0)
        host.send(Stop(1, 77, 1), connection=0)
        host.heartbeat()
        assert panel(board).moving
        host.ask(Stop(1, 77, 1), connection=1234)
        assert not panel(board).moving


@each_board
def test_a_deadline_halts_the_stage(build: Build, name: str) -> None:
    with Board(name, build(name), faults=WIRE, seed=13) as board, Instrument.open(board.port) as link:
        with pytest.raises(CommandFailedError) as caught:
            link.command(MoveStage(FAR_UM, 0, 0), deadline_s=0.5)
        assert caught.value.status == CommandStatus.EXPIRED
        now = panel(board)
        assert not now.moving
        assert now.stops == 1
        assert 0 < now.place_nm[0] < 1000 * NM_PER_MS


@each_board
def test_a_pressed_button_is_heard_once(build: Build, name: str) -> None:
    heard: list[Reported] = []

    def on_event(event: object) -> None:
        if isinstance(event, Reported):
            heard.append(event)

    with (
        Board(name, build(name), faults=WIRE, seed=14) as board,
        Instrument.open(board.port, on_event=on_event, reconnect_s=None),
    ):
        for n in range(8):
            press(board, 1 - n % 2)
            deadline = time.monotonic() + PATIENCE_S
            while len(heard) <= n:
                assert time.monotonic() < deadline, f"{len(heard)} of {n + 1} heard"
                time.sleep(0.005)
        time.sleep(0.3)
        assert [report.event.value for report in heard] == [1, 0] * 4
        assert {(report.event.event, report.event.source) for report in heard} == {(EventCode.BUTTON, 0)}
        times = [report.event.time_ms for report in heard]
        assert times == sorted(times)


@each_board
def test_the_board_tells_what_it_received(build: Build, name: str) -> None:
    with Board(name, build(name)) as board, RawHost(board.port) as host:
        first = host.heartbeat()
        flipped = bytearray(encode_frame(Frame(MessageType.HEARTBEAT, 7, 0, bytes(20))))
        flipped[2] ^= 1
        host.write(b"\0abc\0" + b"\1" * 100 + bytes(flipped))
        second = host.heartbeat()
        assert second.frames > first.frames
        assert second.crc_errors == first.crc_errors + 1
        assert second.dropped == first.dropped + 2
        assert second.overruns == first.overruns == 0


def test_bytes_that_nobody_reads_in_time_are_counted(build: Build) -> None:
    """Each HELLO is answered by more bytes than it has, and the board waits for its transmitter."""
    with Board("atmega328p", build("atmega328p")) as board, RawHost(board.port) as host:
        for _ in range(100):
            host.send(Hello(1, 1, 0, SCHEMA_HASH, 1))
        told = host.heartbeat()
        assert told.overruns > 0
        assert told.frames < 100


@each_board
def test_the_clock_runs_right(build: Build, name: str) -> None:
    with Board(name, build(name)) as board, RawHost(board.port) as host:
        deadline = time.monotonic() + PATIENCE_S
        rates = [rate(host)]
        while rates[-1] != pytest.approx(1, abs=CLOCK_TOLERANCE) and time.monotonic() < deadline:
            rates.append(rate(host))  # an emulator that gets no processor time loses ticks
        assert rates[-1] == pytest.approx(1, abs=CLOCK_TOLERANCE), rates


def rate(host: RawHost) -> float:
    """Seconds of the board in a second."""
    first_s, first_ms = clock(host)
    host.listen(0.5)
    last_s, last_ms = clock(host)
    return (last_ms - first_ms) / 1000 / (last_s - first_s)


def clock(host: RawHost) -> tuple[float, int]:
    """The host's clock and the board's, by the quickest of some questions."""
    took = []
    for sent_ns in range(5):
        asked = time.monotonic()
        told = host.ask(TimeSync(sent_ns, 0, 0))
        answered = time.monotonic()
        assert isinstance(told, TimeSync)
        assert told.host_sent_ns == sent_ns
        took.append((answered - asked, (asked + answered) / 2, (told.received_ms + told.sent_ms) // 2))
    _, host_s, board_ms = min(took)
    return host_s, board_ms


@each_board
def test_an_old_host_gets_results_through_and_hears_of_nothing_else(build: Build, name: str) -> None:
    with Board(name, build(name)) as board, RawHost(board.port, capabilities=0) as host:
        host.ask(NewStream(1))
        press(board, 1)
        push_stage(board, TRAVEL_NM - NM_PER_MS)
        host.send(move(1, TRAVEL_NM / 1000 + 1))  # into the switch, which it would log
        until(board, lambda now: now.limits == 1)
        host.send(results(1)[0])
        host.listen(0.6)
        assert {frame.type for frame in host.heard} <= {
            MessageType.HELLO_ACK,
            MessageType.ACK,
            MessageType.NAK,
            MessageType.COMMAND_DONE,
        }
        assert sum(frame.type == MessageType.COMMAND_DONE for frame in host.heard) == 1, "the answer, and nothing more"


@each_board
def test_an_event_waits_for_a_host_that_knows_events(build: Build, name: str) -> None:
    with Board(name, build(name)) as board:
        with RawHost(board.port, capabilities=0) as host:
            press(board, 1)
            host.listen(0.3)
            assert {frame.type for frame in host.heard} == {MessageType.HELLO_ACK}
        with RawHost(board.port, connection=8, capabilities=Capability.EVENT) as host:
            host.listen(0.6)
            host.listen_for(MessageType.EVENT)
            assert {frame.seq for frame in host.heard if frame.type == MessageType.EVENT} == {1}
            host.send(Ack(1, 0))
            host.heartbeat()
            del host.heard[:]
            host.listen(0.4)
            assert host.heard == []
            press(board, 0)
            host.listen_for(MessageType.EVENT)
            told = decode_message(host.heard[0].type, host.heard[0].payload)
            assert host.heard[0].seq == 2
            assert isinstance(told, InstrumentEvent)
            assert (told.event, told.value) == (EventCode.BUTTON, 0)


@each_board
def test_each_result_lights_its_indicator_and_counts_on_the_display(build: Build, name: str) -> None:
    with Board(name, build(name)) as board, Instrument.open(board.port) as link:
        for n, label in enumerate(LABEL_CODES):
            link.send(CellResult(n, 0, label, 1.0, (0, 0, 1, 1)))
            assert link.drain(PATIENCE_S) == 0
            assert panel(board).indicator == LABEL_CODES[label]
        link.send(CellResult(10, 0, "monocyte", 1.0, (0, 0, 1, 1)))
        shown = (
            "neu    1eos    1",
            "bas    1lym    1",
            "mon    2imm    1",
            "ery    1plt    1",
            "not    1???    1",
            "all   11        ",
        )
        until(board, lambda now: now.display == shown, 5.0)
        link.command(Indicate("eosinophil", 0.05))
        assert panel(board).indicator in (LABEL_CODES["eosinophil"], 0)
        until(board, lambda now: now.indicator == 0, 5.0)
        link.command(Indicate("basophil"))
        time.sleep(0.1)
        assert panel(board).indicator == LABEL_CODES["basophil"]


@each_board
def test_what_it_cannot_do_it_says(build: Build, name: str) -> None:
    with Board(name, build(name)) as board, Instrument.open(board.port) as link:
        for command, status in (
            (Trigger(4, 0.001), CommandStatus.BAD_ARGUMENT),
            (Trigger(0, 11.0), CommandStatus.BAD_ARGUMENT),
            (OwnCommand(0x80), CommandStatus.UNSUPPORTED),
        ):
            with pytest.raises(CommandFailedError) as caught:
                link.command(command)
            assert caught.value.status == status
        assert panel(board).pulses == 0


@pytest.mark.parametrize("name", ["microbit", "host"])
def test_the_end_of_travel_stops_the_stage_and_is_told(build: Build, name: str) -> None:
    told: list[object] = []
    with Board(name, build(name)) as board:
        with Instrument.open(board.port, on_event=told.append) as link:
            push_stage(board, TRAVEL_NM - 20 * NM_PER_MS)  # a board that starts clears its memory
            with pytest.raises(CommandFailedError) as caught:
                link.command(MoveStage(TRAVEL_NM / 1000 + 1000, 0, 0))
            assert (caught.value.status, caught.value.detail) == (CommandStatus.FAILED, 1)
            now = panel(board)
            assert (now.place_nm[0], now.limits, now.moving) == (TRAVEL_NM, 1, False)
            link.command(MoveStage(TRAVEL_NM / 1000 - 10, 0, 0))
            assert panel(board).limits == 0
            deadline = time.monotonic() + PATIENCE_S
            while len(events := [event for event in told if isinstance(event, Reported)]) < 2:
                assert time.monotonic() < deadline, told
                time.sleep(0.01)
        assert [(event.event.event, event.event.source, event.event.value) for event in events] == [
            (EventCode.LIMIT_SWITCH, 0, 1),
            (EventCode.LIMIT_SWITCH, 0, 0),
        ]
        assert [event.text for event in told if isinstance(event, Logged)] == [
            "the stage ran into a limit switch and stands"
        ]


@pytest.mark.parametrize("name", ["microbit", "atmega328p"])
def test_a_host_that_falls_silent_leaves_nothing_moving(build: Build, name: str) -> None:
    with Board(name, build(name)) as board:
        with RawHost(board.port) as host:
            host.ask(move(1, FAR_UM))
            silent_since = time.monotonic()
        until(board, lambda now: not now.moving, 5.0)
        assert time.monotonic() - silent_since > 1.0
        assert panel(board).stops == 1


@each_board
def test_a_reset_forgets_the_command_and_stands_still(build: Build, name: str) -> None:
    with Board(name, build(name)) as board:
        with RawHost(board.port) as host:
            host.ask(move(1, FAR_UM))
            until(board, lambda now: now.place_nm[0] > 0)
            board.reset()
            host.ask(Hello(1, 1, Capability.COMMAND, SCHEMA_HASH, 1), within_s=PATIENCE_S)
            now = panel(board)
        assert (now.moving, now.moves) == (False, 0)
