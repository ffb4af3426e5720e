"""Several hosts on one PostgreSQL, killed at random: every accepted job ends once, and is told once."""

import collections
import concurrent.futures
import json
import os
import random
import shutil
import threading
import time

import mezzo_server
import pytest
from postgres_server import PostgresServer
from webhook_receiver import Receiver

HOSTS = 3
SECRET = "whsec_" + "A" * 43 + "="
TERMINAL = {"succeeded", "failed", "cancelled"}


class Host:
    """A place where one server after the other runs, on the same folder."""

    def __init__(self, models, database, folder):
        self.models, self.folder = models, folder
        self.env = {"DATABASE_URL": database.url}
        self.config = json.dumps({"database": {"url": "env:DATABASE_URL"}, "grpc": {"enabled": False},
                                  "jobs": {"slots": 4, "lease": "2s", "webhooks_to_private": True,
                                           "webhooks_over_http": True}})
        self.server = None
        self.start()

    def start(self):
        self.server = mezzo_server.Server(models=self.models, config=self.config, data_dir=self.folder,
                                          env=self.env)

    def kill_and_restart(self):
        self.server.kill()
        self.start()


@pytest.fixture(name="hosts")
def start_hosts(tmp_path):
    models = tmp_path / "models"
    for name in ("simple", "delay"):
        shutil.copytree(mezzo_server.MODELS / name, models / name)
    with PostgresServer() as database:
        hosts = [Host(models, database, tmp_path / f"host-{i}") for i in range(HOSTS)]
        yield database, hosts
        for host in hosts:
            host.server.terminate()


def call(hosts, chance, method, path, body=None, headers=None, seconds=120):
    """An answer below 500 from any host; the hosts come and go."""
    deadline = time.monotonic() + seconds * mezzo_server.SLOWNESS
    while time.monotonic() < deadline:
        host = chance.choice(hosts)
        try:
            status, _, text = host.server.request(method, path, body, headers or {}, timeout=10)
            if status < 500:
                return status, json.loads(text)
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"no host answered {method} {path} in {seconds} s")


def submit(hosts, chance, key, receiver):
    rows = chance.randrange(1, 9)
    body = {"kind": "inference", "model": "simple", "tier": chance.choice(["paid", "urgent", "free"]),
            "webhook": {"url": receiver.url, "secret": SECRET},
            "input": {"inputs": [{"name": name, "shape": [rows, 16], "datatype": "INT32", "data": [value] * 16 * rows}
                                 for name, value in (("INPUT0", 1), ("INPUT1", 2))]}}
    if chance.random() < 0.3:  # Runs for a while, so that kills meet it running.
        body.update(model="delay", input={"inputs": [{"name": "STEPS", "shape": [1, 1], "datatype": "INT64",
                                                      "data": [chance.randrange(50, 500)]}]})
    status, job = call(hosts, chance, "POST", "/v1/jobs", json.dumps(body).encode(), {"Idempotency-Key": f'"{key}"'})
    assert status in (200, 201, 202), job
    return job["id"]


def await_end(hosts, ids, seconds):
    """{id: job} when all have ended, asked of any host."""
    chance = random.Random(1)
    jobs, waiting = {}, list(ids)
    deadline = time.monotonic() + seconds * mezzo_server.SLOWNESS
    while waiting:
        assert time.monotonic() < deadline, f"{len(waiting)} of {len(ids)} jobs have not ended: {waiting[:3]}"
        left = []
        for identifier in waiting:
            status, job = call(hosts, chance, "GET", f"/v1/jobs/{identifier}")
            assert status == 200, f"an accepted job is lost: {job}"
            if job["status"] in TERMINAL:
                jobs[identifier] = job
            else:
                left.append(identifier)
        waiting = left
        time.sleep(0.2)
    return jobs


def check_ends(database, receiver, jobs):
    """Each job ended once, with its result, and its receiver was told so and nothing else."""
    states = collections.Counter(job["status"] for job in jobs.values())
    for job in jobs.values():
        if job["status"] == "succeeded":
            assert job["result"]["outputs"], job
        else:
            assert job["error"]["code"] == "job_quarantined", job
    counted = int(database.query("SELECT count(*) FROM jobs")[0][0])
    assert counted == len(jobs), "a key that came again made no second job"
    twice = database.query("SELECT job_id FROM job_usage GROUP BY job_id HAVING count(*) > 1")
    assert twice == [], "only the attempt that ended the job is charged"

    deadline = time.monotonic() + 90 * mezzo_server.SLOWNESS
    while time.monotonic() < deadline and int(
            database.query("SELECT count(*) FROM job_outbox WHERE state = 'pending'")[0][0]) > 0:
        time.sleep(0.2)
    told = collections.defaultdict(set)
    for headers, body in list(receiver.got):
        event = json.loads(body)
        told[event["data"]["id"]].add((headers["webhook-id"], event["type"], event["data"]["status"]))
    assert set(told) == set(jobs), "every end is told"
    for identifier, events in told.items():
        assert len(events) == 1, f"{identifier} was told in several ways: {events}"
        assert next(iter(events))[2] == jobs[identifier]["status"]
    return states, len(receiver.got) - len(jobs)


def test_hosts_that_are_killed_at_random_lose_and_double_nothing(hosts, request):
    database, servers = hosts
    kills = request.config.getoption("--kills")
    seed = int(os.environ.get("KILL_SEED", random.randrange(1 << 30)))
    print(f"seed {seed}")
    chance = random.Random(seed)
    stopped = threading.Event()
    with Receiver() as receiver:
        ids = []

        def submit_until_stopped(number):
            own = random.Random(seed + 1 + number)
            count = 0
            while not stopped.is_set():
                ids.append(submit(servers, own, f"{number}-{count}", receiver))
                count += 1
                time.sleep(own.random() * 0.3)

        with concurrent.futures.ThreadPoolExecutor() as pool:
            submitters = [pool.submit(submit_until_stopped, number) for number in range(2)]
            try:
                for _ in range(kills):
                    time.sleep(chance.random() * 0.3)
                    chance.choice(servers).kill_and_restart()
            finally:
                stopped.set()
            for submitter in submitters:
                submitter.result()
        jobs = await_end(servers, ids, 120)
        states, repeated = check_ends(database, receiver, jobs)
    attempts = database.query("SELECT sum(attempt), sum(crashes), max(crashes) FROM jobs")[0]
    print(f"{kills} kills, {len(jobs)} jobs: {dict(states)}; attempts, crashes, most of one job: {attempts}; "
          f"{repeated} webhooks came again with the same id")
    assert states["succeeded"] > 0.8 * len(jobs)


def test_a_database_that_restarts_under_load_loses_nothing(hosts):
    database, servers = hosts
    chance = random.Random(7)
    stopped = threading.Event()
    with Receiver() as receiver, concurrent.futures.ThreadPoolExecutor() as pool:
        ids = []

        def submit_until_stopped():
            own = random.Random(8)
            while not stopped.is_set():
                ids.append(submit(servers, own, f"k{len(ids)}", receiver))

        submitter = pool.submit(submit_until_stopped)
        try:
            for _ in range(5):
                time.sleep(0.5 + chance.random())
                database.stop()
                time.sleep(chance.random())
                database.start()
        finally:
            stopped.set()
        submitter.result()
        jobs = await_end(servers, ids, 120)
        states, _ = check_ends(database, receiver, jobs)
    print(f"5 restarts, {len(jobs)} jobs: {dict(states)}")
    assert states["succeeded"] == len(jobs), "no host has died: nothing is quarantined"
