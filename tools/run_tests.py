#!/usr/bin/env python3
"""Builds a preset, runs its unit tests (ctest) and the process tests (pytest), and ends with one line of counts."""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(command, **kwargs):
    print("+", " ".join(str(part) for part in command), flush=True)
    return subprocess.run(command, cwd=ROOT, check=False, **kwargs).returncode


LAST_WORDS = 6000  # Characters of a failed test's output that the summary repeats.
# So many failed tests run once more, each alone: many measure time on machines that others share. What passes then is
# named as unsteady at the end of every run. More failures than that are never chance.
MAX_SECOND_RUNS = 5


class Summary:
    """What every runner reported, and the last words of what failed."""

    def __init__(self, preset):
        self.preset = preset
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.unsteady = []

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
        self.failures.append((name, f"FAILED ({self.preset}) {name}\n{output[-LAST_WORDS:]}\n"))

    def run_again(self, run_alone):
        """Runs the few failed tests once more with `run_alone(name)`; those that pass count as passed, and as unsteady."""
        if len(self.failures) > MAX_SECOND_RUNS:
            return
        for failure in list(self.failures):
            name, text = failure
            if run_alone(name):
                self.failures.remove(failure)
                self.failed -= 1
                self.passed += 1
                self.unsteady.append(text.replace("FAILED", "UNSTEADY (passed alone)", 1))

    def close(self):
        """Repeats the failures, leaves counts and failures for `.ci/run`, prints the closing line; returns the exit status."""
        words = "".join(self.unsteady) + "".join(text for _, text in self.failures)
        print(words, end="")
        folder = os.environ.get("MEZZO_COUNTS")
        if folder:
            pathlib.Path(folder, f"test-{self.preset}").write_text(f"{self.passed} {self.failed} {self.skipped}\n")
            pathlib.Path(folder, f"test-{self.preset}.failures").write_text(words)
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        return 1 if self.failed else 0


def run_alone(build, venv, env, name):
    """True when the test of a report's `name` passes by itself; false also for a name that is no test."""
    suite, _, case = name.partition("::")
    script = ROOT / "tests" / (suite.replace(".", "/") + ".py")
    if script.exists():
        return venv is not None and run([venv / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider",
                                         f"{script}::{case}"], env=env) == 0
    return bool(case) and run(["ctest", "--test-dir", build, "--output-on-failure", "--no-tests=error", "-R",
                               f"^{re.escape(case)}$"], env=env) == 0


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

    venv = None
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

    summary.run_again(lambda name: run_alone(build, venv, env, name))
    return summary.close()


if __name__ == "__main__":
    sys.exit(main())
