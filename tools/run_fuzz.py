#!/usr/bin/env python3
"""Runs libFuzzer targets on their corpora for a number of seconds, two at a time; a crash leaves its input under out/fuzz."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "asan"  # Its targets are instrumented for libFuzzer.


def fuzz(target, seconds):
    corpus = ROOT / "fuzz" / "corpus" / target
    crashes = ROOT / "out" / "fuzz" / target
    crashes.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as found:
        command = [BUILD / "fuzz" / f"{target}_fuzz", found, corpus, f"-max_total_time={seconds}", "-timeout=10",
                   "-rss_limit_mb=2048", "-max_len=65536", "-print_final_stats=1", f"-artifact_prefix={crashes}/"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=seconds + 300, check=False)
    runs = [line.split()[-1] for line in done.stdout.splitlines() if "number_of_executed_units" in line]
    return target, done.returncode, runs[0] if runs else "0", done.stdout


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: ./dev fuzz NAME|all [seconds]")
    name = sys.argv[1]
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    targets = sorted(path.name.removesuffix("_fuzz.cc") for path in (ROOT / "fuzz").glob("*_fuzz.cc"))
    if name != "all":
        if name not in targets:
            sys.exit(f"no fuzz target '{name}'; there are: {', '.join(targets)}")
        targets = [name]
    if subprocess.run(["ninja", "-C", BUILD] + [f"{target}_fuzz" for target in targets], check=False).returncode != 0:
        sys.exit("the build failed")

    failed = 0
    failures = ""
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for target, status, runs, output in pool.map(lambda target: fuzz(target, seconds), targets):
            print(f"{target}: {runs} runs, {'ok' if status == 0 else 'CRASHED'}", flush=True)
            if status != 0:
                failed += 1
                print(output[-4000:])
                failures += f"FAILED (fuzz) {target}\n{output[-4000:]}\n"
    counts = os.environ.get("MEZZO_COUNTS")
    if counts:
        pathlib.Path(counts, "fuzz").write_text(f"{len(targets) - failed} {failed} 0\n")
        pathlib.Path(counts, "fuzz.failures").write_text(failures)
    print(f"{len(targets) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
