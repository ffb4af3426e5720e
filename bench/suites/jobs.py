"""The job queue against its bars (docs/benchmarks.md says what each measure means)."""

import json
import subprocess

import harness
from harness import Measure, labelled, rounds

QUEUE = harness.BUILD / "bench" / "mezzo_bench_queue"


def sqlite(count):
    """No-op jobs from enqueue to complete, every commit on disk."""

    def run():
        done = subprocess.run([QUEUE, "50000", "200", "64"], capture_output=True, text=True, check=True, timeout=300)
        return json.loads(done.stdout)

    (results,) = rounds(count, labelled("queue", run))
    return [Measure("SQLite, durable, one host", [result["jobs_per_s"] / 1e3 for result in results], 5, ">=", " thousand jobs/s",
                    note="50,000 no-op jobs queued 200 at a time while 64 slots run them; every commit is on disk (fsync).",
                    series={"enqueue to complete, jobs/s": [result["jobs_per_s"] for result in results],
                            "enqueue alone, jobs/s": [result["enqueued_per_s"] for result in results],
                            "commits": [result["commits"] for result in results]})]


BENCHMARKS = {"sqlite": sqlite}
