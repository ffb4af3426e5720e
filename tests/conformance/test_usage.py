"""What is used is charged: to the right account, once, as much as the device was busy, and across kill -9."""

import contextlib
import csv
import http.client
import io
import json
import shutil
import subprocess
import threading
import time

import pytest
from mezzo_server import BINARY, MODELS, ROOT, SLOWNESS, Server
from postgres_server import PostgresServer
from test_tenants import Admin, first_key, make_key, make_tenant

PIPELINES = ROOT / "tests" / "golden" / "generation" / "pipelines"
BODY = json.dumps({"inputs": [{"name": "INPUT0", "shape": [1, 16], "datatype": "INT32", "data": list(range(16))},
                              {"name": "INPUT1", "shape": [1, 16], "datatype": "INT32", "data": [1] * 16}]}).encode()
BYTES_IN = BYTES_OUT = 2 * 16 * 4
CONFIG = 'models: {control: explicit, startup: ["simple", "delay_short"]}\n'


def infer(server, key, model="simple", body=BODY):
    return server.request("POST", f"/v2/models/{model}/infer", body, {"Authorization": f"Bearer {key}"})


def usage(admin, query=""):
    return admin.ok("GET", f"/v1/usage?{query}")


def by(answer, *names):
    return {tuple(row[name] for name in names): row for row in answer["data"]}


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with Server(models=MODELS, config=CONFIG, data_dir=str(tmp_path_factory.mktemp("data"))) as server:
        yield Admin(server, first_key(server))


@pytest.mark.covers("GET /v1/usage")
def test_every_call_is_on_the_account_of_its_caller(platform):
    server = platform.server
    make_tenant(platform, "acme")
    make_tenant(platform, "other")
    platform.ok("POST", "/v1/tenants/acme/projects", {"id": "shop"})
    one = make_key(platform, "acme", project="shop")
    two = make_key(platform, "acme")
    three = make_key(platform, "other", scopes=["infer"])
    for caller, calls in ((one, 7), (two, 5), (three, 3)):
        for _ in range(calls):
            assert infer(server, caller.key)[0] == 200
    assert infer(server, one.key, body=BODY.replace(b"INT32", b"FP32"))[0] == 400

    rows = by(usage(platform, "group=tenant,project,model,version,kind&by=hour"), "tenant", "project", "model", "version", "kind")
    shop = rows["acme", "shop", "simple", "1", "inference"]
    assert (shop["requests"], shop["failed"]) == (8, 1)
    assert (shop["bytes_in"], shop["bytes_out"]) == (7 * BYTES_IN, 7 * BYTES_OUT)
    assert rows["acme", "", "simple", "1", "inference"]["requests"] == 5
    assert rows["other", "", "simple", "1", "inference"]["requests"] == 3
    assert all(row["device_ms"] > 0 for row in rows.values())
    keys = by(usage(platform, "group=key&tenant=acme"), "key")
    assert sorted(row["requests"] for row in keys.values()) == [5, 8]
    assert keys[(one.ok("GET", "/v1/whoami")["key"],)]["requests"] == 8

    # A tenant sees itself alone, and does not learn of others.
    own = usage(three, "group=tenant")
    assert [row["tenant"] for row in own["data"]] == ["other"] and own["total"]["requests"] == 3
    assert three("GET", "/v1/usage?tenant=acme")[0] == 404
    assert usage(three, "tenant=other")["total"]["requests"] == 3
    viewer = make_key(platform, "other", scopes=["read"])
    assert [row["tenant"] for row in usage(viewer, "group=tenant,key")["data"]] == ["other"]
    assert viewer("GET", "/v1/usage?tenant=acme")[0] == 404
    # Each filter, and the same by the command line.
    for query, calls in (("project=shop", 8), ("version=1&tenant=acme", 13), ("kind=job", 0), ("kind=inference&tenant=other", 3)):
        assert usage(platform, query)["total"]["requests"] == calls, query
    assert usage(platform)["warning"] is None
    assert usage(platform, "tenant=acme&model=nothing")["data"] == []


def test_reports_have_pages_bounds_and_csv(platform):
    page = usage(platform, "group=tenant&limit=1")
    rest = usage(platform, "group=tenant&limit=1000&offset=1")
    assert len(page["data"]) == 1 and page["has_more"] and not rest["has_more"]
    assert page["total"] == rest["total"]
    assert page["total"]["requests"] == sum(row["requests"] for row in page["data"] + rest["data"])
    tomorrow = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86400))
    assert usage(platform, f"from={tomorrow}&to=2100-01-01")["data"] == []
    for query in ("by=week", "group=colour", "limit=0", "format=xml", "from=soon"):
        assert platform("GET", f"/v1/usage?{query}")[0] == 400, query
    status, headers, text = platform.server.request("GET", "/v1/usage?format=csv&group=tenant",
                                                    headers={"Authorization": f"Bearer {platform.key}"})
    assert status == 200 and headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(text.decode(), newline="")))
    assert {row["tenant"]: int(row["requests"]) for row in rows} == {
        row["tenant"]: row["requests"] for row in usage(platform, "group=tenant")["data"]}


@pytest.mark.covers("GET /v1/prices", "PUT /v1/prices")
def test_usage_has_a_price(platform):
    prices = {"prices": [{"model": "*", "unit": "request", "amount_micros": 1000, "currency": "EUR"},
                         {"model": "simple", "unit": "request", "amount_micros": 2500, "currency": "EUR", "valid_from": "2020-01-01"}]}
    make_tenant(platform, "payer")
    payer = make_key(platform, "payer")
    for _ in range(4):
        infer(platform.server, payer.key)
    platform.ok("PUT", "/v1/prices", prices)
    assert [price["amount_micros"] for price in platform.ok("GET", "/v1/prices")["prices"]] == [1000, 2500]
    answer = usage(platform, "tenant=payer")
    assert answer["currency"] == "EUR" and answer["total"]["cost_micros"] == 4 * 2500
    assert payer("PUT", "/v1/prices", prices)[0] == payer("GET", "/v1/prices")[0] == 403
    prices["prices"][0]["currency"] = "USD"
    assert platform("PUT", "/v1/prices", prices)[1]["error"]["code"] == "price_currency"
    assert platform.ok("PUT", "/v1/prices", {"prices": []})["prices"] == []


def test_the_command_shows_what_was_used(platform):
    command = [BINARY, "usage", "--url", platform.server.http_url, "--group", "tenant", "--tenant", "acme"]
    env = {"MEZZO_API_KEY": platform.key}
    table = subprocess.run(command, capture_output=True, text=True, env=env, check=True, timeout=60).stdout
    assert table.splitlines()[0].split()[:3] == ["START", "TENANT", "REQUESTS"]
    assert table.splitlines()[1].split()[1:3] == ["acme", "13"] and table.splitlines()[-1].startswith("total")
    rows = subprocess.run([*command, "--csv"], capture_output=True, text=True, env=env, check=True, timeout=60).stdout
    assert next(csv.DictReader(io.StringIO(rows)))["requests"] == "13"
    narrow = [*command, "--csv", "--project", "shop", "--version", "1", "--kind", "inference"]
    rows = subprocess.run(narrow, capture_output=True, text=True, env=env, check=True, timeout=60).stdout
    assert next(csv.DictReader(io.StringIO(rows)))["requests"] == "8"


def device_ms(admin):
    text = admin.server.get("/metrics", {"Authorization": f"Bearer {admin.key}"})[2].decode()
    return 1e3 * sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                     if line.startswith("mezzo_inference_device_seconds_total{"))


class Load:
    """Callers that ask without a pause until the server goes away or they are told to stop."""

    def __init__(self, server, keys, model="simple"):
        self.answered = []  # When.
        self.asked = 0
        self._lock = threading.Lock()
        self._stop = False
        self._threads = [threading.Thread(target=self._run, args=(server, key, model)) for key in keys]
        for thread in self._threads:
            thread.start()

    def _run(self, server, key, model):
        connection = http.client.HTTPConnection(server.http, timeout=30)
        while not self._stop:
            with self._lock:
                self.asked += 1
            try:
                connection.request("POST", f"/v2/models/{model}/infer", BODY, {"Authorization": f"Bearer {key}"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                return
            if answer.status == 200:
                with self._lock:
                    self.answered.append(time.monotonic())

    def stop(self):
        self._stop = True
        self.join()

    def join(self):
        for thread in self._threads:
            thread.join()


def test_what_is_charged_is_what_the_device_was_busy(platform):
    server = platform.server
    make_tenant(platform, "busy-a")
    make_tenant(platform, "busy-b", weight=3)
    keys = [make_key(platform, name).key for name in ("busy-a", "busy-b") for _ in range(4)]
    charged, busy = usage(platform)["total"], device_ms(platform)
    load = Load(server, keys)
    time.sleep(1.5)
    load.stop()
    charged_ms = usage(platform)["total"]["device_ms"] - charged["device_ms"]
    busy_ms = device_ms(platform) - busy
    assert busy_ms > 20
    assert charged_ms == pytest.approx(busy_ms, rel=0.01, abs=2)
    rows = by(usage(platform, "group=tenant"), "tenant")
    assert rows["busy-a",]["requests"] + rows["busy-b",]["requests"] == len(load.answered) == load.asked


def test_a_job_is_one_request_whatever_it_takes(platform):
    make_tenant(platform, "jobs")
    caller = make_key(platform, "jobs")
    before = device_ms(platform)
    job = {"kind": "inference", "model": "simple", "input": json.loads(BODY)}
    for _ in range(2):
        assert caller("POST", "/v1/jobs", job)[0] in (200, 202)
    deadline = time.monotonic() + 30 * SLOWNESS
    while (total := usage(caller, "group=kind"))["total"]["requests"] < 2:
        assert time.monotonic() < deadline, total
        time.sleep(0.05)
    assert [(row["kind"], row["requests"], row["failed"]) for row in total["data"]] == [("job", 2, 0)]
    assert 0 < total["total"]["device_ms"] <= device_ms(platform) - before + 1


def test_pictures_are_charged_by_their_steps_and_number(tmp_path):
    shutil.copytree(PIPELINES / "sd1", tmp_path / "models" / "sd1")
    with Server(models=tmp_path / "models", config="artifacts: {min_free: 0}\n", data_dir=str(tmp_path / "data")) as server:
        admin = Admin(server, first_key(server))
        make_tenant(admin, "painters")
        caller = make_key(admin, "painters")
        request = {"model": "sd1", "prompt": "a cat", "size": "64x64", "n": 2, "steps": 3, "seed": 7}
        caller.ok("POST", "/v1/images/generations", request)
        refused = caller("POST", "/v1/images/generations", request | {"size": "63x64"})[0]
        assert refused == 400
        deadline = time.monotonic() + 30 * SLOWNESS
        while usage(caller)["total"]["requests"] < 1:  # The end is in the queue, and seen there, before it is charged.
            assert time.monotonic() < deadline
            time.sleep(0.02)
        rows = by(usage(caller, "group=model,version,kind"), "model", "version", "kind")
        assert list(rows) == [("sd1", "1", "job")]
        row = rows["sd1", "1", "job"]
        assert (row["requests"], row["failed"], row["images"]) == (1, 0, 2)
        assert row["bytes_out"] > 200
        assert row["device_ms"] == pytest.approx(device_ms(admin), rel=0.01, abs=0.5)


TERMINAL = ("succeeded", "failed", "cancelled")


def run_job(caller, path, body=None):
    """The job when it has ended."""
    status, job = caller("POST", path, body)
    assert status in (200, 202), job
    deadline = time.monotonic() + 60 * SLOWNESS
    while job["status"] not in TERMINAL:
        assert time.monotonic() < deadline, job
        job = caller.ok("GET", f"/v1/jobs/{job['id']}?wait=10")
    return job


def cancel_when(caller, job, state):
    deadline = time.monotonic() + 30 * SLOWNESS
    while (now := caller.ok("GET", f"/v1/jobs/{job['id']}"))["status"] != state:
        assert time.monotonic() < deadline and now["status"] not in TERMINAL, now
        time.sleep(0.01)
    caller("POST", f"/v1/jobs/{job['id']}/cancel")
    while (now := caller.ok("GET", f"/v1/jobs/{job['id']}"))["status"] != "cancelled":
        assert time.monotonic() < deadline and now["status"] not in TERMINAL, now
        time.sleep(0.01)


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_jobs_are_on_the_account_of_their_key(tmp_path, database):
    """Pictures, a video, one of its shots made again, cancelled jobs and the retry of one: each once."""
    models = tmp_path / "models"
    shutil.copytree(PIPELINES / "sd1", models / "sd1")
    shutil.copytree(PIPELINES / "sd1", models / "slow")
    config, env = "artifacts: {min_free: 0}\n", {}
    with contextlib.ExitStack() as stack:
        if database == "postgres":
            env["DATABASE_URL"] = stack.enter_context(PostgresServer()).url
            config += "database: {url: 'env:DATABASE_URL'}\n"
        server = stack.enter_context(Server(models=models, config=config, data_dir=str(tmp_path / "data"), env=env))
        admin = Admin(server, first_key(server))
        make_tenant(admin, "acme")
        admin.ok("POST", "/v1/tenants/acme/projects", {"id": "shop"})
        shop, plain = make_key(admin, "acme", project="shop"), make_key(admin, "acme")
        keys = {("shop", shop.ok("GET", "/v1/whoami")["key"]), ("", plain.ok("GET", "/v1/whoami")["key"])}

        pictures = run_job(shop, "/v1/jobs", {"kind": "image", "model": "sd1",
                                              "input": {"prompt": "a cat", "size": "64x64", "n": 2, "steps": 2}})
        shots = [{"prompt": prompt, "duration": 0.5, "motion": "still", "transition": "cut"} for prompt in ("a cat", "a dog")]
        film = run_job(shop, "/v1/jobs", {"kind": "storyboard", "model": "sd1",
                                          "input": {"resolution": "720p", "aspect": "square", "music": "none", "shots": shots,
                                                    "painting": {"steps": 2, "seed": 1}}})
        again = run_job(plain, f"/v1/jobs/{film['id']}/shots/1/redo", {"painting": {"seed": 9}})
        assert [job["status"] for job in (pictures, film, again)] == ["succeeded"] * 3

        drawing = {"kind": "image", "model": "slow", "input": {"prompt": "a cat", "size": "512x512", "n": 4, "steps": 100}}
        cancel_when(shop, shop("POST", "/v1/jobs", drawing)[1], "running")
        waiting = shop("POST", "/v1/jobs", {"kind": "image", "model": "sd1", "delay_seconds": 3600,
                                            "input": {"prompt": "a cat", "size": "64x64", "steps": 1}})[1]
        cancel_when(shop, waiting, "scheduled")
        assert run_job(plain, f"/v1/jobs/{waiting['id']}/retry")["status"] == "succeeded"

        deadline = time.monotonic() + 30 * SLOWNESS
        busy = 0.0
        while True:  # The end is in the queue before it is charged, and a cancelled run on the device ends later.
            answer = usage(admin, "group=tenant,project,key&kind=job")
            settled = busy == device_ms(admin) and answer["total"]["requests"] >= 6
            busy = device_ms(admin)
            if settled or time.monotonic() > deadline:
                break
            time.sleep(0.3)
        assert {(row["project"], row["key"]) for row in answer["data"]} == keys
        found = by(answer, "project")
        seconds = [job["result"]["video"]["duration_seconds"] for job in (film, again)]
        for project, counts in (("shop", (4, 2, 2 + 2, seconds[0])), ("", (2, 0, 1 + 1, seconds[1]))):
            row = found[project,]
            assert (row["requests"], row["failed"], row["images"]) == counts[:3], row
            assert row["video_seconds"] == pytest.approx(counts[3], abs=0.001) and row["device_ms"] > 0
        assert answer["total"]["device_ms"] == pytest.approx(busy, rel=0.01, abs=0.5)
        slow = usage(admin, "group=model,project&model=slow")["data"]
        assert [(row["project"], row["requests"], row["failed"], row["images"]) for row in slow] == [("shop", 1, 1, 0)]
        # What is made of the model is on the row of the version that has made it.
        versions = by(usage(admin, "group=version,project&model=sd1"), "project", "version")
        assert versions["shop", "1"]["images"] == 4 and versions["", "1"]["images"] == 2


KILLS = 10


def test_a_killed_server_loses_a_second_at_most_and_charges_nothing_twice(tmp_path):
    """Each round: load, kill -9, and the next server's books against what was answered."""
    keys = None
    known = 0
    for _ in range(KILLS + 1):
        server = Server(models=MODELS, config=CONFIG, data_dir=str(tmp_path))
        try:
            if keys is None:
                admin = Admin(server, first_key(server))
                make_tenant(admin, "one")
                make_tenant(admin, "two")
                keys = [make_key(admin, name).key for name in ("one", "two") for _ in range(2)]
                load, killed = None, None
            else:
                admin = Admin(server, admin.key)
                counted = usage(admin)["total"]["requests"] - known
                safe = sum(when < killed - 1 for when in load.answered)
                assert safe <= counted <= load.asked, (safe, counted, load.asked)
                # In flight when it was killed: one for each caller.
                assert counted <= len(load.answered) + len(keys)
                assert safe > 0
            known = usage(admin)["total"]["requests"]
            assert by(usage(admin, "by=hour&group=tenant"), "tenant").keys() <= {("one",), ("two",)}
            load = Load(server, keys)
            time.sleep(1.4)
            killed = time.monotonic()
        finally:
            server.kill()
        load.join()


def test_quotas_and_budgets_hold_across_restarts(tmp_path):
    """What the books say counts: after a restart, and in money."""
    with Server(models=MODELS, config=CONFIG, data_dir=str(tmp_path)) as server:
        admin = Admin(server, first_key(server))
        make_tenant(admin, "q")
        key = make_key(admin, "q").key
        admin.ok("PUT", "/v1/limits/day", {"kind": "daily_requests", "tenant": "q", "amount": 5})
        for _ in range(5):
            assert infer(server, key)[0] == 200
        assert infer(server, key)[0] == 429
    with Server(models=MODELS, config=CONFIG, data_dir=str(tmp_path)) as server:
        admin = Admin(server, admin.key)
        deadline = time.monotonic() + 20 * SLOWNESS
        while infer(server, key)[0] != 429:  # Read once the server is up; before that at most a call or two pass.
            assert time.monotonic() < deadline, "the quota began anew"
        admin.ok("DELETE", "/v1/limits/day")
        admin.ok("PUT", "/v1/prices", {"prices": [{"model": "*", "unit": "request", "amount_micros": 1_000_000,
                                                   "currency": "EUR", "valid_from": "2020-01-01T00:00:00Z"}]})
        admin.ok("PUT", "/v1/limits/budget", {"kind": "daily_money", "tenant": "q", "amount": 3})
        deadline = time.monotonic() + 20 * SLOWNESS
        while (answer := infer(server, key))[0] != 429:
            assert time.monotonic() < deadline, "the budget does not hold"
            time.sleep(0.05)
        assert b"budget" in answer[2]
