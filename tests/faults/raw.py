"""Bytes as an attacker sends them: a websocket by hand, and what a replica would never say."""

import base64
import contextlib
import os
import socket
import struct
import time
from typing import Any

from crdtstore.sync.frame import space_tag
from crdtstore.sync.messages import Hello, decode, encode
from tests.patience import PATIENCE_S
from tests.processes.servers import Server

TAG = space_tag("default")
BINARY, TEXT, CLOSE, PING = 2, 1, 8, 9


def hello(origin: int, **changes: Any) -> bytes:
    """Return a greeting that is accepted, but for its changes."""
    said: dict[str, Any] = {
        "space": "default", "name": f"stranger-{origin}", "origin": origin, "nonce": origin,
        "schema": "", "clock_ms": time.time_ns() // 1_000_000, "profiles": 0, "heads": {},
        "floor": {}, "names": {},
    }  # fmt: skip
    return encode(Hello(**{**said, **changes}), TAG)


class RawLink:
    """A websocket to a server's link endpoint, of which every byte is ours."""

    def __init__(self, server: Server, receive_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(("127.0.0.1", server.port))
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /v1/link HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._received = b""
        while b"\r\n\r\n" not in self._received:
            part = self.socket.recv(4_096)
            if not part:
                break
            self._received += part
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        self.status = int(head.split()[1]) if head else 0

    def send(self, payload: bytes, opcode: int = BINARY, first: int = 0x80) -> None:
        """Send one frame; ``first`` are the flags of its first byte. A closed link is no matter."""
        self.send_raw(bytes((first | opcode,)) + frame_length(len(payload)) + bytes(4) + payload)

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def refusal(self) -> str:
        """Return the code of the replica's refusal, or the websocket's, or "closed" without one."""
        try:
            while (message := self._message()) is not None:
                if message[0] == BINARY and message[1][:1] == b"\x0c":
                    return str(decode(message[1], TAG).code)  # type: ignore[union-attr]
                if message[0] == CLOSE and len(message[1]) > 1:
                    return f"websocket {struct.unpack('>H', message[1][:2])[0]}"
        except OSError:
            return "closed"
        finally:
            self.close()
        return "closed"

    def _message(self) -> tuple[int, bytes] | None:
        if (head := self._read(2)) is None:
            return None
        size = head[1] & 0x7F
        if size >= 126:
            extended = self._read(2 if size == 126 else 8)
            if extended is None:
                return None
            size = int.from_bytes(extended, "big")
        payload = self._read(size)
        return None if payload is None else (head[0] & 0x0F, payload)

    def _read(self, size: int) -> bytes | None:
        while len(self._received) < size:
            part = self.socket.recv(65_536)
            if not part:
                return None
            self._received += part
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def close(self) -> None:
        """Drop the connection."""
        self.socket.close()


def frame_length(size: int) -> bytes:
    """Return the length of a masked websocket frame, whether or not it is true."""
    if size < 126:
        return bytes((0x80 | size,))
    if size < 1 << 16:
        return bytes((0x80 | 126,)) + struct.pack(">H", size)
    return bytes((0x80 | 127,)) + struct.pack(">Q", size)
