#!/usr/bin/env python3
"""./dev bench SUITE [--only NAME] [--check] [--rounds N]: whole-server benchmarks against their peers."""

import argparse
import importlib
import pathlib
import sys
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import harness  # noqa: E402


def main():
    suites = sorted(path.stem for path in (harness.ROOT / "bench" / "suites").glob("*.py"))
    parser = argparse.ArgumentParser(prog="./dev bench")
    parser.add_argument("suite", choices=suites)
    parser.add_argument("--only", action="append", help="run one measure; may be repeated; the report keeps the others")
    parser.add_argument("--check", action="store_true", help="end with a line per measure; exit 1 when one falls short")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--list", action="store_true", help="print the names of the measures")
    options = parser.parse_args()

    sys.path.insert(0, str(harness.ROOT / "bench" / "suites"))
    benchmarks = importlib.import_module(options.suite).BENCHMARKS
    if options.list:
        print(*benchmarks, sep="\n")
        return 0
    unknown = [name for name in options.only or [] if name not in benchmarks]
    if unknown:
        parser.error(f"no measure '{unknown[0]}'; there are: {', '.join(benchmarks)}")

    measures, broken = [], []
    for name, benchmark in benchmarks.items():
        if options.only and name not in options.only:
            continue
        print(f"== {name}", file=sys.stderr, flush=True)
        try:
            found = benchmark(options.rounds)
        except Exception:  # noqa: BLE001 - one measure that can't run must not lose the others
            traceback.print_exc()
            broken.append(name)
            continue
        measures += found
        for measure in found:
            print("  " + measure.line(), file=sys.stderr, flush=True)
    folder = harness.ROOT / "bench" / "results"
    if options.rounds >= 3:
        everything = harness.merge(options.suite, measures, folder)
        print(f"report: {harness.write_report(options.suite, everything, folder).relative_to(harness.ROOT)}")
    if options.check:
        for measure in measures:
            print(measure.line())
        for name in broken:
            print(f"{name}  could not be measured")
        return 0 if not broken and all(measure.ok for measure in measures) else 1
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
