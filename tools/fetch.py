#!/usr/bin/env python3
"""Brings pinned third-party files into the cache folder.

    tools/fetch.py [--models [--into FOLDER]] [--openvino] [--minio] [SET...]

What is fetched, from where and with which SHA-256 stands in third_party/lock.json. Downloads go through the ordinary
package clients (pip, go) as this host has them configured. Without arguments it brings the set `onnxruntime`;
--models also brings the example models and builds them (python/models/build.py); --openvino also brings the
OpenVINO execution provider; --minio builds the S3 server that tests start, which takes minutes once.

A set that is in place and matches the lock costs a few milliseconds. Every file is checked before a set is published
by renaming a finished folder; two runs at once wait for each other; a killed run leaves the old state or none.
"""
import argparse
import contextlib
import json
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOCK_FILE = os.path.join(ROOT, "third_party", "lock.json")
STAMP = ".stamp.json"


class FetchError(Exception):
    """A failure to report as one line, naming what to do about it."""


def say(text: str) -> None:
    print(f"fetch: {text}", file=sys.stderr, flush=True)


def set_folder(cache: str, name: str) -> str:
    """ONNX Runtime and its plug-ins are used in place; the model sets are inputs of a build."""
    return os.path.join(cache, name) if name in ("onnxruntime", "openvino") else os.path.join(cache, "downloads", name)


def expected_paths(spec: dict) -> list[str]:
    paths = []
    for source in spec["sources"]:
        paths += [entry["to"] for entry in source["files"]]
        paths += list(source.get("links", {}))
    return paths


def is_current(folder: str, spec: dict) -> bool:
    """True when `folder` was published from exactly this part of the lock and still has all of its files.

    Contents were checked when the folder was published; here sizes are enough to notice a damaged cache.
    """
    try:
        with open(os.path.join(folder, STAMP), encoding="utf-8") as f:
            stamp = json.load(f)
        if stamp["spec"] != spec:
            return False
        return all(os.stat(os.path.join(folder, path)).st_size == size for path, size in stamp["sizes"].items())
    except (OSError, ValueError, KeyError):
        return False


@contextlib.contextmanager
def exclusive(cache: str, name: str):
    """Holds the cache's lock for `name`; a second process waits here."""
    import fcntl

    os.makedirs(cache, exist_ok=True)
    with open(os.path.join(cache, f".lock-{name}"), "w", encoding="utf-8") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is working on {name}: waiting for it")
            fcntl.flock(f, fcntl.LOCK_EX)
        yield


def sha256_of(path: str) -> str:
    import hashlib

    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def check_sha256(path: str, expected: str, what: str) -> None:
    actual = sha256_of(path)
    if actual != expected:
        raise FetchError(f"{what}: SHA-256 is {actual}, third_party/lock.json pins {expected}")


def run(command: list[str], what: str, timeout: float = 900, **kwargs) -> str:
    """Runs a package client and returns its standard output; its last words go into the error."""
    import subprocess

    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **kwargs)
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{what}: no result after {error.timeout:.0f} s ({' '.join(command)})") from error
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-6:]
        raise FetchError(f"{what} failed ({' '.join(command)}):\n  " + "\n  ".join(words))
    return done.stdout


def require_pip() -> list[str]:
    import importlib.util

    if importlib.util.find_spec("pip") is None:
        raise FetchError(f"{sys.executable} has no pip: install the Debian package python3-pip")
    return [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def download_wheel(source: dict, scratch: str) -> str:
    command = require_pip() + ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", scratch]
    command += ["--python-version", source["python"], "--implementation", "cp"]
    for abi in source["abi"]:
        command += ["--abi", abi]
    for platform in source["platform"]:
        command += ["--platform", platform]
    requirement = f"{source['package']}=={source['version']}"
    run(command + [requirement], f"downloading {requirement}")
    wheels = [entry for entry in os.listdir(scratch) if entry.endswith(".whl")]
    if len(wheels) != 1:
        raise FetchError(f"{requirement}: pip left {len(wheels)} wheels instead of one: {', '.join(sorted(wheels))}")
    wheel = os.path.join(scratch, wheels[0])
    check_sha256(wheel, source["sha256"], wheels[0])
    return wheel


def unpack_wheel(source: dict, scratch: str, target: str) -> None:
    import shutil
    import zipfile

    with zipfile.ZipFile(download_wheel(source, scratch)) as archive:
        for entry in source["files"]:
            destination = os.path.join(target, entry["to"])
            os.makedirs(os.path.dirname(destination), exist_ok=True)
            with archive.open(entry["member"]) as reader, open(destination, "wb") as writer:
                shutil.copyfileobj(reader, writer, 1 << 20)


def require_go(path: str | None = None) -> str:
    import shutil

    go = shutil.which("go", path=path) or shutil.which("go", path="/usr/lib/go/bin:/usr/local/go/bin")
    if go is None:
        raise FetchError("there is no `go` on this host: install the Debian package golang-go")
    return go


def go_environment(scratch: str, **settings: str) -> dict[str, str]:
    """GO111MODULE and GOWORK: this user's settings for other projects must not leak in. Newer Go releases would fetch
    a toolchain when a go.mod asks for one. Caches lie in `scratch`, and -modcacherw lets it be removed."""
    return dict(os.environ, GOMODCACHE=os.path.join(scratch, "modules"), GOPATH=os.path.join(scratch, "gopath"),
                GOTOOLCHAIN="local", GO111MODULE="on", GOWORK="off", **settings)


def unpack_go_module(source: dict, scratch: str, target: str) -> None:
    """Takes files out of a Go module. The Go checksum database is off because the lock pins every file itself."""
    import shutil

    go = require_go()
    environment = go_environment(scratch, GOFLAGS="-mod=mod -modcacherw", GOSUMDB="off")
    module = f"{source['module']}@{source['version']}"
    out = run([go, "mod", "download", "-json", module], f"downloading the Go module {module}",
              cwd=scratch, env=environment)
    folder = json.loads(out)["Dir"]
    for entry in source["files"]:
        destination = os.path.join(target, entry["to"])
        os.makedirs(os.path.dirname(destination), exist_ok=True)
        shutil.copyfile(os.path.join(folder, entry["member"]), destination)


UNPACK = {"pypi": unpack_wheel, "go": unpack_go_module}


def build_set(spec: dict, scratch: str, target: str) -> None:
    """Fills `target` with all files of the set, checked, plus its stamp."""
    os.makedirs(target)
    for number, source in enumerate(spec["sources"]):
        source_scratch = os.path.join(scratch, str(number))
        os.makedirs(source_scratch)
        UNPACK[source["kind"]](source, source_scratch, target)
        for entry in source["files"]:
            path = os.path.join(target, entry["to"])
            check_sha256(path, entry["sha256"], entry["to"])
            os.chmod(path, 0o644)
        for link, destination in source.get("links", {}).items():
            os.symlink(destination, os.path.join(target, link))
    sizes = {path: os.stat(os.path.join(target, path)).st_size for path in expected_paths(spec)}
    with open(os.path.join(target, STAMP), "w", encoding="utf-8") as f:
        json.dump({"spec": spec, "sizes": sizes}, f)


def publish(finished: str, folder: str, scratch: str) -> None:
    """Puts `finished` in the place of `folder`. Between the two renames there is no folder, never a mixed one."""
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    if os.path.lexists(folder):
        os.rename(folder, os.path.join(scratch, "replaced"))
    os.rename(finished, folder)


def fetch_set(cache: str, name: str, spec: dict) -> str:
    """Makes the set present and returns its folder."""
    folder = set_folder(cache, name)
    if is_current(folder, spec):
        return folder
    with exclusive(cache, name):
        if is_current(folder, spec):  # The process we waited for did the work.
            return folder
        import shutil
        import tempfile
        import time

        for leftover in os.listdir(cache):  # Of a killed run: whoever made it no longer holds the lock.
            if leftover.startswith(f".partial-{name}."):
                shutil.rmtree(os.path.join(cache, leftover), ignore_errors=True)
        started = time.monotonic()
        say(f"{name}: " + ", ".join(f"{s.get('package') or s['module']} {s['version']}" for s in spec["sources"]))
        scratch = tempfile.mkdtemp(prefix=f".partial-{name}.", dir=cache)
        try:
            finished = os.path.join(scratch, "finished")
            build_set(spec, scratch, finished)
            publish(finished, folder, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        say(f"{name}: in {folder} after {time.monotonic() - started:.1f} s")
    return folder


def build_minio(cache: str, spec: dict) -> str:
    """Builds MinIO into `bin/` of the cache unless it is there in this version. Debian's Go comes first: the version is
    one that it compiles. Go's checksum database vouches for the sources."""
    binary = os.path.join(cache, "bin", "minio")
    stamp = os.path.join(cache, "bin", ".stamp-minio.json")

    def current() -> bool:
        try:
            with open(stamp, encoding="utf-8") as f:
                return json.load(f) == spec and os.access(binary, os.X_OK)
        except (OSError, ValueError):
            return False

    if current():
        return binary
    with exclusive(cache, "minio"):
        if current():
            return binary
        import shutil
        import tempfile

        go = require_go(path="/usr/lib/go/bin")
        module = f"{spec['module']}@{spec['version']}"
        say(f"minio: building {module}, which takes minutes")
        scratch = tempfile.mkdtemp(prefix=".partial-minio.", dir=cache)
        try:
            environment = go_environment(scratch, GOFLAGS="-modcacherw -trimpath -p=2", CGO_ENABLED="0",
                                         GOCACHE=os.path.join(scratch, "build"), GOBIN=os.path.join(scratch, "bin"))
            run(["nice", "-n", "10", go, "install", "-ldflags=-s -w", module], f"building {module}", timeout=2400,
                cwd=scratch, env=environment)
            os.makedirs(os.path.dirname(binary), exist_ok=True)
            os.replace(os.path.join(scratch, "bin", "minio"), binary)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        with open(stamp, "w", encoding="utf-8") as f:
            json.dump(spec, f)
    return binary


def models_venv(cache: str) -> str:
    """The interpreter of a private environment with exactly third_party/requirements-models.txt in it."""
    requirements = os.path.join(ROOT, "third_party", "requirements-models.txt")
    with open(requirements, encoding="utf-8") as f:
        wanted = f"{sys.version_info[:3]} {sys.executable}\n" + f.read()
    folder = os.path.join(cache, "venv")
    python = os.path.join(folder, "bin", "python")
    stamp = os.path.join(folder, STAMP)

    def current() -> bool:
        try:
            with open(stamp, encoding="utf-8") as f:
                return f.read() == wanted and os.path.exists(python)
        except OSError:
            return False

    if current():
        return python
    with exclusive(cache, "venv"):
        if current():
            return python
        import importlib.util
        import shutil

        if importlib.util.find_spec("ensurepip") is None:
            raise FetchError(f"{sys.executable} can't make environments: install the Debian package python3-venv")
        say("models: making the Python environment")
        shutil.rmtree(folder, ignore_errors=True)  # A venv can't be renamed into place; the stamp marks it complete.
        run([sys.executable, "-m", "venv", folder], "making the Python environment")
        run([python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--require-hashes", "--no-deps",
             "--only-binary=:all:", "-r", requirements], "installing third_party/requirements-models.txt")
        with open(stamp, "w", encoding="utf-8") as f:
            f.write(wanted)
    return python


def build_models(cache: str) -> None:
    """Builds `models` and `testmodels` in the cache unless the ones there come from the same inputs."""
    sys.path.insert(0, os.path.join(ROOT, "python", "models"))
    sys.dont_write_bytecode = True
    import inputs  # python/models/inputs.py: standard library only.

    stamp = os.path.join(cache, ".stamp-models")  # Not inside: the folders are served as they are.
    digest = inputs.digest(ROOT)

    def current() -> bool:
        try:
            with open(stamp, encoding="utf-8") as f:
                complete = all(os.path.isdir(os.path.join(cache, name)) for name in inputs.REPOSITORIES)
                return complete and f.read() == digest
        except OSError:
            return False

    if current():
        return
    with exclusive(cache, "models"):
        if current():
            return
        import subprocess

        command = [models_venv(cache), os.path.join(ROOT, "python", "models", "build.py"), "--cache", cache]
        if subprocess.run(command, check=False).returncode != 0:
            raise FetchError("building the models failed, see above")
        with open(stamp, "w", encoding="utf-8") as f:
            f.write(digest)


def place_models(cache: str, folder: str) -> None:
    """Copies the example models, those that were built and those of models-src/, into the model repository `folder`; a
    model that is there already is left alone."""
    import shutil

    os.makedirs(folder, exist_ok=True)
    for source in (os.path.join(cache, "models"), os.path.join(ROOT, "models-src")):
        for name in sorted(os.listdir(source)):
            place = os.path.join(folder, name)
            if os.path.lexists(place):
                continue
            partial = os.path.join(folder, f".partial-{name}.{os.getpid()}")  # Servers skip names that begin with a dot.
            shutil.copytree(os.path.join(source, name), partial)
            os.rename(partial, place)
            say(f"models: {place}")


def main() -> int:
    with open(LOCK_FILE, encoding="utf-8") as f:
        lock = json.load(f)
    sets = lock["sets"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"one of: {', '.join(sets)} (default: onnxruntime)")
    parser.add_argument("--models", action="store_true", help="bring and build the example and test models")
    parser.add_argument("--into", metavar="FOLDER",
                        help="with --models: copy magika, minilm and emoji into this model repository")
    parser.add_argument("--openvino", action="store_true", help="bring the OpenVINO execution provider")
    parser.add_argument("--minio", action="store_true", help="build the S3 server that tests start")
    parser.add_argument("--cache", default=os.path.join(ROOT, ".cache"), help="the folder to fill (default: .cache)")
    args = parser.parse_args()
    cache = os.path.abspath(args.cache)

    if args.into and not args.models:
        parser.error("--into needs --models")
    names = list(args.sets) or ([] if args.minio else ["onnxruntime"])
    if unknown := [name for name in names if name not in sets]:
        parser.error(f"unknown set {unknown[0]!r}: third_party/lock.json has {', '.join(sets)}")
    if args.openvino:
        names.append("openvino")
    if args.models:
        names += ["magika", "minilm"]
    try:
        for name in names:
            fetch_set(cache, name, sets[name])
        if args.minio:
            build_minio(cache, lock["programs"]["minio"])
        if args.models:
            build_models(cache)
            if args.into:
                place_models(cache, args.into)
    except FetchError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
