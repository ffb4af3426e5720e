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


LAST_WORDS = 6000  # Characters of a failed test's output that the summary repeats.


class Summary:
    """What every runner reported, and the last words of what failed."""

    def __init__(self, preset):
        self.preset = preset
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def read(self, report):
        """Adds a JUnit report, ctest's or pytest's."""
        for case in xml.parse(report).getroot().iter("testcase"):
            verdict = next((found for found in map(case.find, ("failure", "error")) if found is not None), None)
            if verdict is not None:
                output = case.findtext("system-out") or verdict.text or verdict.get("message") or ""
                self.fail(f"{case.get('classname')}::{case.get('name')}", output)
            elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
                self.skipped += 1
            else:
                self.passed += 1

    def fail(self, name, output=""):
        self.failed += 1
        self.failures.append(f"FAILED ({self.preset}) {name}\n{output[-LAST_WORDS:]}\n")

    def close(self):
        """Repeats the failures, leaves counts and failures for `.ci/run`, prints the closing line; returns the exit status."""
        print("".join(self.failures), end="")
        folder = os.environ.get("MEZZO_COUNTS")
        if folder:
            pathlib.Path(folder, f"test-{self.preset}").write_text(f"{self.passed} {self.failed} {self.skipped}\n")
            pathlib.Path(folder, f"test-{self.preset}.failures").write_text("".join(self.failures))
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        return 1 if self.failed else 0


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

    summary = Summary(options.preset)
    build = ROOT / "build" / options.preset
    if not (build / "build.ninja").exists() and run(["cmake", "--preset", options.preset]) != 0:
        return 1
    if run(["ninja", "-C", build, "-k", "0"]) != 0:
        summary.fail("build")
        return summary.close()

    env = sanitizer_environment(options.preset)

    report = build / "ctest.xml"
    report.unlink(missing_ok=True)
    command = ["ctest", "--test-dir", build, "-j", "2", "--output-on-failure", "--output-junit", report,
               "--no-tests=error" if not options.filter else "--no-tests=ignore", "--progress"]
    if options.filter:
        command += ["-R", options.filter]
    status = run(command, env=env)
    if report.exists():
        summary.read(report)
    elif status != 0:
        summary.fail("ctest", "failed before it could report")

    if not options.unit:
        venv = make_test_venv()
        report = build / "pytest.xml"
        report.unlink(missing_ok=True)
        command = [venv / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", "tests"]
        if options.filter:
            command += ["-k", options.filter]
        status = run(command, env=env)
        if report.exists():
            summary.read(report)
        # 1: tests failed; 5: no test was found, which a filter may cause.
        if status not in ((0, 1, 5) if options.filter else (0, 1)):
            summary.fail("pytest", f"ended with status {status}")

    return summary.close()


if __name__ == "__main__":
    sys.exit(main())
