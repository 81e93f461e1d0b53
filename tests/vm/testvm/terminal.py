# SPDX-License-Identifier: MIT OR Apache-2.0
"""Join this terminal and the guest's, for --shell."""
from __future__ import annotations

import os
import selectors
import socket
import sys
import termios
import tty

ESCAPE = b"\x1d"  # Ctrl-]


def connect(guest: socket.socket) -> None:
    """Until the guest powers off or the user types Ctrl-]."""
    stdin = sys.stdin.fileno()
    saved = termios.tcgetattr(stdin) if os.isatty(stdin) else None
    if saved:
        tty.setraw(stdin)
    try:
        _shuttle(guest, stdin)
    finally:
        if saved:
            termios.tcsetattr(stdin, termios.TCSADRAIN, saved)


def _shuttle(guest: socket.socket, stdin: int) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(guest, selectors.EVENT_READ)
        selector.register(stdin, selectors.EVENT_READ)
        while True:
            for key, _events in selector.select():
                if key.fileobj is guest:
                    try:
                        data = guest.recv(65536)
                    except ConnectionError:
                        return
                    if not data:
                        return
                    os.write(sys.stdout.fileno(), data)
                    continue
                data = os.read(stdin, 4096)
                if ESCAPE in data:
                    raise KeyboardInterrupt
                if data:
                    guest.sendall(data)
                else:
                    selector.unregister(stdin)
