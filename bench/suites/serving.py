"""The serving core against its bars (docs/benchmarks.md says what each measure means)."""

import collections
import hashlib
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import socket
import statistics
import struct
import subprocess
import tempfile
import time

import harness
from harness import CACHE, Background, Measure, Mezzo, Process, labelled, load, rounds, wrk

MLP = CACHE / "testmodels" / "mlp"
MINILM = CACHE / "models" / "minilm"
MAGIKA = CACHE / "models" / "magika"
BIG = CACHE / "benchmodels" / "big_90mb"
SMALL = CACHE / "benchmodels" / "small_3mb"
MINILM_INPUTS = ["input_ids:1x32", "attention_mask:1x32", "token_type_ids:1x32"]
MINILM_RANGES = ["input_ids:1000..30000", "attention_mask:1..1", "token_type_ids:0..0"]


class Repository:
    """A folder of links to some models, removed at the end."""

    def __init__(self, *models, yaml=None):
        self.path = pathlib.Path(tempfile.mkdtemp())
        for model in models:
            shutil.copytree(model, self.path / model.name)
            if yaml and model.name in yaml:
                (self.path / model.name / "model.yaml").write_text(yaml[model.name])

    def __enter__(self):
        return self.path

    def __exit__(self, *exception):
        shutil.rmtree(self.path, ignore_errors=True)


def ratio(name, bar, top, bottom, series, sense=">=", note=""):
    return Measure(name, [a / b for a, b in zip(top, bottom)], bar, sense, note=note, series=series)


def mlp_body_binary():
    values = [random.Random(1).uniform(-1, 1) for _ in range(256)]
    head = json.dumps({"inputs": [{"name": "input", "shape": [1, 256], "datatype": "FP32",
                                   "parameters": {"binary_data_size": 1024}}],
                       "outputs": [{"name": "output", "parameters": {"binary_data": True}}]},
                      separators=(",", ":")).encode()
    return head + struct.pack("<256f", *values), {"Inference-Header-Content-Length": str(len(head))}


def mlp_body_json():
    values = [round(random.Random(1).uniform(-1, 1), 7) for _ in range(256)]
    return json.dumps({"inputs": [{"name": "input", "shape": [1, 256], "datatype": "FP32", "data": values}]},
                      separators=(",", ":")).encode()


def infer_url(server, model):
    return f"{server.url}/v2/models/{model}/infer"


# --- small model -----------------------------------------------------------------------------------------------------

def mlp_http_binary(count):
    body, headers = mlp_body_binary()
    with Repository(MLP) as models, Mezzo([models]) as mezzo, harness.nginx() as nginx:
        ours, theirs = rounds(
            count, labelled("mezzo", lambda: wrk(infer_url(mezzo, "mlp"), body, "application/octet-stream", headers)),
            labelled("nginx", lambda: wrk(nginx.url + "/", body, "application/octet-stream", headers)))
    return [ratio("mlp HTTP binary / nginx return 200", 0.5, ours, theirs,
                  {"mezzo requests/s": ours, "nginx requests/s": theirs},
                  note="MLP 256→256→16, 1 kB of tensor, 64 keep-alive connections, wrk with a thread per core.")]


def mlp_json(count):
    body = mlp_body_json()
    fastapi = harness.python_peer("fastapi")
    mlserver = harness.python_peer("mlserver")
    env = {"MODEL": str(MLP / "1" / "model.onnx")}
    peers = harness.ROOT / "bench" / "peers"
    port, port2, http_port, grpc_port, metrics_port = (harness.free_port() for _ in range(5))
    uvicorn = [fastapi / "uvicorn", "fastapi_app:app", "--loop", "uvloop", "--http", "httptools", "--no-access-log",
               "--log-level", "error"]
    settings = {"MLSERVER_HTTP_PORT": str(http_port), "MLSERVER_GRPC_PORT": str(grpc_port),
                "MLSERVER_METRICS_PORT": str(metrics_port), "MLSERVER_PARALLEL_WORKERS": "0", "MLSERVER_DEBUG": "false",
                "MLSERVER_HOST": "127.0.0.1", "MLSERVER_LOGGING_SETTINGS": ""}

    def measure(url):
        return lambda: wrk(url, body, "application/json")

    with Repository(MLP) as models, Mezzo([models]) as mezzo, \
            Process(uvicorn + ["--port", port], env=env, cwd=peers), \
            Process(uvicorn + ["--port", port2, "--workers", os.cpu_count()], env=env, cwd=peers), \
            Process([mlserver / "mlserver", "start", "."], env={**env, **settings}, cwd=peers / "mlserver_mlp"):
        urls = [f"http://127.0.0.1:{p}/v2/models/mlp/infer" for p in (port, port2, http_port)]
        for url in urls:
            harness.wait_for(lambda url=url: wrk(url, body, "application/json", connections=1, seconds=1) > 0, url, 60)
        ours, single, workers, mls = rounds(count, labelled("mezzo", measure(infer_url(mezzo, "mlp"))),
                                            labelled("fastapi, 1 worker", measure(urls[0])),
                                            labelled("fastapi, a worker per core", measure(urls[1])),
                                            labelled("mlserver", measure(urls[2])))
    best = [max(a, b) for a, b in zip(single, workers)]
    series = {"mezzo requests/s": ours, "fastapi 1 worker": single, "fastapi worker per core": workers, "mlserver": mls}
    note = f"The same MLP, JSON of {len(body)} bytes, 64 connections. The bar is on FastAPI's better form."
    return [ratio("mlp JSON / FastAPI", 4, ours, best, series, note=note),
            ratio("mlp JSON / MLServer", 10, ours, mls, {}, note="From the same rounds.")]


def mlp_grpc(count):
    inputs = tempfile.NamedTemporaryFile("w", suffix=".json")
    values = [random.Random(1).uniform(-1, 1) for _ in range(256)]
    json.dump({"inputs": [{"name": "input", "shape": [1, 256], "datatype": "FP32", "data": values}]}, inputs)
    inputs.flush()
    flows = [{"name": "f", "model": "mlp", "protocol": "grpc", "concurrency": 64, "input_file": inputs.name}]

    def calls(grpc):
        return lambda: load(flows, 4, grpc=grpc)["f"]["throughput_per_s"]

    with inputs, Repository(MLP) as models, Mezzo([models]) as mezzo, \
            Process([harness.BUILD / "bench" / "bench_grpc_echo", "64"], stdout=subprocess.PIPE) as echo:
        address = f"127.0.0.1:{echo.child.stdout.readline().strip()}"
        ours, theirs = rounds(count, labelled("mezzo", calls(mezzo.grpc)), labelled("grpc++ echo", calls(address)))
    return [ratio("mlp gRPC / bare grpc++ echo", 0.7, ours, theirs,
                  {"mezzo calls/s": ours, "grpc++ echo calls/s": theirs},
                  note="64 unary calls on their way over 4 connections; the echo answers the same messages at once.")]


def engine_loop(model, seconds=2.0, threads=1, intra=1, batch=1, inputs=()):
    command = [harness.BUILD / "bench" / "bench_engine_loop", model / "1" / "model.onnx", "--threads", threads, "--intra",
               intra, "--batch", batch, "--seconds", seconds]
    for text in inputs:
        command += ["--input", text]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout)


def added_time(count):
    """What the server adds to one call that comes alone: its own clock from the request's head to the written answer,
    minus what the bare engine takes."""
    body, headers = mlp_body_binary()
    headers = {**headers, "X-Mezzo-Timing": "1", "Content-Type": "application/octet-stream"}
    times = re.compile(rb"total;dur=([0-9.]+)")

    def one_round(mezzo):
        bare = engine_loop(MLP, inputs=["input:FP32:256"])["p50_us"]
        lines = [f"{name}: {value}" for name, value in
                 {**headers, "Host": "127.0.0.1", "Content-Length": len(body)}.items()]
        # One send for head and body, so that the server never waits for this client.
        request = "\r\n".join(["POST /v2/models/mlp/infer HTTP/1.1", *lines, "", ""]).encode() + body
        added, seen = [], []
        with socket.create_connection(("127.0.0.1", mezzo.http_port), timeout=30) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for index in range(6000):
                start = time.perf_counter()
                connection.sendall(request)
                answer = connection.recv(1 << 16)  # Small enough to come whole.
                if index >= 1000:
                    seen.append((time.perf_counter() - start) * 1e6)
                    added.append(float(times.search(answer).group(1)) * 1000 - bare)
        quantiles = statistics.quantiles(added, n=100)
        return quantiles[49], quantiles[98], bare, statistics.median(seen)

    with Repository(MLP) as models, Mezzo([models]) as mezzo:
        (results,) = rounds(count, labelled("mezzo", lambda: one_round(mezzo)))
    p50, p99, bare, seen = zip(*results)
    series = {"mezzo adds, p50 µs": p50, "mezzo adds, p99 µs": p99, "bare Run, p50 µs": bare,
              "seen by a Python client, p50 µs": seen}
    return [Measure("time added at concurrency 1, p50", p50, 25, "<=", " µs", series=series,
                    note="From the parsed head to the answer handed to the socket, minus the engine's own p50."),
            Measure("time added at concurrency 1, p99", p99, 80, "<=", " µs")]


# --- a real model ----------------------------------------------------------------------------------------------------

def minilm_flow(**kwargs):
    return {"name": "minilm", "model": "minilm", "protocol": "http", "shapes": MINILM_INPUTS, "ranges": MINILM_RANGES,
            **kwargs}


def minilm_saturation(count):
    inputs = ["input_ids:INT64:32:30000", "attention_mask:INT64:32:2", "token_type_ids:INT64:32:1"]
    cores = os.cpu_count()
    candidates = [(threads, intra, batch) for threads, intra in ((cores, 1), (1, cores)) for batch in (1, 4, 8, 16, 32)]
    print("  looking for the best in-process loop", flush=True)
    rates = {c: engine_loop(MINILM, 2, *c, inputs=inputs)["rows_per_second"] for c in candidates}
    threads, intra, batch = max(rates, key=rates.get)

    with Repository(MINILM) as models, Mezzo([models]) as mezzo:
        ours, best = rounds(
            count,
            labelled("mezzo", lambda: load([minilm_flow(concurrency=64)], 6, url=mezzo.url)["minilm"]["throughput_per_s"]),
            labelled("in-process loop", lambda: engine_loop(MINILM, 6, threads, intra, batch,
                                                            inputs=inputs)["rows_per_second"]))
    return [ratio("MiniLM saturation / best in-process loop", 0.95, ours, best,
                  {"mezzo sentences/s": ours, "in-process loop rows/s": best},
                  note=f"32 tokens, 64 requests on their way. The loop: {threads} threads × {intra} intra-op, batches of "
                       f"{batch}, the best of " + ", ".join(f"{t}×{i} b{b}: {r:.0f}" for (t, i, b), r in rates.items()))]


def overload(count):
    """Three models at twice what the device can do, every request with a deadline of three times its time alone."""
    flows = {
        "minilm": minilm_flow(),
        "magika": {"name": "magika", "model": "magika", "protocol": "http", "shapes": ["bytes:1x2048"],
                   "ranges": ["bytes:0..255"]},
        "big_90mb": {"name": "big_90mb", "model": "big_90mb", "protocol": "http", "shapes": ["input:1x1500"]},
    }

    def drive(mezzo, rate, solo):
        offered = [{**flow, "rate": rate, "deadline": f"{int(3e6 * solo[name])}us"} for name, flow in flows.items()]
        return load(offered, 6, url=mezzo.url)

    def goodput(result, solo):
        return sum(flow["goodput_per_s"] * solo[name] for name, flow in result.items())

    in_time, capacities, batched, goods, fifos = [], [], [], [], []
    with Repository(MINILM, MAGIKA, BIG) as models:
        for index in range(count):
            print(f"  round {index + 1}/{count}", flush=True)
            with Mezzo([models]) as mezzo:
                solo = {name: load([{**flow, "concurrency": 1}], 2, url=mezzo.url)[name]["latency_s"]["p50"]
                        for name, flow in flows.items()}
                # One caller for each model keeps the slots busy and leaves nothing to batch: the most that requests
                # with such deadlines can count on. What batches without deadlines reach is told beside it.
                capacity = goodput(load([{**flow, "concurrency": 1} for flow in flows.values()], 5, url=mezzo.url), solo)
                full = goodput(load([{**flow, "concurrency": 8} for flow in flows.values()], 5, url=mezzo.url), solo)
                rate = 2 * capacity / sum(solo.values())
                fair = drive(mezzo, rate, solo)
            with Mezzo([models], sets=["device.policy=fifo"]) as mezzo:
                fifo = drive(mezzo, rate, solo)
            answered = sum(flow["ok"] for flow in fair.values())
            late = sum(flow["late"] for flow in fair.values())
            expired = sum(number for flow in fair.values() for kind, number in flow["refusals"].items()
                          if "expired" in kind or "504" in kind)
            in_time.append((answered - late) / max(1, answered + expired))
            capacities.append(capacity)
            batched.append(full)
            goods.append(goodput(fair, solo))
            fifos.append(goodput(fifo, solo))
    series = {"mezzo goodput, s of solo time per s": goods, "capacity": capacities, "batched, without deadlines": batched,
              "fifo policy": fifos}
    return [Measure("overload 2×: accepted in time", in_time, 0.99, series={},
                    note="Answers within the deadline over answers plus requests accepted and then given up."),
            ratio("overload 2×: goodput / capacity", 0.9, goods, capacities, series,
                  note="MiniLM, Magika and a 90 MB MLP at equal rates. Goodput weighs each answer in time by its model's "
                       "time alone; capacity is the same sum for one caller per model in a closed loop."),
            ratio("overload 2×: goodput / FIFO", 2, goods, [max(value, goods[0] / 1000) for value in fifos], {},
                  note="FIFO answers nearly nothing in time under lasting overload: the ratio is cut at 1000.")]


def key_config(policy):
    tenants = []
    for name in ("light", "heavy"):
        tenants.append({"id": name, "scopes": ["admin"], "key_sha256": [hashlib.sha256(name.encode()).hexdigest()]})
    return {"tenants": tenants, "device": {"policy": policy}}


def fairness(count):
    env = {"LIGHT": "light", "HEAVY": "heavy"}

    def ready(mezzo):
        harness.wait_for(lambda: harness.http_get(mezzo.url + "/v2/health/ready") == b"", "mezzo", 60, mezzo.child)
        return mezzo

    solos, besides, fifos, batches, refusals = [], [], [], [], []
    with Repository(MINILM) as models:
        for index in range(count):
            print(f"  round {index + 1}/{count}", flush=True)
            light = minilm_flow(name="light", tenant="light", key_env="LIGHT")
            heavy = minilm_flow(name="heavy", tenant="heavy", key_env="HEAVY")
            with Mezzo([models], config=key_config("fair")) as mezzo:
                full = load([{**heavy, "concurrency": 64}], 4, url=mezzo.url, env=env)["heavy"]
                capacity = full["throughput_per_s"]
                batch = full["server"]["mean_compute_s"]
                light["rate"], heavy["rate"] = 0.05 * capacity, 20 * 0.05 * capacity * 1.2
                solo = load([light], 8, url=mezzo.url, env=env)["light"]
                both = load([light, heavy], 10, warmup=2, url=mezzo.url, env=env)
            with Mezzo([models], config=key_config("fifo")) as mezzo:
                fifo = load([light, heavy], 10, warmup=2, url=mezzo.url, env=env)
            solos.append(solo["latency_s"]["p99"] * 1000)
            besides.append(both["light"]["latency_s"]["p99"] * 1000)
            fifos.append(fifo["light"]["latency_s"]["p99"] * 1000)
            batches.append(batch * 1000)
            refusals.append(both["light"]["refused"])
    excess = [(beside - solo) / batch for beside, solo, batch in zip(besides, solos, batches)]
    series = {"mezzo beside heavy, p99 ms": besides, "alone, p99 ms": solos, "fifo beside heavy, p99 ms": fifos,
              "a full batch, ms": batches}
    return [Measure("light tenant: p99 added, in batch times", excess, 1.5, "<=", series=series,
                    note="Light offers 5 % of capacity, heavy 20 × that and a fifth more, so the device is overloaded."),
            Measure("light tenant: refusals", refusals, 0, "<=")]


# --- loading ---------------------------------------------------------------------------------------------------------

def load_unload(count):
    flow = {"name": "magika", "model": "magika", "protocol": "http", "rate": 40, "shapes": ["bytes:1x2048"],
            "ranges": ["bytes:0..255"]}

    def churn(mezzo):
        times = []
        for _ in range(20):
            start = time.monotonic()
            mezzo.post("/v2/repository/models/big_90mb/load", {})
            mezzo.post("/v2/repository/models/big_90mb/unload", {})
            times.append(time.monotonic() - start)
        return times

    quiet, loud = [], []
    with Repository(MAGIKA, BIG) as models, \
            Mezzo([models], sets=["models.control=explicit", "models.startup=[magika]"]) as mezzo:
        for index in range(count):
            print(f"  round {index + 1}/{count}", flush=True)
            quiet.append(load([flow], 10, url=mezzo.url)["magika"]["latency_s"]["p99"] * 1000)
            background = Background(lambda: churn(mezzo))
            loud.append(load([flow], 10, url=mezzo.url)["magika"]["latency_s"]["p99"] * 1000)
            background.join()
    return [ratio("p99 while a 90 MB model loads / quiet", 1.2, loud, quiet,
                  {"mezzo p99 while loading, ms": loud, "quiet p99, ms": quiet}, sense="<=",
                  note="magika at 40 requests/s; 20 loads and unloads through the repository API meanwhile.")]


def thousand_models(count):
    models_total, budget_models, hot = 1000, 100, 20
    with tempfile.TemporaryDirectory() as folder:
        for index in range(models_total):
            target = pathlib.Path(folder, f"m{index:04d}", "1")
            target.mkdir(parents=True)
            shutil.copyfile(SMALL / "1" / "model.onnx", target / "model.onnx")
        size = (SMALL / "1" / "model.onnx").stat().st_size
        budget = budget_models * (size + size // 8)
        weights = [1 / (rank + 1) for rank in range(models_total)]

        def traffic(mezzo, seconds, seed, asked=models_total, pause=0.0):
            """Latencies by model of a caller that takes one model after the other, by Zipf. Draws of models beyond the
            first `asked` are not asked for: the caller sleeps instead."""
            random_source = random.Random(seed)
            found = {}
            connection = http.client.HTTPConnection("127.0.0.1", mezzo.http_port, timeout=60)
            body = small_body()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                name = random_source.choices(range(models_total), weights)[0]
                if name >= asked:
                    time.sleep(pause)
                    continue
                start = time.perf_counter()
                connection.request("POST", f"/v2/models/{names[name]}/infer", body)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{names[name]}: {answer.status}")
                found.setdefault(name, []).append(time.perf_counter() - start)
            return found

        names = [f"m{index:04d}" for index in range(models_total)]
        memory, slower = [], []
        hits = collections.defaultdict(list)
        for index in range(count):
            print(f"  round {index + 1}/{count}", flush=True)
            with Mezzo([folder], sets=[f"models.memory_budget={budget}", "models.control=none"]) as mezzo:
                empty = engine_rss()
                # Quiet traffic goes over nearly as many loaded models, or caches would make the difference; where the other
                # loads one, this caller sleeps for as long, or what every caller pays after a pause would.
                fitting = budget_models * 9 // 10
                first = traffic(mezzo, 3, index, fitting)
                load_time = statistics.median(times[0] for times in first.values())
                quiet = traffic(mezzo, 10, index, fitting, pause=load_time)
                busy = traffic(mezzo, 3, index, fitting)
                peak = 0
                background = Background(lambda: traffic(mezzo, 15, index))
                while background.thread.is_alive():
                    peak = max(peak, mezzo.rss())
                    time.sleep(0.05)
                loud = background.join()
            quiet_hits = [t for number in range(hot) for t in quiet.get(number, [])]
            busy_hits = [t for number in range(hot) for t in busy.get(number, [])]
            loud_hits = [t for number in range(hot) for t in loud.get(number, [])]
            memory.append((peak - empty) / budget)
            hits["beside the churn, µs"].append(statistics.median(loud_hits) * 1e6)
            hits["quiet, with the pauses, µs"].append(statistics.median(quiet_hits) * 1e6)
            hits["quiet, without pauses, µs"].append(statistics.median(busy_hits) * 1e6)
            slower.append(hits["beside the churn, µs"][-1] / hits["quiet, with the pauses, µs"][-1])
    return [Measure("1,000 models: resident memory / budget", memory, 1.1, "<=",
                    note="Peak of VmRSS less that of a server with the engine and one tiny model, over the budget for 100 "
                         "models."),
            Measure("1,000 models: hits on loaded models / quiet", slower, 1.1, "<=",
                    series=dict(hits),
                    note="Median time of the 20 most asked models beside the churn over that without it, where the caller sleeps "
                         "for the time of a load instead.")]


def small_body():
    return json.dumps({"inputs": [{"name": "input", "shape": [1, 512], "datatype": "FP32", "data": [0.5] * 512}]}).encode()


def engine_rss():
    """Of a server that has loaded the engine and one tiny model."""
    with Repository(MLP) as models, Mezzo([models]) as mezzo:
        time.sleep(0.5)
        return mezzo.rss()


# --- the process -----------------------------------------------------------------------------------------------------

def scheduler_core(count):
    binary = harness.BUILD / "src" / "mezzo" / "sched" / "mezzo_sched_scheduler_bench"

    def run():
        done = subprocess.run([binary, "--benchmark_filter=.*10000.*", "--benchmark_format=json",
                               "--benchmark_min_time=1"], capture_output=True, text=True, check=True, timeout=300)
        return {entry["name"]: entry["items_per_second"] / 1e6 for entry in json.loads(done.stdout)["benchmarks"]}

    (results,) = rounds(count, labelled("scheduler", run))
    default = [result["BM_EnqueueDispatchComplete/10000/32"] for result in results]
    return [Measure("scheduler core, 10,000 flows", default, 1.0, ">=", " M items/s",
                    note="Enqueue, dispatch and complete on one core, batches of up to 32 rows (the default). Other sizes, and "
                         "with deadlines, below: what costs is the way to each flow's memory, several cache misses an item.",
                    series={name: [result[name] for result in results] for name in results[0]})]


def start_up(count):
    def run():
        start = time.monotonic()
        with Mezzo(ready=False) as mezzo:
            while True:
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", mezzo.http_port, timeout=1)
                    connection.request("GET", "/v2/health/ready")
                    if connection.getresponse().status == 200:
                        break
                except OSError:
                    time.sleep(0.002)
            ready = (time.monotonic() - start) * 1000
            time.sleep(1)
            return ready, mezzo.rss() / 2**20

    (results,) = rounds(count, labelled("mezzo", run))
    ready, rss = zip(*results)
    return [Measure("start to ready without models", ready, 300, "<=", " ms"),
            Measure("resident memory, idle", rss, 60, "<=", " MiB")]


def telemetry(count):
    """Time of everything that one call records, over the processor time that a call takes at saturation."""
    binary = harness.BUILD / "src" / "mezzo" / "inference" / "mezzo_inference_telemetry_bench"
    body, headers = mlp_body_binary()

    def one_call():
        done = subprocess.run([binary, "--benchmark_format=json"], capture_output=True, text=True, check=True,
                              timeout=300)
        return json.loads(done.stdout)["benchmarks"][0]["cpu_time"]

    def cpu_seconds(mezzo):
        fields = pathlib.Path(f"/proc/{mezzo.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def call_cost(mezzo):
        before = cpu_seconds(mezzo)
        rate = wrk(infer_url(mezzo, "mlp"), body, "application/octet-stream", headers)
        return (cpu_seconds(mezzo) - before) / (rate * 4) * 1e9

    with Repository(MLP) as models, Mezzo([models]) as mezzo:
        recorded, calls = rounds(count, labelled("records", one_call),
                                 labelled("calls", lambda: call_cost(mezzo)))
    return [Measure("telemetry / processor time of a call", [100 * a / b for a, b in zip(recorded, calls)], 2, "<=", " %",
                    series={"mezzo: a call's records, ns": recorded, "a call's processor time, ns": calls},
                    note="The cheapest call there is (MLP, binary HTTP); for real models the share is smaller.")]


BENCHMARKS = {
    "mlp_http_binary": mlp_http_binary,
    "mlp_json": mlp_json,
    "mlp_grpc": mlp_grpc,
    "added_time": added_time,
    "minilm_saturation": minilm_saturation,
    "overload": overload,
    "fairness": fairness,
    "load_unload": load_unload,
    "thousand_models": thousand_models,
    "scheduler_core": scheduler_core,
    "start_up": start_up,
    "telemetry": telemetry,
}
