#!/usr/bin/env python3
"""Proves that includes follow tools/layers.toml; exits 1 with one line per violation."""

import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "mezzo"
INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]')
HEADER_LINES = 300
SOURCE_LINES = 800


def load():
    with open(ROOT / "tools" / "layers.toml", "rb") as file:
        rules = tomllib.load(file)
    modules = rules["modules"]
    seen = []
    for name, allowed in modules.items():
        for other in allowed:
            if other != "*" and other not in seen:
                sys.exit(f"layers.toml: '{name}' names '{other}', which does not stand above it")
        seen.append(name)
    return modules, [(re.compile(pattern), homes) for pattern, homes in rules["third_party"].items()]


def module_of(path, modules):
    """The longest module name that is a folder prefix of `path` (relative to src/mezzo)."""
    parts = path.split("/")
    for depth in (2, 1):
        name = "/".join(parts[:depth])
        if name in modules and len(parts) > depth:
            return name
    return None


def check_file(path, modules, third_party):
    relative = path.relative_to(SOURCE).as_posix()
    module = module_of(relative, modules)
    if module is None:
        return [f"{relative}: its folder is no module of layers.toml"]
    problems = []
    test = bool(re.search(r"_(test|bench)\.cc$|/internal/fake_", relative))
    lines = path.read_text(encoding="utf-8").splitlines()
    limit = HEADER_LINES if path.suffix == ".h" else SOURCE_LINES
    if len(lines) > limit and not test:
        problems.append(f"{relative}: {len(lines)} lines, the limit is {limit}")
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        target = match.group(1)
        where = f"{relative}:{number}"
        if target.startswith("mezzo/"):
            inner = target.removeprefix("mezzo/")
            other = module_of(inner, modules)
            if other is None:
                problems.append(f"{where}: {target} is in no module")
            elif other == "testing":
                if not test and module != "testing":
                    problems.append(f"{where}: only tests include testing/")
            elif other != module:
                allowed = modules[module]
                if "*" not in allowed and other not in allowed:
                    problems.append(f"{where}: '{module}' may not include '{other}' ({target})")
                if "/internal/" in inner:
                    problems.append(f"{where}: {target} is private to '{other}'")
            continue
        for pattern, homes in third_party:
            if pattern.search(target) and module not in homes:
                problems.append(f"{where}: <{target}> has its home in {', '.join(homes)}")
    return problems


def main():
    modules, third_party = load()
    problems = []
    count = 0
    for path in sorted(SOURCE.rglob("*")):
        if path.suffix in (".h", ".cc"):
            count += 1
            problems += check_file(path, modules, third_party)
    for problem in problems:
        print(problem)
    print(f"{count} files, {len(problems)} violations")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
