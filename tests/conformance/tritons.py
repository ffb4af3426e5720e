"""The four tritonclients behind one interface, so that one test exercises HTTP and gRPC, blocking and asyncio."""

import asyncio
import json

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

FLAVOURS = ("http", "http-aio", "grpc", "grpc-aio")

# One status of the server, as each protocol says it.
STATUS = {
    "invalid": ("400", "StatusCode.INVALID_ARGUMENT"),
    "not_found": ("404", "StatusCode.NOT_FOUND"),
    "unavailable": ("503", "StatusCode.UNAVAILABLE"),
    "unimplemented": ("501", "StatusCode.UNIMPLEMENTED"),
    "deadline": ("503", "StatusCode.DEADLINE_EXCEEDED"),
    "exists": ("400", "StatusCode.ALREADY_EXISTS"),
    "internal": ("500", "StatusCode.INTERNAL"),
    "unauthenticated": ("401", "StatusCode.UNAUTHENTICATED"),
    "forbidden": ("403", "StatusCode.PERMISSION_DENIED"),
}


class Client:
    """A tritonclient of `flavour`: every method of it, waited for; gRPC's answers as plain JSON objects."""

    def __init__(self, flavour, server, **options):
        self.flavour = flavour
        self.is_grpc = flavour.startswith("grpc")
        self.is_aio = flavour.endswith("aio")
        self.module = tritonclient.grpc if self.is_grpc else tritonclient.http
        package = self.module.aio if self.is_aio else self.module
        self._loop = asyncio.new_event_loop() if self.is_aio else None
        address = server.grpc if self.is_grpc else server.http
        self.raw = self.wait(self._make(package, address, options)) if self.is_aio else \
            package.InferenceServerClient(address, **options)

    @staticmethod
    async def _make(package, address, options):
        return package.InferenceServerClient(address, **options)

    def wait(self, coroutine):
        return self._loop.run_until_complete(coroutine)

    def __getattr__(self, name):
        method = getattr(self.raw, name)

        def call(*args, **kwargs):
            if self.is_grpc and name.startswith(("get_", "update_")):
                kwargs.setdefault("as_json", True)
            answer = method(*args, **kwargs)
            answer = self.wait(answer) if asyncio.iscoroutine(answer) else answer
            return json.loads(answer) if isinstance(answer, str) else answer

        return call

    def close(self):
        closing = self.raw.close()
        if self._loop is not None:
            self.wait(closing)
            self._loop.close()

    def input(self, name, array, binary=True):
        array = np.asarray(array)
        tensor = self.module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        return tensor.set_data_from_numpy(array) if self.is_grpc else tensor.set_data_from_numpy(array, binary_data=binary)

    def output(self, name, binary=True, class_count=0):
        if self.is_grpc:
            return self.module.InferRequestedOutput(name, class_count=class_count)
        return self.module.InferRequestedOutput(name, binary_data=binary, class_count=class_count)

    def ids(self, result):
        """(id, model name, version) of an inference result."""
        response = result.get_response()
        if self.is_grpc:
            return response.id, response.model_name, response.model_version
        return response.get("id", ""), response["model_name"], response["model_version"]

    def output_names(self, result):
        response = result.get_response()
        if self.is_grpc:
            return [output.name for output in response.outputs]
        return [output["name"] for output in response["outputs"]]

    def index(self):
        """{(name, version): entry} of the repository."""
        answer = self.get_model_repository_index()
        entries = answer.get("models", []) if self.is_grpc else answer
        return {(entry["name"], entry.get("version", "")): entry for entry in entries}

    def config(self, *args, **kwargs):
        answer = self.get_model_config(*args, **kwargs)
        return answer["config"] if self.is_grpc else answer

    def refused(self, status, call, *args, **kwargs):
        """The message of the error that `call` must raise with `status` (a key of STATUS)."""
        try:
            call(*args, **kwargs)
        except InferenceServerException as error:
            expected = STATUS[status][1 if self.is_grpc else 0]
            assert error.status() == expected, f"{error.status()} instead of {expected}: {error.message()}"
            return error.message()
        raise AssertionError("the server did not refuse")


def simple_inputs(client, rows=1, binary=True):
    first = np.arange(rows * 16, dtype=np.int32).reshape(rows, 16)
    second = np.full((rows, 16), 3, dtype=np.int32)
    return [client.input("INPUT0", first, binary), client.input("INPUT1", second, binary)], first, second
