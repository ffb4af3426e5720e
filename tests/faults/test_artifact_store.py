"""Results in a bucket whose store dies and comes back: jobs go on, and nothing is lost. The store is MinIO."""

import hashlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request

import boto3
import mezzo_server
import pytest

MINIO = os.environ.get("MEZZO_MINIO", mezzo_server.ROOT / ".cache" / "bin" / "minio")
VALUES = 40_000  # As JSON more than the 256 KiB that a job's row holds.


class Minio:
    """A bucket on a free port of the loopback; `folder` outlives its ends."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "bucket").mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None
        self.start()

    def start(self):
        settings = {"MINIO_ROOT_USER": "mezzo", "MINIO_ROOT_PASSWORD": "mezzo-secret", "MINIO_BROWSER": "off",
                    "MINIO_UPDATE": "off", "HOME": str(self.folder), "PATH": "/usr/bin:/bin"}
        self.process = subprocess.Popen([MINIO, "server", "--quiet", "--address", f"127.0.0.1:{self.port}", self.folder],
                                        env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(self.url + "/minio/health/ready", timeout=2):
                    return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("MinIO does not get ready")

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    store = Minio(tmp_path_factory.mktemp("minio"))
    yield store
    store.kill()


@pytest.fixture(scope="module")
def server(bucket, models):
    config = (f"artifacts: {{store: s3, min_free: 0, s3: {{endpoint: '{bucket.url}', private_network: true, bucket: bucket, "
              "access_key: 'env:TEST_S3_ID', secret_key: 'env:TEST_S3_KEY'}}\n")
    keys = {"TEST_S3_ID": "mezzo", "TEST_S3_KEY": "mezzo-secret"}
    with mezzo_server.Server(models=models, config=config, env=keys) as running:
        yield running


def run_job(server, first):
    """The id of a finished job whose result is an artifact that begins with `first`."""
    body = {"kind": "inference", "model": "identity_fp32",
            "input": {"inputs": [{"name": "INPUT0", "shape": [1, VALUES], "datatype": "FP32",
                                  "data": [first] + [i + 0.123456 for i in range(VALUES - 1)]}]}}
    status, _, text = server.request("POST", "/v1/jobs?wait=60", json.dumps(body).encode(), {"Content-Type": "application/json"},
                                     90)
    job = json.loads(text)
    assert status == 200 and job["status"] == "succeeded", job
    return job["id"]


def url_of(server, job):
    """None while the store can't be asked: half a list would be a wrong one."""
    status, _, text = server.get(f"/v1/jobs/{job}/artifacts")
    if status == 503:
        assert json.loads(text)["error"]["code"] == "blob_store_unavailable"
        return None
    assert status == 200, text
    (artifact,) = json.loads(text)["data"]
    return artifact["url"]


def first_of(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.loads(answer.read())["outputs"][0]["data"][0]


def test_results_lie_in_the_bucket_and_urls_lead_there(server, bucket):
    job = run_job(server, 17.0)
    url = url_of(server, job)
    assert url.startswith(bucket.url + "/bucket/objects/anonymous/" + job + "/1/result.json?")
    assert first_of(url) == 17.0
    with pytest.raises(urllib.error.HTTPError) as error:
        first_of(url.replace("result.json", "other.json"))
    assert error.value.code == 403


def test_amazons_client_reads_the_bucket(server, bucket):
    job = run_job(server, 23.0)
    client = boto3.client("s3", endpoint_url=bucket.url, aws_access_key_id="mezzo", aws_secret_access_key="mezzo-secret",
                          region_name="us-east-1")

    prefix = f"objects/anonymous/{job}/"
    (listed,) = client.list_objects_v2(Bucket="bucket", Prefix=prefix)["Contents"]
    assert listed["Key"] == prefix + "1/result.json"
    found = client.get_object(Bucket="bucket", Key=listed["Key"])
    body = found["Body"].read()
    assert found["ContentType"] == "application/json" and len(body) == listed["Size"]
    assert json.loads(body)["outputs"][0]["data"][0] == 23.0
    assert found["Metadata"]["mezzo-sha256"] == hashlib.sha256(body).hexdigest()


def test_an_outage_fails_no_job_and_its_results_move_later(server, bucket):
    bucket.kill()
    jobs = {value: run_job(server, value) for value in (1.0, 2.0, 3.0)}
    for value, job in jobs.items():
        status, _, text = server.get(f"/v1/jobs/{job}")
        assert status == 200 and json.loads(text)["status"] == "succeeded", value
    bucket.start()

    # The breaker tries again after its pause, and the upkeep every 5 s.
    deadline = time.monotonic() + 90 * mezzo_server.SLOWNESS
    while time.monotonic() < deadline:
        urls = {value: url_of(server, job) for value, job in jobs.items()}
        if all(url is not None and url.startswith(bucket.url) for url in urls.values()):
            break
        assert all(first_of(url) == value for value, url in urls.items() if url), "readable wherever it is"
        time.sleep(0.5)
    assert all(url is not None and url.startswith(bucket.url) for url in urls.values()), "moved"
    assert {value: first_of(url) for value, url in urls.items()} == {value: value for value in urls}
