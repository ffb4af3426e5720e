#!/usr/bin/env python3
"""Writes the figures of bench/results/*.json as tables into README.md, each between <!-- NAME:begin --> and <!-- NAME:end -->.

    bench/readme_table.py [--check]

--check changes nothing and fails when README.md is out of date.
"""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import harness  # noqa: E402

RESULTS = harness.ROOT / "bench" / "results"
README = harness.ROOT / "README.md"


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


def rewritten(text, name, body):
    """`text` with `body` between the markers of `name`."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        sys.exit(f"{README.name} needs one line {begin} and, after it, one line {end}")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    return f"{before}{begin}\n{body}\n{end}{after}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail when README.md is out of date")
    options = parser.parse_args()
    old = new = README.read_text(encoding="utf-8")
    for results in sorted(RESULTS.glob("*.json")):
        new = rewritten(new, results.stem, table(json.loads(results.read_text(encoding="utf-8"))))
    if new == old:
        return 0
    if options.check:
        print(f"{README.name} is out of date: run bench/readme_table.py")
        return 1
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
