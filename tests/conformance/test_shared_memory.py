"""System shared memory with tritonclient's own helpers, and the refusal of CUDA's."""

import json
import os

import numpy as np
import pytest
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException, serialize_byte_tensor
from tritons import simple_inputs

covers = pytest.mark.covers

SIZE = 64  # Of one INT32 [1, 16] tensor.


@pytest.fixture
def region(controller):
    """A shared memory object with both inputs of `simple` and room for one output."""
    key = f"/conformance-{controller.flavour}"
    handle = shm.create_shared_memory_region("region", key, 3 * SIZE)
    first, second = np.arange(16, dtype=np.int32).reshape(1, 16), np.full((1, 16), 5, np.int32)
    shm.set_shared_memory_region(handle, [first, second])
    handle.key, handle.first, handle.second = key, first, second
    yield handle
    controller.unregister_system_shared_memory()
    shm.destroy_shared_memory_region(handle)


def _in_region(controller, name, offset, byte_size=SIZE, shape=(1, 16), datatype="INT32"):
    tensor = controller.module.InferInput(name, list(shape), datatype)
    tensor.set_shared_memory("region", byte_size, offset)
    return tensor


def _regions(controller, *args):
    answer = controller.get_system_shared_memory_status(*args)
    entries = answer.get("regions", {}).values() if controller.is_grpc else answer
    return {entry["name"]: (entry["key"], int(entry.get("offset", 0)), int(entry["byte_size"])) for entry in entries}


@covers("GET /v2/systemsharedmemory/status", "GET /v2/systemsharedmemory/region/{n}/status",
        "POST /v2/systemsharedmemory/region/{n}/register", "POST /v2/systemsharedmemory/region/{n}/unregister",
        "POST /v2/systemsharedmemory/unregister", "rpc SystemSharedMemoryStatus", "rpc SystemSharedMemoryRegister",
        "rpc SystemSharedMemoryUnregister")
def test_register_status_unregister(controller, region):
    assert _regions(controller) == {}
    controller.register_system_shared_memory("region", region.key, SIZE, offset=SIZE)
    controller.register_system_shared_memory("other", region.key, SIZE)
    assert _regions(controller) == {"region": (region.key, SIZE, SIZE), "other": (region.key, 0, SIZE)}
    assert _regions(controller, "other") == {"other": (region.key, 0, SIZE)}
    assert controller.refused("exists", controller.register_system_shared_memory, "other", region.key, SIZE) == \
        "shared memory region 'other' already in manager"
    controller.unregister_system_shared_memory("region")
    assert _regions(controller) == {"other": (region.key, 0, SIZE)}
    assert "region" in controller.refused("not_found", controller.get_system_shared_memory_status, "region")
    controller.unregister_system_shared_memory()
    assert _regions(controller) == {}


@covers("POST /v2/systemsharedmemory/register")
def test_register_needs_a_name(control):
    body = json.dumps({"key": "/x", "byte_size": 1}).encode()
    status, _, answer = control.request("POST", "/v2/systemsharedmemory/register", body)
    assert (status, json.loads(answer)["error"]) == \
        (400, "'region name' is necessary to register system shared memory region")


@covers("system shared memory tensors")
def test_inputs_and_outputs_in_shared_memory(controller, region):
    controller.register_system_shared_memory("region", region.key, 3 * SIZE)
    inputs = [_in_region(controller, "INPUT0", 0), _in_region(controller, "INPUT1", SIZE)]
    output = controller.module.InferRequestedOutput("OUTPUT1")
    output.set_shared_memory("region", SIZE, 2 * SIZE)
    result = controller.infer("simple", inputs, outputs=[controller.output("OUTPUT0"), output])

    assert (result.as_numpy("OUTPUT0") == region.first + region.second).all()
    written = shm.get_contents_as_numpy(region, np.int32, [1, 16], offset=2 * SIZE)
    assert (written == region.first - region.second).all()
    # Mixed with an input that travels in the request.
    direct, first, _ = simple_inputs(controller)
    result = controller.infer("simple", [direct[0], inputs[1]])
    assert (result.as_numpy("OUTPUT0") == first + region.second).all()


@covers("system shared memory tensors")
def test_text_in_shared_memory(controller, region):
    # identity_bytes is not loaded at start: models may come while regions exist.
    controller.load_model("identity_bytes")
    value = np.array([[b"shared", b""]], np.object_)
    shm.set_shared_memory_region(region, [serialize_byte_tensor(value)])
    size = 4 + 6 + 4
    controller.register_system_shared_memory("region", region.key, 3 * SIZE)
    tensor = _in_region(controller, "INPUT0", 0, size, (1, 2), "BYTES")
    assert controller.infer("identity_bytes", [tensor]).as_numpy("OUTPUT0").tolist() == value.tolist()


@covers("error bodies and codes")
def test_ranges_and_sizes_are_checked(controller, region):
    controller.register_system_shared_memory("region", region.key, 3 * SIZE)
    good = _in_region(controller, "INPUT1", SIZE)

    def refused(tensor):
        return controller.refused("invalid", controller.infer, "simple", [tensor, good])

    assert refused(_in_region(controller, "INPUT0", 2 * SIZE, SIZE + 1)) == \
        "Invalid offset + byte size for shared memory region: 'region': 128 + 65 of 192 bytes"
    assert refused(_in_region(controller, "INPUT0", 3 * SIZE)).startswith(
        "Invalid offset for shared memory region: 'region'")
    assert "needs 64 bytes, got 63" in refused(_in_region(controller, "INPUT0", 0, SIZE - 1))
    unknown = controller.module.InferInput("INPUT0", [1, 16], "INT32")
    unknown.set_shared_memory("nope", SIZE)
    assert controller.refused("not_found", controller.infer, "simple", [unknown, good]) == \
        "Unable to find shared memory region: 'nope'"
    output = controller.module.InferRequestedOutput("OUTPUT0")
    output.set_shared_memory("region", SIZE - 1, 2 * SIZE)
    inputs, _, _ = simple_inputs(controller)
    assert controller.refused("internal", controller.infer, "simple", inputs, outputs=[output]) == (
        "shared memory size specified with the request for output 'OUTPUT0' (63 bytes) should be at least 64 bytes to hold "
        "the results")


def test_an_object_that_shrank_is_an_error_not_a_crash(controller, region):
    controller.register_system_shared_memory("region", region.key, 3 * SIZE)
    inputs = [_in_region(controller, "INPUT0", 0), _in_region(controller, "INPUT1", SIZE)]
    os.truncate(f"/dev/shm{region.key}", SIZE)
    assert "smaller than the region registered of it" in controller.refused("invalid", controller.infer, "simple", inputs)
    os.truncate(f"/dev/shm{region.key}", 3 * SIZE)
    assert controller.infer("simple", inputs).as_numpy("OUTPUT0").shape == (1, 16)


def test_shared_memory_is_off_by_default(client):
    assert client.refused("unimplemented", client.register_system_shared_memory, "r", "/r", 64) == \
        "Client shared memory is disabled on this server."


@covers("GET /v2/cudasharedmemory/status", "GET /v2/cudasharedmemory/region/{n}/status",
        "POST /v2/cudasharedmemory/region/{n}/register", "POST /v2/cudasharedmemory/region/{n}/unregister",
        "POST /v2/cudasharedmemory/unregister", "rpc CudaSharedMemoryStatus", "rpc CudaSharedMemoryRegister",
        "rpc CudaSharedMemoryUnregister")
def test_cuda_shared_memory_is_refused(controller):
    message = controller.refused("unimplemented", controller.register_cuda_shared_memory, "gpu", b"AAAA", 0, 64)
    assert "CUDA shared memory is not supported" in message
    assert controller.get_cuda_shared_memory_status() in ([], {})
    with pytest.raises(InferenceServerException):
        controller.get_cuda_shared_memory_status("gpu")
    controller.unregister_cuda_shared_memory("gpu")  # Clients clean up before they start.
    controller.unregister_cuda_shared_memory()


@covers("POST /v2/cudasharedmemory/register")
def test_cuda_register_without_a_name(control):
    status, _, body = control.request("POST", "/v2/cudasharedmemory/register", b"{}")
    assert status == 501 and "CUDA shared memory is not supported" in json.loads(body)["error"]
