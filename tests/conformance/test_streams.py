"""ModelStreamInfer through both gRPC clients, and grpc.health.v1 with messages made by hand."""

import asyncio
import queue
import signal

import grpc as grpcio
import mezzo_server
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
from tritonclient.utils import InferenceServerException
from tritons import simple_inputs

covers = pytest.mark.covers


def _answers(client, requests, **stream_options):
    """What the stream answers to `requests` (keywords of async_stream_infer), in order."""
    answers = queue.Queue()
    client.raw.start_stream(lambda result, error: answers.put(error or result), **stream_options)
    try:
        for request in requests:
            client.raw.async_stream_infer(**request)
        return [answers.get(timeout=30 * mezzo_server.SLOWNESS) for _ in requests]
    finally:
        client.raw.stop_stream()


@covers("rpc ModelStreamInfer", "asynchronous and streaming clients")
def test_answers_come_in_the_order_of_the_requests(grpc):
    requests = [{"model_name": "simple", "inputs": simple_inputs(grpc, rows)[0], "request_id": str(rows)}
                for rows in range(1, 9)]
    answers = _answers(grpc, requests)

    assert [answer.get_response().id for answer in answers] == [str(rows) for rows in range(1, 9)]
    for rows, answer in enumerate(answers, start=1):
        _, first, second = simple_inputs(grpc, rows)
        assert (answer.as_numpy("OUTPUT0") == first + second).all()


@covers("rpc ModelStreamInfer", "error bodies and codes")
def test_an_error_does_not_end_the_stream(grpc):
    good, _, _ = simple_inputs(grpc)
    first, bad, last = _answers(grpc, [{"model_name": "simple", "inputs": good},
                                       {"model_name": "nope", "inputs": good},
                                       {"model_name": "simple", "inputs": good, "request_id": "after"}])

    assert first.as_numpy("OUTPUT0") is not None
    assert isinstance(bad, InferenceServerException)
    assert "Request for unknown model: 'nope' is not found" in bad.message()
    assert last.get_response().id == "after"


@covers("rpc ModelStreamInfer", "error bodies and codes")
def test_errors_as_status_when_the_client_asks(grpc):
    good, _, _ = simple_inputs(grpc)
    (error,) = _answers(grpc, [{"model_name": "nope", "inputs": good}], headers={"triton_grpc_error": "true"})

    assert isinstance(error, InferenceServerException)
    assert error.status() == "StatusCode.NOT_FOUND"
    assert error.message() == "Request for unknown model: 'nope' is not found"


@covers("rpc ModelStreamInfer", "sequences and decoupled models answer 'unsupported'")
def test_sequences_and_empty_final_responses(grpc):
    good, _, _ = simple_inputs(grpc)
    sequence, final = _answers(grpc, [
        {"model_name": "simple", "inputs": good, "sequence_id": 5, "sequence_start": True},
        {"model_name": "simple", "inputs": good, "enable_empty_final_response": True}])

    assert isinstance(sequence, InferenceServerException) and "sequence batching is not supported" in sequence.message()
    # A model that answers once says that its answer is the last one.
    assert final.get_response().parameters["triton_final_response"].bool_param is True
    assert final.as_numpy("OUTPUT0") is not None


@covers("rpc ModelStreamInfer", "asynchronous and streaming clients")
def test_asyncio_streams(server):
    async def talk():
        client = tritonclient.grpc.aio.InferenceServerClient(server.grpc)

        async def requests():
            for value in range(6):
                tensor = tritonclient.grpc.InferInput("INPUT", [1, 1], "FP32")
                tensor.set_data_from_numpy(np.array([[value]], np.float32))
                yield {"model_name": "versioned", "inputs": [tensor], "request_id": str(value)}

        answers = []
        async for result, error in client.stream_infer(requests()):
            assert error is None
            answers.append((result.get_response().id, result.as_numpy("OUTPUT").item()))
        await client.close()
        return answers

    assert asyncio.run(talk()) == [(str(value), value + 3) for value in range(6)]


# grpc.health.v1 by hand: HealthCheckRequest{string service = 1}, HealthCheckResponse{ServingStatus status = 1}.
UNKNOWN, SERVING, NOT_SERVING, SERVICE_UNKNOWN = range(4)


def _request(service):
    name = service.encode()
    return b"\x0a" + bytes([len(name)]) + name if name else b""


def _status(message):
    if not message:
        return UNKNOWN
    assert message[0] == 0x08 and len(message) == 2, message
    return message[1]


def _health(server):
    channel = grpcio.insecure_channel(server.grpc)
    return channel, channel.unary_unary("/grpc.health.v1.Health/Check"), channel.unary_stream("/grpc.health.v1.Health/Watch")


@covers("rpc grpc.health.v1.Health/Check")
def test_health_check(server):
    channel, check, _ = _health(server)
    with channel:
        assert _status(check(_request(""), timeout=10)) == SERVING
        assert _status(check(_request("inference.GRPCInferenceService"), timeout=10)) == SERVING
        with pytest.raises(grpcio.RpcError) as refused:
            check(_request("nope"), timeout=10)
        assert refused.value.code() == grpcio.StatusCode.NOT_FOUND
        assert "unknown service 'nope'" in refused.value.details()


@covers("rpc grpc.health.v1.Health/Watch")
def test_health_watch_tells_the_shutdown():
    with mezzo_server.Server() as server:
        channel, _, watch = _health(server)
        with channel:
            unknown = watch(_request("nope"), timeout=30)
            assert _status(next(unknown)) == SERVICE_UNKNOWN
            unknown.cancel()
            statuses = watch(_request(""), timeout=60)
            assert _status(next(statuses)) == SERVING
            server.process.send_signal(signal.SIGTERM)
            assert _status(next(statuses)) == NOT_SERVING
            assert server.wait() == 0  # Not by the block's end, whose SIGTERM would be a second one.


@covers("error bodies and codes")
def test_unknown_methods_are_unimplemented(server):
    with grpcio.insecure_channel(server.grpc) as channel:
        with pytest.raises(grpcio.RpcError) as refused:
            channel.unary_unary("/inference.GRPCInferenceService/ModelDelete")(b"", timeout=10)
        assert refused.value.code() == grpcio.StatusCode.UNIMPLEMENTED


@covers("error bodies and codes")
def test_errors_carry_reason_and_request_id(server):
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    with grpcio.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpcio.RpcError) as refused:
            stub.ModelInfer(service_pb2.ModelInferRequest(model_name="nope"), timeout=10,
                            metadata=(("x-request-id", "req-7"),))
        trailers = dict(refused.value.trailing_metadata())
        assert refused.value.code() == grpcio.StatusCode.NOT_FOUND
        assert trailers["x-mezzo-reason"] == "model_unknown"
        assert trailers["x-request-id"] == "req-7"


@covers("rpc ModelInfer", "every element type")
def test_typed_contents(server):
    """Tensors in `contents` instead of raw bytes, which tritonclient never sends."""
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    cases = {"bool": ("bool_contents", [True, False]), "int8": ("int_contents", [-128, 127]),
             "int32": ("int_contents", [-5, 6]), "int64": ("int64_contents", [-(2**63), 1]),
             "uint8": ("uint_contents", [0, 255]), "uint64": ("uint64_contents", [0, 2**64 - 1]),
             "fp32": ("fp32_contents", [0.5, -2.0]), "fp64": ("fp64_contents", [0.1, 2.0]),
             "bytes": ("bytes_contents", [b"a", b"\xff\x00"])}
    with grpcio.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for name, (field, values) in cases.items():
            request = service_pb2.ModelInferRequest(model_name=f"identity_{name}")
            tensor = request.inputs.add(name="INPUT0", datatype=name.upper(), shape=[1, 2])
            getattr(tensor.contents, field).extend(values)
            answer = stub.ModelInfer(request, timeout=10)
            raw = answer.raw_output_contents[0]
            if name == "bytes":
                assert raw == b"\x01\0\0\0a\x02\0\0\0\xff\x00"
            else:
                dtype = {"bool": "?", "fp32": "<f4", "fp64": "<f8"}.get(name, name)
                assert np.frombuffer(raw, np.dtype(dtype)).tolist() == values, name


@covers("error bodies and codes")
@pytest.mark.parametrize(("change", "code", "message"), [
    (lambda r: r.inputs[0].shape.extend([2**62, 2**62]), "INVALID_ARGUMENT", "INPUT0"),
    (lambda r: r.inputs[0].shape.append(-1), "INVALID_ARGUMENT", "INPUT0"),
    (lambda r: setattr(r.inputs[0], "datatype", "INT31"), "INVALID_ARGUMENT", "INT31"),
    (lambda r: r.inputs[0].contents.int_contents.append(1), "INVALID_ARGUMENT", "INPUT0"),
    (lambda r: r.raw_input_contents.append(b"x"), "INVALID_ARGUMENT", "raw"),
    (lambda r: setattr(r, "model_version", "x"), "INVALID_ARGUMENT", "x"),
    (lambda r: r.parameters["priority"].CopyFrom(type(r.parameters["priority"])(string_param="high")),
     "INVALID_ARGUMENT", "priority"),
])
def test_malformed_grpc_requests(server, change, code, message):
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    request = service_pb2.ModelInferRequest(model_name="identity_int32", raw_input_contents=[b"\0" * 8])
    request.inputs.add(name="INPUT0", datatype="INT32", shape=[1, 2])
    change(request)
    with grpcio.insecure_channel(server.grpc) as channel:
        with pytest.raises(grpcio.RpcError) as refused:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=10)
    assert refused.value.code() == getattr(grpcio.StatusCode, code), refused.value.details()
    assert message in refused.value.details()


def test_garbage_instead_of_a_message(server):
    with grpcio.insecure_channel(server.grpc) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for garbage in (b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"\x2a\x05\x0a\x7fabc", b"\x0b" * 300):
            with pytest.raises(grpcio.RpcError) as refused:
                call(garbage, timeout=10)
            assert refused.value.code() in (grpcio.StatusCode.INVALID_ARGUMENT, grpcio.StatusCode.INTERNAL,
                                            grpcio.StatusCode.NOT_FOUND)
            assert refused.value.details()
