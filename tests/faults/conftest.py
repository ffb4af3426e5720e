"""Makes the helpers beside the tests importable; a small repository, as these tests start many servers."""

import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import mezzo_server  # noqa: E402


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A folder with the models that fault tests use."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("simple", "add_sub", "delay", "delay_sum", "delay_long", "identity_fp32"):
        shutil.copytree(mezzo_server.MODELS / name, folder / name)
    return folder
