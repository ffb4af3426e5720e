#!/usr/bin/env python3
"""Writes docs/conformance.md from the `covers` markers of the tests; with --check, says whether it is up to date."""

import ast
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import surface  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "conformance.md"
HEAD = """# Conformance: which test shows what

Written by `tests/conformance/table.py` from the tests' `covers` markers; `tests/conformance/test_table.py` fails when a route
or RPC has no test, or when this page is old. Tests run real clients (`tritonclient` 2.73 over HTTP, gRPC and both asyncio
forms, `openai`, plain sockets) against the real binary. Differences to Triton are in the pages on the protocols.
"""
SECTIONS = (("Routes of the v2 protocol", surface.V2_ROUTES), ("Other routes", surface.OTHER_ROUTES),
            ("RPCs of `inference.GRPCInferenceService` and health", surface.RPCS), ("Features", surface.FEATURES))


def _covered_by(decorators):
    for decorator in decorators:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).split(".")[-1] == "covers":
            yield from (argument.value for argument in decorator.args)


def coverage(folder=None):
    """{name: [(file relative to the repository, test)]}, tests in their order."""
    found = {}
    for path in sorted((folder or ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                for name in _covered_by(node.decorator_list):
                    found.setdefault(name, []).append((path.relative_to(ROOT).as_posix(), node.name))
    return found


def page():
    covered, lines = coverage(), [HEAD]
    for title, names in SECTIONS:
        lines += [f"## {title}", "", "| | tests |", "| --- | --- |"]
        for name in names:
            tests = "<br>".join(f"[{test}](../{file})" for file, test in covered.get(name, []))
            lines.append(f"| `{name}` | {tests} |" if names is not surface.FEATURES else f"| {name} | {tests} |")
        lines.append("")
    return "\n".join(lines)


def main():
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page())
        return 0
    current = PAGE.exists() and PAGE.read_text() == page()
    print(f"{PAGE.relative_to(ROOT)} is {'up to date' if current else 'old: run tests/conformance/table.py'}")
    return 0 if current else 1


if __name__ == "__main__":
    sys.exit(main())
