"""Who gives way when there is too much to do: limits on queues, and what a host sheds to protect itself."""

import contextlib
import hashlib
import json
import shutil
import threading
import time

import grpc
import lab
import pytest
from mezzo_server import SLOWNESS, Server
from postgres_server import PostgresServer
from tritonclient.grpc import service_pb2, service_pb2_grpc

ONE_SLOT = "device: {slots: 1, inline_limit: 0ms}\njobs: {enabled: false}\n"
KEYS = {name: f"{name}-key" for name in ("paid", "free", "watch")}
ADD_SUB = json.dumps({"inputs": [{"name": name, "shape": [1, 16], "datatype": "FP32", "data": [1.0] * 16}
                                 for name in ("INPUT0", "INPUT1")]}).encode()


def digest(name):
    return hashlib.sha256(KEYS[name].encode()).hexdigest()


TENANTS = f"""tenants:
  - {{id: paid, tiers: [paid, free], key_sha256: [{digest("paid")}]}}
  - {{id: free, tiers: [free], key_sha256: [{digest("free")}]}}
  - {{id: watch, scopes: [infer, observe], tiers: [paid], key_sha256: [{digest("watch")}]}}
"""


def key(name):
    return {"Authorization": f"Bearer {KEYS[name]}"}


class Watched:
    """A server, asked with a key: what lab takes for a server."""

    def __init__(self, server, header=None):
        self._server = server
        self._header = header or key("watch")
        self.grpc = server.grpc

    def request(self, method, path, body=None, headers=None, timeout=30):
        return self._server.request(method, path, body, {**self._header, **(headers or {})}, timeout)

    def get(self, path):
        return self.request("GET", path)

    def metrics(self):
        return Server.metrics(self)


@pytest.fixture
def one_by_one(models, tmp_path):
    """The delay model without batches: a call costs what a call costs."""
    shutil.copytree(models / "delay", tmp_path / "delay")
    (tmp_path / "delay" / "model.yaml").write_text("batching: {max_batch_size: 1}\n")
    return tmp_path


@pytest.mark.parametrize(("kind", "amount"), [("queued", 2), ("queue_share", 0.002)])
def test_a_tenant_holds_at_most_its_part_of_the_queue(models, kind, amount):
    """Two calls wait behind a run and a third is refused; another tenant's is not; and when they run there is room again."""
    limits = f"limits: [{{name: places, kind: {kind}, tenant: free, per: [model], amount: {amount}}}]\n"
    config = ONE_SLOT + TENANTS + limits + "models: {default_max_queued: 1000}\n"
    with Server(models=models, config=config) as started:
        server = Watched(started)
        with lab.busy_device(server, 2):
            waiting = lab.Calls(server, "add_sub", [ADD_SUB] * 2, key("free"))
            lab.await_true(lambda: lab.metric(server, "mezzo_sched_queued_items") == 2)
            status, headers, answer = lab.infer(server, "add_sub", ADD_SUB, headers=key("free"))
            other = lab.Calls(server, "add_sub", [ADD_SUB], key("paid"))
            assert (status, headers["X-Mezzo-Reason"], headers["Retry-After"]) == (429, "queue_limited", "1")
            assert headers["RateLimit-Policy"] == '"places";q=2;qu="queued-requests"'
            assert "limit 'places' is used up: 2 may wait" in answer["error"]
            assert lab.metric(server, 'mezzo_tenancy_limited_total{reason="queue_limited"}') == 1
        assert [answer[0] for answer in waiting.join() + other.join()] == [200] * 3
        assert [lab.infer(server, "add_sub", ADD_SUB, headers=key("free"))[0] for _ in range(10)] == [200] * 10


class Flood:
    """Closed-loop callers of the delay model; `counts` has answers by (status, reason)."""

    def __init__(self, server, headers, callers, steps):
        self.counts, self.last = {}, None
        self._lock, self._stop = threading.Lock(), threading.Event()
        body = lab.delay_body(steps)

        def run():
            while not self._stop.is_set():
                status, answered, _ = lab.infer(server, "delay", body, timeout=120, headers=headers)
                with self._lock:
                    answer = (status, answered.get("X-Mezzo-Reason", ""))
                    self.counts[answer] = self.counts.get(answer, 0) + 1
                    if status != 200:
                        self.last = answered
                if status != 200:
                    self._stop.wait(0.05)

        self._threads = [threading.Thread(target=run, daemon=True) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(120 * SLOWNESS)


def test_the_free_tier_gives_way_and_comes_back(one_by_one):
    """More free callers than the device can serve in the target time: they are shed, those who pay are not, and when the flood
    is over everybody is served."""
    config = ONE_SLOT + TENANTS + "admission: {target_delay: 20ms, target_runs: 2}\n"
    with Server(models=one_by_one, config=config) as started:
        server = Watched(started)
        steps = lab.steps_for(server, 0.03)
        assert lab.metric(server, "mezzo_sched_admission_limit") == 0
        free = Flood(server, key("free"), 24, steps)
        lab.await_true(lambda: lab.metric(server, "mezzo_sched_admission_limit") > 0, 30, "a limit")
        paid = Flood(server, key("paid"), 1, steps)
        lab.await_true(lambda: paid.counts.get((200, ""), 0) >= 20 and (503, "overloaded") in free.counts, 60, "answers of both")
        assert lab.metric(server, "mezzo_sched_overload_signal") >= 0
        request = service_pb2.ModelInferRequest(model_name="delay")
        request.inputs.add(name="STEPS", datatype="INT64", shape=[1, 1]).contents.int64_contents.append(1)

        def refused_by_grpc():
            with grpc.insecure_channel(server.grpc) as channel:
                try:
                    service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(
                        request, metadata=[("authorization", f"Bearer {KEYS['free']}")], timeout=60 * SLOWNESS)
                except grpc.RpcError as error:
                    trailers = dict(error.trailing_metadata())
                    assert (error.code(), trailers["x-mezzo-reason"]) == (grpc.StatusCode.UNAVAILABLE, "overloaded")
                    assert int(trailers["retry-after"]) >= 1 and b"google.rpc.RetryInfo" in trailers["grpc-status-details-bin"]
                    return True
            return False

        lab.await_true(refused_by_grpc, 30, "a refusal by gRPC")
        free.stop()
        paid.stop()

        assert set(paid.counts) == {(200, "")}, paid.counts
        assert int(free.last["Retry-After"]) >= 1 and int(free.last["X-Mezzo-Retry-After-Ms"]) >= 1000
        metrics = server.metrics()
        assert metrics['mezzo_sched_shed_total{tier="free",class="standard"}'] >= free.counts[(503, "overloaded")]
        assert metrics['mezzo_sched_shed_total{tier="paid",class="standard"}'] == 0
        assert metrics["mezzo_sched_overloads_total"] >= 1
        time.sleep(0.5)
        lab.await_true(lambda: lab.infer(server, "delay", lab.delay_body(1), headers=key("free"))[0] == 200, 30, "recovery")


def test_protection_can_be_switched_off(one_by_one):
    config = ONE_SLOT + TENANTS + "admission: {enabled: false, target_delay: 10ms, target_runs: 0}\n"
    with Server(models=one_by_one, config=config) as started:
        server = Watched(started)
        free = Flood(server, key("free"), 16, lab.steps_for(server, 0.03))
        time.sleep(2)
        free.stop()
        assert set(free.counts) == {(200, "")}
        assert lab.metric(server, "mezzo_sched_overloads_total") == 0


def test_a_weight_changed_on_one_host_holds_on_the_other(one_by_one):
    """Two hosts of one database: shares of the second host's busy device follow a weight that the first was told, without a restart."""
    admin_key = {"Authorization": "Bearer " + "admin-key-of-this-test"}
    secret = hashlib.sha256(b"admin-key-of-this-test").hexdigest()
    config = f"""device: {{slots: 1, inline_limit: 0ms}}
database: {{url: "env:TEST_DATABASE"}}
tenants:
  - {{id: root, scopes: [admin, observe, infer, read], tiers: [paid], key_sha256: [{secret}]}}
"""
    with PostgresServer() as database, contextlib.ExitStack() as stack:
        env = {"TEST_DATABASE": database.url}
        first, second = (stack.enter_context(Server(models=one_by_one, config=config, env=env)) for _ in range(2))

        def ask(server, method, path, body=None):
            status, _, answer = server.request(method, path, json.dumps(body).encode() if body is not None else None,
                                               {**admin_key, "Content-Type": "application/json"})
            assert status < 300, answer
            return json.loads(answer)

        keys = {}
        for name in ("left", "right"):
            ask(first, "POST", "/v1/tenants", {"id": name, "weight": 1})
            keys[name] = ask(first, "POST", f"/v1/tenants/{name}/keys", {"name": "k", "scopes": ["infer"]})["key"]

        keyed = {name: {"Authorization": f"Bearer {text}"} for name, text in keys.items()}
        lab.await_true(lambda: all(lab.infer(second, "delay", lab.delay_body(1), headers=header)[0] == 200
                                   for header in keyed.values()), 10, "the keys")
        steps = lab.steps_for(Watched(second, keyed["left"]), 0.01)
        floods = [Flood(second, header, 6, steps) for header in keyed.values()]

        def charged():
            samples = Watched(second, admin_key).metrics()
            return [samples[f'mezzo_sched_charged_seconds_total{{tenant="{name}",class="standard"}}'] for name in ("left", "right")]

        def ratio():
            """Device time of the right tenant over that of the left one, in the next second and a half."""
            before = charged()
            time.sleep(1.5 * SLOWNESS)
            left, right = (now - then for now, then in zip(charged(), before, strict=True))
            return right / left

        even = ratio()
        ask(first, "PATCH", "/v1/tenants/right", {"weight": 4})
        lab.await_true(lambda: ratio() > 2.5, 30, "a share of four to one")
        for flood in floods:
            flood.stop()
        assert 0.6 < even < 1.7, even
