"""What every benchmark suite needs: servers and peers started on free ports and ended by pid, load, rounds, reports."""

import contextlib
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / os.environ.get("BUILD_UNDER_TEST", "release")
MEZZO = BUILD / "src" / "mezzo" / "app" / "mezzo"
CACHE = ROOT / ".cache"
MOST_BARS = 8  # Of a picture; larger tables have none.


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(check, what, seconds=60, child=None):
    """Until `check()` holds; not longer than `child` lives."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if child is not None and child.poll() is not None:
            raise RuntimeError(f"{what} ended with exit code {child.returncode}")
        with contextlib.suppress(OSError, urllib.error.URLError, subprocess.CalledProcessError):
            if check():
                return
        time.sleep(0.02)
    raise RuntimeError(f"{what} did not come up within {seconds} s")


def http_get(url, timeout=10):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read()


class Process:
    """A child that is ended with its group when the block ends."""

    def __init__(self, command, env=None, cwd=None, stdout=None):
        self.log = tempfile.TemporaryFile("w+")
        self.child = subprocess.Popen([str(part) for part in command], stdout=stdout or self.log, stderr=self.log,
                                      env={**os.environ, **(env or {})}, cwd=cwd, start_new_session=True, text=True)

    def text(self):
        self.log.seek(0)
        return self.log.read()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGTERM)
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
        if self.child.stdout:
            self.child.stdout.close()
        self.log.close()


class Mezzo(Process):
    """`mezzo serve` of the release build, or of that which BUILD_UNDER_TEST names."""

    def __init__(self, models=(), sets=(), config=None, ready=True, env=None):
        self.http_port, self.grpc_port = free_port(), free_port()
        command = [MEZZO, "serve", "--http-port", self.http_port, "--grpc-port", self.grpc_port, "--set",
                   "log.level=warn"]
        for folder in models:
            command += ["--models", folder]
        for pair in sets:
            command += ["--set", pair]
        self._folder = tempfile.TemporaryDirectory()
        if not any(pair.startswith("data_dir=") for pair in sets):
            command += ["--set", f"data_dir={self._folder.name}/data"]
        if config is not None:
            path = pathlib.Path(self._folder.name, "mezzo.yaml")
            path.write_text(json.dumps(config))
            command += ["--config", path]
        self.started = time.monotonic()
        super().__init__(command, env=env)
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.grpc = f"127.0.0.1:{self.grpc_port}"
        if ready:
            try:
                wait_for(lambda: http_get(self.url + "/v2/health/ready") == b"", "mezzo", 120, self.child)
            except RuntimeError as error:
                text = self.text()
                self.__exit__()
                raise RuntimeError(f"{error}\n{text}") from None

    def metrics(self, headers=None):
        samples = {}
        request = urllib.request.Request(self.url + "/metrics", headers=headers or {})
        with urllib.request.urlopen(request, timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                if line and not line.startswith("#"):
                    name, value = line.rsplit(" ", 1)
                    samples[name] = float(value)
        return samples

    def post(self, path, body, timeout=120):
        request = urllib.request.Request(self.url + path, data=json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read()

    def rss(self):
        for line in pathlib.Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0


def nginx(body_bytes=64):
    """nginx answering 200 from memory: the floor that an HTTP server on this machine stands on."""
    port = free_port()
    folder = tempfile.mkdtemp()
    config = pathlib.Path(folder, "nginx.conf")
    config.write_text(f"""
worker_processes {os.cpu_count()};
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port} reuseport; location / {{ return 200 "{'x' * body_bytes}"; }} }}
}}
""")
    process = Process([shutil.which("nginx") or "/usr/sbin/nginx", "-c", config, "-p", folder])
    process.url = f"http://127.0.0.1:{port}"
    wait_for(lambda: http_get(process.url), "nginx", 20)
    return process


def python_peer(name):
    """The private Python environment of a peer, with its pinned packages."""
    requirements = ROOT / "bench" / "peers" / f"{name}-requirements.txt"
    folder = CACHE / f"peer-{name}"
    stamp = folder / ".stamp"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        print(f"making the Python environment of {name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", "-r", requirements], check=True)
        stamp.write_text(requirements.read_text())
    return folder / "bin"


def wrk(url, body=None, content_type="", headers=None, connections=64, seconds=4):
    """Requests per second of one keep-alive load with one thread per core; every answer must be a 200. GET without a body."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [f'wrk.headers["{key}"] = "{value}"' for key, value in (headers or {}).items()]
        if body is not None:
            data = pathlib.Path(folder, "body")
            data.write_bytes(body)
            lines += ['wrk.method = "POST"', f'wrk.headers["Content-Type"] = "{content_type}"',
                      f'local file = io.open("{data}", "rb")', 'wrk.body = file:read("*a")', "file:close()"]
        script = pathlib.Path(folder, "load.lua")
        script.write_text("\n".join(lines))
        done = subprocess.run(["wrk", "-t", str(min(os.cpu_count(), connections)), "-c", str(connections), "-d", f"{seconds}s", "-s",
                               script, url], capture_output=True, text=True, timeout=seconds + 60, check=True)
    if "Non-2xx" in done.stdout:
        raise RuntimeError(f"{url} did not answer every request with 200:\n{done.stdout}")
    for line in done.stdout.splitlines():
        if line.startswith("Requests/sec:"):
            return float(line.split()[1])
    raise RuntimeError(done.stdout)


def load(flows, seconds, warmup=1.0, url=None, grpc=None, env=None, seed=1):
    """Runs `mezzo bench` with these flows; the report by flow name, as docs/guides/bench.md describes it."""
    with tempfile.TemporaryDirectory() as folder:
        scenario = pathlib.Path(folder, "scenario.yaml")
        scenario.write_text(json.dumps({"duration": f"{int(seconds * 1000)}ms", "warmup": f"{int(warmup * 1000)}ms",
                                        "seed": seed, "flows": flows}))
        report = pathlib.Path(folder, "report.json")
        command = [MEZZO, "bench", "--scenario", scenario, "--json", report]
        if url:
            command += ["--url", url]
        if grpc:
            command += ["--grpc", grpc]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                              env={**os.environ, **(env or {})}, timeout=seconds + warmup + 120, check=False)
        if not report.exists():
            raise RuntimeError(f"mezzo bench failed ({done.returncode}):\n{done.stdout}\n{done.stderr}")
        result = json.loads(report.read_text())
    return {flow["name"]: flow for flow in result["flows"]}


def rounds(count, *functions):
    """Calls the functions in turn, `count` times, so that drift of the machine hits all alike; a list of results each."""
    results = [[] for _ in functions]
    for index in range(count):
        for number, function in enumerate(functions):
            print(f"  round {index + 1}/{count}: {getattr(function, 'label', function.__name__)}", file=sys.stderr,
                  flush=True)
            results[number].append(function())
    return results


def sliced(count, slices, *functions):
    """As rounds(), of functions that each take a second or so: in a round they take turns `slices` times, and the round's figure is the
    median of a function's. Against a machine whose speed changes within seconds."""
    results = [[] for _ in functions]
    for index in range(count):
        print(f"  round {index + 1}/{count}: {slices} times {', '.join(function.label for function in functions)}", file=sys.stderr,
              flush=True)
        turns = [[] for _ in functions]
        for turn in range(slices):
            for number in range(len(functions)):
                number = number if turn % 2 == 0 else len(functions) - 1 - number
                turns[number].append(functions[number]())
        for figures, values in zip(results, turns):
            figures.append(statistics.median(values))
    return results


def labelled(label, function):
    """The function under a name for progress lines."""
    def call():
        return function()
    call.label = label
    return call


class Measure:
    """A figure over rounds, with its bar. `sense` is '>=' or '<='."""

    def __init__(self, name, values, bar, sense=">=", unit="", note="", series=None):
        self.name, self.values, self.bar, self.sense, self.unit = name, list(values), bar, sense, unit
        self.note, self.series = note, series or {}

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def ok(self):
        return self.median >= self.bar if self.sense == ">=" else self.median <= self.bar

    def line(self):
        verdict = "ok" if self.ok else "short"
        return f"{self.name}  {self.median:.3g}{self.unit}  {self.sense} {self.bar:g}{self.unit}  {verdict}"


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
                 platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}"


def commit():
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True,
                          check=False).stdout.strip()


def merge(suite, measures, folder):
    """Puts what was measured now into the suite's record; everything in it, in the order of its first measuring."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{suite}.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    for measure in measures:
        record[measure.name] = {"values": measure.values, "bar": measure.bar, "sense": measure.sense,
                                "unit": measure.unit, "note": measure.note, "series": measure.series,
                                "date": str(datetime.date.today()), "commit": commit()}
    path.write_text(json.dumps(record, indent=1) + "\n")
    return [Measure(name, entry["values"], entry["bar"], entry["sense"], entry["unit"], entry.get("note", ""),
                    entry.get("series")) for name, entry in record.items()]


def write_report(suite, measures, folder):
    """Markdown with one table and a plot per measure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"# Benchmark: {suite}", "",
             f"{datetime.date.today()}, commit {commit()}, {machine()}. Load generator and server share the cores. Ratios "
             "are of one run; every round visits all parties in turn. Commits of single measures stand in the JSON beside this.", "",
             "| measure | min | median | max | bar | |", "|---|---|---|---|---|---|"]
    for measure in measures:
        lines.append(f"| {measure.name} | {min(measure.values):.3g}{measure.unit} | {measure.median:.3g}{measure.unit} | "
                     f"{max(measure.values):.3g}{measure.unit} | {measure.sense} {measure.bar:g}{measure.unit} | "
                     f"{'ok' if measure.ok else '**short**'} |")
    for measure in measures:
        lines += ["", f"## {measure.name}", ""]
        if measure.note:
            lines += [measure.note, ""]
        if not measure.series:
            continue
        rows = {key: values for key, values in measure.series.items() if values}
        lines += ["| | min | median | max |", "|---|---|---|---|"]
        for key, values in rows.items():
            lines.append(f"| {key} | {min(values):.4g} | {statistics.median(values):.4g} | {max(values):.4g} |")
        if len(rows) > MOST_BARS:
            continue  # Such a measure's note shows a picture of its own.
        picture = f"{suite}-{re.sub('[^a-zA-Z0-9]+', '-', measure.name).strip('-')}.png"
        figure, axes = pyplot.subplots(figsize=(7, 0.6 + 0.45 * len(rows)))
        names = list(rows)
        medians = [statistics.median(rows[name]) for name in names]
        errors = [[median - min(rows[name]) for name, median in zip(names, medians)],
                  [max(rows[name]) - median for name, median in zip(names, medians)]]
        axes.barh(names, medians, xerr=errors, color=["#2b6cb0" if "mezzo" in name else "#a0aec0" for name in names])
        axes.invert_yaxis()
        axes.set_title(measure.name)
        figure.tight_layout()
        figure.savefig(folder / picture, dpi=110)
        pyplot.close(figure)
        lines += ["", f"![{measure.name}]({picture})"]
    (folder / f"{suite}.md").write_text("\n".join(lines) + "\n")
    return folder / f"{suite}.md"


class Background:
    """Runs a function beside the measured load and re-raises what it raised."""

    def __init__(self, function):
        self.error = None
        self.result = None

        def run():
            try:
                self.result = function()
            except Exception as error:  # noqa: BLE001 - handed to the caller's thread by join()
                self.error = error

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def join(self):
        self.thread.join()
        if self.error:
            raise self.error
        return self.result
