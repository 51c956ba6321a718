"""Kills a host at each of its writes, to outbox and port alike, and starts it again; run with `faults.c` preloaded.

``killed_host.py LIBRARY FOLDER PERSISTENCE CELLS``: the instrument is this process, the host a child of its own at
the other end of a socket. Prints a JSON object a kill: what was applied, and what the outbox says was in doubt.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

from firmware_bridge.host import Host
from firmware_bridge.messages import CellResult
from firmware_bridge.outbox import Outbox
from firmware_bridge.protocol import FrameDecoder, encode_frame
from firmware_bridge.receiver import Receiver
from firmware_bridge.schema import MessageType, Persistence


def be_the_host(path: Path, end: socket.socket, cells: int) -> None:
    """Put every cell that the outbox does not hold yet, and deliver all."""
    with Outbox(path) as outbox:
        host = Host(outbox, 4_000_000)
        host.connect()
        wake, waker = os.pipe()
        outbox.watch = lambda: os.write(waker, b"\0") and None
        while outbox.acknowledged < cells:
            if outbox.last < cells and outbox.last <= outbox.acknowledged + 2:
                position = outbox.last + 1
                outbox.put(MessageType.CELL_RESULT, CellResult(position, 0, "monocyte", 1.0, (0, 0, 1, 1)).encode())
            data = host.take(time.monotonic())
            if data:
                os.write(end.fileno(), data)
            wait_s = 0.0 if outbox.last < cells else host.wait_s(time.monotonic())
            ready, _, _ = select.select([end, wake], [], [], wait_s)
            if wake in ready:
                os.read(wake, 100)
            host.receive(os.read(end.fileno(), 4096) if end in ready else b"", time.monotonic())
        outbox.close(host.sent_to)


class Board:
    """An instrument whose applied results outlive it, as a reel of paper does."""

    def __init__(self, persistence: Persistence) -> None:
        self.persistence = persistence
        self.applied: list[tuple[int, bool]] = []
        self.boots = 0
        self.boot()

    def boot(self) -> None:
        self.boots += 1
        self.receiver = Receiver(boot_id=self.boots)
        self.receiver.persistence = self.persistence

    def serve(self, end: socket.socket) -> None:
        """Answer until the host is gone."""
        decoder = FrameDecoder()
        while True:
            try:
                data = end.recv(4096)
            except ConnectionResetError:
                return
            if not data:
                return
            for frame in decoder.feed(data):
                answer, message = self.receiver.receive(frame)
                if isinstance(message, CellResult):
                    self.applied.append((message.cell_id, message.redelivered))
                if answer is not None:
                    try:
                        end.send(encode_frame(answer))
                    except (BrokenPipeError, ConnectionResetError):
                        return


def run_host(library: ctypes.CDLL, path: Path, board: Board, cells: int, step: int) -> int:
    """Run a host that is killed at a step (-1: never); return its status."""
    here, there = socket.socketpair()
    child = os.fork()
    if not child:
        here.close()
        try:
            library.faults_arm(step)
            be_the_host(path, there, cells)
            library.faults_arm(-1)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    there.close()
    board.serve(here)
    here.close()
    return os.waitpid(child, 0)[1]


def main() -> None:
    library = ctypes.CDLL(sys.argv[1])
    folder, persistence, cells = Path(sys.argv[2]), Persistence[sys.argv[3]], int(sys.argv[4])
    step = 0
    killed = True
    while killed:
        path = folder / f"{step}.sqlite"
        board = Board(persistence)
        status = run_host(library, path, board, cells, step)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        before = len(board.applied)
        if persistence is Persistence.RAM_ONLY:
            board.boot()
        again = run_host(library, path, board, cells, -1)
        with Outbox(path) as outbox:
            doubts = [doubt.position for doubt in outbox.doubts()]
            left = outbox.last - outbox.acknowledged
        ended = again == 0 and (killed or status == 0)
        record = {"step": step, "killed": killed, "ended": ended, "before": before, "left": left, "doubts": doubts}
        print(json.dumps({**record, "applied": board.applied}), flush=True)  # noqa: T201
        for file in folder.glob(f"{step}.sqlite*"):
            file.unlink()
        step += 1


if __name__ == "__main__":
    main()
