"""The job queue against its bars (docs/benchmarks.md says what each measure means)."""

import json
import re
import subprocess
import sys

import harness
from harness import Measure, labelled, rounds

sys.path.insert(0, str(harness.ROOT / "tests"))

from postgres_server import PostgresServer  # noqa: E402

QUEUE = harness.BUILD / "bench" / "mezzo_bench_queue"
RIVER = harness.CACHE / "bin" / "river"
JOBS = 100_000
# What an operator of a small server sets; both sides run on the same one. Commits are on disk.
SETTINGS = ["shared_buffers = 512MB", "max_wal_size = 4GB", "checkpoint_timeout = 30min"]


def queue(*options):
    done = subprocess.run([QUEUE, *map(str, options)], capture_output=True, text=True, check=True, timeout=900)
    return json.loads(done.stdout)


def sqlite(count):
    """No-op jobs from enqueue to complete, every commit on disk."""

    def run():
        return queue("--jobs", 50_000, "--batch", 200, "--slots", 64)

    (results,) = rounds(count, labelled("queue", run))
    return [Measure("SQLite, durable, one host", [result["jobs_per_s"] / 1e3 for result in results], 5, ">=", " thousand jobs/s",
                    note="50,000 no-op jobs queued 200 at a time while 64 slots run them; every commit is on disk (fsync).",
                    series={"enqueue to complete, jobs/s": [result["jobs_per_s"] for result in results],
                            "enqueue alone, jobs/s": [result["enqueued_per_s"] for result in results]})]


def build_river():
    """Builds River's command, as bench/peers/river/go.mod pins it, unless it is there."""
    if not RIVER.exists():
        RIVER.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["go", "build", "-mod=mod", "-o", RIVER, "github.com/riverqueue/river/cmd/river"], check=True,
                       cwd=harness.ROOT / "bench" / "peers" / "river", timeout=1200)


def river(database):
    """River's own benchmark: inserts, then works down; it counts the second part only."""
    subprocess.run(["psql", "-q", "-d", database.url, "-c",
                    "DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public;"], check=True, capture_output=True)
    subprocess.run([RIVER, "migrate-up", "--database-url", database.url], check=True, capture_output=True, timeout=60)
    done = subprocess.run([RIVER, "bench", "--database-url", database.url, "-n", str(JOBS)], capture_output=True, text=True,
                          check=True, timeout=900)
    totals = re.findall(r"total jobs worked \[\s*(\d+)\s*\], total jobs inserted \[\s*\d+\s*\], overall job/sec \[\s*([\d.]+)\s*\]",
                        done.stdout + done.stderr)
    if not totals:
        raise RuntimeError("River's report was not understood:\n" + done.stdout[-2000:] + done.stderr[-2000:])
    return float(totals[-1][1])


def postgres(count):
    """No-op jobs on PostgreSQL, beside River on the same server."""
    build_river()
    with PostgresServer(SETTINGS) as database:

        def ours():
            return queue("--database", database.url, "--jobs", JOBS, "--batch", 1000, "--slots", 1024, "--preload")

        def theirs():
            return river(database)

        mine, peer = rounds(count, labelled("mezzo", ours), labelled("river", theirs))
    return [Measure("no-op jobs/s on PostgreSQL / River v0.26", [a["worked_per_s"] / b for a, b in zip(mine, peer)], 1.5, ">=",
                    note=f"`river bench -n {JOBS}` and the same here: all jobs are queued first, then worked down by one host (1,024 slots; River runs up to 2,000 at a time).",
                    series={"mezzo, jobs/s": [result["worked_per_s"] for result in mine],
                            "mezzo, enqueue to complete, jobs/s": [result["jobs_per_s"] for result in mine],
                            "river, jobs/s": peer})]


def latency(count):
    """From the commit of a paid job to its start, on a host that listens."""
    with PostgresServer(SETTINGS) as database:

        def idle():
            return queue("--database", database.url, "--latency", 300)

        def full():
            return queue("--database", database.url, "--latency", 300, "--waiting", 1_000_000, "--slots", 64)

        (alone,) = rounds(count, labelled("idle", idle))
        crowded = full()
    return [Measure("dispatch latency p99, idle, PostgreSQL", [result["p99_ms"] for result in alone], 10, "<=", " ms",
                    series={"p50, ms": [result["p50_ms"] for result in alone]}),
            Measure("dispatch latency p99 with 1 M jobs queued / idle", [crowded["p99_ms"] / max(r["p99_ms"] for r in alone)],
                    2, "<=", note="The host works down a million free jobs that sleep 10 to 30 ms each, 64 at a time, while paid ones "
                                  "arrive one by one. Against the slowest idle round.",
                    series={"p50, ms": [crowded["p50_ms"]], "p99, ms": [crowded["p99_ms"]]})]


BENCHMARKS = {"sqlite": sqlite, "postgres": postgres, "latency": latency}
