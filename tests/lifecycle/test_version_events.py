"""What the outside is told of versions: drift and retirement reach the receivers that the operator has named, signed, each thing once."""

import base64
import hashlib
import hmac
import json
import pathlib
import random
import subprocess
import sys
import time

import pytest
from mezzo_server import BINARY, SLOWNESS, Server
from test_drift import MODEL, SOURCE
from webhook_receiver import Receiver

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))

from test_tenants import Admin  # noqa: E402

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
MODELS = "/v1/registry/models"
TENANT = {"id": "ops", "key_sha256": [hashlib.sha256(b"ops-key").hexdigest()], "webhook_secrets": ["env:HOOK_SECRET"],
          "scopes": ["read", "infer", "observe", "operate", "admin"]}


def config_of(*webhooks, **more):
    return {"artifacts": {"min_free": 0}, "tenants": [TENANT], "events": {"webhooks": list(webhooks)},
            "jobs": {"webhooks_to_private": True, "webhooks_over_http": True},
            "registry": {"tests": {"enabled": False}, "retire": {"drain": "1s"}},
            "drift": {"one_in": 1, "reference_calls": 64, "min_calls": 64, "window": "20s", "flush": "100ms", "sustain": "1s",
                      "threshold": 1.0}, **more}


def eventually(check, seconds=60):
    until = time.monotonic() + seconds * SLOWNESS
    while not (got := check()):
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.1)
    return got


def bodies(receiver):
    for headers, body in list(receiver.got):
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        wanted = base64.b64encode(hmac.new(b"k" * 32, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == "v1," + wanted
    return [json.loads(body) for _, body in list(receiver.got)]


def types(receiver):
    return [body["type"] for body in bodies(receiver)]


def infer(admin, dice, calls, mean):
    for _ in range(calls):
        body = {"inputs": [{"name": "x", "shape": [8], "datatype": "FP32", "data": [dice.gauss(mean, 1) for _ in range(8)]},
                           {"name": "t", "shape": [1], "datatype": "BYTES", "data": ["word"]}]}
        status, answer = admin("POST", f"/v2/models/{MODEL}/infer", body)
        assert status == 200, answer


def test_drift_and_retirement_reach_the_receivers_that_the_operator_has_named(tmp_path):
    folder = tmp_path / "models"
    (folder / MODEL / "1").mkdir(parents=True)
    (folder / MODEL / "1" / "model.py").write_text(SOURCE)
    (folder / MODEL / "model.yaml").write_text("batching: {max_batch_size: 0}\n")
    dice = random.Random(3)
    with Receiver() as everything, Receiver(503) as of_drift:
        config = config_of({"url": everything.url, "tenant": "ops"}, {"url": of_drift.url, "tenant": "ops", "kinds": ["drift"]})
        with Server(models=folder, config=json.dumps(config), data_dir=str(tmp_path / "data"),
                    env={"PATH": "/usr/bin:/bin", "HOOK_SECRET": SECRET}) as server:
            admin = Admin(server, "ops-key")

            # A version of a folder drifts, and is forgiven.
            def drifted(mean):
                infer(admin, dice, 30, mean)
                status, now = admin("GET", f"/v1/drift/{MODEL}/1")
                return status == 200 and len(now["tensors"]) == 3 and all(one["psi"] is not None for one in now["tensors"]) and now

            assert eventually(lambda: drifted(0))["drifted_since"] is None
            assert not everything.got
            eventually(lambda: drifted(4) and "version.drift.began" in types(everything))
            (began,) = bodies(everything)
            assert (began["data"]["model"], began["data"]["version"], began["data"]["threshold"]) == (MODEL, 1, 1.0)
            assert [one["tensor"] for one in began["data"]["tensors"]] == ["x"] and began["data"]["tensors"][0]["psi"] >= 1
            assert admin("POST", f"/v1/drift/{MODEL}/1/reset", {})[0] == 200
            eventually(lambda: types(everything) == ["version.drift.began", "version.drift.ended"])
            assert bodies(everything)[1]["data"]["since"] == began["data"]["since"]

            # A registered version is retired by hand, and comes back.
            everything.got.clear()
            admin.ok("POST", MODELS, {"name": "m"})
            for _ in range(2):
                admin.ok("POST", f"{MODELS}/m/versions", {"lineage": {"source": "https://example.com/m"}})
            assert admin("PUT", f"{MODELS}/m/aliases/prod", {"version": 2})[0] == 200
            status, refused = admin("POST", f"{MODELS}/m/versions/2/retire")
            assert (status, refused["error"]["code"]) == (400, "version_in_use")
            eventually(lambda: types(everything) == ["version.retirement.refused"])
            assert admin("POST", f"{MODELS}/m/versions/1/retire")[0] == 200
            eventually(lambda: "version.retirement.archived" in types(everything))
            assert admin("POST", f"{MODELS}/m/versions/1/restore")[0] == 200
            eventually(lambda: "version.retirement.undone" in types(everything))
            got = sorted(bodies(everything), key=lambda body: body["timestamp"])  # Several are sent at a time.
            assert [body["type"].removeprefix("version.retirement.") for body in got] == [
                "refused", "draining", "archiving", "archived", "undone"]
            assert [(body["data"]["model"], body["data"]["version"]) for body in got] == [("m", 2)] + 4 * [("m", 1)]
            assert "alias 'prod'" in got[0]["data"]["reason"] and got[-1]["data"]["from"] == "archived"

            # The other one wanted drift alone, and got it though it was away at first: the same event again.
            eventually(lambda: len(of_drift.got) >= 3)
            ids = [headers["webhook-id"] for headers, _ in of_drift.got]
            assert set(types(of_drift)) == {"version.drift.began", "version.drift.ended"} and len(set(ids)) == 2, ids


@pytest.mark.parametrize("webhook,more,message", [
    ({"url": "http://127.0.0.1:1/x", "tenant": "none"}, {}, "events.webhooks[0]: tenant 'none' has no webhook_secrets"),
    ({"url": "ftp://example.com/x", "tenant": "ops"}, {}, "events.webhooks[0]: "),
    ({"url": "http://127.0.0.1:1/x", "tenant": "ops"}, {"jobs": {"enabled": False}}, "needs jobs.enabled"),
    ({"url": "http://127.0.0.1:1/x", "tenant": "ops", "kinds": ["weather"]}, {}, "drift, retirement"),
    ({"url": "http://127.0.0.1:1/x"}, {}, "tenant"),
])
def test_a_receiver_that_could_not_be_told_ends_the_start(tmp_path, webhook, more, message):
    (tmp_path / "mezzo.yaml").write_text(json.dumps(config_of(webhook, **more)))
    done = subprocess.run([BINARY, "serve", "--http-port", "0", "--grpc-port", "0", "--set", f"data_dir={tmp_path}/data", "--config",
                           tmp_path / "mezzo.yaml"], capture_output=True, text=True, timeout=60 * SLOWNESS, check=False,
                          env={"PATH": "/usr/bin:/bin", "HOOK_SECRET": SECRET})
    assert done.returncode != 0 and message in done.stderr, done.stderr
