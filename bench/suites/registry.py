"""The registry of models: lists and searches among 1,000 models of 5 versions each, on PostgreSQL and on SQLite."""

import json
import subprocess
import sys

import harness
from harness import Measure

sys.path.insert(0, str(harness.ROOT / "tests"))

from postgres_server import PostgresServer  # noqa: E402

PROGRAM = harness.BUILD / "bench" / "mezzo_bench_registry"
MODELS, VERSIONS, CALLS = 1000, 5, 1000
BAR_MS = 20


def calls(*database):
    """{call: {p50_ms, p99_ms, max_ms}}"""
    done = subprocess.run([PROGRAM, "--models", str(MODELS), "--versions", str(VERSIONS), "--calls", str(CALLS), *database],
                          capture_output=True, text=True, check=True, timeout=1800)
    found = {}
    for line in done.stdout.splitlines():
        result = json.loads(line)
        found[result.pop("call")] = result
    return found


def measures(name, rounds):
    """The measure of a round is the slowest kind of call."""
    slowest = [max(facts["p99_ms"] for facts in found.values()) for found in rounds]
    kinds = ", ".join(f"{call} {facts['p50_ms']:.2f}/{facts['p99_ms']:.2f}" for call, facts in rounds[0].items())
    return [Measure(f"registry on {name}: slowest kind of list or search, p99", slowest, BAR_MS, "<=", " ms",
                    note=f"p50/p99 in ms: {kinds}")]


def postgres(count):
    rounds = []
    for _ in range(count):
        with PostgresServer() as database:
            rounds.append(calls("--database", database.url))
    return measures("PostgreSQL", rounds)


def sqlite(count):
    return measures("SQLite", [calls() for _ in range(count)])


BENCHMARKS = {"postgres": postgres, "sqlite": sqlite}
