"""Servers and clients of the protocol tests."""

import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import mezzo_server  # noqa: E402
import tritons  # noqa: E402

# What tests load, unload, override and watch, besides.
CONTROLLED = ("simple", "versioned", "versioned_all", "classifier", "add_sub", "identity_bytes", "identity_fp32", "delay")


@pytest.fixture(scope="session")
def control(tmp_path_factory):
    """A server with explicit model control and shared memory, over a repository of its own (`control.folder`)."""
    folder = tmp_path_factory.mktemp("repository")
    for name in CONTROLLED:
        shutil.copytree(mezzo_server.MODELS / name, folder / name)
    config = 'models: {control: explicit, startup: ["simple", "versioned_all"]}\nshared_memory: {enabled: true}\n'
    with mezzo_server.Server(models=folder, config=config) as running:
        running.folder = folder
        yield running


def _client(flavour, server):
    client = tritons.Client(flavour, server)
    yield client
    client.close()


@pytest.fixture(scope="module", params=tritons.FLAVOURS)
def client(request, server):
    """Each tritonclient in turn, of the server that tests leave as it is."""
    yield from _client(request.param, server)


@pytest.fixture(scope="module", params=tritons.FLAVOURS)
def controller(request, control):
    """Each tritonclient in turn, of the server with explicit control."""
    yield from _client(request.param, control)


@pytest.fixture(scope="module")
def http(server):
    yield from _client("http", server)


@pytest.fixture(scope="module")
def grpc(server):
    yield from _client("grpc", server)
