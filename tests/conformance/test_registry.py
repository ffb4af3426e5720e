"""The registry of models over HTTP: models, versions, aliases, tags, history, uploads in pieces, and versions that are served."""

import hashlib
import io
import json
import tarfile
import time

import mezzo_server
import pytest
from mezzo_server import SLOWNESS, Server
from test_jobs import simple
from test_tenants import Admin, first_key, make_key, make_tenant

MODELS = "/v1/registry/models"
# Contents that are no models: ready as soon as they are whole.
UNTESTED = "artifacts: {min_free: 0}\nregistry: {tests: {enabled: false}}\n"
SIMPLE = mezzo_server.MODELS / "simple"
INPUTS = {key: value for key, value in simple()["input"].items() if key == "inputs"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with Server(data_dir=str(tmp_path_factory.mktemp("data")), config=UNTESTED) as server:
        yield Admin(server, first_key(server))


def sha(content):
    return hashlib.sha256(content).hexdigest()


def manifest(files):
    return [{"path": path, "sha256": sha(content), "bytes": len(content)} for path, content in files.items()]


def refused(answer, reason, status=400):
    assert answer[0] == status, answer
    assert answer[1]["error"]["code"] == reason, answer
    return answer[1]


def put(admin, content, piece, begin=0, total=None, digest=None):
    headers = {"Authorization": f"Bearer {admin.key}", "Content-Type": "application/octet-stream"}
    if total is not None:
        headers["Content-Range"] = f"bytes {begin}-{begin + len(piece) - 1}/{total}"
    status, _, text = admin.server.request("PUT", f"/v1/registry/blobs/{digest or sha(content)}", piece, headers, 60)
    return status, json.loads(text)


def push(admin, model, files, **facts):
    """A version that is ready; its number."""
    admin("POST", MODELS, {"name": model})
    made = admin.ok("POST", f"{MODELS}/{model}/versions", {"files": manifest(files), **facts})
    for content in {sha(content): content for content in files.values()}.values():
        if sha(content) in made["missing"]:
            assert put(admin, content, content)[0] == 200
    done = admin.ok("POST", f"{MODELS}/{model}/versions/{made['version']}/complete")
    assert done["state"] == "ready", done
    return made["version"]


def files_of(folder, version="1"):
    files = {path.name: path.read_bytes() for path in (folder / version).iterdir() if path.is_file()}
    config = folder / "config.pbtxt"
    return {**files, **({"config.pbtxt": config.read_bytes()} if config.exists() else {})}


@pytest.mark.covers("GET /v1/registry/models", "POST /v1/registry/models", "GET /v1/registry/models/{m}",
                    "PATCH /v1/registry/models/{m}", "DELETE /v1/registry/models/{m}")
def test_models_are_made_changed_renamed_listed_and_removed(platform):
    made = platform.ok("POST", MODELS, {"name": "m-1", "description": "one", "tags": {"team": "a"}})
    assert made["name"] == "m-1" and made["latest"] is None and made["tags"] == {"team": "a"} and made["revision"] == 1
    refused(platform("POST", MODELS, {"name": "m-1"}), "registry_model_exists")
    refused(platform("POST", MODELS, {"name": "../m"}), "registry_model_name")
    refused(platform("POST", MODELS, {"nome": "m"}), "request_member")
    refused(platform("GET", f"{MODELS}/nothing"), "registry_model_unknown", 404)
    changed = platform.ok("PATCH", f"{MODELS}/m-1", {"description": "two", "if_revision": 1})
    assert changed["description"] == "two" and changed["revision"] == 2
    refused(platform("PATCH", f"{MODELS}/m-1", {"description": "three", "if_revision": 1}), "registry_conflict")
    assert platform.ok("GET", f"{MODELS}/m-1")["description"] == "two"
    for number in range(2, 6):
        platform.ok("POST", MODELS, {"name": f"m-{number}"})
    names, after = [], ""
    while True:
        page = platform.ok("GET", f"{MODELS}?prefix=m-&limit=2{after}")
        names += [model["name"] for model in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['next']}"
    assert names == [f"m-{number}" for number in range(1, 6)]
    assert [m["name"] for m in platform.ok("GET", f"{MODELS}?like=m-%25&order=-name")["data"]] == names[::-1]
    assert [m["name"] for m in platform.ok("GET", f"{MODELS}?tag=team=a")["data"]] == ["m-1"]
    assert platform.ok("PATCH", f"{MODELS}/m-5", {"name": "m-6"})["name"] == "m-6"
    refused(platform("PATCH", f"{MODELS}/m-6", {"name": "m-1"}), "registry_model_exists")
    for query in ("order=size", "limit=0", "tag=x", "name=a&prefix=b"):
        refused(platform("GET", f"{MODELS}?{query}"), "query_value")
    refused(platform("GET", f"{MODELS}?order=time&after=x"), "registry_page_token")
    for name in ["m-1", "m-2", "m-3", "m-4", "m-6"]:
        assert platform.ok("DELETE", f"{MODELS}/{name}")["deleted"]
    assert platform.ok("GET", f"{MODELS}?prefix=m-")["data"] == []


@pytest.mark.covers("GET /v1/registry/versions", "GET /v1/registry/models/{m}/versions", "POST /v1/registry/models/{m}/versions",
                    "GET /v1/registry/models/{m}/versions/{v}", "PATCH /v1/registry/models/{m}/versions/{v}",
                    "DELETE /v1/registry/models/{m}/versions/{v}", "POST /v1/registry/models/{m}/versions/{v}/complete",
                    "GET /v1/registry/models/{m}/versions/{v}/missing")
def test_versions_are_immutable_and_go_their_way(platform):
    platform.ok("POST", MODELS, {"name": "way"})
    files = {"model.onnx": b"weights", "sub/data.bin": b"data"}
    made = platform.ok("POST", f"{MODELS}/way/versions", {
        "files": manifest(files), "description": "first", "stage": "dev", "tags": {"q": "1"},
        "lineage": {"data": "s3://d", "code": "abc", "metrics": {"f1": 0.9}, "run_id": "r1", "source": "runs:/r1"}})
    canonical = "".join(f"{sha(content)} {len(content)} {path}\n" for path, content in sorted(files.items()))
    assert made["digest"] == sha(canonical.encode())
    assert made["version"] == 1 and made["state"] == "uploading" and made["bytes"] == 11
    assert sorted(made["missing"]) == sorted(sha(content) for content in files.values())
    one = f"{MODELS}/way/versions/1"
    refused(platform("POST", f"{one}/complete"), "registry_blobs_missing")
    refused(platform("PUT", f"{MODELS}/way/aliases/prod", {"version": 1}), "registry_version_not_ready")
    assert put(platform, b"weights", b"weights")[1]["complete"]
    assert platform.ok("GET", f"{one}/missing")["data"] == [sha(b"data")]
    assert put(platform, b"data", b"data")[1]["complete"]
    assert platform.ok("POST", f"{one}/complete")["state"] == "ready"
    shown = platform.ok("GET", f"{MODELS}/way/versions/latest")
    assert shown["version"] == 1 and shown["lineage"]["metrics"] == {"f1": 0.9}
    assert shown["files"] == sorted(manifest(files), key=lambda file: file["path"])
    assert platform.ok("PATCH", one, {"stage": "live"})["stage"] == "live"
    assert platform.ok("PATCH", one, {"state": "archived"})["state"] == "archived"
    refused(platform("PATCH", one, {"state": "archived"}), "registry_version_state")
    refused(platform("GET", f"{MODELS}/way/versions/latest"), "registry_alias_unknown", 404)
    assert platform.ok("PATCH", one, {"state": "ready"})["state"] == "ready"
    assert push(platform, "way", files) == 2
    listed = platform.ok("GET", f"{MODELS}/way/versions")["data"]
    assert [version["version"] for version in listed] == [2, 1] and listed[0]["digest"] == listed[1]["digest"]
    assert [v["version"] for v in platform.ok("GET", "/v1/registry/versions?model=way&tag=q=1")["data"]] == [1]
    assert platform.ok("GET", "/v1/registry/versions?run_id=r1")["data"][0]["model"] == "way"
    refused(platform("GET", f"{MODELS}/way/versions?state=good"), "query_value")
    refused(platform("GET", f"{MODELS}/none/versions"), "registry_model_unknown", 404)
    platform.ok("DELETE", f"{MODELS}/way/versions/2")
    refused(platform("GET", f"{MODELS}/way/versions/2"), "registry_version_unknown", 404)
    assert push(platform, "way", {"model.onnx": b"other"}) == 3, "a number is given once"


def test_manifests_that_are_not_safe_are_refused_and_change_nothing(platform):
    platform.ok("POST", MODELS, {"name": "unsafe"})
    good = {"path": "a", "sha256": sha(b"x"), "bytes": 1}
    for path in ("../a", "/etc/passwd", "a/../../b", "a\\b", "a\nb", ".git/config", "a//b", "", "x" * 300, "é"):
        refused(platform("POST", f"{MODELS}/unsafe/versions", {"files": [{**good, "path": path}]}), "manifest_path")
    for files, reason in (([good, {**good, "path": "A"}], "manifest_duplicate"), ([good, good], "manifest_duplicate"),
                          ([good, {**good, "path": "a/b"}], "manifest_duplicate"),
                          ([{**good, "sha256": "X" * 64}], "manifest_digest"), ([], "manifest_empty"),
                          ([{**good, "bytes": 1 << 50}], "manifest_limits"), ([{**good, "link": "/etc"}], "request_member"),
                          ([{**good, "bytes": -1}], "request_member")):
        refused(platform("POST", f"{MODELS}/unsafe/versions", {"files": files}), reason)
    assert platform.ok("GET", f"{MODELS}/unsafe/versions")["data"] == []


@pytest.mark.covers("GET /v1/registry/blobs/{c}", "PUT /v1/registry/blobs/{c}", "GET /v1/registry/models/{m}/versions/{v}/contents/{c}")
def test_a_content_comes_in_pieces_and_is_verified(platform):
    content = bytes(range(256)) * 1024  # 256 KiB.
    platform.ok("POST", MODELS, {"name": "pieces"})
    refused(put(platform, content, content), "registry_blob_unexpected")
    refused(platform("GET", f"/v1/registry/blobs/{sha(content)}"), "registry_blob_unknown", 404)
    platform.ok("POST", f"{MODELS}/pieces/versions", {"files": manifest({"data.bin": content})})
    half = len(content) // 2
    status, answer = put(platform, content, content[:half], 0, len(content))
    assert (status, answer["received"], answer["complete"]) == (200, half, False)
    assert platform.ok("GET", f"/v1/registry/blobs/{sha(content)}")["received"] == half
    refused(put(platform, content, content[half + 1:], half + 1, len(content)), "registry_blob_range")
    refused(put(platform, content, content[half:], half, len(content) + 1), "registry_blob_size")
    wrong = bytes(len(content) - half)
    refused(put(platform, content, wrong, half, len(content)), "registry_blob_digest")
    assert platform.ok("GET", f"/v1/registry/blobs/{sha(content)}")["received"] == 0, "what was wrong is gone"
    for begin in range(0, len(content), 100_000):
        status, answer = put(platform, content, content[begin:begin + 100_000], begin, len(content))
        assert status == 200, answer
    assert answer["complete"]
    headers = {"Authorization": f"Bearer {platform.key}"}
    for bad in ("bytes 0-9", "bytes 5-1/100", "items 0-9/100", "bytes 0-9/5"):
        status, _, text = platform.server.request("PUT", f"/v1/registry/blobs/{sha(content)}", b"0123456789",
                                                  {**headers, "Content-Range": bad})
        refused((status, json.loads(text)), "registry_range")
    platform.ok("POST", f"{MODELS}/pieces/versions/1/complete")
    url = f"{MODELS}/pieces/versions/1/contents/{sha(content)}"
    status, _, got = platform.server.request("GET", url, headers=headers)
    assert status == 200 and got == content
    status, _, got = platform.server.request("GET", url, headers={**headers, "Range": "bytes=10-19"})
    assert status == 206 and got == content[10:20]
    refused(platform("GET", f"{MODELS}/pieces/versions/1/contents/{sha(b'?')}"), "registry_blob_unknown", 404)


def test_half_an_upload_is_nothing_that_can_be_used(platform):
    content = bytes(reversed(range(256))) * 1024
    platform.ok("POST", MODELS, {"name": "halves"})
    made = platform.ok("POST", f"{MODELS}/halves/versions", {"files": manifest({"a.bin": content, "b.bin": b"never sent"})})
    status, answer = put(platform, content, content[:1 << 17], 0, len(content))
    assert (status, answer["received"]) == (200, 1 << 17)

    def everything():
        return [platform.ok("GET", f"{MODELS}/halves{of}") for of in ("", "/versions", "/versions/1", "/versions/1/missing", "/history")] + [
            platform.ok("GET", f"/v1/registry/blobs/{sha(content)}"), platform.ok("GET", "/v1/releases?model=halves"),
            platform("GET", "/v1/routes/halves")]

    before = everything()
    one = f"{MODELS}/halves/versions/1"
    lacks = refused(platform("POST", f"{one}/complete"), "registry_blobs_missing")["error"]["message"]
    assert lacks.startswith("version 1 of model 'halves' lacks 2 contents, such as ") and sorted(made["missing"])[0] in lacks
    wrong = bytes(len(content) - (1 << 17))
    for method, path, body, status, reason in (
            ("POST", f"{one}/load", None, 400, "registry_version_not_ready"),
            ("POST", f"{one}/retire", None, 400, "registry_version_state"),
            ("POST", f"{one}/restore", None, 400, "registry_version_state"),
            ("PATCH", one, {"state": "ready"}, 400, "registry_version_state"),
            ("PUT", f"{MODELS}/halves/aliases/prod", {"version": 1}, 400, "registry_version_not_ready"),
            ("PUT", "/v1/routes/halves", {"stable": "1"}, 400, "route_version_not_ready"),
            ("POST", "/v1/releases", {"model": "halves", "stable": "1", "candidate": "1"}, 400, "release_spec"),
            ("POST", "/v1/releases", {"model": "halves", "stable": "2", "candidate": "1"}, 409, "registry_version_not_ready"),
            ("GET", f"{MODELS}/halves/versions/latest", None, 404, "registry_alias_unknown")):
        refused(platform(method, path, body), reason, status)
        assert everything() == before, (method, path)
    refused(platform("GET", f"{one}/contents/{sha(content)}"), "registry_blob_unknown", 404)
    # What is sent must be what was named; what is wrong takes its pieces with it, and nothing else.
    said = refused(put(platform, content, wrong, 1 << 17, len(content)), "registry_blob_digest")["error"]["message"]
    assert said == f"the content that was sent as {sha(content)} has the SHA-256 {sha(content[:1 << 17] + wrong)}"
    assert platform.ok("GET", f"/v1/registry/blobs/{sha(content)}")["received"] == 0
    assert platform.ok("GET", one) == before[2]
    assert put(platform, content, content)[1]["complete"], "and can be sent again"


def test_an_archive_is_a_file_like_any_other_and_never_unpacked(platform, tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, kind, link in (("../escaped.txt", tarfile.REGTYPE, ""), ("/tmp/escaped.txt", tarfile.REGTYPE, ""),
                                 ("link", tarfile.SYMTYPE, "/etc/passwd"), ("hard", tarfile.LNKTYPE, "/etc/passwd")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            tar.addfile(member)
        zeros = tarfile.TarInfo("model.onnx")
        zeros.size = 256 << 20
        tar.addfile(zeros, open("/dev/zero", "rb"))
    bomb = packed.getvalue()
    assert len(bomb) < 1 << 20
    before = platform.server.metrics()["mezzo_process_resident_memory_bytes"]
    number = push(platform, "archive", {"model.tar.gz": bomb})
    (file,) = platform.ok("GET", f"{MODELS}/archive/versions/{number}")["files"]
    assert (file["path"], file["bytes"]) == ("model.tar.gz", len(bomb))
    status, answer = platform("POST", f"{MODELS}/archive/versions/{number}/load")
    assert status >= 400, answer
    assert platform.server.metrics()["mezzo_process_resident_memory_bytes"] < before + (64 << 20)
    # As a body that the server is asked to unpack it is none, either.
    headers = {"Authorization": f"Bearer {platform.key}", "Content-Encoding": "gzip", "Content-Type": "application/octet-stream"}
    status, _, text = platform.server.request("PUT", f"/v1/registry/blobs/{sha(b'?')}", bomb, headers, 60)
    assert status in (400, 413), text
    assert platform.server.metrics()["mezzo_process_resident_memory_bytes"] < before + (64 << 20)


@pytest.mark.covers("PUT /v1/registry/models/{m}/aliases/{a}", "DELETE /v1/registry/models/{m}/aliases/{a}",
                    "GET /v1/registry/models/{m}/history", "GET /v1/registry/models/{m}/at")
def test_aliases_move_in_one_step_and_the_history_tells(platform):
    for content in (b"1", b"2"):
        push(platform, "alias", {"model.onnx": content})
    prod = f"{MODELS}/alias/aliases/prod"
    platform.ok("PUT", prod, {"version": 1, "if_version": 0})
    time.sleep(0.01)
    before = platform.ok("GET", f"{MODELS}/alias/history?alias=prod")["data"][0]["at"]
    time.sleep(0.01)
    refused(platform("PUT", prod, {"version": 2, "if_version": 2}), "registry_conflict")
    platform.ok("PUT", prod, {"version": 2, "if_version": 1})
    assert platform.ok("GET", f"{MODELS}/alias/versions/prod")["version"] == 2
    assert platform.ok("GET", f"{MODELS}/alias")["aliases"] == {"prod": 2}
    for name, reason in (("latest", "registry_alias_reserved"), ("v7", "registry_alias_name"), ("12", "registry_alias_name")):
        refused(platform("PUT", f"{MODELS}/alias/aliases/{name}", {"version": 1}), reason)
    # Answers say milliseconds, the books microseconds.
    moment = platform.ok("GET", f"{MODELS}/alias/at?time={before.replace('Z', '999Z')}")
    assert moment["aliases"] == {"prod": 1} and moment["latest"] == 2
    assert platform.ok("GET", f"{MODELS}/alias/at")["aliases"] == {"prod": 2}
    assert platform.ok("GET", f"{MODELS}/alias/at?time=2020-01-01")["aliases"] == {}
    refused(platform("GET", f"{MODELS}/alias/at?time=yesterday"), "time_invalid")
    assert platform.ok("GET", f"{MODELS}?alias=prod")["data"][0]["name"] == "alias"
    platform.ok("DELETE", f"{MODELS}/alias/versions/2")
    assert platform.ok("GET", f"{MODELS}/alias")["aliases"] == {}, "a version takes its aliases with it"
    refused(platform("DELETE", prod), "registry_alias_unknown", 404)
    platform.ok("PUT", prod, {"version": 1})
    platform.ok("DELETE", prod)
    lines = platform.ok("GET", f"{MODELS}/alias/history?alias=prod")["data"]
    assert [(line["kind"], line["before"], line["after"]) for line in lines] == [
        ("alias_deleted", "1", None), ("alias_set", None, "1"), ("alias_deleted", "2", None), ("alias_set", "1", "2"),
        ("alias_set", None, "1")]
    page = platform.ok("GET", f"{MODELS}/alias/history?limit=2&before={lines[0]['number']}")
    assert len(page["data"]) == 2 and page["has_more"] and page["data"][0]["number"] < lines[0]["number"]


@pytest.mark.covers("PUT /v1/registry/models/{m}/tags", "DELETE /v1/registry/models/{m}/tags",
                    "PUT /v1/registry/models/{m}/versions/{v}/tags", "DELETE /v1/registry/models/{m}/versions/{v}/tags")
def test_tags_of_models_and_versions(platform):
    push(platform, "tags", {"model.onnx": b"1"})
    for of in ("", "/versions/1"):
        path = f"{MODELS}/tags{of}"
        platform.ok("PUT", f"{path}/tags", {"key": "a/b c", "value": "x=y"})
        assert platform.ok("GET", path)["tags"] == {"a/b c": "x=y"}
        platform.ok("DELETE", f"{path}/tags?key=a/b%20c")
        refused(platform("DELETE", f"{path}/tags?key=a/b%20c"), "registry_tag_unknown", 404)
        refused(platform("PUT", f"{path}/tags", {"key": "", "value": ""}), "registry_tag")
    refused(platform("PUT", f"{MODELS}/tags/versions/9/tags", {"key": "a", "value": ""}), "registry_version_unknown", 404)


def test_only_operators_change_and_a_tenants_model_is_its_own(platform):
    for tenant in ("own-a", "own-b"):
        make_tenant(platform, tenant)
    ann, bob = make_key(platform, "own-a", role="admin"), make_key(platform, "own-b", role="admin")
    platform.ok("POST", MODELS, {"name": "private", "tenant": "own-a"})
    push(platform, "private", {"model.onnx": b"secret"})
    refused(ann("POST", MODELS, {"name": "mine"}), "scope_missing", 403)
    refused(ann("DELETE", f"{MODELS}/private"), "scope_missing", 403)
    assert ann.ok("GET", f"{MODELS}/private")["tenant"] == "own-a"
    assert [m["name"] for m in ann.ok("GET", f"{MODELS}?prefix=priv")["data"]] == ["private"]
    for path in ("", "/versions", "/versions/1", "/history", "/at", f"/versions/1/contents/{sha(b'secret')}"):
        refused(bob("GET", f"{MODELS}/private{path}"), "registry_model_unknown", 404)
    assert bob.ok("GET", f"{MODELS}?prefix=priv")["data"] == []
    assert bob.ok("GET", "/v1/registry/versions?prefix=priv")["data"] == []
    contents = f"{MODELS}/private/versions/1/contents/{sha(b'secret')}"
    assert ann.server.request("GET", contents, headers={"Authorization": f"Bearer {ann.key}"})[2] == b"secret"
    push(platform, "everybodys", {"model.onnx": b"open"})
    refused(bob("GET", f"{MODELS}/everybodys/versions/1/contents/{sha(b'open')}"), "registry_contents", 403)


@pytest.mark.covers("GET /v1/registry/retirements")
def test_versions_that_leave_are_listed_with_what_comes_next(platform):
    for tenant in ("gone-a", "gone-b"):
        make_tenant(platform, tenant)
    ann, bob = make_key(platform, "gone-a", role="admin"), make_key(platform, "gone-b", role="admin")
    platform.ok("POST", MODELS, {"name": "anns-leaving", "tenant": "gone-a"})

    def listed(caller, model):
        return [one for one in caller.ok("GET", "/v1/registry/retirements?limit=1000")["data"] if one["model"] == model]

    for model in ("leaving", "anns-leaving"):
        push(platform, model, {"model.onnx": b"one"})
        push(platform, model, {"model.onnx": b"two"})
        assert listed(platform, model) == []
        platform.ok("POST", f"{MODELS}/{model}/versions/1/retire")
        (one,) = listed(platform, model)
        assert (one["version"], one["stage"], one["by_hand"], one["last_call_at"]) == (1, "draining", True, None)
        assert one["since"] < one["next_at"], one
    assert listed(ann, "anns-leaving") == [one] and listed(bob, "anns-leaving") == []
    assert listed(bob, "leaving") == listed(platform, "leaving")  # The model is nobody's, so everybody reads it.
    newest = platform.ok("GET", "/v1/registry/retirements?limit=1")
    assert newest["data"] == [one] and newest["has_more"]
    for limit in ("0", "1001", "x"):
        said = refused(platform("GET", f"/v1/registry/retirements?limit={limit}"), "query_value")
        assert said["error"]["message"] == f"query parameter 'limit' must be in [1, 1000], got '{limit}'"
    refused(platform("POST", f"{MODELS}/leaving/versions/9/restore"), "registry_version_unknown", 404)
    for model in ("leaving", "anns-leaving"):
        platform.ok("POST", f"{MODELS}/{model}/versions/1/restore")
        assert listed(platform, model) == []


@pytest.mark.covers("POST /v1/registry/models/{m}/versions/{v}/load", "POST /v1/registry/models/{m}/versions/{v}/unload",
                    "GET /v1/registry/served")
def test_a_host_serves_a_version_when_it_is_asked_and_after_a_restart(tmp_path):
    with Server(data_dir=str(tmp_path), config=UNTESTED) as server:
        admin = Admin(server, first_key(server))
        push(admin, "simple", files_of(SIMPLE))
        push(admin, "simple", {**files_of(SIMPLE), "notes.txt": b"the second"})
        assert admin("POST", "/v2/models/simple/infer", INPUTS)[0] == 404
        for version in (1, 2):
            assert admin.ok("POST", f"{MODELS}/simple/versions/{version}/load")["served"]
        for version in ("", "/versions/1", "/versions/2"):
            answer = admin.ok("POST", f"/v2/models/simple{version}/infer", INPUTS)
            assert answer["model_version"] == (version[-1:] or "2")
        assert [(v["model"], v["version"], v["ready"]) for v in admin.ok("GET", "/v1/registry/served")["data"]] == [
            ("simple", 1, True), ("simple", 2, True)]
        refused(admin("POST", f"{MODELS}/simple/versions/3/load"), "registry_version_unknown", 404)
        admin.ok("POST", f"{MODELS}/simple/versions/2/unload")
        deadline = time.monotonic() + 20 * SLOWNESS
        while admin("POST", "/v2/models/simple/versions/2/infer", INPUTS)[0] == 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert admin.ok("POST", "/v2/models/simple/infer", INPUTS)["model_version"] == "1"
        refused(admin("POST", f"{MODELS}/simple/versions/2/unload"), "version_not_served", 404)
        moment = admin.ok("GET", f"{MODELS}/simple/at")
        assert [one["version"] for one in moment["served"]] == [1]
    with Server(data_dir=str(tmp_path), config=UNTESTED) as server:
        admin.server = server
        assert admin.ok("POST", "/v2/models/simple/infer", INPUTS)["model_version"] == "1"
        assert [v["version"] for v in admin.ok("GET", "/v1/registry/served")["data"]] == [1]


def test_a_version_with_external_data_is_served_and_its_files_are_tested_again(tmp_path):
    """A host serves hard links to what it has fetched: the engine took external data with a second name for a way out."""
    with Server(data_dir=str(tmp_path), config="artifacts: {min_free: 0}\n") as server:
        admin = Admin(server, first_key(server))
        files = files_of(mezzo_server.MODELS / "external_data")
        assert "weights.bin" in files
        assert after_test(admin, "external", files)["state"] == "ready"
        assert admin.ok("POST", f"{MODELS}/external/versions/1/load")["served"]
        # The second version's files are those that are being served.
        assert after_test(admin, "external", files)["state"] == "ready"
        assert admin.ok("POST", f"{MODELS}/external/versions/2/load")["served"]


def test_a_version_that_does_not_load_says_why(platform):
    push(platform, "broken", {"model.onnx": b"no model"})
    refused(platform("POST", f"{MODELS}/broken/versions/1/load"), "version_not_loaded")
    assert "broken" not in [one["model"] for one in platform.ok("GET", "/v1/registry/served")["data"]]
    assert platform.ok("GET", f"{MODELS}/broken/at")["served"] == []


def after_test(admin, model, files):
    """A version whose test has ended."""
    admin("POST", MODELS, {"name": model})
    made = admin.ok("POST", f"{MODELS}/{model}/versions", {"files": manifest(files)})
    for content in files.values():
        if sha(content) in made["missing"]:
            assert put(admin, content, content)[0] == 200
    one = f"{MODELS}/{model}/versions/{made['version']}"
    assert admin.ok("POST", f"{one}/complete")["state"] in ("testing", "ready", "rejected")
    deadline = time.monotonic() + 120 * SLOWNESS
    while (version := admin.ok("GET", one))["state"] == "testing":
        assert time.monotonic() < deadline, version
        time.sleep(0.05)
    return version


@pytest.mark.covers("GET /v1/registry/models/{m}/versions/{v}/test")
def test_a_version_is_tested_before_it_is_ready_and_its_report_is_kept(tmp_path):
    with Server(data_dir=str(tmp_path), config="artifacts: {min_free: 0}\n") as server:
        admin = Admin(server, first_key(server))
        good = after_test(admin, "simple", files_of(SIMPLE))
        bad = after_test(admin, "simple", {**files_of(SIMPLE), "model.onnx": b"no model"})

        assert good["state"] == "ready", good
        report = admin.ok("GET", f"{MODELS}/simple/versions/1/test")
        assert report["verdict"] == "passed" and {one["name"] for one in report["checks"]} >= {"files", "load", "latency"}
        assert bad["state"] == "rejected" and bad["reason"].startswith("files: not an ONNX model"), bad
        report = admin.ok("GET", f"{MODELS}/simple/versions/2/test")
        assert report["verdict"] == "failed" and report["reason"] == bad["reason"]
        refused(admin("PUT", f"{MODELS}/simple/aliases/prod", {"version": 2}), "registry_version_not_ready")
        assert admin.ok("GET", f"{MODELS}/simple/versions/latest")["version"] == 1
        admin.ok("POST", f"{MODELS}/simple/versions", {"files": manifest({"model.onnx": b"half"})})
        refused(admin("GET", f"{MODELS}/simple/versions/3/test"), "version_test_unknown", 404)
        refused(admin("GET", f"{MODELS}/simple/versions/4/test"), "registry_version_unknown", 404)
