"""More work than fits, work that never ends, and the ways a process ends under load."""

import http.client
import json
import signal
import threading
import time

import grpc
import lab
import pytest
from mezzo_server import SLOWNESS, Server
from tritonclient.grpc import service_pb2, service_pb2_grpc

ONE_SLOT = ("--set", "device.slots=1", "--set", "device.inline_limit=0ms")
HOURS = 1 << 40  # Steps of the delay model.


def _grpc_add_sub(channel, **options):
    request = service_pb2.ModelInferRequest(model_name="add_sub", raw_input_contents=[b"\0" * 64] * 2)
    for name in ("INPUT0", "INPUT1"):
        request.inputs.add(name=name, datatype="FP32", shape=[1, 16])
    return service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60, **options)


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(models):
    with Server(*ONE_SLOT, "--set", "models.default_max_queued=4", models=models) as server:
        with lab.busy_device(server, 1.5):
            waiting = lab.Calls(server, "add_sub", [_add_sub_body()] * 4)
            lab.await_true(lambda: lab.metric(server, "mezzo_sched_queued_items") == 4)
            start = time.monotonic()
            status, headers, answer = lab.infer(server, "add_sub", _add_sub_body())
            took = time.monotonic() - start
            assert (status, headers["X-Mezzo-Reason"]) == (503, "queue_full")
            assert answer["error"].startswith("Exceeds maximum queue size: ") and "add_sub" in answer["error"]
            assert int(headers["Retry-After"]) >= 1
            assert 1 <= int(headers["X-Mezzo-Retry-After-Ms"]) <= 60_000 * SLOWNESS
            assert took < 0.5 * SLOWNESS
            with grpc.insecure_channel(server.grpc) as channel, pytest.raises(grpc.RpcError) as refused:
                _grpc_add_sub(channel)
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
            trailers = dict(refused.value.trailing_metadata())
            assert trailers["x-mezzo-reason"] == "queue_full" and int(trailers["grpc-retry-pushback-ms"]) >= 1
            assert lab.metric(server, 'mezzo_sched_refused_total{class="standard",reason="queue_full"}') == 2
        assert [answer[0] for answer in waiting.join()] == [200] * 4


def test_deadlines_that_cannot_be_met_are_refused_early(models):
    with Server(*ONE_SLOT, models=models) as server:
        for _ in range(5):
            lab.infer(server, "delay_long", _row())
        with lab.busy_device(server, 1.5):
            # One that waits: an idle model would get a trial, whatever was measured long ago.
            waiting = lab.Calls(server, "delay_long", [_row()])
            lab.await_true(lambda: lab.metric(server, "mezzo_sched_queued_items") == 1)
            start = time.monotonic()
            status, headers, answer = lab.infer(server, "delay_long", _row(), headers={"X-Mezzo-Deadline-Ms": "30"})
            took = time.monotonic() - start
            assert status == 503, answer
            assert headers["X-Mezzo-Reason"] in ("deadline_unreachable", "deadline_expired")
            assert int(headers["Retry-After"]) >= 1 and int(headers["X-Mezzo-Retry-After-Ms"]) >= 1
            assert "delay_long" in answer["error"] and "deadline" in answer["error"]
            assert took < 0.5 * SLOWNESS
            assert lab.metric(server, "mezzo_sched_free_slots") == 0, "refused while the device was busy"
        assert waiting.join()[0][0] == 200


def test_a_long_run_does_not_hold_up_other_models(models):
    with Server("--set", "device.slots=2", models=models) as server:
        steps = lab.steps_for(server, 2.0)
        long = lab.Calls(server, "delay", [lab.delay_body(steps)])
        lab.await_true(lambda: lab.metric(server, "mezzo_sched_free_slots") == 1)
        slowest, count = 0.0, 0
        while lab.metric(server, "mezzo_sched_free_slots") == 1:
            start = time.monotonic()
            lab.assert_serves(server)
            slowest, count = max(slowest, time.monotonic() - start), count + 1
        assert long.join()[0][0] == 200
        assert count >= 5
        assert slowest < 0.7 * SLOWNESS


def test_the_watchdog_ends_a_run_that_does_not_end(models):
    with Server("--set", "device.slots=2", models=models) as server:
        for _ in range(3):
            lab.infer(server, "delay", lab.delay_body(100))
        hung = lab.Calls(server, "delay", [lab.delay_body(HOURS)])
        start = time.monotonic()
        while any(answer is None for answer in hung.answers):
            assert time.monotonic() - start < 60 * SLOWNESS, "the watchdog did not end the run"
            lab.assert_serves(server)
            time.sleep(0.1)
        status, _, answer = hung.answers[0]
        assert status in (500, 503, 400), answer
        assert answer["error"]
        assert time.monotonic() - start > 5, "no run is called hung sooner than in 10 s"
        # The model's breaker is open: others of it fail fast and are told when to come back.
        status, headers, answer = lab.infer(server, "delay", lab.delay_body(1))
        assert (status, headers["X-Mezzo-Reason"]) == (503, "breaker_open"), answer
        assert int(headers["Retry-After"]) >= 1
        lab.assert_serves(server)
        assert lab.metric(server, "mezzo_sched_free_slots") == 2


def test_sigterm_under_load_loses_nothing_that_was_accepted(models):
    with Server(*ONE_SLOT, models=models) as server, grpc.insecure_channel(server.grpc) as channel:
        steps = lab.steps_for(server, 1.0)
        calls = lab.Calls(server, "delay_sum", [lab.delay_body(steps)] * 6)
        over_grpc = []
        lab.await_true(lambda: lab.metric(server, "mezzo_sched_queued_items") >= 3)
        remote = threading.Thread(target=lambda: over_grpc.append(_grpc_add_sub(channel)))
        remote.start()
        lab.await_true(lambda: lab.metric(server, "mezzo_grpc_running") == 1 or over_grpc)
        accepted = lab.metric(server, "mezzo_sched_queued_items")
        server.process.send_signal(signal.SIGTERM)
        answers = calls.join()
        remote.join(60 * SLOWNESS)
        assert over_grpc and over_grpc[0].model_name == "add_sub"
        # What was queued is answered; what had not arrived may find the door closed, never a half answer.
        served = [answer for answer in answers if not isinstance(answer, Exception)]
        assert all(answer[0] == 200 for answer in served), answers
        assert len(served) + len(over_grpc) >= accepted
        assert server.wait() == 0
        assert any(entry.get("msg") == "ended" and entry.get("clean") is True for entry in server.log)


def test_sigterm_with_more_than_the_grace_period_ends_in_time(models):
    with Server("--set", "shutdown.grace=500ms", models=models) as server:
        hung = lab.Calls(server, "delay", [lab.delay_body(HOURS)])
        lab.await_true(lambda: lab.metric(server, "mezzo_sched_free_slots") < 2)
        start = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        code = server.wait(20)
        assert time.monotonic() - start < 10 * SLOWNESS
        assert code in (0, 1)
        answer = hung.join()[0]
        assert isinstance(answer, Exception) or answer[0] >= 400


def test_kill_under_load_and_again(models):
    """Clients see broken connections, never wrong answers; the next process serves the same."""
    for _ in range(2):
        server = Server(models=models)
        stop, wrong, served = threading.Event(), [], []

        def load(target=server, stop=stop, wrong=wrong, served=served):
            while not stop.is_set():
                try:
                    status, _, answer = lab.infer(target, "simple")
                except (OSError, ValueError, http.client.HTTPException):
                    continue  # Cut off in the middle.
                if status != 200 or answer["outputs"][0]["data"] != lab.SIMPLE_SUM:
                    wrong.append(answer)
                served.append(1)

        threads = [threading.Thread(target=load, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        lab.await_true(lambda served=served: len(served) > 20)
        assert server.kill() == -signal.SIGKILL
        stop.set()
        for thread in threads:
            thread.join(30 * SLOWNESS)
        assert wrong == []
    with Server(models=models) as server:
        lab.assert_serves(server)


def _row():
    return json.dumps({"inputs": [{"name": "INPUT", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}).encode()


def _add_sub_body():
    inputs = [{"name": name, "shape": [1, 16], "datatype": "FP32", "data": [1] * 16} for name in ("INPUT0", "INPUT1")]
    return json.dumps({"inputs": inputs}).encode()
