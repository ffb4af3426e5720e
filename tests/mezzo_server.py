"""Starts the real binary for tests: port 0, its public interface only, ended by the test that started it."""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
PRESET = os.environ.get("MEZZO_PRESET", "dev")
BINARY = pathlib.Path(os.environ.get("BUILD_UNDER_TEST", ROOT / "build" / PRESET)) / "src" / "mezzo" / "app" / "mezzo"
MODELS = ROOT / ".cache" / "testmodels"
BAD_MODELS = ROOT / ".cache" / "badmodels"
EXAMPLES = ROOT / ".cache" / "models"
# Sanitizers make everything slower; nothing else may.
SLOWNESS = {"dev": 1, "release": 1, "asan": 4, "tsan": 10}.get(PRESET, 1)


class Server:
    """A running `mezzo serve`. `log` holds its parsed JSON log lines."""

    def __init__(self, *args, models=None, config=None, env=None, wait_ready=True, data_dir=None):
        """`data_dir`: kept, so that a later server can go on with it; None: a folder that goes with this server."""
        self._own_data = tempfile.TemporaryDirectory() if data_dir is None else None
        data_dir = data_dir or self._own_data.name
        command = [BINARY, "serve", "--http-port", "0", "--grpc-port", "0", "--set", "log.format=json", "--set",
                   f"data_dir={data_dir}"]
        for folder in models if isinstance(models, (list, tuple)) else [models] if models else []:
            command += ["--models", folder]
        self._config = None
        if config is not None:
            self._config = tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False)
            self._config.write(config)
            self._config.close()
            command += ["--config", self._config.name]
        command += args
        self.log = []
        self.raw = []
        self.http_port = self.grpc_port = 0
        self._listening = threading.Event()
        self.process = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, **(env or {})})
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._listening.wait(30 * SLOWNESS):
            self.kill()
            raise RuntimeError("the server did not start:\n" + "".join(self.raw[-50:]))
        if self.http_port == self.grpc_port == 0:  # Its log ended without the line that says where it listens.
            self.wait()
            raise RuntimeError("the server ended:\n" + "".join(self.raw[-50:]))
        if wait_ready:
            self.await_ready()

    def _read(self):
        for line in self.process.stderr:
            self.raw.append(line)
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            self.log.append(entry)
            if entry.get("msg") == "serving":
                self.http_port = entry.get("http_port", 0)
                self.grpc_port = entry.get("grpc_port", 0)
                self._listening.set()
        self._listening.set()

    @property
    def http(self):
        return f"127.0.0.1:{self.http_port}"

    @property
    def http_url(self):
        return f"http://{self.http}"

    @property
    def grpc(self):
        return f"127.0.0.1:{self.grpc_port}"

    def get(self, path, headers=None, timeout=30):
        return self.request("GET", path, headers=headers, timeout=timeout)

    def request(self, method, path, body=None, headers=None, timeout=30):
        """(status, headers, body) of one request; error statuses are answers, not exceptions."""
        request = urllib.request.Request(self.http_url + path, data=body, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=timeout * SLOWNESS) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as answer:
            return answer.code, dict(answer.headers), answer.read()

    def await_ready(self, seconds=60):
        deadline = time.monotonic() + seconds * SLOWNESS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError("the server ended:\n" + "".join(self.raw[-50:]))
            # A server with short patience may cut a question of ours off while the machine is busy with its start.
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get("/v2/health/ready")[0] == 200:
                    return
            time.sleep(0.02)
        raise RuntimeError("the server did not get ready:\n" + "".join(self.raw[-50:]))

    def metrics(self):
        """{'name{labels}': value} of every sample."""
        samples = {}
        status, _, text = self.get("/metrics")
        if status != 200:
            raise ConnectionError(f"/metrics answered {status}: {text[:200]}")
        for line in text.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples

    def terminate(self, seconds=30):
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds=30):
        try:
            code = self.process.wait(seconds * SLOWNESS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._reader.join(5)
        self.process.stderr.close()
        if self._config is not None:
            pathlib.Path(self._config.name).unlink(missing_ok=True)
        return code

    def kill(self):
        self.process.kill()
        return self.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            code = self.terminate()
            assert code == 0, f"exit code {code}:\n" + "".join(self.raw[-80:])
        elif self.process.stderr and not self.process.stderr.closed:
            self.wait()
