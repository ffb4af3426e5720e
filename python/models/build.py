#!/usr/bin/env python3
"""Builds the example and test models in the cache folder from what tools/fetch.py brought: `build.py --cache .cache`.

Fills `models` (magika, minilm: for serving), `testmodels`, `badmodels` and `benchmodels`. The bytes are the same on
every run; python/models/manifest.json holds the SHA-256 of each file, and a difference is an error. After a wanted
change, `--update-manifest` writes it anew. `tools/fetch.py --models` runs this in the environment it needs.
"""
import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time

import magika_features
import minilm
import protocol
from inputs import REPOSITORIES

HERE = os.path.dirname(os.path.abspath(__file__))
MANIFEST = os.path.join(HERE, "manifest.json")


def write_magika(download: str, folder: str) -> None:
    """The model as it is shipped, and one JSON with all a client needs to ask it (see magika_features.py)."""
    os.makedirs(os.path.join(folder, "1"))
    shutil.copyfile(os.path.join(download, "model.onnx"), os.path.join(folder, "1", "model.onnx"))
    shipped = magika_features.load(os.path.join(download, "config.min.json"))
    known = magika_features.load(os.path.join(download, "content_types_kb.min.json"))
    keys = ("beg_size", "end_size", "block_size", "min_file_size_for_dl", "padding_token",
            "medium_confidence_threshold", "thresholds", "overwrite_map")
    if shipped["mid_size"] or shipped["use_inputs_at_offsets"]:
        raise SystemExit("build: this Magika model wants features that magika_features.py does not compute")
    config = {key: shipped[key] for key in keys}
    config["labels"] = shipped["target_labels_space"]
    names = sorted({*config["labels"], *config["overwrite_map"].values(), "empty", "txt", "unknown"})
    config["content_types"] = {name: {key: known[name][key] for key in ("description", "mime_type", "group", "is_text")}
                               for name in names}
    with open(os.path.join(folder, "1", "magika.json"), "w", encoding="utf-8") as f:
        json.dump(config, f, indent=1, sort_keys=True)
    with open(os.path.join(folder, "labels.txt"), "w", encoding="utf-8") as f:
        f.writelines(label + "\n" for label in config["labels"])


def manifest_of(folder: str) -> dict[str, str]:
    """SHA-256 of every file below the repositories in `folder`, by path."""
    result = {}
    for repository in REPOSITORIES:
        for path, _, names in os.walk(os.path.join(folder, repository)):
            for name in names:
                full = os.path.join(path, name)
                with open(full, "rb") as f:
                    result[os.path.relpath(full, folder)] = hashlib.file_digest(f, "sha256").hexdigest()
    return dict(sorted(result.items()))


def check_manifest(built: dict[str, str]) -> None:
    with open(MANIFEST, encoding="utf-8") as f:
        expected = json.load(f)
    different = sorted(path for path in {*built, *expected} if built.get(path) != expected.get(path))
    if different:
        raise SystemExit("build: these files differ from python/models/manifest.json:\n  " + "\n  ".join(different)
                         + "\nIf that is wanted: build.py --update-manifest")


def publish(scratch: str, cache: str) -> None:
    for repository in REPOSITORIES:
        place = os.path.join(cache, repository)
        if os.path.lexists(place):
            os.rename(place, os.path.join(scratch, "replaced-" + repository))
        os.rename(os.path.join(scratch, repository), place)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", default=os.path.join(HERE, "..", "..", ".cache"))
    parser.add_argument("--update-manifest", action="store_true", help="accept what was built")
    args = parser.parse_args()
    cache = os.path.abspath(args.cache)
    downloads = os.path.join(cache, "downloads")

    started = time.monotonic()
    for leftover in os.listdir(cache):  # Of a killed run.
        if leftover.startswith(".partial-models."):
            shutil.rmtree(os.path.join(cache, leftover), ignore_errors=True)
    scratch = tempfile.mkdtemp(prefix=".partial-models.", dir=cache)
    try:
        write_magika(os.path.join(downloads, "magika"), os.path.join(scratch, "models", "magika"))
        minilm.write_model(os.path.join(downloads, "minilm"), os.path.join(scratch, "models", "minilm"))
        protocol.write_all(scratch)
        built = manifest_of(scratch)
        if args.update_manifest:
            with open(MANIFEST, "w", encoding="utf-8") as f:
                json.dump(built, f, indent=0)
                f.write("\n")
        else:
            check_manifest(built)
        publish(scratch, cache)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    seconds = time.monotonic() - started
    print(f"build: {len(built)} files in {', '.join(REPOSITORIES)} after {seconds:.1f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
