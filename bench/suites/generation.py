"""Picture generation against its bars (docs/benchmarks.md says what each measure means).

Everybody draws with the built-in model `emoji`: the same weights, 64x64 pixels, DDIM, guidance 3, FP32."""

import base64
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import statistics
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
            harness.wait_for(lambda: harness.http_get(f"http://127.0.0.1:{port}/health") == b"", f"peer {kind}", 120)
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


BENCHMARKS = {"one_picture": one_picture, "sixteen_clients": sixteen_clients, "paid_among_free": paid_among_free,
              "cancelled": cancelled}
