"""What the built models depend on. Standard library only: tools/fetch.py asks before it makes any environment."""
import hashlib
import json
import os

# The folders of the cache that build.py fills.
REPOSITORIES = ("models", "testmodels", "badmodels", "benchmodels")


def source_files(root: str) -> list[str]:
    """Files whose change makes the built models out of date, relative to the repository root, sorted."""
    files = ["third_party/requirements-models.txt"]
    for name in os.listdir(os.path.join(root, "python", "models")):
        if name.endswith((".py", ".json")) and not name.startswith("check_"):
            files.append("python/models/" + name)
    return sorted(files)


def digest(root: str) -> str:
    """A SHA-256 over the sources and the pinned downloads of the models."""
    result = hashlib.sha256()
    for path in source_files(root):
        with open(os.path.join(root, path), "rb") as f:
            content = f.read()
        result.update(f"{path}\0{len(content)}\0".encode())
        result.update(content)
    with open(os.path.join(root, "third_party", "lock.json"), encoding="utf-8") as f:
        sets = json.load(f)["sets"]
    result.update(json.dumps([sets["magika"], sets["minilm"]], sort_keys=True).encode())
    return result.hexdigest()
