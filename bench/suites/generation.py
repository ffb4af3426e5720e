"""Picture generation against its bars (docs/benchmarks.md says what each measure means).

Everybody draws with the built-in model `emoji`: the same weights, 64x64 pixels, DDIM, guidance 3, FP32."""

import base64
import concurrent.futures
import contextlib
import csv
import datetime
import http.client
import io
import itertools
import json
import os
import pathlib
import queue
import shutil
import statistics
import subprocess
import tempfile
import threading
import time

import harness
from harness import CACHE, Measure, Mezzo, Process, labelled, rounds

EMOJI = harness.ROOT / "models-src" / "emoji"
MINILM = CACHE / "models" / "minilm"
PATH = "/v1/images/generations"
PROMPTS = ("red apple", "a picture of a dog", "rocket", "birthday cake", "flag: Japan", "snowman", "soccer ball", "pizza")
STEPS, GUIDANCE = 20, 3.0
CLIENTS = 16
PNG = b"\x89PNG\r\n\x1a\n"
TIMEOUT = 120


@contextlib.contextmanager
def mezzo_server():
    with tempfile.TemporaryDirectory() as folder:
        for model in (EMOJI, MINILM):
            shutil.copytree(model, pathlib.Path(folder, model.name))
        with Mezzo([folder]) as server:
            yield server.http_port


@contextlib.contextmanager
def peer(kind, slots, threads):
    """One of bench/peers/images_*.py; gives its port."""
    port = harness.free_port()
    env = {"PIPELINE": kind, "MODEL": str(EMOJI / "1"), "TEXT_MODEL": str(MINILM / "1"), "SLOTS": str(slots),
           "THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    command = [harness.python_peer(f"images-{kind}") / "uvicorn", "images_app:app", "--loop", "uvloop", "--http",
               "httptools", "--no-access-log", "--log-level", "error", "--port", port]
    with Process(command, env=env, cwd=harness.ROOT / "bench" / "peers") as process:
        try:
            harness.wait_for(lambda: harness.http_get(f"http://127.0.0.1:{port}/health") == b"", f"peer {kind}", 120, process.child)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{process.text()}") from None
        yield port


@contextlib.contextmanager
def peers(kind):
    """A peer in the two forms that can be best: one request on all cores, and one request per core."""
    cores = os.cpu_count()
    with peer(kind, 1, cores) as wide, peer(kind, cores, 1) as many:
        yield wide, many


class Caller:
    """One keep-alive connection; not thread-safe."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)

    def send(self, number, **more):
        body = {"model": "emoji", "prompt": PROMPTS[number % len(PROMPTS)], "seed": number, "steps": STEPS,
                "guidance": GUIDANCE, **more}
        self.connection.request("POST", PATH, json.dumps(body), {"Content-Type": "application/json"})

    def draw(self, number, **more):
        """Seconds from the request to the whole answer, which must hold a picture."""
        start = time.perf_counter()
        self.send(number, **more)
        answer = self.connection.getresponse()
        body = answer.read()
        seconds = time.perf_counter() - start
        if answer.status != 200:
            raise RuntimeError(f"{PATH} answered {answer.status}: {body[:500]!r}")
        if not base64.b64decode(json.loads(body)["data"][0]["b64_json"]).startswith(PNG):
            raise RuntimeError("the answer has no PNG")
        return seconds

    def leave(self):
        self.connection.close()


def alone(port, count=5, **more):
    """The median time of one picture when nothing else is drawn."""
    caller = Caller(port)
    times = [caller.draw(number, **more) for number in range(count + 1)][1:]
    caller.leave()
    return statistics.median(times)


def crowd(port, seconds=30):
    """CLIENTS clients, each asking again when it has its picture: (pictures/s, p95 in seconds) of the answers that come
    within `seconds`, after a warm-up of a third of that."""
    begin = time.perf_counter() + seconds / 3
    end = begin + seconds

    def client(index):
        caller, found = Caller(port), []
        while (started := time.perf_counter()) < end:
            taken = caller.draw(index * 1000 + len(found))
            found.append((started + taken, taken))
        caller.leave()
        return found

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        pictures = [picture for found in pool.map(client, range(CLIENTS)) for picture in found]
    times = [taken for done, taken in pictures if begin <= done <= end]
    return len(times) / seconds, statistics.quantiles(times, n=20)[18]


@contextlib.contextmanager
def flood(port, **more):
    """CLIENTS clients that draw without an end, until the block ends; what failed is raised there."""
    stop = threading.Event()

    def client(index):
        caller, number = Caller(port), index * 1000
        while not stop.is_set():
            number += 1
            caller.draw(number, **more)
        caller.leave()

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        futures = [pool.submit(client, index) for index in range(CLIENTS)]
        try:
            time.sleep(2)
            yield
        finally:
            stop.set()
        for future in futures:
            future.result()


def step_time(port, count):
    """Seconds of one step while the flood is on: long pictures less short ones, of the same kind of request."""
    caller = Caller(port)
    few, many = 2, 12
    found = [(caller.draw(number, steps=many) - caller.draw(number, steps=few)) / (many - few) for number in range(count)]
    caller.leave()
    return statistics.median(found)


# --- measures --------------------------------------------------------------------------------------------------------

def ratios(name, bar, ours, theirs, sense, series, note):
    return Measure(name, [a / b for a, b in zip(ours, theirs)], bar, sense, note=note, series=series)


def one_picture(count):
    note = f"One client, one picture after the other: {STEPS} steps. The peers' better form."
    measures = []
    with mezzo_server() as mezzo:
        for kind, bar in (("torch", 4), ("onnx", 1.1)):
            with peers(kind) as (wide, many):
                ours, a, b = rounds(count, labelled("mezzo", lambda: alone(mezzo)),
                                    labelled(f"{kind}, all cores", lambda port=wide: alone(port)),
                                    labelled(f"{kind}, one core", lambda port=many: alone(port)))
            best = [min(pair) for pair in zip(a, b)]
            series = {"mezzo, s": ours, f"{kind} on all cores, s": a, f"{kind} on one core, s": b}
            measures.append(ratios(f"one picture, {kind} / mezzo", bar, best, ours, ">=", series, note))
    return measures


def sixteen_clients(count):
    note = f"{CLIENTS} clients, each asks again when it has its picture. Against the peer's form of greater throughput."
    measures = []
    with mezzo_server() as mezzo:
        for kind, rate_bar, time_bar in (("torch", 6, 0.3), ("onnx", 1.8, 0.6)):
            with peers(kind) as (wide, many):
                ours, a, b = rounds(count, labelled("mezzo", lambda: crowd(mezzo)),
                                    labelled(f"{kind}, one at a time", lambda port=wide: crowd(port)),
                                    labelled(f"{kind}, one per core", lambda port=many: crowd(port)))
            best = [max(pair) for pair in zip(a, b)]
            rates = {"mezzo pictures/s": [x[0] for x in ours], f"{kind} one at a time": [x[0] for x in a],
                     f"{kind} one per core": [x[0] for x in b]}
            times = {"mezzo p95, s": [x[1] for x in ours], f"{kind} p95, s": [x[1] for x in best]}
            measures.append(ratios(f"{CLIENTS} clients, pictures/s of mezzo / {kind}", rate_bar, [x[0] for x in ours],
                                   [x[0] for x in best], ">=", rates, note))
            measures.append(ratios(f"{CLIENTS} clients, p95 of mezzo / {kind}", time_bar, [x[1] for x in ours],
                                   [x[1] for x in best], "<=", times, "From the same rounds."))
    return measures


def paid_among_free(count):
    """A picture of the first tier while CLIENTS of the last one are drawn."""

    def one_round(port):
        quiet, quiet_step = alone(port, tier="paid"), alone(port, steps=1, tier="paid")
        with flood(port, tier="free"):
            step = step_time(port, 3)
            loaded, loaded_step = alone(port, tier="paid"), alone(port, steps=1, tier="paid")
        return loaded / quiet, (loaded_step - quiet_step) / step, quiet, loaded, step

    with mezzo_server() as mezzo:
        (results,) = rounds(count, labelled("mezzo", lambda: one_round(mezzo)))
    slower, steps, quiet, loaded, step = zip(*results)
    series = {"mezzo alone, s": quiet, "mezzo among the others, s": loaded, "mezzo, one step of the others, s": step}
    return [Measure("paid picture among 16 free ones, time / time alone", slower, 1.6, "<=", series=series,
                    note=f"{STEPS} steps; tier `paid` among {CLIENTS} clients of tier `free`."),
            Measure("paid picture among 16 free ones, wait for its first step", steps, 2, "<=", " steps",
                    note="A picture of one step: what it takes beyond its time alone, in steps of the others.")]


def cancelled(count):
    """How soon the places of CLIENTS pictures are free again when their clients leave."""

    def one_round(port):
        quiet = alone(port, steps=1)
        with flood(port):
            step = step_time(port, 3)
        callers = [Caller(port) for _ in range(CLIENTS)]
        for number, caller in enumerate(callers):
            caller.send(number, steps=1000)
        time.sleep(2)
        for caller in callers:
            caller.leave()
        caller = Caller(port)
        taken = caller.draw(0, steps=1)
        caller.leave()
        return (taken - quiet) / step, quiet, taken, step

    with mezzo_server() as mezzo:
        (results,) = rounds(count, labelled("mezzo", lambda: one_round(mezzo)))
    steps, quiet, taken, step = zip(*results)
    series = {"mezzo alone, s": quiet, "mezzo after the others left, s": taken, "mezzo, one step of 16, s": step}
    return [Measure("16 cancelled pictures, wait for their places", steps, 1, "<=", " steps", series=series,
                    note="16 clients of 1,000 steps close their connections; a picture of one step is asked for at once. "
                         "What it takes beyond its time alone, in steps of 16 pictures.")]


def step_cache(count):
    """What the option spares, and how far the pictures are from those without it."""
    import numpy
    from PIL import Image

    def draw(port, amount):
        caller, times, pictures = Caller(port), [], []
        for number in range(16):
            start = time.perf_counter()
            caller.send(number, steps=50, step_cache=amount)
            body = json.loads(caller.connection.getresponse().read())
            times.append(time.perf_counter() - start)
            picture = Image.open(io.BytesIO(base64.b64decode(body["data"][0]["b64_json"]))).convert("RGB")
            pictures.append(numpy.asarray(picture, float))
        caller.leave()
        return statistics.median(times), pictures

    def psnr(a, b):
        return min(60.0, 10 * float(numpy.log10(255**2 / max(1e-9, numpy.mean((a - b) ** 2)))))

    amounts = (0.02, 0.05, 0.1)
    with mezzo_server() as mezzo:
        full, *cached = rounds(count, labelled("mezzo, all steps", lambda: draw(mezzo, 0)),
                               *[labelled(f"mezzo, {amount}", lambda amount=amount: draw(mezzo, amount)) for amount in amounts])
    measures = []
    for amount, found in zip(amounts, cached):
        speed = [a[0] / b[0] for a, b in zip(full, found)]
        likeness = [statistics.median(map(psnr, a[1], b[1])) for a, b in zip(full, found)]
        measures.append(Measure(f"step_cache {amount}, speed / without", speed, 1, ">=",
                                note="50 DDIM steps, 16 prompts one after the other. PSNR in dB: the median picture against the one of all steps.",
                                series={"mezzo, all steps, s": [x[0] for x in full], f"mezzo, step_cache {amount}, s": [x[0] for x in found],
                                        "PSNR, dB": likeness}))
    return measures


def video(count):
    """A marketing video from pictures: how fast against its own length, and its peak memory."""
    program = harness.BUILD / "src" / "mezzo" / "drivers" / "ffmpeg" / "mezzo_drivers_ffmpeg_video_bench"

    def render(seconds):
        done = subprocess.run([program, f"--benchmark_filter=h264/{seconds}/", "--benchmark_format=json"], capture_output=True,
                              text=True, check=True, timeout=900)
        (found,) = json.loads(done.stdout)["benchmarks"]
        return found["x_real_time"], found["peak_MiB"]

    short, long = rounds(count, labelled("15 s of 1080p", lambda: render(15)), labelled("60 s of 1080p", lambda: render(60)))
    return [Measure("1080p H.264, 15 s, times real time", [x[0] for x in short], 1, ">=",
                    note="From pictures of 2400x1800, with titles, subtitles in two languages, speech, music and a logo.",
                    series={"mezzo, 15 s": [x[0] for x in short], "mezzo, 60 s": [x[0] for x in long]}),
            Measure("1080p H.264, 15 s, peak memory", [x[1] for x in short], 400, "<=", " MiB"),
            Measure("1080p H.264, memory of 60 s / 15 s", [b[1] / a[1] for a, b in zip(short, long)], 1.1, "<=",
                    series={"mezzo, 15 s, MiB": [x[1] for x in short], "mezzo, 60 s, MiB": [x[1] for x in long]})]


# --- a surge ---------------------------------------------------------------------------------------------------------

SURGE_BEFORE, SURGE_SECONDS, SURGE_FACTOR, SURGE_LOAD, SURGE_SENDERS = 240, 60, 10, 0.25, 8


def trace():
    """The requests of GenTD26, in the order of their arrival: (seconds from the first, pictures, steps)."""
    folder = pathlib.Path(os.environ.get("MEZZO_TRACES", harness.ROOT.parent / "shared" / "data" / "traces"))
    file = folder / "gentd26-requests.csv"
    if not file.exists():
        raise RuntimeError(f"{file} is missing: set MEZZO_TRACES to the folder that has it")
    found = []
    with open(file, encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            at = datetime.datetime.fromisoformat(row["gmt_create"]).timestamp()
            found.append((at, int(float(row["num_images_per_prompt"] or 1)),
                          max(1, int(float(row["num_inference_steps"] or 30)) // 10)))
    found.sort()
    return [(at - found[0][0], *rest) for at, *rest in found]


def tier_of(number):
    """One request in ten is paid for, two in ten are urgent. Not by tenant: the trace's tenants come one after the other, so
    that whole minutes would have no paid request."""
    return {0: "paid", 1: "urgent", 2: "urgent"}.get(number % 10, "free")


def schedule(capacity):
    """(second, body, tier) of every job: for SURGE_BEFORE seconds SURGE_LOAD of what the host can draw, then SURGE_FACTOR
    times that. `capacity` in picture steps a second. The trace's own gaps, its nights taken out."""
    jobs, now, rate, previous = [], 0.0, capacity * SURGE_LOAD, None
    requests = trace()
    cost = sum(pictures * steps for _, pictures, steps in requests)
    gaps = [min(60.0, b[0] - a[0]) for a, b in itertools.pairwise(requests)]
    pace = cost / sum(gaps)  # Picture steps in a second of the trace.
    for number, (at, pictures, steps) in enumerate(requests):
        if previous is not None:
            factor = SURGE_FACTOR if now >= SURGE_BEFORE else 1
            now += min(60.0, at - previous) * pace / (rate * factor)
        previous = at
        if now >= SURGE_BEFORE + SURGE_SECONDS:
            break
        body = {"kind": "image", "model": "emoji", "tier": tier_of(number),
                "input": {"prompt": PROMPTS[number % len(PROMPTS)], "n": min(pictures, 8), "steps": steps,
                          "guidance": GUIDANCE, "seed": number}}
        jobs.append((now, json.dumps(body), body["tier"]))
    return jobs


def surge(count):
    """Jobs with the arrivals of a production service; after a while ten times as many of them."""

    def submit(port, jobs, start):
        work = queue.SimpleQueue()
        for job in jobs:
            work.put(job)
        accepted, refused = [], []

        def sender():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
            while True:
                try:
                    at, body, tier = work.get_nowait()
                except queue.Empty:
                    return connection.close()
                time.sleep(max(0.0, start + at - time.monotonic()))
                connection.request("POST", "/v1/jobs", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
                if answer.status in (200, 201, 202):
                    accepted.append((at, tier, json.loads(text)["id"]))
                else:
                    refused.append((at, tier, answer.status, text[:200]))

        with concurrent.futures.ThreadPoolExecutor(SURGE_SENDERS) as pool:
            for future in [pool.submit(sender) for _ in range(SURGE_SENDERS)]:
                future.result()
        return accepted, refused

    def seconds_of(job):
        times = [datetime.datetime.fromisoformat(job[name].replace("Z", "+00:00")).timestamp() for name in ("created_at", "finished_at")]
        return times[1] - times[0]

    def one_round(server):
        url = server.url + "/v1/jobs/"
        step = alone(server.http_port, steps=21) - alone(server.http_port, steps=1)
        jobs = schedule(20 / step)
        start = time.monotonic() + 1
        memory, watching = [], threading.Event()

        def watch():
            while not watching.wait(0.5):
                memory.append((time.monotonic() - start, server.rss() / 2**20))

        watcher = harness.Background(watch)
        accepted, refused = submit(server.http_port, jobs, start)
        deadline = time.monotonic() + 900
        ended = {}
        while len(ended) < len(accepted) and time.monotonic() < deadline:
            for _, _, job_id in accepted:
                if job_id not in ended:
                    job = json.loads(harness.http_get(url + job_id))
                    if job["status"] not in ("succeeded", "failed", "cancelled"):
                        break  # In their order: what comes after it is asked for later.
                    ended[job_id] = job
            time.sleep(1)
        watching.set()
        watcher.join()
        lost = [job_id for _, _, job_id in accepted if ended.get(job_id, {}).get("status") != "succeeded"]
        if refused or lost:
            print(f"  refused: {len(refused)} {refused[:1]}; not succeeded: {len(lost)} {[ended.get(x) for x in lost[:1]]}")
        paid = [(at, seconds_of(ended[job_id])) for at, tier, job_id in accepted if tier == "paid" and job_id in ended]
        before = [taken for at, taken in paid if at < SURGE_BEFORE]
        during = [taken for at, taken in paid if at >= SURGE_BEFORE]
        p95 = [statistics.quantiles(times, n=20, method="inclusive")[18] for times in (before, during)]
        quiet = max(value for at, value in memory if at < SURGE_BEFORE)
        return (len(lost), p95[1] / p95[0], max(value for _, value in memory) / quiet, *p95, len(accepted), len(refused),
                max(value for _, value in memory))

    with tempfile.TemporaryDirectory() as folder:
        for model in (EMOJI, MINILM):
            shutil.copytree(model, pathlib.Path(folder, model.name))

        def fresh():
            with Mezzo([folder]) as server:
                return one_round(server)

        (results,) = rounds(count, labelled("mezzo", fresh))
    lost, slower, grown, before, during, accepted, refused, peak = zip(*results)
    note = (f"Arrivals, pictures and steps (a tenth of them) of GenTD26, time scaled: {SURGE_BEFORE} s at {SURGE_LOAD:.0%} of what "
            f"the host can draw, then {SURGE_FACTOR} times that for {SURGE_SECONDS} s, then until all is done. One request in ten is paid for.")
    return [Measure("surge, accepted jobs that did not succeed", lost, 0, "<=", note=note,
                    series={"accepted": accepted, "refused": refused}),
            Measure("surge, p95 of paid jobs / before", slower, 1.5, "<=",
                    series={"mezzo before, s": before, "mezzo during, s": during}),
            Measure("surge, peak memory / before", grown, 1.5, "<=", series={"mezzo peak, MiB": peak})]


BENCHMARKS = {"one_picture": one_picture, "sixteen_clients": sixteen_clients, "paid_among_free": paid_among_free,
              "cancelled": cancelled, "step_cache": step_cache, "video": video, "surge": surge}
