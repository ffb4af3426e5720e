"""The failures that shared servers of models had (CVE numbers beside the tests), shown not to be here.

Everything talks raw bytes where a client library would repair or refuse what an attacker sends.
"""

import base64
import contextlib
import gzip
import hashlib
import json
import os
import pathlib
import re
import shutil
import socket
import threading
import time
import zlib

import grpc
import mezzo_server
import onnx_bytes
import pytest
from mezzo_server import SLOWNESS, Server
from tritonclient.grpc import service_pb2, service_pb2_grpc

ROOT = mezzo_server.ROOT
SMALL = ("simple", "versioned", "identity_fp32", "identity_bytes", "classifier")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name in SMALL:
        shutil.copytree(mezzo_server.MODELS / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def target(models):
    """A server with everything that can be attacked switched on."""
    config = 'models: {control: explicit, startup: ["*"]}\nshared_memory: {enabled: true}\nhttp: {max_body: 8MiB}\n'
    with Server(models=models, config=config) as running:
        yield running


@pytest.fixture(scope="module")
def greedy(tmp_path_factory):
    """`asks` makes as many zeros as its input says and adds them up; `folds` has a constant of 16 TiB."""
    folder = tmp_path_factory.mktemp("greedy")
    shutil.copytree(mezzo_server.MODELS / "simple", folder / "simple")
    x, y = onnx_bytes.value("s", onnx_bytes.INT64, ["rank"]), onnx_bytes.value("y", onnx_bytes.FLOAT, [])
    zeros = onnx_bytes.node("ConstantOfShape", ["s"], ["z"])
    keep = onnx_bytes.text(1, "keepdims") + onnx_bytes.number(3, 0) + onnx_bytes.number(20, 2)
    models = {"asks": onnx_bytes.model([zeros, onnx_bytes.node("ReduceSum", ["z"], ["y"], [keep])], [x], [y]),
              "folds": onnx_bytes.model([onnx_bytes.node("ConstantOfShape", ["n"], ["z"]),
                                         onnx_bytes.node("ReduceSum", ["z"], ["w"], [keep]), onnx_bytes.node("Add", ["w", "x"], ["y"])],
                                        [onnx_bytes.value("x", onnx_bytes.FLOAT, [])], [y],
                                        [onnx_bytes.tensor("n", onnx_bytes.INT64, [1], [1 << 42])])}
    for name, content in models.items():
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "1" / "model.onnx").write_bytes(content)
        (folder / name / "model.yaml").write_text("batching: {max_batch_size: 0}\n")
    config = "models: {control: explicit, startup: [simple, asks]}\nengine: {run_memory: 64MiB}\n"
    with Server(models=folder, config=config) as running:
        yield running


def exchange(server, data, port=None, timeout=15, half_close=False):
    """What the server answers until it closes; a reset counts as the end."""
    with socket.create_connection(("127.0.0.1", port or server.http_port), timeout=timeout * SLOWNESS) as connection:
        answer = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                answer += chunk
    return answer


def status_of(answer):
    match = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert match, answer[:200]
    return int(match[1])


def post(path, body=b"", headers=()):
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def refused(server, data, status, text=""):
    answer = exchange(server, data)
    assert status_of(answer) == status, answer[:300]
    message = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert text in message
    return message


def alive(server):
    assert server.process.poll() is None
    assert server.get("/v2/models/simple/ready")[0] == 200


def resident(server):
    return server.metrics()["mezzo_process_resident_memory_bytes"]


# Chunks, headers, lines: counts that an attacker chooses (CVE-2025-23310, CVE-2025-23311, CVE-2025-23317).


def test_chunk_bombs(target):
    head = b"POST /v2/models/simple/infer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = exchange(target, head + b"1\r\nA\r\n" * 500_000 + b"0\r\n\r\n")
    assert status_of(answer) == 413
    for size in (b"ffffffffffffffff", b"fffffffffffffffff", b"-1", b"0x10", b"7fffffff", b"1;" + b"e" * 100_000, b"G"):
        answer = exchange(target, head + size + b"\r\nA\r\n", half_close=True)
        assert answer == b"" or status_of(answer) in (400, 413, 431), size  # Empty: cut off in the middle of a chunk.
    alive(target)


def test_header_bombs(target):
    get = b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n"
    assert status_of(exchange(target, get + b"A: b\r\n" * 5000 + b"\r\n")) == 431
    assert status_of(exchange(target, get + b"A: " + b"b" * (1 << 20) + b"\r\n\r\n")) == 431
    assert status_of(exchange(target, b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")) == 414
    assert status_of(exchange(target, b"A" * (1 << 20))) in (400, 414, 431)
    assert status_of(exchange(target, get + b"A: b\r\n c\r\n\r\n")) == 400
    alive(target)


@pytest.mark.parametrize("framing", [
    "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5\r\nTransfer-Encoding: chunked", "Content-Length: -1",
    "Content-Length: +5", "Content-Length: 5, 6", "Content-Length: 0x5", "Content-Length: 18446744073709551616",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Transfer-Encoding: xchunked",
    "Transfer-Encoding: gzip, chunked", "Transfer-Encoding:\x0bchunked", "Transfer-Encoding : chunked",
    "Content-Length: 5\n", "Host: y\r\nContent-Length: 5", "Content-Length: 5\r\nX: a\x00b"])
def test_smuggling(target, framing):
    """A second request inside what a proxy may take for the first one's body is never answered."""
    data = ("POST /v2/models/simple/infer HTTP/1.1\r\nHost: localhost\r\n" + framing + "\r\n\r\n0\r\n\r\n"
            "GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").encode("latin-1")
    answer = exchange(target, data, half_close=True)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert status_of(answer) in (400, 413, 501)
    assert b"Connection: close" in answer


# Names and paths (CVE-2026-24209, CVE-2026-24208, CVE-2024-1560, CVE-2023-31036, CVE-2026-24207).


@pytest.mark.parametrize("name", [
    "..", "../secret", "..%2fsecret", "%2e%2e", "%2e%2e%2fsecret", "%252e%252e%252fsecret", "..%5csecret", "..%00",
    "simple%00", "%2fetc%2fpasswd", ".hidden", "a" * 300, "%c0%ae%c0%ae", "a%0d%0aX-Evil:%201", "simple%2f..%2fsimple"])
@pytest.mark.parametrize("route", ["/v2/repository/models/{}/load", "/v2/models/{}/infer", "/v2/repository/models/{}/unload"])
def test_traversal_in_model_names(target, models, name, route):
    outside = models.parent / "secret" / "1"
    outside.mkdir(parents=True, exist_ok=True)
    shutil.copy(mezzo_server.MODELS / "versioned" / "1" / "model.onnx", outside)
    answer = exchange(target, post(route.format(name), b"{}"))
    assert 400 <= status_of(answer) <= 500
    assert b"X-Evil" not in answer.partition(b"\r\n\r\n")[0]
    assert str(models.parent).encode() not in answer
    names = {entry["name"] for entry in json.loads(target.request("POST", "/v2/repository/index")[2])}
    assert names <= set(SMALL)


@pytest.mark.parametrize("name", ["..", "%2e%2e", "..%2f..%2fetc", "%2e%2e%2fpasswd", "%252e%252e%252fx", "..%5cx", "%00", "a%00", "%2fetc%2fpasswd",
                                  ".hidden", "a" * 300, "%c0%ae", "a%0d%0aX-Evil:%201", "a%2fb"])
@pytest.mark.parametrize("route", ["/v1/registry/models/{}", "/v1/registry/models/kept/versions/{}", "/v1/registry/models/kept/aliases/{}",
                                   "/v1/registry/models/kept/versions/1/contents/{}", "/v1/registry/blobs/{}", "/v1/routes/{}",
                                   "/v1/pipelines/{}", "/v1/drift/{}"])
def test_traversal_in_names_of_the_registry(target, name, route):
    """Also of digests, which are parts of the store's keys (CVE-2026-7020), and decoded once (CVE-2024-1560)."""
    target.request("POST", "/v1/registry/models", b'{"name": "kept"}')
    before = target.get("/v1/registry/models")[2], target.get("/v1/registry/models/kept/history")[2]
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        body = "" if method in ("GET", "DELETE") else '{"version": 1, "stable": "1"}'
        head = f"{method} {route.format(name)} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        answer = exchange(target, head.encode())
        assert status_of(answer) in (400, 404, 405), answer[:300]
        assert b"X-Evil" not in answer.partition(b"\r\n\r\n")[0]
    assert (target.get("/v1/registry/models")[2], target.get("/v1/registry/models/kept/history")[2]) == before


@pytest.mark.parametrize("path", ["/v2/../v2", "/v2/./health/live", "/v2//health/live", "//v2/health/live", "/v2/health/live/",
                                  "/V2/health/live", "/v2/%2e%2e/v2", "/v2%2fhealth%2flive", "/v2;x/health/live",
                                  "/v2/health%2flive", "\\v2\\health\\live", "/v2/models/simple/versions/%31%2f1"])
def test_one_canonical_path(target, path):
    answer = exchange(target, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert status_of(answer) in (400, 404)


@pytest.mark.parametrize("file", ["../x", "1/../../x", "/etc/x", "1/model.onnx/../../../x", ".ssh/x", "1\\..\\x", "1/\u0000", ""])
def test_traversal_in_override_files(target, file):
    body = {"parameters": {"config": "{}", f"file:{file}": base64.b64encode(b"x").decode()}}
    message = refused(target, post("/v2/repository/models/evil/load", json.dumps(body).encode()), 400)
    assert "/tmp" not in message


# Shared memory (CVE-2025-23319, CVE-2025-23320, CVE-2025-23334, CVE-2024-0087, CVE-2024-0100).


def _register(server, key, byte_size=64, offset=0, name="r"):
    body = json.dumps({"key": key, "byte_size": byte_size, "offset": offset}).encode()
    return post(f"/v2/systemsharedmemory/region/{name}/register", body)


@pytest.mark.parametrize("key", ["", "/", "/..", "/../etc/passwd", "/a/b", "a/../b", "/x\u0000y", "/" + "a" * 300, "/.x",
                                 "/mezzo_internal", "mezzo-internal", "/triton_python_backend_shm_region_1"])
def test_shared_memory_keys(target, key):
    refused(target, _register(target, key), 400)
    assert json.loads(target.get("/v2/systemsharedmemory/status")[2]) == []


def test_shared_memory_ranges(target):
    path = pathlib.Path("/dev/shm/security-test")
    path.write_bytes(bytes(4096))
    try:
        for size, offset in ((4097, 0), (1, 4096), (2**64 - 1, 1), (0, 0), (2**63, 2**63), (64, 2**64 - 1)):
            refused(target, _register(target, "/security-test", size, offset), 400)
        assert status_of(exchange(target, _register(target, "/security-test", 4096))) == 200
        for size, offset in ((4097, 0), (64, 4090), (2**64 - 1, 64), (64, 2**64 - 1)):
            tensor = {"name": "INPUT0", "shape": [1, 16], "datatype": "FP32", "parameters": {
                "shared_memory_region": "r", "shared_memory_byte_size": size, "shared_memory_offset": offset}}
            refused(target, post("/v2/models/identity_fp32/infer", json.dumps({"inputs": [tensor]}).encode()), 400)
    finally:
        exchange(target, post("/v2/systemsharedmemory/unregister"))
        path.unlink()
    alive(target)


def test_shared_memory_is_no_way_to_other_files(target, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 4096)
    link = pathlib.Path("/dev/shm/security-link")
    link.unlink(missing_ok=True)
    os.symlink(secret, link)
    try:
        assert status_of(exchange(target, _register(target, "/security-link"))) == 400
    finally:
        link.unlink()


# Settings that name files (CVE-2024-0087, CVE-2024-0088).


@pytest.mark.parametrize(("path", "setting"), [("/v2/logging", "log_file"), ("/v2/trace/setting", "trace_file"),
                                               ("/v2/models/simple/trace/setting", "trace_file")])
def test_no_setting_names_a_file(target, tmp_path, path, setting):
    file = tmp_path / "written"
    for value in (str(file), [str(file)], ""):
        status, _, _ = target.request("POST", path, json.dumps({setting: value}).encode())
        assert status >= 400
    assert not file.exists()


# Model files that reach outside (CVE-2022-25882, CVE-2024-27318, CVE-2026-34446, CVE-2026-34447).


def _external(folder, make):
    """The model with external data, its weights replaced by what `make(path)` puts there."""
    shutil.copytree(mezzo_server.MODELS / "external_data", folder / "external_data")
    weights = folder / "external_data" / "1" / "weights.bin"
    secret = folder.parent / "outside-weights"
    shutil.copy(weights, secret)
    weights.unlink()
    make(secret, weights)


@pytest.mark.parametrize("way", ["symlink", "hardlink", "folder", "fifo"])
def test_external_data_stays_inside(tmp_path, way):
    folder = tmp_path / "models"
    folder.mkdir()
    makers = {"symlink": lambda secret, weights: weights.symlink_to(secret), "hardlink": lambda secret, weights: os.link(secret, weights),
              "folder": lambda _, weights: weights.mkdir(), "fifo": lambda _, weights: os.mkfifo(weights)}
    _external(folder, makers[way])
    with Server(models=folder) as server:
        (entry,) = json.loads(server.request("POST", "/v2/repository/index")[2])
        assert entry.get("state") != "READY" and entry["reason"]
        assert str(tmp_path) not in entry["reason"]


@pytest.mark.parametrize("what", ["model", "version", "file"])
def test_links_below_a_repository_are_not_followed(tmp_path, what):
    outside, folder = tmp_path / "outside", tmp_path / "models"
    shutil.copytree(mezzo_server.MODELS / "versioned", outside)
    (folder / "linked" / "1").mkdir(parents=True)
    if what == "model":
        shutil.rmtree(folder / "linked")
        (folder / "linked").symlink_to(outside)
    elif what == "version":
        (folder / "linked" / "1").rmdir()
        (folder / "linked" / "1").symlink_to(outside / "1")
    else:
        (folder / "linked" / "1" / "model.onnx").symlink_to(outside / "1" / "model.onnx")
    with Server(models=folder) as server:
        assert server.get("/v2/models/linked/ready")[0] == 400
        for entry in json.loads(server.request("POST", "/v2/repository/index")[2]):
            assert str(tmp_path) not in entry.get("reason", "")


# Sizes that lie, shapes that overflow, nesting, compression (CVE-2025-23323 and its neighbours, CVE-2026-47628, CVE-2026-0994).


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_decompression_bombs(target, coding, pack):
    before = resident(target)
    for size in (7 << 20, 64 << 20):  # Below the size limit but beyond the ratio; beyond both.
        bomb = pack(bytes(size))
        refused(target, post("/v2/models/simple/infer", bomb, [f"Content-Encoding: {coding}"]), 413, "decoded request body exceeds")
    assert resident(target) < before + (64 << 20)
    refused(target, post("/v2/models/simple/infer", b"\x1f\x8bnonsense", [f"Content-Encoding: {coding}"]), 400)
    alive(target)


@pytest.mark.parametrize("document", [b"[" * 100_000, b'{"a":' * 100_000, b'{"inputs":' + b"[" * 100_000,
                                      b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
                                      b'{"inputs":[{"name":"INPUT0","shape":[1,16],"datatype":"INT32","data":' + b"[" * 90_000])
@pytest.mark.parametrize("route", ["/v2/models/simple/infer", "/v2/models/simple/generate", "/v2/repository/models/simple/load",
                                   "/v2/repository/index", "/v2/trace/setting", "/v2/logging", "/v2/systemsharedmemory/region/a/register",
                                   "/v1/embeddings"])
def test_deep_json(target, route, document):
    assert status_of(exchange(target, post(route, document))) == 400
    alive(target)


@pytest.mark.parametrize("shape", [[2**62, 2**62], [2**63 - 1, 16], [2**32, 2**32], [0, 2**63 - 1, 2**63 - 1], [-1, -1],
                                   [2**64, 1], [1e30], [1] * 1000, ["1"], [None], 7])
@pytest.mark.parametrize("form", ["json", "binary"])
def test_shapes_that_overflow(target, shape, form):
    tensor = {"name": "INPUT0", "shape": shape, "datatype": "FP32"}
    if form == "json":
        tensor["data"] = [1.0]
    else:
        tensor["parameters"] = {"binary_data_size": 4}
    text = json.dumps({"inputs": [tensor]}).encode()
    headers = [f"Inference-Header-Content-Length: {len(text)}"] if form == "binary" else []
    body = text + (bytes(4) if form == "binary" else b"")
    # 500 only where Triton answers it to a negative dimension.
    assert status_of(exchange(target, post("/v2/models/identity_fp32/infer", body, headers))) in (400, 500)
    alive(target)


# 32 GiB, beyond the configured limit; 16 TiB, which no host gives; more than 64 bits count; no size at all.
@pytest.mark.parametrize("elements", [[1 << 33], [1 << 42], [1 << 62, 1 << 62], [1 << 62], [-5]])
def test_a_model_that_asks_for_absurd_memory_fails_alone(greedy, elements):
    before = resident(greedy)
    request = {"inputs": [{"name": "s", "shape": [len(elements)], "datatype": "INT64", "data": elements}]}
    answer = exchange(greedy, post("/v2/models/asks/infer", json.dumps(request).encode()), timeout=60)
    message = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    if elements == [1 << 33]:
        assert status_of(answer) == 429 and "a tensor takes 32 GiB; runs hold 0 B and may hold 64 MiB" in message, answer
    elif elements == [1 << 42]:
        assert status_of(answer) == 429 and "a tensor takes 16 TiB" in message, answer
    else:
        assert status_of(answer) in (400, 500), answer
    alive(greedy)
    assert resident(greedy) < before + (64 << 20)
    request["inputs"][0].update({"shape": [1], "data": [1 << 20]})
    small = exchange(greedy, post("/v2/models/asks/infer", json.dumps(request).encode()))
    assert status_of(small) == 200 and json.loads(small.partition(b"\r\n\r\n")[2])["outputs"][0]["data"] == [0]


def test_a_model_that_needs_absurd_memory_to_load_is_not_loaded_and_nothing_else_suffers(greedy):
    status, _, text = greedy.request("POST", "/v2/repository/models/folds/load", b"{}")
    assert status >= 400, text
    alive(greedy)


@pytest.mark.parametrize("raw", [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7fabc", b"\x05\0\0\0abc", b"\0\0\0", b"\x01\0\0\0a\x01"])
def test_text_elements_that_lie_about_their_length(target, raw):
    text = json.dumps({"inputs": [{"name": "INPUT0", "shape": [1, 1], "datatype": "BYTES",
                                   "parameters": {"binary_data_size": len(raw)}}]}).encode()
    refused(target, post("/v2/models/identity_bytes/infer", text + raw, [f"Inference-Header-Content-Length: {len(text)}"]), 400,
            "INPUT0")


@pytest.mark.parametrize("count", [-1, -(2**63), 2**63 - 1, 2**64])
def test_classification_of_absurd_counts(target, count):
    request = {"inputs": [{"name": "INPUT", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}],
               "outputs": [{"name": "OUTPUT", "parameters": {"classification": count}}]}
    answer = exchange(target, post("/v2/models/classifier/infer", json.dumps(request).encode()))
    assert status_of(answer) in (200, 400, 500)
    assert len(answer) < 2000
    alive(target)


def test_a_body_beyond_the_limit_is_refused_unread(target):
    head = b"POST /v2/models/simple/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"
    start = time.monotonic()
    answer = exchange(target, head)
    assert status_of(answer) == 413 and time.monotonic() - start < 5 * SLOWNESS


# HTTP/2 (CVE-2023-44487 and relatives) with frames made by hand.

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _literal(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


REQUEST_HEADERS = b"\x83\x86" + _literal(b":path", b"/inference.GRPCInferenceService/ServerLive") + _literal(b":authority", b"x") + \
    _literal(b"content-type", b"application/grpc") + _literal(b"te", b"trailers")


def _grpc_serves(server):
    with grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=20 * SLOWNESS).live


def test_rapid_reset(target):
    before, done = resident(target), threading.Event()
    slowest = []

    def others():
        while not done.is_set():
            start = time.monotonic()
            alive(target)
            slowest.append(time.monotonic() - start)

    watcher = threading.Thread(target=others)
    watcher.start()
    try:
        with socket.create_connection(("127.0.0.1", target.grpc_port), timeout=10 * SLOWNESS) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(PREFACE + frame(SETTINGS, 0, 0))
                for batch in range(100):
                    connection.sendall(b"".join(frame(HEADERS, 0x4, stream, REQUEST_HEADERS)
                                                + frame(RST_STREAM, 0, stream, b"\0\0\0\x08")
                                                for stream in range(batch * 400 + 1, batch * 400 + 401, 2)))
    finally:
        done.set()
        watcher.join()
    assert max(slowest) < 2 * SLOWNESS
    _grpc_serves(target)
    deadline = time.monotonic() + 10 * SLOWNESS  # What the resets left behind is worked off beside the watcher.
    while resident(target) >= before + (128 << 20) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert resident(target) < before + (128 << 20)
    assert target.metrics()["mezzo_grpc_running"] == 0


@pytest.mark.parametrize("attack", ["settings", "ping", "continuation", "hpack", "huge frame", "zero window"])
def test_http2_floods(target, attack):
    before = resident(target)
    start = PREFACE + frame(SETTINGS, 0, 0)
    attacks = {
        "settings": frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64") * 20_000,
        "ping": frame(PING, 0, 0, bytes(8)) * 20_000,
        "continuation": frame(HEADERS, 0, 1, REQUEST_HEADERS) + frame(CONTINUATION, 0, 1, _literal(b"a", b"b" * 100) * 100) * 200,
        "hpack": frame(HEADERS, 0x4, 1, REQUEST_HEADERS + b"\x40\x01a\x7f\xff\xff\xff\x7f"),
        "huge frame": b"\xff\xff\xff" + bytes([DATA, 0]) + (1).to_bytes(4, "big") + bytes(100_000),
        "zero window": frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\0") + b"".join(
            frame(HEADERS, 0x4, stream, REQUEST_HEADERS) + frame(DATA, 1, stream, bytes(5)) for stream in range(1, 401, 2)),
    }
    with socket.create_connection(("127.0.0.1", target.grpc_port), timeout=2 * SLOWNESS) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(start + attacks[attack])
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
    _grpc_serves(target)
    assert resident(target) < before + (128 << 20)
    alive(target)


def test_grpc_messages_beyond_the_limit(models):
    with Server("--set", "grpc.max_message=64KiB", models=models) as server, grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = service_pb2.ModelInferRequest(model_name="identity_fp32", raw_input_contents=[bytes(1 << 20)])
        request.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 1 << 18])
        with pytest.raises(grpc.RpcError) as too_large:
            stub.ModelInfer(request, timeout=20 * SLOWNESS)
        assert too_large.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        # Compressed, the same message is small: the limit holds for what it becomes.
        with pytest.raises(grpc.RpcError) as bomb:
            stub.ModelInfer(request, timeout=20 * SLOWNESS, compression=grpc.Compression.Gzip)
        assert bomb.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


# Who may do what (CVE-2026-24207, CVE-2026-24206, CVE-2023-48022; OWASP API1, API2, API5).

INCLUDES = {"read": {"read"}, "infer": {"read", "infer"}, "keys": {"read", "keys"}, "manage": {"read", "keys", "manage"},
            "observe": {"read", "observe"}, "operate": {"read", "observe", "operate"},
            "admin": {"read", "infer", "keys", "manage", "observe", "operate", "admin"}}
INFER, OBSERVE, ADMIN = "infer-key", "observe-key", "admin-key"


def _digest(key):
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture(scope="module")
def keyed(models):
    """A tenant for each scope, which has a key with that scope alone."""
    tenants = "".join(f"  - {{id: t-{scope}, scopes: [{scope}], key_sha256: [{_digest(scope + '-key')}]}}\n" for scope in INCLUDES)
    config = f'tenants:\n{tenants}models: {{control: explicit, startup: ["*"]}}\nshared_memory: {{enabled: true}}\n'
    with Server(models=models, config=config) as running:
        yield running


def _routes():
    """(method, path, scope) of every route in the sources, wildcards filled in."""
    named = {"Use": "infer", "Open": None}
    found = []
    text = (ROOT / "src/mezzo/api/v2http/internal/routes.cc").read_text()
    for method, path, scope in re.findall(r'\{k(\w+), "(/v2[^"]*)", k(\w+),', text):
        found.append((method, path, named.get(scope, scope.lower())))
    for file in [*sorted((ROOT / "src/mezzo/api").glob("*/*_handler.cc")), ROOT / "src/mezzo/app/metrics_page.cc"]:
        for method, path, scope in re.findall(r'Method::k(\w+), "(/[^"]*)",\s*(?:tenancy::)?(?:Scope::k|std::)(\w+)', file.read_text()):
            found.append((method, path, None if scope == "nullopt" else scope.lower()))
    assert len(found) >= 43 + 38
    # A job that does not exist; "simple" is a model.
    found = [(method, path + "?count=1" if path == "/v1/overview/events" else path, scope) for method, path, scope in found]  # Ends.
    filled = [(method.upper(), re.sub(r"#", "1", path).replace("*", "simple"), scope) for method, path, scope in found]
    return [(method, path, scope) for method, path, scope in filled if not path.startswith("/v1/artifacts/")]  # The URL's signature asks.


@pytest.mark.parametrize(("method", "path", "scope"), _routes(), ids=lambda value: str(value))
def test_every_route_asks_for_its_scope(keyed, method, path, scope):
    """Bodies are broken on purpose: what gets past the door does nothing, but it is not 401 or 403."""
    body = b"{nonsense" if method in ("POST", "PATCH", "PUT") else None
    headers = {"Content-Type": "image/png"} if path == "/v1/uploads" else {}
    for key in (None, "wrong-key", ADMIN[:-1], ADMIN + "x", ""):
        status, answer, _ = keyed.request(method, path, body, headers if key is None else headers | {"Authorization": f"Bearer {key}"})
        assert status not in (401, 403) if scope is None else status == 401, (key, status)
        if status == 401:
            assert answer["WWW-Authenticate"].startswith("Bearer")
    for own, has in INCLUDES.items():
        status, _, text = keyed.request(method, path, body, headers | {"Authorization": f"Bearer {own}-key"})
        if scope is None or scope in has:
            assert status not in (401, 403), (own, status, text)
        else:
            assert status == 403, (own, status, text)


def test_other_methods_and_spellings_of_control_routes_are_no_way_in(keyed):
    for method in ("PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "post", "LOAD"):
        answer = exchange(keyed, f"{method} /v2/repository/models/simple/unload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                                 "Content-Length: 0\r\n\r\n".encode())
        assert status_of(answer) in (400, 401, 404, 405), method
    for path in ("/v2/repository/models/simple/unload/", "/v2/repository//models/simple/unload", "/V2/repository/models/simple/unload",
                 "/v2/repository/models/simple/%75nload", "/x/../v2/repository/models/simple/unload"):
        assert status_of(exchange(keyed, post(path))) in (400, 401, 404), path
    for header in ("X-HTTP-Method-Override: POST", "X-Original-URL: /v2/repository/models/simple/unload",
                   "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", f"Cookie: key={ADMIN}"):
        assert status_of(exchange(keyed, post("/v2/repository/models/simple/unload", b"", [header]))) == 401, header
    status, _, _ = keyed.request("POST", f"/v2/repository/models/simple/unload?key={ADMIN}&api_key={ADMIN}", b"")
    assert status == 401
    assert keyed.request("GET", "/v2/models/simple/ready", headers={"X-Api-Key": ADMIN})[0] == 200


OPERATE_RPCS = {"RepositoryModelLoad", "RepositoryModelUnload", "SystemSharedMemoryStatus", "SystemSharedMemoryRegister",
                "SystemSharedMemoryUnregister", "CudaSharedMemoryStatus", "CudaSharedMemoryRegister", "CudaSharedMemoryUnregister"}
OPEN_RPCS = {"ServerLive", "ServerReady"}


def test_every_rpc_asks_for_its_scope(keyed):
    with grpc.insecure_channel(keyed.grpc) as channel:
        methods = re.findall(r"rpc (\w+)\(", (ROOT / "schema/proto/grpc_service.proto").read_text())
        assert len(methods) == 20
        for method in methods:
            if method == "ModelStreamInfer":
                continue
            call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
            scope = {"ModelInfer": "infer", "ModelStatistics": "observe"}.get(method, "operate" if method in OPERATE_RPCS else "read")
            for own in (None, "wrong", *INCLUDES):
                metadata = [] if own is None else [("authorization", f"Bearer {own}-key")]
                try:
                    # A field of a wrong wire type would be refused by the decoder; unknown fields are ignored.
                    call(b"\xf8\x07\x01", timeout=20 * SLOWNESS, metadata=metadata)
                    code = grpc.StatusCode.OK
                except grpc.RpcError as error:
                    code = error.code()
                if method in OPEN_RPCS:
                    assert code == grpc.StatusCode.OK, (method, own, code)
                elif own not in INCLUDES:
                    assert code == grpc.StatusCode.UNAUTHENTICATED, (method, own, code)
                elif scope in INCLUDES[own]:
                    assert code not in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED), (method, own, code)
                else:
                    assert code == grpc.StatusCode.PERMISSION_DENIED, (method, own, code)


def test_streams_ask_for_a_key(keyed):
    with grpc.insecure_channel(keyed.grpc) as channel:
        stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        with pytest.raises(grpc.RpcError) as refused_call:
            next(stream(iter([b""]), timeout=20 * SLOWNESS))
        assert refused_call.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_tenants_do_not_see_each_others_shared_memory(models):
    tenants = "".join(f"  - {{id: {name}, scopes: [infer, admin], key_sha256: [{_digest(name)}]}}\n" for name in ("alice", "bob"))
    config = f"tenants:\n{tenants}shared_memory: {{enabled: true}}\n"
    path = pathlib.Path("/dev/shm/security-tenant")
    path.write_bytes(bytes(4096))
    try:
        with Server(models=models, config=config) as server:
            alice, bob = ({"X-Api-Key": name} for name in ("alice", "bob"))
            register = json.dumps({"key": "/security-tenant", "byte_size": 64}).encode()
            assert server.request("POST", "/v2/systemsharedmemory/region/mine/register", register, alice)[0] == 200
            assert json.loads(server.get("/v2/systemsharedmemory/status", bob)[2]) == []
            tensor = {"name": "INPUT0", "shape": [1, 16], "datatype": "FP32", "parameters": {
                "shared_memory_region": "mine", "shared_memory_byte_size": 64}}
            body = json.dumps({"inputs": [tensor]}).encode()
            assert server.request("POST", "/v2/models/identity_fp32/infer", body, bob)[0] == 404
            assert server.request("POST", "/v2/systemsharedmemory/unregister", b"", bob)[0] == 200
            assert len(json.loads(server.get("/v2/systemsharedmemory/status", alice)[2])) == 1
            assert server.request("POST", "/v2/models/identity_fp32/infer", body, alice)[0] == 200
    finally:
        path.unlink()


# Browsers (CVE-2026-27482): a page must not steer the server on this host, by CSRF or by DNS rebinding.


@pytest.mark.parametrize("headers", [["Origin: http://evil.example"], ["Origin: null"], ["Sec-Fetch-Site: cross-site"]])
def test_pages_of_other_origins_cannot_use_control_routes(target, headers):
    answer = exchange(target, post("/v2/repository/models/versioned/unload", b"", ["Content-Type: text/plain", *headers]))
    try:
        assert status_of(answer) == 403
    finally:
        target.request("POST", "/v2/repository/models/versioned/load", b"{}")


def _changes():
    """(method, path) of all routes but those that only read, and inference, which changes nothing."""
    return [(method, path) for method, path, scope in _routes() if method != "GET" and scope not in (None, "infer")]


@pytest.mark.parametrize(("method", "path"), _changes(), ids=lambda value: str(value))
def test_no_method_of_any_control_route_is_open_to_other_origins(target, method, path):
    """A guard that forgets a method or a route is none."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\nOrigin: http://evil.example\r\n\r\n{{}}"
    answer = exchange(target, head.encode())
    assert status_of(answer) == 403, answer[:300]
    rebound = exchange(target, head.replace("Host: localhost", "Host: evil.example").replace("Origin: http://evil.example\r\n", "").encode())
    assert status_of(rebound) == 403, rebound[:300]


def test_names_that_were_rebound_to_this_host_cannot_use_control_routes(target):
    """Without keys, loopback is the only protection: a foreign Host header is a page that rebound its name."""
    request = post("/v2/repository/models/versioned/unload").replace(b"Host: localhost", b"Host: evil.example")
    answer = exchange(target, request)
    try:
        assert status_of(answer) == 403
    finally:
        target.request("POST", "/v2/repository/models/versioned/load", b"{}")


def test_no_answer_invites_other_origins(target):
    answer = exchange(target, post("/v2/repository/index", b"", ["Origin: http://evil.example"]))
    assert b"access-control-allow" not in answer.lower()
    preflight = (b"OPTIONS /v2/repository/models/simple/unload HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n"
                 b"Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n")
    answer = exchange(target, preflight)
    assert b"access-control-allow" not in answer.lower() and status_of(answer) >= 400


# Errors, logs and metrics tell nothing of the host (CVE-2025-23319 began with a leaked name).


def test_errors_name_no_paths_of_the_host(target, models):
    (models / "leaky" / "1").mkdir(parents=True)
    (models / "leaky" / "1" / "model.onnx").write_bytes(b"\x08\x08broken")
    (models / "leaky" / "config.pbtxt").symlink_to("/etc/hostname")
    requests = [("POST", "/v2/repository/models/leaky/load", b"{}"), ("POST", "/v2/repository/models/nope/load", b"{}"),
                ("POST", "/v2/repository/models/evil/load", json.dumps({"parameters": {
                    "config": "{}", "file:1/model.onnx": base64.b64encode(b"rubbish").decode()}}).encode()),
                ("POST", "/v2/models/leaky/infer", b'{"inputs":[]}'), ("POST", "/v2/repository/index", b""),
                ("GET", "/v2/models/leaky", None), ("GET", "/v2/models/leaky/config", None), ("GET", "/metrics", None),
                ("GET", "/v2/models/simple/config", None)]
    try:
        for method, path, body in requests:
            _, headers, answer = target.request(method, path, body)
            text = answer.decode() + str(headers)
            for secret in (str(models), str(ROOT), "/tmp/", "/root", "libonnxruntime", ".cc:"):
                assert secret not in text, (path, secret, text[:500])
    finally:
        shutil.rmtree(models / "leaky")
        target.request("POST", "/v2/repository/models/leaky/unload", b"{}")


def test_logs_cannot_be_forged(target):
    before = len(target.raw)
    exchange(target, post("/v2/models/x%0a{\"level\":\"error\",\"msg\":\"forged\"}/infer", b"{}"))
    exchange(target, post("/v2/repository/models/simple/load", b'{"parameters":{"config":"{\\"a\\u000aforged\\": 1}"}}'))
    exchange(target, post("/v2", b"", ["X-Request-Id: a\"},{\"msg\":\"forged"]))
    alive(target)
    for line in target.raw[before:]:
        assert json.loads(line).get("msg") != "forged"


def test_keys_never_show(keyed):
    keyed.request("GET", "/v2", headers={"Authorization": f"Bearer {ADMIN}-typo"})
    keyed.request("GET", "/v2", headers={"Authorization": f"Bearer {INFER}"})
    metrics = keyed.get("/metrics", {"Authorization": f"Bearer {ADMIN}"})[2].decode()
    everything = "".join(keyed.raw) + metrics
    for key in (ADMIN, INFER, _digest(ADMIN), _digest(INFER)):
        assert key not in everything


def test_unknown_models_do_not_grow_the_metrics(target):
    def series():
        return len(target.metrics())

    before = series()
    for count in range(300):
        target.request("POST", f"/v2/models/guess-{count}/infer", b'{"inputs":[]}')
    assert series() <= before + 5


def test_slowloris_does_not_keep_others_out(models):
    limits = ("--set", "http.header_timeout=1500ms", "--set", "http.idle_timeout=1500ms")
    with Server(*limits, models=models) as server:
        slow = [socket.create_connection(("127.0.0.1", server.http_port), timeout=20) for _ in range(300)]
        for connection in slow:
            connection.sendall(b"POST /v2/models/simple/infer HTTP/1.1\r\nHost: localhost\r\nX-")
        for _ in range(20):
            start = time.monotonic()
            alive(server)
            assert time.monotonic() - start < 2 * SLOWNESS
        deadline = time.monotonic() + 10 * SLOWNESS
        while server.metrics()['mezzo_net_connections{listener="http"}'] > 1:
            assert time.monotonic() < deadline, "slow connections stay"
            time.sleep(0.02)
        for connection in slow:
            connection.close()


def test_nothing_is_sent_home_or_left_there(models, tmp_path):
    """ONNX Runtime's telemetry writes an id of the host below $HOME before it sends: nothing may be there."""
    with Server(models=models, env={"HOME": str(tmp_path)}) as server:
        body = {"inputs": [{"name": name, "shape": [1, 16], "datatype": "INT32", "data": list(range(16))} for name in ("INPUT0", "INPUT1")]}
        assert server.request("POST", "/v2/models/simple/infer", json.dumps(body).encode())[0] == 200
        time.sleep(1)
        assert list(tmp_path.rglob("*")) == []
