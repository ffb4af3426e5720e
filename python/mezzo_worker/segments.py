"""Memory that the server shares with this process: it makes, sizes and seals every segment."""

import mmap
import os

from .frames import ProtocolError


class Segments:
    """The segments of this process by their numbers. Not thread-safe."""

    def __init__(self):
        self._maps = {}

    def add(self, number: int, size: int, descriptor: int, writable: bool) -> None:
        """Maps a segment; takes the descriptor over."""
        try:
            access = mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ
            self._maps[number] = mmap.mmap(descriptor, size, mmap.MAP_SHARED, access)
        finally:
            os.close(descriptor)

    def forget(self, number: int) -> None:
        """Unmaps a segment, or leaves that to the last array that still lies in it."""
        taken = self._maps.pop(number, None)
        if taken is not None:
            try:
                taken.close()
            except BufferError:
                pass  # A model kept an array: its memory goes with the array.

    def __getitem__(self, number: int) -> mmap.mmap:
        if number not in self._maps:
            raise ProtocolError(f"there is no segment {number}")
        return self._maps[number]
