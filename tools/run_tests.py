#!/usr/bin/env python3
"""Builds a preset, runs its unit tests (ctest) and the process tests (pytest), and ends with one line of counts."""

import argparse
import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(command, **kwargs):
    print("+", " ".join(str(part) for part in command), flush=True)
    return subprocess.run(command, cwd=ROOT, check=False, **kwargs).returncode


def count(report):
    """Passed, failed and skipped of a JUnit report."""
    passed = failed = skipped = 0
    for case in xml.parse(report).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def sanitizer_environment(preset):
    env = dict(os.environ)
    # The process tests kill servers with SIGTERM and read their exit codes: a finding must not look like an exit.
    env["ASAN_OPTIONS"] = "detect_stack_use_after_return=1:exitcode=99"
    env["LSAN_OPTIONS"] = f"suppressions={ROOT}/tools/sanitizers/lsan.txt:print_suppressions=0"
    env["UBSAN_OPTIONS"] = "print_stacktrace=1"
    env["TSAN_OPTIONS"] = f"suppressions={ROOT}/tools/sanitizers/tsan.txt:exitcode=99:second_deadlock_stack=1"
    env["MEZZO_PRESET"] = preset
    return env


def make_test_venv():
    """The Python environment of the process tests, made anew when its requirements change."""
    import hashlib

    requirements = ROOT / "tests" / "requirements.txt"
    folder = ROOT / ".cache" / "test-venv"
    stamp = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if (folder / ".stamp").exists() and (folder / ".stamp").read_text() == stamp:
        return folder
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    subprocess.run([folder / "bin" / "pip", "install", "-q", "-r", requirements], check=True)
    (folder / ".stamp").write_text(stamp)
    return folder


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("filter", nargs="?", help="a regular expression of test names")
    parser.add_argument("--preset", default="dev")
    parser.add_argument("--unit", action="store_true", help="unit tests only")
    options = parser.parse_args()

    build = ROOT / "build" / options.preset
    if not (build / "build.ninja").exists() and run(["cmake", "--preset", options.preset]) != 0:
        return 1
    if run(["ninja", "-C", build, "-k", "0"]) != 0:
        print("the build failed")
        print("0 passed, 1 failed, 0 skipped")
        return 1

    env = sanitizer_environment(options.preset)
    totals = [0, 0, 0]
    broken = False

    report = build / "ctest.xml"
    report.unlink(missing_ok=True)
    command = ["ctest", "--test-dir", build, "-j", "2", "--output-on-failure", "--output-junit", report,
               "--no-tests=error" if not options.filter else "--no-tests=ignore", "--progress"]
    if options.filter:
        command += ["-R", options.filter]
    status = run(command, env=env)
    if report.exists():
        totals = [a + b for a, b in zip(totals, count(report))]
    elif status != 0:
        broken = True

    if not options.unit:
        venv = make_test_venv()
        report = build / "pytest.xml"
        report.unlink(missing_ok=True)
        command = [venv / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", "tests"]
        if options.filter:
            command += ["-k", options.filter]
        status = run(command, env=env)
        if report.exists():
            totals = [a + b for a, b in zip(totals, count(report))]
        # 5: pytest found no test, which a filter may cause.
        broken = broken or status not in ((0, 1, 5) if options.filter else (0, 1))

    if broken:
        print("a test runner failed before it could report")
        totals[1] += 1
    counts = os.environ.get("MEZZO_COUNTS")
    if counts:
        pathlib.Path(counts, f"test-{options.preset}").write_text(" ".join(map(str, totals)) + "\n")
    print(f"{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped")
    return 1 if totals[1] else 0


if __name__ == "__main__":
    sys.exit(main())
