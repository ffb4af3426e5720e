"""Inference through every client: element types, shapes, outputs, parameters, deadlines, compression."""

import json
import threading

import ml_dtypes
import numpy as np
import pytest
import tritons
from tritons import simple_inputs

covers = pytest.mark.covers

TYPES = {
    "bool": np.array([[True, False, True]]),
    "uint8": np.array([[0, 1, 255]], np.uint8),
    "uint16": np.array([[0, 1, 65535]], np.uint16),
    "uint32": np.array([[0, 1, 2**32 - 1]], np.uint32),
    "uint64": np.array([[0, 1, 2**64 - 1]], np.uint64),
    "int8": np.array([[-128, 0, 127]], np.int8),
    "int16": np.array([[-(2**15), 0, 2**15 - 1]], np.int16),
    "int32": np.array([[-(2**31), 0, 2**31 - 1]], np.int32),
    "int64": np.array([[-(2**63), 0, 2**63 - 1]], np.int64),
    "fp16": np.array([[0.5, -65504, 6e-8]], np.float16),
    "bf16": np.array([[0.5, -1e38, 1e-38]], ml_dtypes.bfloat16),
    "fp32": np.array([[0.1, -3.4e38, 1.2e-38]], np.float32),
    "fp64": np.array([[0.1, -1.7e308, 5e-324]], np.float64),
    "bytes": np.array([["plain".encode(), b"", "ünï \u20ac".encode()]], np.object_),
}
NOT_IN_JSON = {"fp16", "bf16"}


@covers("POST /v2/models/{m}/infer", "rpc ModelInfer", "every element type", "binary tensors")
@pytest.mark.parametrize("name", TYPES)
def test_every_element_type_in_binary(client, name):
    value = TYPES[name]
    result = client.infer(f"identity_{name}", [client.input("INPUT0", value)])

    output = result.as_numpy("OUTPUT0")
    assert output.dtype == value.dtype
    assert output.shape == (1, 3)
    assert output.tobytes() == value.tobytes() if name != "bytes" else output.tolist() == value.tolist()


@covers("JSON tensors")
@pytest.mark.parametrize("name", sorted(set(TYPES) - NOT_IN_JSON))
def test_every_element_type_in_json(http, name):
    value = TYPES[name]
    result = http.infer(f"identity_{name}", [http.input("INPUT0", value, binary=False)],
                        outputs=[http.output("OUTPUT0", binary=False)])

    data = result.get_output("OUTPUT0")["data"]
    expected = [item.decode() for item in value.flat] if name == "bytes" else value.flatten().tolist()
    if name == "fp32":  # The shortest text that reads as the same value.
        assert data[0] == 0.1 and np.array(data, np.float32).tobytes() == value.tobytes()
    else:
        assert data == expected and type(data[0]) is type(expected[0])


@covers("error bodies and codes")
@pytest.mark.parametrize("name", sorted(NOT_IN_JSON))
def test_half_precision_has_no_json_form(http, name):
    message = http.refused("invalid", http.infer, f"identity_{name}", [http.input("INPUT0", TYPES[name])],
                           outputs=[http.output("OUTPUT0", binary=False)])
    assert message == (f"sending {name.upper()} data via JSON is not supported. Please use the binary data format for "
                       "output 'OUTPUT0'")


def test_bytes_that_are_no_text_travel_in_binary_only(client, http):
    value = np.array([[b"\xff\x00\xfe", b"x" * 70_000]], np.object_)

    assert client.infer("identity_bytes", [client.input("INPUT0", value)]).as_numpy("OUTPUT0").tolist() == value.tolist()
    message = http.refused("invalid", http.infer, "identity_bytes", [http.input("INPUT0", value)],
                           outputs=[http.output("OUTPUT0", binary=False)])
    assert "element 0 of output 'OUTPUT0' is not valid UTF-8" in message


@covers("zero-size tensors")
@pytest.mark.parametrize("name", ["fp32", "int64", "bool", "bytes"])
def test_zero_size_tensors(client, name):
    value = np.empty((1, 0), TYPES[name].dtype)
    output = client.infer(f"identity_{name}", [client.input("INPUT0", value)]).as_numpy("OUTPUT0")
    assert output.shape == (1, 0)


def test_zero_size_output_that_depends_on_the_data(client):
    output = client.infer("nonzero", [client.input("INPUT", np.zeros(5, np.float32))]).as_numpy("OUTPUT")
    assert output.shape == (1, 0)
    output = client.infer("nonzero", [client.input("INPUT", np.array([0, 2, 0, 1], np.float32))]).as_numpy("OUTPUT")
    assert output.tolist() == [[1, 3]]


def test_shapes_without_a_batch(client):
    scalar = client.infer("scalar", [client.input("INPUT", np.float32(2.5))]).as_numpy("OUTPUT")
    assert scalar.shape == () and float(scalar) == -2.5
    fixed = client.infer("fixed_batch", [client.input("INPUT", np.ones((4, 3), np.float32))]).as_numpy("OUTPUT")
    assert fixed.shape == (4, 3) and (fixed == -1).all()


@covers("several and chosen outputs")
def test_all_outputs_or_the_chosen_ones(client):
    inputs, first, second = simple_inputs(client, rows=2)

    result = client.infer("simple", inputs)
    assert client.output_names(result) == ["OUTPUT0", "OUTPUT1"]
    assert (result.as_numpy("OUTPUT0") == first + second).all()
    assert (result.as_numpy("OUTPUT1") == first - second).all()

    result = client.infer("simple", inputs, outputs=[client.output("OUTPUT1")])
    assert client.output_names(result) == ["OUTPUT1"]
    assert result.as_numpy("OUTPUT0") is None
    result = client.infer("simple", inputs, outputs=[client.output("OUTPUT1"), client.output("OUTPUT0")])
    assert client.output_names(result) == ["OUTPUT1", "OUTPUT0"]
    assert (result.as_numpy("OUTPUT0") == first + second).all()


def test_binary_and_json_in_one_call(http):
    first, second = np.ones((1, 16), np.int32), np.full((1, 16), 2, np.int32)
    inputs = [http.input("INPUT0", first, binary=True), http.input("INPUT1", second, binary=False)]
    outputs = [http.output("OUTPUT0", binary=False), http.output("OUTPUT1", binary=True)]
    result = http.infer("simple", inputs, outputs=outputs)

    assert result.get_output("OUTPUT0")["data"] == [3] * 16
    assert result.get_output("OUTPUT1")["parameters"] == {"binary_data_size": 64}
    assert (result.as_numpy("OUTPUT1") == -1).all()


def test_text_model(client):
    first = np.array([[str(i).encode() for i in range(16)]], np.object_)
    second = np.array([[b"1"] * 16], np.object_)
    result = client.infer("simple_string", [client.input("INPUT0", first), client.input("INPUT1", second)])
    assert result.as_numpy("OUTPUT0").flatten().tolist() == [str(i + 1).encode() for i in range(16)]


@covers("classification")
def test_classification(client):
    scores = np.array([[0.0, 3.0, 1.0, 2.0], [9.0, 0.0, 0.0, 0.0]], np.float32)
    result = client.infer("classifier", [client.input("INPUT", scores)], outputs=[client.output("OUTPUT", class_count=2)])

    rows = [[entry.decode().split(":") for entry in row] for row in result.as_numpy("OUTPUT")]
    assert [[entry[1:] for entry in row] for row in rows] == [[["1", "dog"], ["3", "fish"]], [["0", "cat"], ["1", "dog"]]]
    assert float(rows[0][0][0]) == pytest.approx(0.6439, abs=1e-3)


def test_more_classes_than_there_are(client):
    result = client.infer("classifier", [client.input("INPUT", np.ones((1, 4), np.float32))],
                          outputs=[client.output("OUTPUT", class_count=10)])
    assert result.as_numpy("OUTPUT").shape == (1, 4)


@covers("request id")
def test_request_id_comes_back(client):
    inputs, _, _ = simple_inputs(client)

    assert client.ids(client.infer("simple", inputs, request_id="order-66 \"ü\"")) == ("order-66 \"ü\"", "simple", "1")
    assert client.ids(client.infer("simple", inputs)) == ("", "simple", "1")


@covers("POST /v2/models/{m}/versions/{v}/infer", "versions and version policy")
def test_versions(client):
    inputs = [client.input("INPUT", np.array([[10.0]], np.float32))]

    assert client.infer("versioned", inputs).as_numpy("OUTPUT").item() == 13
    assert client.infer("versioned", inputs, model_version="3").as_numpy("OUTPUT").item() == 13
    for version in ("1", "2", "3"):
        result = client.infer("versioned_all", inputs, model_version=version)
        assert result.as_numpy("OUTPUT").item() == 10 + int(version)
        assert client.ids(result)[2] == version
    assert client.infer("versioned_all", inputs).as_numpy("OUTPUT").item() == 13
    assert client.refused("not_found", client.infer, "versioned", inputs, model_version="1") == \
        "Request for unknown model: 'versioned' version 1 is not found"


@covers("request parameters")
def test_parameters_of_any_type_are_taken(client):
    inputs, first, second = simple_inputs(client)
    result = client.infer("simple", inputs, parameters={"text": "ü", "number": 7, "flag": True})
    assert (result.as_numpy("OUTPUT0") == first + second).all()


@covers("priority and timeout")
def test_priority_and_timeout(client):
    inputs, first, second = simple_inputs(client)
    for priority in (1, 2, 3):
        result = client.infer("simple_tuned", inputs, priority=priority, timeout=10_000_000)
        assert (result.as_numpy("OUTPUT0") == first + second).all()
    message = client.refused("deadline", client.infer, "delay_long", [client.input("INPUT", np.ones((1, 1), np.float32))],
                             timeout=1)
    assert "deadline" in message.lower() or "timeout" in message.lower()


@covers("sequences and decoupled models answer 'unsupported'")
def test_sequences_are_refused_exactly(client):
    inputs, _, _ = simple_inputs(client)
    for options in ({"sequence_id": 7, "sequence_start": True}, {"sequence_id": "seven"}):
        message = client.refused("unimplemented", client.infer, "simple", inputs, **options)
        assert "sequence batching is not supported" in message


@covers("error bodies and codes")
def test_refusals_name_what_is_wrong(client):
    inputs, first, _ = simple_inputs(client)
    infer = client.infer

    assert client.refused("not_found", infer, "nope", inputs) == "Request for unknown model: 'nope' is not found"
    assert client.refused("invalid", infer, "simple", inputs[:1]) == (
        "expected 2 inputs but got 1 inputs for model 'simple'. Got input(s) ['INPUT0'], but missing required input(s) "
        "['INPUT1']. Please provide all required input(s).")
    extra = inputs + [client.input("INPUT2", first)]
    assert client.refused("invalid", infer, "simple", extra) == "unexpected inference input 'INPUT2' for model 'simple'"
    twice = [inputs[0], inputs[0], inputs[1]]
    assert client.refused("invalid", infer, "simple", twice) == "input 'INPUT0' already exists in request"
    wrong = [client.input("INPUT0", first.astype(np.float32)), inputs[1]]
    assert client.refused("invalid", infer, "simple", wrong) == (
        "inference input 'INPUT0' data-type is 'FP32', but model 'simple' expects 'INT32'")
    short = [client.input("INPUT0", first[:, :8]), inputs[1]]
    assert client.refused("invalid", infer, "simple", short) == (
        "unexpected shape for input 'INPUT0' for model 'simple'. Expected [-1,16], got [1,8]")
    uneven = [client.input("INPUT0", np.repeat(first, 2, 0)), inputs[1]]
    assert client.refused("invalid", infer, "simple", uneven) == (
        "input 'INPUT1' batch size 1 does not match other inputs' batch size 2 for model 'simple'")
    many, _, _ = simple_inputs(client, rows=9)
    assert client.refused("invalid", infer, "simple", many) == (
        "inference request batch-size must be >= 1 and <= 8 for 'simple', got 9")
    assert client.refused("invalid", infer, "simple", inputs, outputs=[client.output("OUTPUT7")]) == (
        "unexpected inference output 'OUTPUT7' for model 'simple'")


def test_a_failing_run_says_why_and_fails_alone(client):
    bad = client.input("INDEX", np.array([[9]], np.int64))
    good = client.input("INDEX", np.array([[2]], np.int64))
    message = client.refused("invalid", client.infer, "gather", [bad])
    assert "indices element out of data bounds" in message and "9" in message
    assert client.infer("gather", [good]).as_numpy("VALUE").shape == (1, 1)


@covers("gzip and deflate, both directions")
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("direction", ["request", "answer", "both"])
def test_http_compression(http, server, coding, direction):
    value = np.arange(5000, dtype=np.float32).reshape(1, -1)
    before = server.metrics()
    options = {"request_compression_algorithm": coding if direction != "answer" else None,
               "response_compression_algorithm": coding if direction != "request" else None}
    result = http.infer("identity_fp32", [http.input("INPUT0", value)], **options)
    after = server.metrics()

    assert (result.as_numpy("OUTPUT0") == value).all()
    sent, received = (after[name] - before[name] for name in ('mezzo_net_sent_bytes_total{listener="http"}',
                                                              'mezzo_net_received_bytes_total{listener="http"}'))
    assert (received < value.nbytes) == (direction != "answer")
    metrics_page = len(server.get("/metrics")[2])  # `before` was answered after it was read: it counts as sent in `after`.
    assert (sent - metrics_page < value.nbytes - 500) == (direction != "request")


@covers("gzip and deflate, both directions")
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_grpc_compression(grpc, coding):
    value = np.zeros((1, 5000), np.float32)
    result = grpc.infer("identity_fp32", [grpc.input("INPUT0", value)], compression_algorithm=coding)
    assert (result.as_numpy("OUTPUT0") == value).all()


@covers("asynchronous and streaming clients")
def test_http_async_infer(server):
    client = tritons.Client("http", server, concurrency=4)
    try:
        pending = []
        for rows in range(1, 9):
            inputs, first, second = simple_inputs(client, rows)
            pending.append((client.raw.async_infer("simple", inputs, request_id=str(rows)), first + second))
        for handle, expected in pending:
            assert (handle.get_result().as_numpy("OUTPUT0") == expected).all()
    finally:
        client.close()


@covers("asynchronous and streaming clients")
def test_grpc_async_infer(grpc):
    done, answers = threading.Event(), {}

    def take(result, error):
        answers[result.get_response().id if result else str(error)] = result
        if len(answers) == 8:
            done.set()

    for rows in range(1, 9):
        inputs, _, _ = simple_inputs(grpc, rows)
        grpc.raw.async_infer("simple", inputs, take, request_id=str(rows))
    assert done.wait(30), answers
    for rows in range(1, 9):
        assert answers[str(rows)].as_numpy("OUTPUT0").shape == (rows, 16)


@covers("raw binary request")
def test_raw_binary_request(server):
    value = np.arange(3, dtype=np.float32)
    status, headers, body = server.request("POST", "/v2/models/versioned/infer", value[:1].tobytes(),
                                           {"Inference-Header-Content-Length": "0"})
    assert status == 200
    head = int(headers["Inference-Header-Content-Length"])
    answer = json.loads(body[:head])
    assert answer["outputs"][0] == {"name": "OUTPUT", "datatype": "FP32", "shape": [1, 1],
                                    "parameters": {"binary_data_size": 4}}
    assert np.frombuffer(body[head:], np.float32).item() == 3

    status, headers, body = server.request("POST", "/v2/models/identity_bytes/infer", b"raw bytes",
                                           {"Inference-Header-Content-Length": "0"})
    assert status == 400
    assert json.loads(body)["error"] == ("For BYTE datatype raw input 'INPUT0', the model must have input shape [1]")


@covers("raw binary request")
def test_raw_binary_deduces_one_variable_dimension(server):
    value = np.arange(6, dtype=np.float32)
    status, headers, body = server.request("POST", "/v2/models/identity_fp32/infer", value.tobytes(),
                                           {"Inference-Header-Content-Length": "0"})
    assert status == 200
    head = int(headers["Inference-Header-Content-Length"])
    assert json.loads(body[:head])["outputs"][0]["shape"] == [1, 6]
    assert body[head:] == value.tobytes()


@covers("raw binary request", "error bodies and codes")
@pytest.mark.parametrize(("model", "body", "message"), [
    ("simple", b"\0" * 64, "Raw request must only have 1 input (found 1) to be deduced but got 2 inputs in 'simple' model "
                           "configuration"),
    ("versioned", b"\0" * 3, "input 'INPUT' of type FP32 and shape [1,1] needs 4 bytes, got 3"),
])
def test_raw_binary_refusals(server, model, body, message):
    status, _, answer = server.request("POST", f"/v2/models/{model}/infer", body, {"Inference-Header-Content-Length": "0"})
    assert status == 400
    assert json.loads(answer)["error"] == message


@covers("POST /v2/models/{m}/generate", "POST /v2/models/{m}/versions/{v}/generate",
        "POST /v2/models/{m}/generate_stream", "POST /v2/models/{m}/versions/{v}/generate_stream")
@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_generate(server, version):
    body = json.dumps({"id": "g1", "INPUT0": "hello"}).encode()
    expected = {"id": "g1", "model_name": "identity_bytes", "model_version": "1", "OUTPUT0": "hello"}

    status, headers, answer = server.request("POST", f"/v2/models/identity_bytes{version}/generate", body)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(answer) == expected
    status, headers, answer = server.request("POST", f"/v2/models/identity_bytes{version}/generate_stream", body)
    assert status == 200 and headers["Content-Type"].startswith("text/event-stream")
    assert answer.startswith(b"data: ") and answer.endswith(b"\n\n")
    assert json.loads(answer[len("data: "):]) == expected


def test_deadline_header(server):
    body = {"inputs": [{"name": "INPUT", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}

    def ask(millis):
        return server.request("POST", "/v2/models/delay_short/infer", json.dumps(body).encode(),
                              {"X-Mezzo-Deadline-Ms": millis})

    assert ask("30000")[0] == 200
    status, _, answer = ask("soon")
    assert status == 400
    assert json.loads(answer)["error"].endswith("got 'soon'")
