"""Durable jobs over HTTP: submit, wait, list, cancel, retry, events, idempotency, across restarts and kills."""

import base64
import concurrent.futures
import hashlib
import json
import subprocess
import time

import mezzo_server
import pytest
import standardwebhooks
from webhook_receiver import Receiver

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def post(server, path, body=None, headers=None, timeout=60):
    data = json.dumps(body).encode() if body is not None else b""
    status, answer_headers, text = server.request("POST", path, data, {"Content-Type": "application/json", **(headers or {})},
                                                  timeout)
    return status, answer_headers, json.loads(text)


def get(server, path, headers=None):
    status, _, text = server.get(path, headers)
    return status, json.loads(text)


def simple(a=1, b=2, **members):
    """An inference of the model `simple`: OUTPUT0 = INPUT0 + INPUT1."""
    body = {"kind": "inference", "model": "simple",
            "input": {"inputs": [{"name": "INPUT0", "shape": [1, 16], "datatype": "INT32", "data": [a] * 16},
                                 {"name": "INPUT1", "shape": [1, 16], "datatype": "INT32", "data": [b] * 16}]}}
    return {**body, **members}


def outputs(job):
    return {output["name"]: output["data"] for output in job["result"]["outputs"]}


@pytest.fixture(scope="module")
def jobs_server():
    with mezzo_server.Server(models=mezzo_server.MODELS) as server:
        yield server


@pytest.mark.covers("POST /v1/jobs", "GET /v1/jobs/{j}")
def test_a_job_runs_and_its_result_is_the_v2_response(jobs_server):
    status, headers, job = post(jobs_server, "/v1/jobs?wait=30", simple(3, 4))
    assert status == 200
    assert headers["Location"] == "/v1/jobs/" + job["id"]
    assert job["status"] == "succeeded"
    assert outputs(job)["OUTPUT0"] == [7] * 16
    assert job["progress"] == 1 and job["attempt"] == 1 and job["error"] is None
    assert get(jobs_server, headers["Location"])[1]["result"] == job["result"]


def test_without_waiting_the_answer_is_202_and_polling_gets_there(jobs_server):
    status, _, job = post(jobs_server, "/v1/jobs", simple(delay_seconds=1))
    assert status == 202
    assert job["status"] == "scheduled"
    status, job = get(jobs_server, f"/v1/jobs/{job['id']}?wait=30")
    assert status == 200 and job["status"] == "succeeded"


def test_the_same_key_gives_the_same_job_and_another_request_422(jobs_server):
    key = {"Idempotency-Key": '"one-key"'}
    first = post(jobs_server, "/v1/jobs", simple(), key)
    again = post(jobs_server, "/v1/jobs", simple(), {"Idempotency-Key": "one-key"})
    assert again[2]["id"] == first[2]["id"]
    assert again[1]["Idempotent-Replayed"] == "true" and "Idempotent-Replayed" not in first[1]
    status, headers, problem = post(jobs_server, "/v1/jobs", simple(9), key)
    assert status == 422
    assert headers["Content-Type"] == "application/problem+json"
    assert problem["error"]["code"] == "idempotency_mismatch" and "'one-key'" in problem["detail"]


def test_keys_that_come_at_once_make_one_job(jobs_server):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: post(jobs_server, "/v1/jobs", simple(), {"Idempotency-Key": "at-once"}), range(16)))
    assert {answer[2]["id"] for answer in answers} == {answers[0][2]["id"]}
    assert sum("Idempotent-Replayed" not in answer[1] for answer in answers) == 1


@pytest.mark.parametrize("change, message", [
    ({"kind": "nonsense"}, "job kind 'nonsense' is not one of "),
    ({"kind": None}, "'kind' is missing"),
    ({"modle": "x"}, "unknown member 'modle'; known are kind, model"),
    ({"tier": "gold"}, "tier 'gold' is not one of paid, urgent, free"),
    ({"deadline_seconds": -1}, "'deadline_seconds' must be in (0, 604800], got -1"),
    ({"webhook": {"url": "ftp://x", "secret": SECRET}}, "'webhook.url' must begin with https:// or http://, got 'ftp://x'"),
    ({"webhook": {"uri": "x"}}, "unknown member 'uri' of 'webhook'"),
    ({"webhook": {"url": "https://example.com"}}, "'webhook.secret' is missing"),
    ({"webhook": {"url": "https://example.com", "secret": "abc"}}, "whsec_"),
    ({"input": []}, "'input' must be an object"),
    ({"model": ""}, "'model' is missing"),
    ({"input": {"inputs": [{"name": "INPUT0", "shape": [1, 16], "datatype": "INT32", "data": [1]}]}}, "INPUT0"),
])
def test_bad_submissions_are_refused_exactly(jobs_server, change, message):
    status, _, problem = post(jobs_server, "/v1/jobs", {**simple(), **change})
    assert status == 400, problem
    assert message in problem["detail"]
    assert problem["status"] == 400 and problem["error"]["message"] == problem["detail"]


def test_what_the_model_refuses_fails_the_job_with_its_words(jobs_server):
    _, _, job = post(jobs_server, "/v1/jobs?wait=30", {**simple(), "input": {"inputs": []}})
    assert job["status"] == "failed" and job["attempt"] == 1
    assert "simple" in job["error"]["message"]


def test_unknown_models_jobs_and_paths(jobs_server):
    assert post(jobs_server, "/v1/jobs", simple(model="nobody"))[0] == 404
    assert get(jobs_server, "/v1/jobs/0190-nothing")[0] == 404
    assert post(jobs_server, "/v1/jobs/0190-nothing/cancel")[0] == 404
    assert get(jobs_server, "/v1/jobs/a/b/c")[0] == 404
    assert jobs_server.request("PUT", "/v1/jobs")[0] == 405
    assert get(jobs_server, "/v1/jobs?limit=0")[0] == 400
    assert get(jobs_server, "/v1/jobs?status=done")[0] == 400
    assert get(jobs_server, "/v1/jobs/x?wait=61")[0] == 400


@pytest.mark.covers("GET /v1/jobs")
def test_lists_go_by_cursor(jobs_server):
    made = [post(jobs_server, "/v1/jobs?wait=30", simple(i))[2]["id"] for i in range(5)]
    seen, after = [], ""
    while True:
        status, page = get(jobs_server, "/v1/jobs?limit=2&status=succeeded&kind=inference" + (f"&after={after}" if after else ""))
        assert status == 200 and len(page["data"]) <= 2
        seen += [job["id"] for job in page["data"]]
        after = page["last_id"]
        if not page["has_more"]:
            break
    assert [job for job in seen if job in made] == made[::-1]
    assert len(seen) == len(set(seen))


@pytest.mark.covers("POST /v1/jobs/{j}/cancel", "POST /v1/jobs/{j}/retry")
def test_a_waiting_job_is_cancelled_at_once_and_can_be_retried(jobs_server):
    _, _, job = post(jobs_server, "/v1/jobs", simple(delay_seconds=3600))
    status, _, cancelled = post(jobs_server, f"/v1/jobs/{job['id']}/cancel")
    assert status == 200 and cancelled["status"] == "cancelled"
    assert post(jobs_server, f"/v1/jobs/{job['id']}/cancel")[2]["status"] == "cancelled"

    status, headers, again = post(jobs_server, f"/v1/jobs/{job['id']}/retry")
    assert status == 202 and again["id"] != job["id"]
    assert get(jobs_server, headers["Location"] + "?wait=30")[1]["status"] == "succeeded"
    assert post(jobs_server, headers["Location"] + "/retry")[0] == 400


def test_a_deadline_that_passes_while_waiting_fails_the_job(jobs_server):
    _, _, job = post(jobs_server, "/v1/jobs", simple(delay_seconds=3600, deadline_seconds=0.2))
    job = get(jobs_server, f"/v1/jobs/{job['id']}?wait=30")[1]
    assert job["status"] == "failed" and job["error"]["code"] == "deadline_exceeded"


def events_of(server, job, last=None, timeout=30):
    """Events of a job until the stream ends."""
    import urllib.request
    headers = {"Last-Event-ID": str(last)} if last is not None else {}
    request = urllib.request.Request(f"{server.http_url}/v1/jobs/{job}/events", headers=headers)
    found = []
    with urllib.request.urlopen(request, timeout=timeout) as stream:
        if stream.status == 204:
            return found
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        event = {}
        for line in stream:
            line = line.decode().rstrip("\n")
            if not line:
                if "data" in event:
                    found.append((int(event["id"]), event["event"], json.loads(event["data"])))
                event = {}
            elif not line.startswith(":"):
                name, _, value = line.partition(": ")
                event[name] = value
    return found


@pytest.mark.covers("GET /v1/jobs/{j}/events")
def test_events_lead_to_the_end_and_can_be_resumed(jobs_server):
    _, _, job = post(jobs_server, "/v1/jobs", simple(delay_seconds=0.5))
    found = events_of(jobs_server, job["id"])
    assert found[0][1] == "job.scheduled"
    assert found[-1][1] == "job.succeeded" and found[-1][2]["result"]
    numbers = [event[0] for event in found]
    assert numbers == sorted(set(numbers))
    assert [event[0] for event in events_of(jobs_server, job["id"], numbers[0])][-1] == numbers[-1]
    assert events_of(jobs_server, job["id"], numbers[-1]) == []


def test_jobs_survive_a_restart_and_a_kill(tmp_path):
    with mezzo_server.Server(models=mezzo_server.MODELS, data_dir=tmp_path) as server:
        _, _, done = post(server, "/v1/jobs?wait=30", simple(1, 1))
        waiting = [post(server, "/v1/jobs", simple(i, delay_seconds=2))[2]["id"] for i in range(3)]
        server.kill()
    with mezzo_server.Server(models=mezzo_server.MODELS, data_dir=tmp_path) as server:
        assert outputs(get(server, "/v1/jobs/" + done["id"])[1])["OUTPUT0"] == [2] * 16
        for index, job in enumerate(waiting):
            ended = get(server, f"/v1/jobs/{job}?wait=30")[1]
            assert ended["status"] == "succeeded" and outputs(ended)["OUTPUT0"] == [index + 2] * 16
        assert server.terminate() == 0


def test_a_folder_in_use_is_named(jobs_server, tmp_path):
    with mezzo_server.Server(data_dir=tmp_path):
        with pytest.raises(RuntimeError, match="is used by another server"):
            mezzo_server.Server(data_dir=tmp_path)


def test_a_tenant_sees_its_own_jobs_only():
    keys = {name: f"key-of-{name}" for name in ("a", "b")}
    config = json.dumps({"tenants": [{"id": name, "key_sha256": [hashlib.sha256(key.encode()).hexdigest()]}
                                     for name, key in keys.items()]})
    with mezzo_server.Server(models=mezzo_server.MODELS, config=config) as server:
        mine = {"Authorization": "Bearer " + keys["a"]}
        other = {"Authorization": "Bearer " + keys["b"]}
        _, _, job = post(server, "/v1/jobs?wait=30", simple(), mine)
        assert get(server, "/v1/jobs/" + job["id"], mine)[0] == 200
        assert get(server, "/v1/jobs/" + job["id"], other)[0] == 404
        assert get(server, f"/v1/jobs/{job['id']}/events", other)[0] == 404
        assert post(server, f"/v1/jobs/{job['id']}/cancel", headers=other)[0] == 404
        assert post(server, f"/v1/jobs/{job['id']}/retry", headers=other)[0] == 404
        assert get(server, "/v1/jobs", other)[1]["data"] == []
        assert get(server, "/v1/jobs")[0] == 401
        assert post(server, "/v1/jobs", simple())[0] == 401


def test_many_clients_at_once_lose_nothing(jobs_server):
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        jobs = list(pool.map(lambda i: post(jobs_server, "/v1/jobs", simple(i, 1)), range(300)))
        assert {status for status, _, _ in jobs} <= {200, 202}
        ended = list(pool.map(lambda job: get(jobs_server, f"/v1/jobs/{job[2]['id']}?wait=60")[1], jobs))
    assert [outputs(job)["OUTPUT0"][0] for job in ended] == [i + 1 for i in range(300)]


LOCAL_HOOKS = json.dumps({"jobs": {"webhooks_to_private": True, "webhooks_over_http": True}})


def test_the_end_of_a_job_is_told_and_signed():
    with Receiver(503) as receiver, mezzo_server.Server(models=mezzo_server.MODELS, config=LOCAL_HOOKS) as server:
        _, _, job = post(server, "/v1/jobs?wait=30", simple(1, 1, webhook={"url": receiver.url, "secret": SECRET}))
        got = receiver.wait_for(2)
    headers, body = got[-1]
    event = json.loads(body)
    assert event["type"] == "job.succeeded" and event["data"]["id"] == job["id"]
    assert event["data"]["result"] == job["result"]
    assert len(got) == 2 and got[0][0]["webhook-id"] == headers["webhook-id"], "tried again with the same id"
    assert standardwebhooks.Webhook(SECRET).verify(body, headers) == event
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(body.replace(b"succeeded", b"cancelled"), headers)


def test_a_tenants_secrets_sign_what_has_none_of_its_own():
    others = ["whsec_" + base64.b64encode(bytes([i] * 32)).decode() for i in (1, 2)]
    key = {"Authorization": "Bearer a-key"}
    tenant = {"id": "a", "key_sha256": [hashlib.sha256(b"a-key").hexdigest()], "webhook_secrets": ["env:NEW_SECRET", "env:OLD_SECRET"]}
    config = json.dumps({**json.loads(LOCAL_HOOKS), "tenants": [tenant]})
    with Receiver() as receiver, mezzo_server.Server(models=mezzo_server.MODELS, config=config,
                                                     env=dict(zip(("NEW_SECRET", "OLD_SECRET"), others))) as server:
        post(server, "/v1/jobs?wait=30", simple(webhook={"url": receiver.url}), key)
        ((headers, body),) = receiver.wait_for(1)
        for secret in others:
            assert standardwebhooks.Webhook(secret).verify(body, headers)["type"] == "job.succeeded"
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            standardwebhooks.Webhook(SECRET).verify(body, headers)


def test_a_webhook_that_nobody_could_sign_is_refused(jobs_server):
    status, _, problem = post(jobs_server, "/v1/jobs", simple(webhook={"url": "https://example.org"}))
    assert status == 400
    assert problem["detail"] == ("'webhook.secret' is missing (whsec_ and 24 to 64 bytes in base64), and tenant 'anonymous' has "
                                 "no webhook_secrets")


def test_webhooks_reach_public_addresses_only_unless_configured(jobs_server):
    with Receiver() as receiver:
        post(jobs_server, "/v1/jobs?wait=30", simple(webhook={"url": receiver.url, "secret": SECRET}))
        time.sleep(2)
        assert receiver.got == []


def database_reads(server):
    text = server.get("/metrics")[2].decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.startswith("mezzo_storage_sql_calls_total{") and 'kind="read"' in line)


def reads_per_poll(config, tmp_path):
    """Reads of the database by the polls of an ended job, and of its artifacts."""
    polls = 200
    with mezzo_server.Server(models=mezzo_server.MODELS, config=config, data_dir=str(tmp_path)) as server:
        job = post(server, "/v1/jobs?wait=30", simple(3, 4))[2]
        assert job["status"] == "succeeded"
        first = get(server, f"/v1/jobs/{job['id']}")[1]
        time.sleep(0.5)  # What was told of its end has been heard.
        get(server, f"/v1/jobs/{job['id']}")
        before = database_reads(server)
        for _ in range(polls):
            assert get(server, f"/v1/jobs/{job['id']}") == (200, first)
        reads = database_reads(server) - before
        assert get(server, "/v1/jobs/0190-nothing")[0] == 404
        stats = get(server, "/v1/cache")[1]["recent"]
        table = subprocess.run([mezzo_server.BINARY, "cache", "stats", "--url", server.http_url], capture_output=True, text=True,
                               check=True, timeout=60).stdout
        assert ("RECENT" in table) == bool(stats["data"]), table
        return reads / polls, {kind["kind"]: kind for kind in stats["data"]}, server.get("/metrics")[2].decode()


def test_polls_of_an_ended_job_ask_the_database_once(tmp_path):
    # Beside the polls the server itself reads a few times a second: whoever waits, quotas, epochs.
    reads, kinds, metrics = reads_per_poll("cache: {recent_bytes: 1MiB}\n", tmp_path / "kept")
    assert reads < 0.5
    assert kinds["job"]["hits"] >= 200 and kinds["job"]["entries"] == 1 and kinds["job"]["bytes"] > 500
    assert 'mezzo_cache_recent_reads_total{kind="job",outcome="hit"}' in metrics
    reads, kinds, _ = reads_per_poll("cache: {recent_bytes: 0}\n", tmp_path / "anew")
    assert reads >= 1 and not kinds
