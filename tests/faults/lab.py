"""What fault tests need: raw connections, work of a known length, and waiting for a condition instead of a while."""

import contextlib
import http.client
import json
import socket
import threading
import time

from mezzo_server import SLOWNESS

SIMPLE = json.dumps({"inputs": [
    {"name": "INPUT0", "shape": [1, 16], "datatype": "INT32", "data": list(range(16))},
    {"name": "INPUT1", "shape": [1, 16], "datatype": "INT32", "data": [1] * 16}]}).encode()
SIMPLE_SUM = [value + 1 for value in range(16)]


def infer_request(model, body, headers=()):
    """The bytes of one HTTP inference request."""
    lines = [f"POST /v2/models/{model}/infer HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def delay_body(steps):
    return json.dumps({"inputs": [{"name": "STEPS", "shape": [1, 1], "datatype": "INT64", "data": [steps]}]}).encode()


def infer(server, model, body=SIMPLE, timeout=60, headers=None):
    """(status, headers, answer as JSON)"""
    status, answer_headers, answer = server.request("POST", f"/v2/models/{model}/infer", body, headers, timeout)
    return status, answer_headers, json.loads(answer)


def assert_serves(server):
    status, _, answer = infer(server, "simple")
    assert status == 200, answer
    assert answer["outputs"][0]["data"] == SIMPLE_SUM


def steps_for(server, seconds):
    """Steps that keep the delay model busy for at least about `seconds` here and now."""

    def timed(steps):
        start = time.monotonic()
        status, _, answer = infer(server, "delay", delay_body(steps))
        assert status == 200, answer
        return time.monotonic() - start

    steps = 500
    while (fastest := min(timed(steps) for _ in range(3))) < 0.03:
        steps *= 3
    return int(steps * seconds / fastest)


def await_true(condition, seconds=20, what="the condition"):
    """Seconds until `condition()` holds."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds * SLOWNESS, f"{what} did not come true"
        time.sleep(0.002)
    return time.monotonic() - start


def metric(server, name):
    return server.metrics().get(name, 0.0)


def connect(server, port=None, timeout=20):
    connection = socket.create_connection(("127.0.0.1", port or server.http_port), timeout=timeout * SLOWNESS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_all(connection):
    """Everything until the other side closes; a reset counts as the end."""
    data = b""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while chunk := connection.recv(65536):
            data += chunk
    return data


class Calls:
    """Inference calls in threads of their own; `answers` are (status, headers, JSON) or the exception, in their order."""

    def __init__(self, server, model, bodies, headers=None):
        self.answers = [None] * len(bodies)
        self._threads = [threading.Thread(target=self._call, args=(server, model, body, headers, index), daemon=True)
                         for index, body in enumerate(bodies)]
        for thread in self._threads:
            thread.start()

    def _call(self, server, model, body, headers, index):
        try:
            self.answers[index] = infer(server, model, body, timeout=120, headers=headers)
        except (OSError, http.client.HTTPException) as error:
            self.answers[index] = error

    def join(self, seconds=60):
        deadline = time.monotonic() + seconds * SLOWNESS
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
            assert not thread.is_alive(), "a call did not end"
        return self.answers


@contextlib.contextmanager
def busy_device(server, seconds=1.0):
    """The only slot of `server` runs the delay model when the block begins, for about `seconds`."""
    steps = steps_for(server, seconds)
    running = Calls(server, "delay", [delay_body(steps)])
    await_true(lambda: metric(server, "mezzo_sched_free_slots") == 0, what="a busy device")
    yield
    (answer,) = running.join()
    assert answer[0] == 200, answer
