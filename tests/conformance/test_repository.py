"""The model repository: index, load, unload, overrides, versions, and what bad models say."""

import base64
import json
import shutil

import mezzo_server
import numpy as np
import pytest
from tritons import simple_inputs

covers = pytest.mark.covers

PLUS = np.array([[10.0]], np.float32)


def _plus(client, model, version=""):
    return client.infer(model, [client.input("INPUT", PLUS)], model_version=version).as_numpy("OUTPUT").item() - 10


@covers("POST /v2/repository/index", "rpc RepositoryIndex")
def test_index(controller):
    index = controller.index()

    assert index["simple", "1"]["state"] == "READY"
    assert {version for name, version in index if name == "versioned_all"} == {"1", "2", "3"}
    not_loaded = next(entry for (name, _), entry in index.items() if name == "classifier")
    assert not_loaded.get("state", "") in ("", "UNKNOWN", "UNAVAILABLE")


@covers("POST /v2/repository/index", "POST /v2/repository/{r}/index")
def test_index_of_what_is_ready(control):
    status, _, body = control.request("POST", "/v2/repository/index", b'{"ready": true}')
    names = {entry["name"] for entry in json.loads(body)}
    assert status == 200 and "simple" in names and "add_sub" not in names
    assert json.loads(control.request("POST", "/v2/repository/main/index", b'{"ready": true}')[2]) == json.loads(body)
    status, _, body = control.request("POST", "/v2/repository/index", b'{"ready": 1}')
    assert (status, json.loads(body)["error"]) == (400, "Invalid value for 'ready': expected a boolean")


@covers("POST /v2/repository/models/{m}/load", "POST /v2/repository/models/{m}/unload", "rpc RepositoryModelLoad",
        "rpc RepositoryModelUnload")
def test_load_and_unload(controller):
    assert controller.is_model_ready("add_sub") is False
    controller.load_model("add_sub")
    try:
        assert controller.is_model_ready("add_sub") is True
        value = np.ones((1, 16), np.float32)
        result = controller.infer("add_sub", [controller.input("INPUT0", value), controller.input("INPUT1", value)])
        assert (result.as_numpy("OUTPUT0") == 2).all()
    finally:
        controller.unload_model("add_sub", unload_dependents=True)
    assert controller.is_model_ready("add_sub") is False
    inputs, _, _ = simple_inputs(controller)
    assert "add_sub" in controller.refused("not_found", controller.infer, "add_sub", inputs)


@covers("error bodies and codes")
def test_load_of_what_is_not_there(controller):
    assert controller.refused("internal", controller.load_model, "nope") == \
        "failed to load 'nope', failed to poll from model repository"
    controller.refused("not_found", controller.unload_model, "nope")


@covers("error bodies and codes")
def test_load_needs_explicit_control(client):
    for call in (client.load_model, client.unload_model):
        assert client.refused("unavailable", call, "simple") == \
            "explicit model load / unload is not allowed if polling is enabled"
    assert client.is_model_ready("simple")


@covers("model configuration and file overrides", "versions and version policy")
def test_load_with_a_configuration(controller):
    config = {"name": "versioned", "max_batch_size": 2, "version_policy": {"specific": {"versions": [1, 2]}}}
    controller.load_model("versioned", config=json.dumps(config))
    try:
        assert controller.get_model_metadata("versioned")["versions"] == ["1", "2"]
        assert int(controller.config("versioned")["max_batch_size"]) == 2
        assert _plus(controller, "versioned") == 2
        assert _plus(controller, "versioned", "1") == 1
        controller.refused("not_found", controller.infer, "versioned", [controller.input("INPUT", PLUS)], "3")
        # The repository's own configuration comes back with a load without one.
        controller.load_model("versioned")
        assert controller.get_model_metadata("versioned")["versions"] == ["3"]
        assert _plus(controller, "versioned") == 3
    finally:
        controller.unload_model("versioned")


@covers("model configuration and file overrides")
def test_load_with_files(controller, control):
    graph = (mezzo_server.MODELS / "versioned" / "1" / "model.onnx").read_bytes()
    before = _tree(control.folder)
    controller.load_model("brought", config='{"name": "brought", "max_batch_size": 4}', files={"file:7/model.onnx": graph})
    try:
        assert controller.get_model_metadata("brought")["versions"] == ["7"]
        assert _plus(controller, "brought") == 1
        assert _tree(control.folder) == before
    finally:
        controller.unload_model("brought")
    assert controller.is_model_ready("brought") is False


@covers("model configuration and file overrides", "error bodies and codes")
def test_bad_overrides_are_refused_and_change_nothing(controller):
    graph = (mezzo_server.MODELS / "versioned" / "1" / "model.onnx").read_bytes()
    refused = controller.refused

    message = refused("invalid", controller.load_model, "simple", config="{not json")
    assert "config" in message
    message = refused("invalid", controller.load_model, "simple", config='{"max_bach_size": 3}')
    assert "max_bach_size" in message
    message = refused("invalid", controller.load_model, "simple", config='{"name": "other"}')
    assert "other" in message
    message = refused("invalid", controller.load_model, "simple", files={"file:1/model.onnx": graph})
    assert "config" in message
    for path in ("../model.onnx", "1/../../x", "/etc/passwd", "1//model.onnx", ".hidden/model.onnx"):
        message = refused("invalid", controller.load_model, "x", config="{}", files={f"file:{path}": graph})
        assert "must be a path of at most 4 plain names" in message, path
    # A graph that does not fit its name's configuration: the engine's reason, and what served goes on.
    message = refused("internal", controller.load_model, "simple", config='{"name": "simple"}',
                      files={"file:1/model.onnx": b"no model"})
    assert "simple" in message and "not an ONNX model" in message
    inputs, first, second = simple_inputs(controller)
    assert (controller.infer("simple", inputs).as_numpy("OUTPUT0") == first + second).all()


@covers("POST /v2/repository/{r}/models/{m}/load", "POST /v2/repository/{r}/models/{m}/unload")
@pytest.mark.parametrize("verb", ["load", "unload"])
def test_repositories_have_no_names(control, verb):
    status, _, body = control.request("POST", f"/v2/repository/main/models/simple/{verb}", b"{}")
    assert (status, json.loads(body)["error"]) == (501, "'repository_name' specification is not supported")


def test_wrong_base64_names_the_parameter(control):
    body = {"parameters": {"config": "{}", "file:1/model.onnx": "@@@"}}
    status, _, answer = control.request("POST", "/v2/repository/models/x/load", json.dumps(body).encode())
    assert status == 400
    assert "file:1/model.onnx" in json.loads(answer)["error"]
    body["parameters"]["file:1/model.onnx"] = base64.b64encode(b"x").decode()
    assert "not an ONNX model" in json.loads(
        control.request("POST", "/v2/repository/models/x/load", json.dumps(body).encode())[2])["error"]


def test_a_failed_load_stays_visible(controller, control):
    shutil.copytree(mezzo_server.BAD_MODELS / "missing_op", control.folder / "missing_op", dirs_exist_ok=True)
    try:
        message = controller.refused("internal", controller.load_model, "missing_op")
        assert message.startswith("failed to load 'missing_op', no version is available: version 1: ONNX Runtime: ")
        entry = controller.index()["missing_op", "1"]
        assert entry["state"] == "UNAVAILABLE"
        assert "No Op registered for NoSuchOperator" in entry["reason"]
    finally:
        shutil.rmtree(control.folder / "missing_op")
        controller.unload_model("missing_op")


REASONS = {
    "broken": "not an ONNX model: a field that runs past its end (a truncated file?) at byte 13",
    "config_syntax": 'config.pbtxt:5:54: Expected ",", found "}".',
    "config_unknown_field": 'config.pbtxt:12:14: Message type "inference.ModelConfig" has no field named "max_bach_size".',
    "config_wrong_name": "config.pbtxt: input 'INPUT2' is declared, but the model's inputs are 'INPUT0', 'INPUT1'",
    "config_wrong_shape": "config.pbtxt: input 'INPUT0' is declared with the shape [-1,8] (batch dimension included), but "
                          "the model's is [-1,16]",
    "config_wrong_type": "config.pbtxt: input 'INPUT0' is declared as FP32, but the model's is INT32",
    "empty_file": "the model file is empty",
    "external_escape": "tensor 'w0' has the external data location '../outside.bin', which has '..'; it must lie below "
                       "the model's own folder",
    "external_missing": "the external data file 'nowhere.bin' of tensor 'w0' can't be opened: No such file or directory",
    "missing_op": "Error No Op registered for NoSuchOperator with domain_version of 17",
    "no_version": "at least one version must be available under the version policy of model 'no_version'",
    "type_mismatch": "Type parameter (T) of Optype (Add) bound to different types (tensor(int32) and tensor(float)",
    "unsupported_backend": "config.pbtxt:2: backend 'python' is not supported; Mezzo runs 'onnxruntime'",
    "unsupported_decoupled": "config.pbtxt:12: model_transaction_policy: decoupled is not supported",
    "unsupported_ensemble": "config.pbtxt:2: platform 'ensemble' is not supported; Mezzo runs 'onnxruntime_onnx'",
    "unsupported_sequence": "config.pbtxt:12: sequence_batching is not supported",
}


@covers("config.pbtxt repositories", "sequences and decoupled models answer 'unsupported'")
def test_every_bad_model_says_why_and_good_ones_serve(tmp_path):
    shutil.copytree(mezzo_server.BAD_MODELS, tmp_path, dirs_exist_ok=True)
    shutil.copytree(mezzo_server.MODELS / "simple", tmp_path / "simple")
    with mezzo_server.Server(models=tmp_path) as server:
        index = {entry["name"]: entry for entry in json.loads(server.request("POST", "/v2/repository/index")[2])}
        assert set(index) == set(REASONS) | {"simple"}
        for name, reason in REASONS.items():
            assert index[name]["state"] == "UNAVAILABLE", name
            assert reason in index[name]["reason"], name
            assert str(tmp_path) not in index[name]["reason"], name
            assert server.get(f"/v2/models/{name}/ready")[0] == 400
        assert index["simple"]["state"] == "READY" and "reason" not in index["simple"]
        status, _, body = server.request("POST", "/v2/models/broken/infer", b'{"inputs": []}')
        assert status in (400, 503)
        assert "broken" in json.loads(body)["error"]


def _tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
