"""A Redis of a test's own, on a free loopback port and without persistence."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time

PROGRAM = "/usr/bin/redis-server"
PASSWORD = "s3cret-of-the-test"


class RedisServer:
    """Needs Debian's package redis-server. After a kill, start() gives an empty one on the same port."""

    def __init__(self):
        self._folder = tempfile.mkdtemp(prefix="mezzo-redis-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = None
        self.start()

    @property
    def url(self):
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self):
        command = [PROGRAM, "--bind", "127.0.0.1", "--port", str(self.port), "--requirepass", PASSWORD, "--save", "", "--appendonly",
                   "no", "--dir", self._folder]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("Redis did not start")
            time.sleep(0.01)

    def _answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {PASSWORD}\r\n".encode())
                return connection.recv(16).startswith(b"+OK")
        except OSError:
            return False

    def kill(self):
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
