"""Releases: how often a good version is rolled back, and how soon a bad one (in virtual time, by the analysis that serves)."""

import json
import os
import subprocess

import harness
from harness import Measure

RELEASE = harness.BUILD / "bench" / "mezzo_bench_release"
BOUND_NOTE = "At best log(1/0.01) / KL = 11.2 s, were both rates known."


def simulate(scenario, releases, seed, **options):
    command = [RELEASE, "--scenario", scenario, "--releases", releases, "--seed", seed, "--threads", os.cpu_count() or 1]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", value]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True, timeout=3600)
    return json.loads(done.stdout)


def many(name, whole):
    """How many releases of a scenario; RELEASES makes all smaller, to try the suite."""
    return min(whole, int(os.environ.get("RELEASES", whole)))


def equal(count):
    """10,000 releases of an equal version, a look per second through all steps; by other seeds each round."""
    measures = []
    for scenario, text in (("aa", "A/A"), ("drift", "A/A, load, latency and errors swing by day and night")):
        whole = many(scenario, 10_000 if scenario == "aa" else 2000)
        results = [simulate(scenario, max(1, whole // count), 1 + index * whole, seconds=600) for index in range(count)]
        shares = [each["rolled_back"] / each["releases"] for each in results]
        done = [100 * each["promoted"] / each["releases"] for each in results]
        measures.append(Measure(f"{text}, {whole:,} releases, a look per second: false rollbacks", [100 * share for share in shares],
                                5, "<=", " %", "200 calls/s; 5 → 25 → 50 → 100 %, a minute a step at least.",
                                {"rolled back, %": [100 * share for share in shares], "promoted within 600 s, %": done}))
    return measures


def errors(count):
    """Errors 0.1 % → 2 % at 5 % of 200 calls/s: seconds from the canary's first call to the decision."""
    results = [simulate("errors", many("errors", 1000), 1 + index * 1000) for index in range(count)]
    return [Measure("errors 0.1 % → 2 % at 5 % of 200 calls/s: median delay", [each["delay_p50_s"] for each in results], 15, "<=", " s",
                    BOUND_NOTE, {"median, s": [each["delay_p50_s"] for each in results],
                                 "p90, s": [each["delay_p90_s"] for each in results],
                                 "bound of theory, s": [each["bound_s"] for each in results]})]


def latency(count):
    """p99 doubled: with all of the distribution, and by a longer tail alone."""
    measures = []
    for scenario, text in (("slow", "all calls take twice as long"), ("tail", "a longer tail, the median stays")):
        results = [simulate(scenario, many(scenario, 1000), 1 + index * 1000) for index in range(count)]
        measures.append(Measure(f"p99 × 2 at 5 % of 200 calls/s, {text}: median delay", [each["delay_p50_s"] for each in results], 30,
                                "<=", " s", series={"median, s": [each["delay_p50_s"] for each in results],
                                                    "p90, s": [each["delay_p90_s"] for each in results]}))
    return measures


def low(count):
    """Two calls a second: nothing may be promoted that was not seen, and nothing good be rolled back."""
    results = [simulate("aa", many("low", 500), 1 + index * 500, rate=2, seconds=3600) for index in range(count)]
    wrong = [100 * each["rolled_back"] / each["releases"] for each in results]
    return [Measure("A/A at 2 calls/s, an hour: false rollbacks", wrong, 5, "<=", " %",
                    "A step needs 100 calls of each arm: 1,000 s at 5 %.",
                    {"rolled back, %": wrong, "paused, %": [100 * each["paused"] / each["releases"] for each in results],
                     "promoted, %": [100 * each["promoted"] / each["releases"] for each in results]})]


BENCHMARKS = {"equal": equal, "errors": errors, "latency": latency, "low": low}
