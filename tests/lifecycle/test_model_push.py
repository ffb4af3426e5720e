"""`mezzo model` against real servers: pushes that are killed and gone on with, contents that versions share, and two hosts over one
database and one store."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

import boto3
import mezzo_server
import pytest
from mezzo_server import BINARY, SLOWNESS, Server
from postgres_server import PostgresServer

for area in ("conformance", "faults"):
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / area))

from test_artifact_store import Minio  # noqa: E402
from test_jobs import simple  # noqa: E402
from test_tenants import Admin, first_key  # noqa: E402

MODELS = "/v1/registry/models"
SIMPLE = mezzo_server.MODELS / "simple"
INPUTS = {key: value for key, value in simple()["input"].items() if key == "inputs"}
PIECE = 64 << 10


def mezzo(admin, *args, check=True, timeout=120):
    done = subprocess.run([BINARY, "model", *args, "--url", admin.server.http_url], capture_output=True, text=True,
                          timeout=timeout * SLOWNESS, env={**os.environ, "MEZZO_API_KEY": admin.key}, check=False)
    if check:
        assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def admin(tmp_path_factory):
    with Server(data_dir=str(tmp_path_factory.mktemp("data")), config="artifacts: {min_free: 0}\nregistry: {tests: {enabled: false}}\n") as server:
        yield Admin(server, first_key(server))


@pytest.fixture
def folder(tmp_path):
    """The protocol's model as a version is pushed: its files, with the configuration among them."""
    path = tmp_path / "simple"
    path.mkdir()
    (path / "model.onnx").write_bytes((SIMPLE / "1" / "model.onnx").read_bytes())
    (path / "config.pbtxt").write_bytes((SIMPLE / "config.pbtxt").read_bytes())
    return path


def test_push_list_show_alias_tag_pull_rm(admin, folder, tmp_path):
    (folder / ".hidden").write_text("no")
    pushed = mezzo(admin, "push", folder, "--name", "simple", "--alias", "prod", "--tag", "team=a", "--code", "abc", "--wait")
    assert "simple version 1 is ready: 2 files" in pushed.stdout and "hidden" in pushed.stderr
    version = json.loads(mezzo(admin, "show", "simple", "prod", "--json").stdout)
    assert version["version"] == 1 and version["lineage"]["code"] == "abc" and version["tags"] == {"team": "a"}
    assert "simple" in mezzo(admin, "list").stdout and "prod=1" in mezzo(admin).stdout
    assert "0 B sent" in mezzo(admin, "push", folder, "--name", "simple").stdout, "equal contents are there"
    mezzo(admin, "alias", "simple", "prod", "2")
    mezzo(admin, "tag", "simple", "--version", "2", "note=x")
    shown = mezzo(admin, "show", "simple").stdout
    assert "aliases prod=2" in shown and "note=x" in shown
    history = mezzo(admin, "history", "simple", "--alias", "prod").stdout
    assert history.count("alias_set") == 2
    to = tmp_path / "pulled"
    assert "2 files" in mezzo(admin, "pull", "simple", "prod", "--to", to).stdout
    for name in ("model.onnx", "config.pbtxt"):
        assert (to / name).read_bytes() == (folder / name).read_bytes()
    assert "0 B fetched" in mezzo(admin, "pull", "simple", "--to", to).stdout
    mezzo(admin, "load", "simple", "2")
    assert admin.ok("POST", "/v2/models/simple/infer", INPUTS)["model_version"] == "2"
    mezzo(admin, "unload", "simple", "2")
    mezzo(admin, "alias", "simple", "prod", "--remove")
    mezzo(admin, "rm", "simple", "1")
    mezzo(admin, "rm", "simple")
    assert mezzo(admin, "show", "simple", check=False).returncode == 1
    assert mezzo(admin, "push", tmp_path / "nothing", "--name", "n", check=False).returncode == 2


def test_a_link_in_the_folder_is_refused_and_nothing_registered(admin, folder):
    (folder / "weights.bin").symlink_to("/etc/passwd")
    done = mezzo(admin, "push", folder, "--name", "linked", check=False)
    assert done.returncode == 2 and "symbolic link" in done.stderr
    assert admin("GET", f"{MODELS}/linked")[0] == 404


def test_a_push_that_was_killed_is_gone_on_with(admin, folder):
    big = os.urandom(40 * PIECE)
    (folder / "weights.bin").write_bytes(big)
    digest = hashlib.sha256(big).hexdigest()
    command = [BINARY, "model", "push", folder, "--name", "killed", "--piece", str(PIECE), "--url", admin.server.http_url]
    environment = {**os.environ, "MEZZO_API_KEY": admin.key}
    for kills in range(3):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wanted = (kills + 1) * 3 * PIECE
        deadline = time.monotonic() + 60 * SLOWNESS
        while process.poll() is None:
            status, answer = admin("GET", f"/v1/registry/blobs/{digest}")
            if status == 200 and answer["received"] >= wanted:
                process.kill()
                break
            assert time.monotonic() < deadline
        process.communicate(timeout=30)
    received = admin.ok("GET", f"/v1/registry/blobs/{digest}")
    assert 0 < received["received"]
    versions = admin.ok("GET", f"{MODELS}/killed/versions")["data"]
    assert len(versions) == 1, "the same version each time"
    if not received["complete"]:  # On a machine where the kill came late enough, it is all there.
        assert versions[0]["state"] == "uploading"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120 * SLOWNESS, check=True)
    assert "killed version 1 is ready" in done.stdout
    if versions[0]["state"] == "uploading":
        assert "going on with version 1" in done.stderr
    shown = admin.ok("GET", f"{MODELS}/killed/versions/1")
    assert {file["path"]: file["sha256"] for file in shown["files"]}["weights.bin"] == digest
    headers = {"Authorization": f"Bearer {admin.key}"}
    assert admin.server.request("GET", f"{MODELS}/killed/versions/1/contents/{digest}", headers=headers)[2] == big


def test_half_an_upload_is_removed_after_its_time(tmp_path):
    config = "artifacts: {min_free: 0}\nregistry: {upload_lifetime: 2s, content_grace: 0s, tests: {enabled: false}}\n"
    with Server(data_dir=str(tmp_path), config=config) as server:
        admin = Admin(server, first_key(server))
        admin.ok("POST", MODELS, {"name": "half"})
        file = {"path": "a", "sha256": hashlib.sha256(b"x").hexdigest(), "bytes": 1}
        admin.ok("POST", f"{MODELS}/half/versions", {"files": [file]})
        admin.await_status(404, "GET", f"{MODELS}/half/versions/1", seconds=30)
        assert admin.ok("GET", f"{MODELS}/half/history")["data"][0]["by"] == "housekeeper"


class Folder:
    """Contents in a folder that hosts share."""

    def __init__(self, folder):
        self.folder = folder
        self.config = f"artifacts: {{min_free: 0, dir: '{folder}'}}\n"
        self.env = {}

    def tamper(self, digest, old, new):
        """Changes bytes of a content behind the store's back."""
        stored = [path for path in self.folder.rglob("*") if path.is_file() and digest in str(path)]
        assert len(stored) == 1, stored
        text = stored[0].read_bytes()
        assert text.count(old) == 1
        stored[0].chmod(0o600)
        stored[0].write_bytes(text.replace(old, new))

    def close(self):
        pass


class Bucket:
    """Contents in a bucket of MinIO."""

    def __init__(self, folder):
        self.minio = Minio(folder)
        self.config = (f"artifacts: {{store: s3, min_free: 0, s3: {{endpoint: '{self.minio.url}', private_network: true, bucket: bucket, "
                       "access_key: 'env:TEST_S3_ID', secret_key: 'env:TEST_S3_KEY'}}\n")
        self.env = {"TEST_S3_ID": "mezzo", "TEST_S3_KEY": "mezzo-secret"}

    def tamper(self, digest, old, new):
        s3 = boto3.client("s3", endpoint_url=self.minio.url, aws_access_key_id="mezzo", aws_secret_access_key="mezzo-secret",
                          region_name="us-east-1")
        keys = [one["Key"] for one in s3.list_objects_v2(Bucket="bucket")["Contents"] if digest in one["Key"]]
        assert len(keys) == 1, keys
        found = s3.get_object(Bucket="bucket", Key=keys[0])
        text = found["Body"].read()
        assert text.count(old) == 1
        s3.put_object(Bucket="bucket", Key=keys[0], Body=text.replace(old, new), Metadata=found["Metadata"],
                      ContentType=found["ContentType"])

    def close(self):
        self.minio.kill()


@pytest.fixture(scope="module", params=[Folder, Bucket], ids=["folder", "bucket"])
def hosts(request, tmp_path_factory):
    """Two servers over one PostgreSQL and one store of contents."""
    contents = request.param(tmp_path_factory.mktemp("contents"))
    with PostgresServer() as database:
        def server(name):
            config = contents.config + f"registry: {{host: {name}, tests: {{enabled: false}}}}\ndatabase: {{url: 'env:TEST_DB'}}\n"
            return Server(data_dir=str(tmp_path_factory.mktemp(name)), config=config, env={**contents.env, "TEST_DB": database.url})
        with server("host-a") as a:
            key = first_key(a)
            with server("host-b") as b:
                yield Admin(a, key), Admin(b, key), contents
    contents.close()


def test_what_one_host_was_given_another_serves(hosts, folder):
    a, b, _ = hosts
    mezzo(a, "push", folder, "--name", "shared", "--alias", "prod")
    assert b.ok("GET", f"{MODELS}/shared/versions/prod")["version"] == 1
    assert b("POST", "/v2/models/shared/infer", INPUTS)[0] == 404
    # The model's own name is another one: its configuration says so, exactly.
    status, answer = b("POST", f"{MODELS}/shared/versions/1/load")
    assert status == 400 and "the model's name is 'simple'" in answer["error"]["message"], answer
    mezzo(a, "push", folder, "--name", "simple")
    mezzo(b, "load", "simple", "1")
    assert b.ok("POST", "/v2/models/simple/infer", INPUTS)["model_version"] == "1"
    assert a("POST", "/v2/models/simple/infer", INPUTS)[0] == 404, "nobody has asked this one"
    mezzo(a, "load", "simple", "1")
    assert a.ok("POST", "/v2/models/simple/infer", INPUTS)["outputs"] == b.ok("POST", "/v2/models/simple/infer", INPUTS)["outputs"]
    assert a.ok("GET", f"{MODELS}/simple/at")["served"] == [{"version": 1, "host": "host-a"}, {"version": 1, "host": "host-b"}]


def test_pieces_may_go_to_any_host(hosts):
    a, b, _ = hosts
    content = os.urandom(3 * PIECE)
    digest = hashlib.sha256(content).hexdigest()
    a.ok("POST", MODELS, {"name": "spread"})
    a.ok("POST", f"{MODELS}/spread/versions", {"files": [{"path": "f", "sha256": digest, "bytes": len(content)}]})
    for number, host in enumerate((a, b, a)):
        begin = number * PIECE
        headers = {"Authorization": f"Bearer {host.key}", "Content-Type": "application/octet-stream",
                   "Content-Range": f"bytes {begin}-{begin + PIECE - 1}/{len(content)}"}
        assert host.server.request("PUT", f"/v1/registry/blobs/{digest}", content[begin:begin + PIECE], headers)[0] == 200
    assert b.ok("POST", f"{MODELS}/spread/versions/1/complete")["state"] == "ready"


def test_a_tampered_content_is_refused_and_nothing_is_loaded(hosts, folder):
    a, b, contents = hosts
    (folder / "config.pbtxt").write_text((folder / "config.pbtxt").read_text().replace('"simple"', '"tampered"'))
    (folder / "extra.txt").write_text("the original text")
    mezzo(a, "push", folder, "--name", "tampered")
    digest = hashlib.sha256(b"the original text").hexdigest()
    contents.tamper(digest, b"the original text", b"the tampered text")
    status, answer = b("POST", f"{MODELS}/tampered/versions/1/load")
    assert status == 500 and answer["error"]["code"] == "version_corrupt", answer
    assert "'extra.txt'" in answer["error"]["message"]
    assert b("POST", "/v2/models/tampered/infer", INPUTS)[0] == 404
    assert "tampered" not in [one["model"] for one in b.ok("GET", "/v1/registry/served")["data"]]
