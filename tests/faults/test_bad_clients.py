"""Clients that leave, stall, lie half-open or come in floods: others are served, and nothing of theirs stays."""

import contextlib
import json
import socket
import struct
import time

import grpc
import lab
import pytest
from mezzo_server import SLOWNESS, Server
from tritonclient.grpc import service_pb2, service_pb2_grpc

OPEN = 'mezzo_net_connections{listener="http"}'
DISCONNECTS = 'mezzo_net_disconnects_total{listener="http"}'
ONE_SLOT = ("--set", "device.slots=1", "--set", "device.inline_limit=0ms")


@pytest.fixture(scope="module")
def one_slot(models):
    """A server that runs one batch at a time."""
    with Server(*ONE_SLOT, models=models) as running:
        yield running


@pytest.fixture(scope="module")
def strict(models):
    """A server with short patience."""
    limits = ("http.header_timeout=1s", "http.idle_timeout=1s", "http.write_timeout=1s")
    with Server(*(part for limit in limits for part in ("--set", limit)), models=models) as running:
        yield running


def _reset(connection):
    """Closes with RST instead of FIN, like a host that vanished and came back."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _only_ours(server):
    """True when the only open connection is the one that asks."""
    return lab.metric(server, OPEN) == 1


@pytest.mark.parametrize("close", [socket.socket.close, _reset], ids=["fin", "rst"])
def test_leaving_while_queued_is_a_cancellation(one_slot, close):
    refused = 'mezzo_inference_refused_total{model="simple",reason="cancelled"}'
    before = {name: lab.metric(one_slot, name) for name in (refused, DISCONNECTS)}
    with lab.busy_device(one_slot, 1.5):
        connection = lab.connect(one_slot)
        connection.sendall(lab.infer_request("simple", lab.SIMPLE))
        lab.await_true(lambda: lab.metric(one_slot, "mezzo_sched_queued_items") == 1, what="a queued item")
        close(connection)
        took = lab.await_true(lambda: lab.metric(one_slot, "mezzo_sched_queued_items") == 0)
        assert lab.metric(one_slot, "mezzo_sched_free_slots") == 0, "the device was still busy: nothing ran the item"
        # Milliseconds by design; the margin is for reading metrics on a loaded machine.
        assert took < 0.3 * SLOWNESS
        lab.await_true(lambda: lab.metric(one_slot, refused) == before[refused] + 1, what="the count of cancelled calls")
        lab.await_true(lambda: lab.metric(one_slot, DISCONNECTS) == before[DISCONNECTS] + 1)
    lab.assert_serves(one_slot)


@pytest.mark.parametrize("way", ["cancel", "deadline", "channel"])
def test_grpc_leaving_while_queued(one_slot, way):
    with lab.busy_device(one_slot, 1.5):
        channel = grpc.insecure_channel(one_slot.grpc)
        request = service_pb2.ModelInferRequest(model_name="add_sub", raw_input_contents=[b"\0" * 64] * 2)
        for name in ("INPUT0", "INPUT1"):
            request.inputs.add(name=name, datatype="FP32", shape=[1, 16])
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.future(
            request, timeout=0.2 * SLOWNESS if way == "deadline" else 60)
        if way != "deadline":
            lab.await_true(lambda: lab.metric(one_slot, "mezzo_sched_queued_items") == 1, what="a queued item")
            (call.cancel if way == "cancel" else channel.close)()
        with pytest.raises((grpc.RpcError, grpc.FutureCancelledError)):
            call.result(timeout=30 * SLOWNESS)
        took = lab.await_true(lambda: lab.metric(one_slot, "mezzo_sched_queued_items") == 0)
        assert lab.metric(one_slot, "mezzo_sched_free_slots") == 0
        assert took < 0.3 * SLOWNESS
        channel.close()
    lab.await_true(lambda: lab.metric(one_slot, "mezzo_grpc_running") == 0)
    lab.assert_serves(one_slot)


@pytest.mark.parametrize("size", [1, 20, 60, 90, -1], ids=lambda size: f"{size} bytes")
def test_leaving_in_the_middle_of_a_request(one_slot, size):
    connection = lab.connect(one_slot)
    connection.sendall(lab.infer_request("simple", lab.SIMPLE)[:size])
    connection.close()
    lab.await_true(lambda: _only_ours(one_slot), what="the end of the connection")
    assert lab.metric(one_slot, "mezzo_sched_queued_items") == 0
    lab.assert_serves(one_slot)


def test_leaving_in_the_middle_of_a_large_body_frees_its_memory(one_slot):
    before = lab.metric(one_slot, "mezzo_process_resident_memory_bytes")
    for _ in range(8):
        connection = lab.connect(one_slot)
        connection.sendall(lab.infer_request("simple", b"x" * (40 << 20))[: 20 << 20])
        _reset(connection)
    lab.await_true(lambda: _only_ours(one_slot))
    lab.await_true(lambda: lab.metric(one_slot, "mezzo_process_resident_memory_bytes") < before + (60 << 20),
                   what="the memory of the bodies given back")


def test_a_client_that_stops_sending_before_its_answer_counts_as_gone(one_slot):
    before = lab.metric(one_slot, DISCONNECTS)
    with lab.busy_device(one_slot, 1.0):
        connection = lab.connect(one_slot)
        connection.sendall(lab.infer_request("simple", lab.SIMPLE))
        lab.await_true(lambda: lab.metric(one_slot, "mezzo_sched_queued_items") == 1)
        connection.shutdown(socket.SHUT_WR)
        lab.await_true(lambda: lab.metric(one_slot, DISCONNECTS) == before + 1)
    assert lab.read_all(connection) == b""


def test_slow_heads_are_cut_off(strict):
    connection = lab.connect(strict)
    start = time.monotonic()
    connection.sendall(b"POST /v2/models/simple/infer HTTP/1.1\r\nHost: localhost\r\n")
    with contextlib.suppress(OSError):
        while time.monotonic() - start < 5 * SLOWNESS:  # One byte at a time: each alone is on time.
            connection.sendall(b"X")
            time.sleep(0.02)
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                if connection.recv(1, socket.MSG_PEEK) is not None:
                    break
            connection.setblocking(True)
    took = time.monotonic() - start
    connection.settimeout(10 * SLOWNESS)
    answer = lab.read_all(connection)
    assert 0.9 < took < 4 * SLOWNESS
    assert answer.startswith(b"HTTP/1.1 408 ") or answer == b""
    if answer:
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "the request head did not arrive in time"
    lab.assert_serves(strict)


def test_silent_connections_are_closed(strict):
    idle = [lab.connect(strict) for _ in range(10)]
    start = time.monotonic()
    for connection in idle:
        assert lab.read_all(connection) == b""
    assert time.monotonic() - start < 5 * SLOWNESS
    lab.await_true(lambda: _only_ours(strict))


def test_slow_bodies_are_cut_off(strict):
    connection = lab.connect(strict, timeout=40)
    connection.sendall(lab.infer_request("simple", b"x" * 100_000)[:200])
    start = time.monotonic()
    answer = lab.read_all(connection)  # The grace period is 10 s; after it, the rate must be met.
    assert 9 < time.monotonic() - start < 20 * SLOWNESS
    assert answer.startswith(b"HTTP/1.1 408 ")
    lab.assert_serves(strict)


def test_clients_that_do_not_read_are_cut_off(strict):
    connection = lab.connect(strict)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    head = {"inputs": [{"name": "INPUT0", "shape": [1, 1 << 22], "datatype": "FP32",
                        "parameters": {"binary_data_size": 4 << 22}}], "parameters": {"binary_data_output": True}}
    text = json.dumps(head).encode()
    connection.sendall(lab.infer_request("identity_fp32", text + bytes(4 << 22),
                                         [f"Inference-Header-Content-Length: {len(text)}"]))
    start = time.monotonic()
    lab.await_true(lambda: lab.metric(strict, OPEN) == 2)
    lab.await_true(lambda: _only_ours(strict), what="the end of the stalled connection")
    assert time.monotonic() - start < 10 * SLOWNESS
    connection.close()
    lab.assert_serves(strict)


def test_a_flood_of_connections_is_refused_and_then_forgotten(models):
    limit, more = 24, 16
    with Server("--set", f"http.max_connections={limit}", models=models) as server:
        lab.await_true(lambda: _only_ours(server))
        flood = [lab.connect(server) for _ in range(limit + more)]
        full, held = [], []
        for connection in flood:
            connection.settimeout(0.05)
            try:
                full.append(lab.read_all(connection))
            except TimeoutError:
                held.append(connection)
        assert len(full) == more and len(held) == limit
        assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in full)
        assert b"Retry-After: 1" in full[0] and b'{"error":"too many connections"}' in full[0]
        # Those who were let in are served all the same.
        held[0].settimeout(20 * SLOWNESS)
        held[0].sendall(lab.infer_request("simple", lab.SIMPLE, ["Connection: close"]))
        assert lab.read_all(held[0]).startswith(b"HTTP/1.1 200 ")
        for connection in flood:
            connection.close()
        lab.await_true(lambda: _served_alone(server))
        assert lab.metric(server, 'mezzo_net_refusals_total{listener="http",reason="connection_limit"}') >= more
        lab.assert_serves(server)


def _served_alone(server):
    try:
        return _only_ours(server)
    except OSError:
        return False  # Still full.


def test_grpc_connections_that_say_nothing_or_nonsense(one_slot):
    silent = [lab.connect(one_slot, one_slot.grpc_port) for _ in range(30)]
    for nonsense in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00" + bytes(600), b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"):
        connection = lab.connect(one_slot, one_slot.grpc_port)
        connection.sendall(nonsense)
        lab.read_all(connection)
        connection.close()
    with grpc.insecure_channel(one_slot.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=10 * SLOWNESS).live
    for connection in silent:
        connection.close()
