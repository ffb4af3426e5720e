"""A PostgreSQL server of a test's own, on a free loopback port and with its data in a temporary folder."""

import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

BINARIES = pathlib.Path("/usr/lib/postgresql/15/bin")
USER = "mezzo"


class PostgresServer:
    """Needs Debian's package postgresql-15. Under root it runs as the user `postgres`, as it refuses to be root."""

    def __init__(self, settings=()):
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="mezzo-postgres-"))
        self._data = self._folder / "data"
        account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self._as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        if account:
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        self._run("initdb", "-D", self._data, "--no-sync", "-A", "trust", "-U", USER, "--no-locale", "-E", "UTF8")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        lines = ["listen_addresses = '127.0.0.1'", f"port = {self.port}", f"unix_socket_directories = '{self._folder}'",
                 "max_connections = 200", *settings]
        with open(self._data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        self.process = None
        self.start()

    @property
    def url(self):
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def start(self):
        with open(self._folder / "log", "ab") as log:
            self.process = subprocess.Popen([BINARIES / "postgres", "-D", self._data], stdout=log, stderr=log,
                                            cwd=self._folder, **self._as_user)
        deadline = time.monotonic() + 60
        while subprocess.run([BINARIES / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)],
                             check=False).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL did not start:\n" + (self._folder / "log").read_text()[-4000:])
            time.sleep(0.05)

    def stop(self, how=signal.SIGINT):
        """SIGINT is a "fast" shutdown: connections are ended. SIGQUIT is one without a last checkpoint."""
        self.process.send_signal(how)
        self.process.wait(60)

    def query(self, sql):
        """The rows as lists of texts."""
        out = subprocess.run([BINARIES / "psql", "-XAt", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", self.url, "-c", sql],
                             capture_output=True, text=True, timeout=120, check=True).stdout
        return [line.split("\t") for line in out.splitlines()]

    def _run(self, program, *args):
        subprocess.run([BINARIES / program, *args], check=True, capture_output=True, cwd=self._folder, timeout=120,
                       **self._as_user)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)
