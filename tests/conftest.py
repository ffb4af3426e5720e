"""Fixtures of the process tests."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import mezzo_server  # noqa: E402


@pytest.fixture(scope="session")
def server():
    """One server with the protocol models and the example models, for tests that leave it as they found it."""
    with mezzo_server.Server(models=[mezzo_server.MODELS, mezzo_server.EXAMPLES]) as running:
        yield running


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=200, help="servers that test_job_hosts.py kills [%(default)s]")
