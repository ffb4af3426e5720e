"""The control channel: frames of JSON over a Unix stream socket, file descriptors beside them.

A frame is its length (32 bits, little endian) and that many bytes of UTF-8 JSON: an object with a "type". A frame of
type "segment" brings one file descriptor along.
"""

import collections
import json
import os
import socket
import struct
import threading

PROTOCOL = 1
MAX_FRAME = 1 << 20
_LENGTH = struct.Struct("<I")


class ProtocolError(Exception):
    """The other side does not speak this protocol."""


class Channel:
    """Frames over a connected socket. send() is thread-safe; receive() is for one thread."""

    def __init__(self, connection: socket.socket):
        self._socket = connection
        self._sending = threading.Lock()
        self._received = bytearray()
        self._descriptors = collections.deque()

    def send(self, frame_type: str, /, **fields) -> None:
        """Blocks until the frame is written whole."""
        body = json.dumps({"type": frame_type, **fields}, separators=(",", ":")).encode()
        if len(body) > MAX_FRAME:
            raise ProtocolError(f"a frame of {len(body)} bytes is above the limit of {MAX_FRAME}")
        with self._sending:
            self._socket.sendall(_LENGTH.pack(len(body)) + body)

    def receive(self):
        """The next frame as a dictionary; None at the end of the stream. Blocks."""
        head = self._take(_LENGTH.size)
        if head is None:
            return None
        (length,) = _LENGTH.unpack(head)
        if length > MAX_FRAME:
            raise ProtocolError(f"a frame of {length} bytes is above the limit of {MAX_FRAME}")
        body = self._take(length)
        if body is None:
            return None
        frame = json.loads(body)
        if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
            raise ProtocolError("a frame is no object with a type")
        return frame

    def take_descriptor(self) -> int:
        """The file descriptor of the oldest frame that brought one; the caller owns it."""
        if not self._descriptors:
            raise ProtocolError("a frame lacks its file descriptor")
        return self._descriptors.popleft()

    def close(self) -> None:
        self._socket.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def _take(self, count: int):
        while len(self._received) < count:
            data, descriptors, _, _ = socket.recv_fds(self._socket, 1 << 16, 8)
            self._descriptors.extend(descriptors)
            if not data:
                return None
            self._received += data
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken
