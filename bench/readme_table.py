#!/usr/bin/env python3
"""Writes the figures of bench/results/serving.json as a table into README.md, between the markers measured:begin and :end.

    bench/readme_table.py [--check]

--check changes nothing and fails when README.md is out of date.
"""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import harness  # noqa: E402

RESULTS = harness.ROOT / "bench" / "results" / "serving.json"
README = harness.ROOT / "README.md"
BEGIN, END = "<!-- measured:begin -->", "<!-- measured:end -->"


def figure(value):
    """Three digits that count, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cell(text):
    return text.replace("|", "\\|")


def table(results):
    lines = ["| measure | min | median | max | bar | |", "|---|--:|--:|--:|--:|---|"]
    for name, result in results.items():
        measure = harness.Measure(name, result["values"], result["bar"], result["sense"], result["unit"])
        values = [figure(value) + measure.unit for value in (min(measure.values), measure.median, max(measure.values))]
        sign = {">=": "≥", "<=": "≤"}[measure.sense]
        values.append(f"{sign} {figure(measure.bar)}{measure.unit}")
        lines.append(f"| {cell(name)} | {' | '.join(values)} | {'ok' if measure.ok else '**short**'} |")
    return "\n".join(lines)


def rewritten(text, body):
    """`text` with `body` between the markers."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        sys.exit(f"{README.name} needs one line {BEGIN} and, after it, one line {END}")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{body}\n{END}{after}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail when README.md is out of date")
    options = parser.parse_args()
    if not RESULTS.exists():
        sys.exit(f"there is no {RESULTS.relative_to(harness.ROOT)}: run ./dev bench serving")

    old = README.read_text(encoding="utf-8")
    new = rewritten(old, table(json.loads(RESULTS.read_text(encoding="utf-8"))))
    if new == old:
        return 0
    if options.check:
        print(f"{README.name} is out of date: run bench/readme_table.py")
        return 1
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
