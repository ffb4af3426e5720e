"""A TCP proxy that cuts, delays, stalls and garbles what goes through it, as its owner says at each moment."""

import asyncio
import contextlib
import random
import threading

PIECE = 65536


class FaultProxy:
    """Listens on a free port of `address` and connects to 127.0.0.1:`target`. A thread of its own.

    Modes: `pass`; `cut` (connections are reset, new ones too); `stall` (nothing goes through, connections stay); `delay`
    (every piece waits `seconds`); `garble` (bytes towards the client are changed, a few of each piece); `noise` (a burst of
    bytes that nobody sent, towards the client, then a cut). All chance comes from `seed`."""

    MODES = ("pass", "cut", "stall", "delay", "garble", "noise")

    def __init__(self, target, seed=1, address="127.0.0.1"):
        self.target = target
        self.port = 0
        self.faults = 0  # Times that a mode other than `pass` was set.
        self._address = address
        self._random = random.Random(seed)
        self._mode, self._seconds = "pass", 0.0
        self._writers = set()
        self._tasks = set()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        if not self._ready.wait(30):
            raise RuntimeError("the proxy did not start")

    def set(self, mode, seconds=0.05):
        """Holds when it returns."""
        assert mode in self.MODES, mode
        self.faults += mode != "pass"
        self._call(self._set(mode, seconds))

    def close(self):
        if self._thread.is_alive():
            self._call(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def _run(self):
        asyncio.set_event_loop(self._loop)

        async def listen():
            self._server = await asyncio.start_server(self._serve, self._address, 0)
            self.port = self._server.sockets[0].getsockname()[1]
            self._ready.set()

        self._loop.run_until_complete(listen())
        self._loop.run_forever()
        self._loop.close()

    async def _set(self, mode, seconds):
        self._mode, self._seconds = mode, seconds
        if mode in ("cut", "noise"):
            for writer, to_client in list(self._writers):
                if mode == "noise" and to_client:
                    with contextlib.suppress(Exception):
                        writer.write(self._random.randbytes(64))
                        await asyncio.wait_for(writer.drain(), 0.1)
                self._reset(writer)

    async def _end(self):
        self._server.close()
        for writer, _ in list(self._writers):
            self._reset(writer)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @staticmethod
    def _reset(writer):
        with contextlib.suppress(Exception):
            writer.transport.abort()

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._reset(writer)

    async def _join(self, reader, writer):
        if self._mode in ("cut", "noise"):
            return
        there, back = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self.target), 10)
        mine = {(writer, True), (back, False)}
        self._writers |= mine
        pumps = [asyncio.ensure_future(self._pump(reader, back, False)),
                 asyncio.ensure_future(self._pump(there, writer, True))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._writers -= mine
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._reset(back)

    async def _pump(self, reader, writer, to_client):
        while piece := await reader.read(PIECE):
            while self._mode == "stall":
                await asyncio.sleep(0.005)
            if self._mode == "delay":
                await asyncio.sleep(self._seconds)
            if self._mode == "garble" and to_client:
                changed = bytearray(piece)
                for _ in range(1 + len(changed) // 200):
                    changed[self._random.randrange(len(changed))] ^= self._random.randrange(1, 256)
                piece = bytes(changed)
            writer.write(piece)
            await writer.drain()
