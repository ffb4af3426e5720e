"""Start, shutdown, signals, configuration: what an operator sees of the process."""

import json
import pathlib
import signal
import subprocess
import tempfile
import threading
import time

import mezzo_server
from mezzo_server import Server

SIMPLE = {
    "inputs": [
        {"name": "INPUT0", "shape": [1, 16], "datatype": "INT32", "data": list(range(16))},
        {"name": "INPUT1", "shape": [1, 16], "datatype": "INT32", "data": [1] * 16},
    ]
}


def infer(server, model, body, **kwargs):
    status, headers, answer = server.request("POST", f"/v2/models/{model}/infer", json.dumps(body).encode(), **kwargs)
    return status, headers, json.loads(answer)


def delay_body(steps):
    return {"inputs": [{"name": "STEPS", "shape": [1, 1], "datatype": "INT64", "data": [steps]}]}


def test_starts_without_models_and_ends_cleanly():
    with Server() as server:
        status, _, body = server.get("/v2/health/live")
        assert (status, body) == (200, b"")
        assert server.get("/v2/health/ready")[0] == 200
        assert json.loads(server.get("/v2")[2])["name"] == "mezzo"


def test_serves_what_is_in_the_folder(server):
    status, _, answer = infer(server, "simple", SIMPLE)

    assert status == 200
    assert answer["outputs"][0]["data"] == [value + 1 for value in range(16)]
    assert answer["outputs"][1]["data"] == [value - 1 for value in range(16)]


def test_request_ids_and_errors_are_exact(server):
    status, headers, answer = infer(server, "nope", SIMPLE, headers={"X-Request-Id": "abc-1"})

    assert status == 404
    assert answer["error"] == "Request for unknown model: 'nope' is not found"
    assert headers["X-Request-Id"] == "abc-1"


def test_running_requests_finish_after_sigterm():
    with Server(models=mezzo_server.MODELS) as server:
        steps = calibrate(server, seconds=0.7)
        answers = []
        caller = threading.Thread(target=lambda: answers.append(infer(server, "delay", delay_body(steps))))
        caller.start()
        await_metric(server, "mezzo_sched_free_slots", lambda free: free < 2)
        server.process.send_signal(signal.SIGTERM)
        caller.join(60)
        assert server.wait() == 0
        assert answers and answers[0][0] == 200, answers


def test_not_ready_at_once_after_sigterm():
    with Server(models=mezzo_server.MODELS) as server:
        steps = calibrate(server, seconds=1.0)
        import http.client

        probe = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=10)
        caller = threading.Thread(target=lambda: infer(server, "delay", delay_body(steps)))
        caller.start()
        await_metric(server, "mezzo_sched_free_slots", lambda free: free < 2)
        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 5 * mezzo_server.SLOWNESS
        refused = False
        while time.monotonic() < deadline and not refused:
            try:
                probe.request("GET", "/v2/health/ready")
                refused = probe.getresponse().status != 200
            except (OSError, http.client.HTTPException):
                refused = True  # No new connections are accepted.
                probe.close()
        assert refused
        caller.join(60)
        assert server.wait() == 0


def test_sigkill_corrupts_nothing():
    for _ in range(3):
        server = Server(models=mezzo_server.MODELS)
        infer(server, "simple", SIMPLE)
        server.process.kill()
        server.wait()
    with Server(models=mezzo_server.MODELS) as server:
        assert infer(server, "simple", SIMPLE)[0] == 200


def test_bad_configuration_is_refused_with_place_and_suggestion():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "mezzo.yaml")
        path.write_text("device:\n  slotz: 4\n")
        done = subprocess.run([mezzo_server.BINARY, "config", "check", "--config", path], capture_output=True, text=True,
                              timeout=60, check=False)
        assert done.returncode == 2
        assert "mezzo.yaml:2:3: unknown key 'slotz' in device; did you mean 'slots'?" in done.stderr


def test_other_addresses_need_keys():
    done = subprocess.run([mezzo_server.BINARY, "serve", "--set", "http.address=0.0.0.0", "--set", "jobs.enabled=false"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "http.address is 0.0.0.0" in done.stderr


def test_a_port_in_use_is_named(server, tmp_path):
    done = subprocess.run([mezzo_server.BINARY, "serve", "--http-port", str(server.http_port), "--grpc-port", "0", "--set",
                           f"data_dir={tmp_path}"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert str(server.http_port) in done.stderr


def test_sighup_takes_over_the_log_level():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "mezzo.yaml")
        path.write_text("log: {level: info}\n")
        with Server("--config", path) as server:
            path.write_text("log: {level: warn}\ndevice: {max_queued: 7}\n")
            server.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 10 * mezzo_server.SLOWNESS
            while time.monotonic() < deadline:
                changes = {entry["key"]: entry["msg"] for entry in server.log if "key" in entry}
                if len(changes) == 2:
                    break
                time.sleep(0.02)
            assert changes == {"log.level": "configuration changed",
                               "device.max_queued": "configuration change needs a restart"}


def calibrate(server, seconds):
    """Steps that keep the delay model busy for about `seconds` here."""
    steps = 1000
    while True:
        start = time.monotonic()
        status, _, answer = infer(server, "delay", delay_body(steps))
        assert status == 200, answer
        took = time.monotonic() - start
        if took > 0.05:
            return int(steps * seconds / took)
        steps *= 4


def await_metric(server, name, predicate, seconds=30):
    deadline = time.monotonic() + seconds * mezzo_server.SLOWNESS
    while time.monotonic() < deadline:
        if predicate(server.metrics()[name]):
            return
        time.sleep(0.005)
    raise AssertionError(f"{name} stayed at {server.metrics()[name]}")
