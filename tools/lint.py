#!/usr/bin/env python3
"""clang-format check, layer check, and clang-tidy on the sources that changed since the branch point (--all: every source; FILE...: of these)."""

import argparse
import concurrent.futures
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def git_files(*patterns):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=ROOT, check=True,
                         capture_output=True, text=True).stdout.split()
    return [name for name in out if (ROOT / name).exists()]


def branch_point():
    """Where this branch left origin's main; HEAD where there is no origin."""
    done = subprocess.run(["git", "merge-base", "HEAD", "origin/main"], cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "HEAD"


def changed_sources():
    out = subprocess.run(["git", "diff", "--name-only", "--diff-filter=d", branch_point()], cwd=ROOT, check=False,
                         capture_output=True, text=True)
    return [name for name in out.stdout.split() if name.startswith("src/") and name.endswith(".cc")]


def tidy(name):
    done = subprocess.run(["clang-tidy-19", "-p", "build/dev", "--quiet", name], cwd=ROOT, check=False,
                          capture_output=True, text=True)
    return name, done.returncode, done.stdout


def named(paths):
    """As git has them: below the repository, and sources or headers."""
    names = []
    for path in paths:
        full = pathlib.Path(path).resolve()
        if not full.is_file() or not full.is_relative_to(ROOT) or full.suffix not in (".h", ".cc"):
            sys.exit(f"lint: {path} is no .h or .cc of this repository")
        names.append(str(full.relative_to(ROOT)))
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="clang-tidy every source")
    parser.add_argument("file", nargs="*", help="look at these alone")
    options = parser.parse_args()
    failed = 0
    files = named(options.file) or git_files("src/*.h", "src/*.cc", "fuzz/*.cc", "tests/*.cc")
    done = subprocess.run(["clang-format-19", "--dry-run", "--Werror", *files], cwd=ROOT, check=False,
                          capture_output=True, text=True)
    if done.returncode != 0:
        failed += 1
        wrong = sorted({line.split(":")[0] for line in done.stderr.splitlines() if "error:" in line})
        print(f"clang-format: {len(wrong)} files differ (./dev format mends them):", *wrong[:20], sep="\n  ")
    failed += subprocess.run([sys.executable, "tools/check_layers.py"], cwd=ROOT, check=False).returncode != 0

    whole = options.all or options.file
    sources = [name for name in files if name.endswith(".cc")] if whole else changed_sources()
    if sources and (ROOT / "build/dev/compile_commands.json").exists():
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            for name, status, output in pool.map(tidy, sources):
                if status != 0:
                    failed += 1
                    print(f"clang-tidy: {name}\n{output}")
    print("lint:", "failed" if failed else "ok")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
