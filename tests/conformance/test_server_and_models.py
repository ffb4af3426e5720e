"""Health, metadata, configuration and statistics through every client."""

import json

import pytest
from tritons import simple_inputs

covers = pytest.mark.covers


@covers("GET /v2/health/live", "GET /v2/health/ready", "GET /v2/models/{m}/ready", "GET /v2/models/{m}/versions/{v}/ready",
        "rpc ServerLive", "rpc ServerReady", "rpc ModelReady")
def test_health(client):
    assert client.is_server_live() is True
    assert client.is_server_ready() is True
    assert client.is_model_ready("simple") is True
    assert client.is_model_ready("simple", "1") is True
    assert client.is_model_ready("simple", "2") is False
    assert client.is_model_ready("nope") is False


@covers("GET /v2", "rpc ServerMetadata")
def test_server_metadata(client):
    answer = client.get_server_metadata()

    assert answer["name"] == "mezzo"
    assert answer["version"].count(".") == 2
    expected = {"classification", "model_repository", "model_repository(unload_dependents)", "schedule_policy",
                "model_configuration", "binary_tensor_data", "parameters", "statistics", "trace", "logging"}
    assert set(answer["extensions"]) == expected


def test_extensions_name_shared_memory_when_it_is_enabled(controller):
    assert "system_shared_memory" in controller.get_server_metadata()["extensions"]


@covers("GET /v2/models/{m}", "GET /v2/models/{m}/versions/{v}", "rpc ModelMetadata")
@pytest.mark.parametrize("version", ["", "1"])
def test_model_metadata(client, version):
    answer = client.get_model_metadata("simple", version)

    dims = ["-1", "16"] if client.is_grpc else [-1, 16]
    tensors = [[{"name": f"{kind}{i}", "datatype": "INT32", "shape": dims} for i in (0, 1)] for kind in ("INPUT", "OUTPUT")]
    assert answer == {"name": "simple", "versions": ["1"], "platform": "onnxruntime_onnx", "inputs": tensors[0],
                      "outputs": tensors[1]}


@covers("versions and version policy")
def test_metadata_names_the_served_versions(client):
    assert client.get_model_metadata("versioned")["versions"] == ["3"]
    assert client.get_model_metadata("versioned_all")["versions"] == ["1", "2", "3"]
    assert client.get_model_metadata("versioned_all", "2")["versions"] == ["2"]


@covers("error bodies and codes")
def test_metadata_of_what_is_not_there(client):
    assert client.refused("not_found", client.get_model_metadata, "nope") == \
        "Request for unknown model: 'nope' is not found"
    assert client.refused("not_found", client.get_model_metadata, "simple", "7") == \
        "Request for unknown model: 'simple' version 7 is not found"
    assert client.refused("not_found", client.get_model_config, "nope") == \
        "Request for unknown model: 'nope' is not found"
    assert "nope" in client.refused("not_found", client.get_inference_statistics, "nope")


def test_scalar_and_fixed_shapes_in_metadata(http, grpc):
    assert http.get_model_metadata("scalar")["inputs"][0]["shape"] == []
    assert "shape" not in grpc.get_model_metadata("scalar")["inputs"][0]  # JSON of protobuf leaves empty lists out.
    assert http.get_model_metadata("fixed_batch")["inputs"][0]["shape"] == [4, 3]


@covers("GET /v2/models/{m}/config", "GET /v2/models/{m}/versions/{v}/config", "rpc ModelConfig")
@pytest.mark.parametrize("version", ["", "1"])
def test_config_has_what_perf_analyzer_reads(client, version):
    config = client.config("simple", version)

    assert config["name"] == "simple"
    assert config["platform"] == "onnxruntime_onnx"
    assert int(config["max_batch_size"]) == 8
    assert [(tensor["name"], tensor["data_type"], [int(dim) for dim in tensor["dims"]]) for tensor in config["input"]] == \
        [("INPUT0", "TYPE_INT32", [16]), ("INPUT1", "TYPE_INT32", [16])]
    assert [tensor["name"] for tensor in config["output"]] == ["OUTPUT0", "OUTPUT1"]
    # The schedulers that perf_analyzer looks for, to decide how it may load the model.
    assert "sequence_batching" not in config and "ensemble_scheduling" not in config
    assert not config.get("model_transaction_policy", {}).get("decoupled", False)


def test_both_protocols_tell_the_same_configuration(http, grpc):
    for model in ("simple", "simple_tuned", "classifier", "versioned_all", "nonzero", "minilm"):
        ours, theirs = http.config(model), grpc.config(model)
        assert _without_defaults(ours) == _without_defaults(theirs), model


@covers("config.pbtxt repositories")
def test_options_of_config_pbtxt_come_back(client):
    config = client.config("simple_tuned")

    batching = config["dynamic_batching"]
    assert [int(size) for size in batching["preferred_batch_size"]] == [4, 8]
    assert int(batching["max_queue_delay_microseconds"]) == 200
    assert int(batching["priority_levels"]) == 3
    assert int(batching["default_priority_level"]) == 2
    assert int(batching["default_queue_policy"]["max_queue_size"]) == 64
    assert int(batching["default_queue_policy"]["default_timeout_microseconds"]) == 1_000_000
    assert config["instance_group"][0]["count"] == 2
    assert config["parameters"]["owner"]["string_value"] == "tests"
    assert config["version_policy"]["latest"]["num_versions"] == 2
    assert config["model_warmup"][0]["name"] == "zeros"


def test_models_without_configuration_complete_themselves(client):
    config = client.config("simple_plain")

    assert int(config["max_batch_size"]) == 32
    assert [int(dim) for dim in config["input"][0]["dims"]] == [16]
    assert int(client.config("nonzero").get("max_batch_size", 0)) == 0


def _statistics(client, model, version=""):
    answer = client.get_inference_statistics(model, version)["model_stats"]
    assert len(answer) == 1
    return answer[0]


def _count(statistics, *path):
    for key in path:
        statistics = statistics.get(key, {})
    return int(statistics or 0)


@covers("GET /v2/models/{m}/stats", "GET /v2/models/{m}/versions/{v}/stats", "rpc ModelStatistics")
def test_statistics_count_what_ran(client):
    before = _statistics(client, "simple", "1")
    inputs, _, _ = simple_inputs(client, rows=3)
    for _ in range(2):
        client.infer("simple", inputs)
    bad = [client.input("INPUT0", [[1] * 15]), client.input("INPUT1", [[1] * 15])]
    client.refused("invalid", client.infer, "simple", bad)
    after = _statistics(client, "simple", "1")

    def grown(*path):
        return _count(after, *path) - _count(before, *path)

    assert after["name"] == "simple" and after["version"] == "1"
    assert grown("inference_count") == 6
    assert grown("execution_count") == 2
    for stage in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        assert grown("inference_stats", stage, "count") == 2, stage
    assert grown("inference_stats", "fail", "count") == 1
    assert grown("inference_stats", "compute_infer", "ns") > 0
    assert grown("inference_stats", "success", "ns") >= grown("inference_stats", "compute_infer", "ns")
    assert int(after["last_inference"]) > 1_600_000_000_000
    sizes = {int(batch["batch_size"]): batch for batch in after["batch_stats"]}
    assert int(sizes[3]["compute_infer"]["count"]) >= 2


@covers("GET /v2/models/stats")
def test_statistics_of_all_models(client):
    names = {(entry["name"], entry["version"]) for entry in client.get_inference_statistics()["model_stats"]}

    assert {("simple", "1"), ("versioned", "3"), ("versioned_all", "1"), ("versioned_all", "2")} <= names
    assert ("versioned", "1") not in names


@covers("GET /v2/models")
def test_model_names(server):
    status, _, body = server.get("/v2/models")

    assert status == 200
    names = json.loads(body)["models"]
    assert {"simple", "minilm", "versioned_all"} <= set(names)
    assert len(names) == len(set(names))


@covers("GET /metrics")
def test_metrics_are_openmetrics(server):
    status, headers, body = server.get("/metrics", {"Accept": "application/openmetrics-text; version=1.0.0"})

    assert status == 200
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert server.get("/metrics")[1]["Content-Type"].startswith("text/plain; version=0.0.4")
    text = body.decode()
    assert text.endswith("# EOF\n")
    for name in ("mezzo_inference_requests", "mezzo_inference_request_seconds", "mezzo_inference_stage_seconds",
                 "mezzo_inference_batch_rows", "mezzo_sched_refused", "mezzo_models_loads", "mezzo_runtime_loop_stalls"):
        assert f"# TYPE {name} " in text, name


@covers("GET /metrics")
def test_every_stage_of_a_call_is_measured(client, server):
    def counts():
        return {stage: server.metrics()[f'mezzo_inference_stage_seconds_count{{model="simple",version="1",stage="{stage}"}}']
                for stage in ("admit", "queue", "gather", "run", "scatter", "encode")}

    before = counts()
    inputs, _, _ = simple_inputs(client)
    client.infer("simple", inputs)
    after = counts()
    assert {stage: after[stage] - before[stage] for stage in after} == dict.fromkeys(after, 1)


def _without_defaults(value):
    """JSON of a message with defaults left out and numbers as text, as both protocols may write it."""
    if isinstance(value, dict):
        cleaned = {key: _without_defaults(inner) for key, inner in value.items()}
        return {key: inner for key, inner in cleaned.items() if inner not in ({}, [], "", "0", "False", "FORMAT_NONE",
                                                                             "PRIORITY_DEFAULT", "REJECT")}
    if isinstance(value, list):
        return [_without_defaults(inner) for inner in value]
    return str(value)
