"""MLflow's own client against the registry: models, versions, aliases, tags, searches, and ONNX models that are logged, registered,
fetched again and served."""

import base64
import contextlib
import json
import math
import os
import time

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
# A refusal is to be seen at once: the client would try some of them again for minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")

import mlflow
import mlflow.onnx
import numpy as np
import onnx
import pytest
from mezzo_server import SLOWNESS, Server
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from postgres_server import PostgresServer
from test_tenants import Admin, first_key, make_key, make_tenant

CONFIG = "artifacts: {min_free: 0}\n"
API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
WIDTH = 32
PINNED = [f"onnx=={onnx.__version__}"]  # Else the client would load the model to see what it needs.


def linear(scale):
    """y = x · (scale · 1): its weights are large enough for a file of their own."""
    weights = np.full((WIDTH, WIDTH), scale, np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])], "linear",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", WIDTH])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", WIDTH])],
        [onnx.numpy_helper.from_array(weights, "w")])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)


class Mezzo:
    def __init__(self, server):
        self.server = server
        self.admin = Admin(server, first_key(server))
        self.client = MlflowClient(tracking_uri=server.http_url, registry_uri=server.http_url)

    def raw(self, method, path, body=None, key=None, headers=None):
        """(status, answer) without MLflow's client."""
        headers = headers or {"Authorization": f"Bearer {key or self.admin.key}"}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        status, _, text = self.server.request(method, path, data, headers)
        return status, json.loads(text)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def mezzo(request, tmp_path_factory):
    with contextlib.ExitStack() as stack:
        config, env = CONFIG, {}
        if request.param == "postgres":
            config += 'database: {url: "env:TEST_DATABASE_URL"}\n'
            env["TEST_DATABASE_URL"] = stack.enter_context(PostgresServer()).url
        server = stack.enter_context(Server(config=config, env=env, data_dir=str(tmp_path_factory.mktemp("data"))))
        running = Mezzo(server)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("MLFLOW_TRACKING_TOKEN", running.admin.key)
        mlflow.set_tracking_uri(server.http_url)
        mlflow.set_registry_uri(server.http_url)
        yield running


@pytest.fixture(autouse=True)
def no_run_is_left():
    yield
    while mlflow.active_run():
        mlflow.end_run()


def log(name, scale=1.0, register=None, model=None):
    return mlflow.onnx.log_model(model or linear(scale), name=name, registered_model_name=register, pip_requirements=PINNED,
                                 await_registration_for=60 * SLOWNESS)


def files_of(folder):
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def refused(code, call, *args, status=None, **kwargs):
    with pytest.raises(MlflowException) as caught:
        call(*args, **kwargs)
    assert caught.value.error_code == code, caught.value
    if status is not None:
        assert caught.value.get_http_status_code() == status
    return caught.value.message


@pytest.fixture(scope="module")
def versions(mezzo):
    """A model `kept` with three versions that are ready."""
    infos = [log("kept", scale, "kept") for scale in (1.0, 2.0, 3.0)]
    assert [info.registered_model_version for info in infos] == [1, 2, 3] or \
        [str(info.registered_model_version) for info in infos] == ["1", "2", "3"]
    return infos


@pytest.mark.covers("POST /api/2.0/mlflow/registered-models/create", "GET /api/2.0/mlflow/registered-models/get",
                    "PATCH /api/2.0/mlflow/registered-models/update", "POST /api/2.0/mlflow/registered-models/rename",
                    "DELETE /api/2.0/mlflow/registered-models/delete")
def test_models_are_made_changed_renamed_and_deleted(mezzo):
    client = mezzo.client
    made = client.create_registered_model("first", tags={"team": "search"}, description="what it is")
    assert (made.name, made.description, made.tags, made.latest_versions) == ("first", "what it is", {"team": "search"}, [])
    assert abs(made.creation_timestamp / 1000 - time.time()) < 120
    assert client.get_registered_model("first") == made
    assert refused("RESOURCE_ALREADY_EXISTS", client.create_registered_model, "first", status=400)

    assert client.update_registered_model("first", "another").description == "another"
    client.rename_registered_model("first", "second")
    assert "'first'" in refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, "first", status=404)
    assert client.get_registered_model("second").tags == {"team": "search"}
    client.delete_registered_model("second")
    refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, "second")
    refused("RESOURCE_DOES_NOT_EXIST", client.delete_registered_model, "second")
    for name in ("a/b", "..", "a b", "x" * 129):
        assert "is not a model's name" in refused("INVALID_PARAMETER_VALUE", client.create_registered_model, name, status=400)


@pytest.mark.covers("POST /api/2.0/mlflow/registered-models/set-tag", "DELETE /api/2.0/mlflow/registered-models/delete-tag",
                    "POST /api/2.0/mlflow/model-versions/set-tag", "DELETE /api/2.0/mlflow/model-versions/delete-tag")
def test_tags_of_models_and_versions(mezzo, versions):
    client = mezzo.client
    client.set_registered_model_tag("kept", "team", "search")
    client.set_registered_model_tag("kept", "team", "ads")
    assert client.get_registered_model("kept").tags["team"] == "ads"
    client.delete_registered_model_tag("kept", "team")
    assert "team" not in client.get_registered_model("kept").tags
    refused("RESOURCE_DOES_NOT_EXIST", client.delete_registered_model_tag, "kept", "team")
    client.set_model_version_tag("kept", "2", "checked", "yes")
    assert client.get_model_version("kept", "2").tags["checked"] == "yes"
    client.delete_model_version_tag("kept", "2", "checked")
    assert "checked" not in client.get_model_version("kept", "2").tags
    status, answer = mezzo.raw("POST", f"{API}/registered-models/set-tag", {"name": "kept", "key": "long", "value": "x" * 5001})
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE") and "'long'" in answer["message"]
    assert "long" not in client.get_registered_model("kept").tags


@pytest.mark.covers("POST /api/2.0/mlflow/registered-models/alias", "GET /api/2.0/mlflow/registered-models/alias",
                    "DELETE /api/2.0/mlflow/registered-models/alias")
def test_aliases_point_at_versions(mezzo, versions):
    client = mezzo.client
    client.set_registered_model_alias("kept", "champion", "2")
    assert client.get_model_version_by_alias("kept", "champion").version in (2, "2")
    assert {alias: str(version) for alias, version in client.get_registered_model("kept").aliases.items()} == {"champion": "2"}
    client.set_registered_model_alias("kept", "champion", "3")
    assert client.get_model_version("kept", "3").aliases == ["champion"]
    assert client.get_model_version("kept", "2").aliases == []
    client.delete_registered_model_alias("kept", "champion")
    assert "'champion'" in refused("RESOURCE_DOES_NOT_EXIST", client.get_model_version_by_alias, "kept", "champion", status=404)
    refused("RESOURCE_DOES_NOT_EXIST", client.set_registered_model_alias, "kept", "champion", "99")
    status, answer = mezzo.raw("POST", f"{API}/registered-models/alias", {"name": "kept", "alias": "latest", "version": "1"})
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE") and "latest" in answer["message"]


@pytest.mark.covers("GET /api/2.0/mlflow/registered-models/search")
def test_models_are_found_by_filters(mezzo):
    client = mezzo.client
    for name, team in (("find-a", "x"), ("find-b", "y"), ("Find-C", "x"), ("find-d", None)):
        client.create_registered_model(name, tags={"team": team, "any key": "it's"} if team else None)

    def names(filter_string, **kwargs):
        return [model.name for model in client.search_registered_models(filter_string, **kwargs)]

    assert names("name LIKE 'find-%'") == ["find-a", "find-b", "find-d"]
    assert names("name ILIKE 'find-%' AND tags.team = 'x'") == ["Find-C", "find-a"] or \
        sorted(names("name ILIKE 'find-%' AND tags.team = 'x'")) == ["Find-C", "find-a"]
    assert names("name = 'find-b'") == ["find-b"]
    assert names("name LIKE 'find-%' AND name != 'find-b'") == ["find-a", "find-d"]
    assert names("name LIKE 'find-%' AND tags.team != 'x'") == ["find-b"]
    assert names("name LIKE 'find-_' AND tags.`any key` = 'it''s'") == ["find-a", "find-b"]
    assert names("name LIKE 'find-%'", order_by=["name DESC"]) == ["find-d", "find-b", "find-a"]
    assert names("name ILIKE 'find-%'", order_by=["creation_timestamp ASC"]) == ["find-a", "find-b", "Find-C", "find-d"]
    client.update_registered_model("find-a", "touched")
    assert names("name LIKE 'find-%'", order_by=["last_updated_timestamp DESC"])[0] == "find-a"

    for order in (["name"], ["creation_timestamp DESC"], ["last_updated_timestamp"]):
        whole = names("name ILIKE 'find-%'", order_by=order)
        paged, token = [], None
        while True:
            page = client.search_registered_models("name ILIKE 'find-%'", max_results=1, page_token=token, order_by=order)
            paged += [model.name for model in page]
            assert len(page) <= 1 and len(paged) <= 4
            if not (token := page.token):
                break
        assert paged == whole and len(whole) == 4

    assert "character 6: expected =, !=, LIKE or ILIKE, got '<'" in refused("INVALID_PARAMETER_VALUE", names, "name < 'x'", status=400)
    assert "'size'" in refused("INVALID_PARAMETER_VALUE", names, "", order_by=["size"])
    status, answer = mezzo.raw("GET", f"{API}/registered-models/search?max_results=1001")
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE") and "1 to 1000, got 1001" in answer["message"]
    status, answer = mezzo.raw("GET", f"{API}/registered-models/search?page_token=%2F")
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.covers("GET /api/2.0/mlflow/model-versions/search", "GET /api/2.0/mlflow/model-versions/get",
                    "PATCH /api/2.0/mlflow/model-versions/update")
def test_versions_are_found_and_changed(mezzo, versions):
    client = mezzo.client
    client.update_model_version("kept", "2", "the second")
    assert client.get_model_version("kept", "2").description == "the second"

    def numbers(filter_string, **kwargs):
        return [int(version.version) for version in client.search_model_versions(filter_string, **kwargs)]

    assert numbers("name = 'kept'")[0] == 2  # It was changed last.
    assert sorted(numbers("name = 'kept'")) == [1, 2, 3]
    assert numbers("name = 'kept'", order_by=["version_number ASC"]) == [1, 2, 3]
    assert numbers("name = 'kept' AND version_number >= 2", order_by=["name ASC", "version_number ASC"]) == [2, 3]
    assert numbers("name = 'kept'", order_by=["creation_timestamp DESC"]) == [3, 2, 1]
    assert numbers(f"source_path = 'models:/{versions[0].model_id}'") == [1]
    assert numbers("name = 'absent'") == []
    page = client.search_model_versions("name = 'kept'", max_results=2, order_by=["creation_timestamp ASC"])
    rest = client.search_model_versions("name = 'kept'", max_results=2, order_by=["creation_timestamp ASC"], page_token=page.token)
    assert [int(version.version) for version in [*page, *rest]] == [1, 2, 3] and not rest.token
    found = client.get_model_version("kept", "1")
    assert (found.status, found.current_stage, found.source) == ("READY", "None", f"models:/{versions[0].model_id}")
    refused("RESOURCE_DOES_NOT_EXIST", client.get_model_version, "kept", "99", status=404)
    refused("INVALID_PARAMETER_VALUE", client.get_model_version, "kept", "x", status=400)
    assert "got 'ORDER'" in refused("INVALID_PARAMETER_VALUE", numbers, "name = 'kept' ORDER BY name")


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.covers("POST /api/2.0/mlflow/model-versions/transition-stage",
                    "POST /api/2.0/mlflow/registered-models/get-latest-versions",
                    "GET /api/2.0/mlflow/registered-models/get-latest-versions")
def test_stages_are_kept_for_those_who_use_them(mezzo, versions):
    client = mezzo.client
    client.transition_model_version_stage("kept", "1", "Production")
    moved = client.transition_model_version_stage("kept", "2", "production", archive_existing_versions=True)
    assert moved.current_stage == "Production"
    stages = {int(version.version): version.current_stage for version in client.search_model_versions("name = 'kept'")}
    assert stages == {1: "Archived", 2: "Production", 3: "None"}
    assert {version.current_stage: int(version.version) for version in client.get_latest_versions("kept")} == \
        {"Archived": 1, "Production": 2, "None": 3}
    assert [int(version.version) for version in client.get_latest_versions("kept", ["Production"])] == [2]
    status, answer = mezzo.raw("GET", f"{API}/registered-models/get-latest-versions?name=kept&stages=None&stages=Archived")
    assert status == 200 and sorted(version["version"] for version in answer["model_versions"]) == ["1", "3"]
    status, answer = mezzo.raw("POST", f"{API}/model-versions/transition-stage", {"name": "kept", "version": "1", "stage": "Live"})
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE") and "'Live'" in answer["message"]
    for number in ("1", "2"):
        client.transition_model_version_stage("kept", number, "None")


@pytest.mark.covers("POST /api/2.0/mlflow/model-versions/create")
def test_a_source_is_never_a_path_or_another_server(mezzo, tmp_path):
    client = mezzo.client
    client.create_registered_model("sources")
    secret = tmp_path / "MLmodel"
    secret.write_text("secret")
    for source in (str(tmp_path), f"file://{tmp_path}", "file:///etc", "../../etc", "./model", "model", "http://127.0.0.1:1/x",
                   "https://example.com/model", "s3://bucket/model", "gs://b/m", "dbfs:/m", "mlflow-artifacts://host/runs/1",
                   "mlflow-artifacts:/runs/../x", "mlflow-artifacts:/runs/1/../../x", "mlflow-artifacts:/etc/passwd",
                   "runs:/../x", "models:/sources/1/../2"):
        status, answer = mezzo.raw("POST", f"{API}/model-versions/create", {"name": "sources", "source": source})
        assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), (source, answer)
        assert source[:20] in answer["message"], (source, answer)
    message = refused("INVALID_PARAMETER_VALUE", client.create_model_version, "sources", str(tmp_path), status=400)
    assert "never of a path" in message
    for source in ("runs:/0123456789abcdef0123456789abcdef/model", "models:/m-0123456789abcdef0123456789abcdef",
                   "models:/absent/1", "models:/sources/1", "models:/sources@none"):
        status, answer = mezzo.raw("POST", f"{API}/model-versions/create", {"name": "sources", "source": source})
        assert (status, answer["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST"), (source, answer)
    status, answer = mezzo.raw("POST", f"{API}/model-versions/create", {"name": "absent", "source": "models:/kept/1"})
    assert (status, answer["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    status, answer = mezzo.raw("POST", f"{API}/model-versions/create", {"name": "sources"})
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE") and "'source'" in answer["message"]
    assert client.search_model_versions("name = 'sources'") == []


@pytest.mark.covers("POST /api/2.0/mlflow/logged-models", "GET /api/2.0/mlflow/logged-models/{i}",
                    "PATCH /api/2.0/mlflow/logged-models/{i}", "PATCH /api/2.0/mlflow/logged-models/{i}/tags",
                    "PUT /api/2.0/mlflow-artifacts/artifacts/{p}", "GET /api/2.0/mlflow-artifacts/artifacts/{p}",
                    "GET /api/2.0/mlflow-artifacts/artifacts", "GET /api/2.0/mlflow/model-versions/get-download-uri",
                    "GET /api/3.0/mlflow/server-info")
def test_a_logged_model_is_registered_served_and_fetched_as_it_was(mezzo, tmp_path):
    info = log("served", 0.5, "served")
    assert mezzo.client.get_model_version("served", "1").status == "READY"
    logged = files_of(mlflow.artifacts.download_artifacts(f"models:/{info.model_id}", dst_path=str(tmp_path / "logged")))
    assert {"MLmodel", "model.onnx", "requirements.txt"} <= set(logged)

    # The same bytes by each of its names.
    mezzo.client.set_registered_model_alias("served", "champion", "1")
    assert mezzo.client.get_model_version_download_uri("served", "1") == "mlflow-artifacts:/versions/served/1"
    for name, uri in (("number", "models:/served/1"), ("alias", "models:/served@champion"), ("latest", "models:/served/latest")):
        fetched = files_of(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / name)))
        fetched.pop("registered_model_meta")  # Which the client adds.
        logged.pop("registered_model_meta", None)
        assert fetched == logged
    loaded = mlflow.onnx.load_model("models:/served@champion")
    assert np.array_equal(onnx.numpy_helper.to_array(loaded.graph.initializer[0]), np.full((WIDTH, WIDTH), 0.5, np.float32))

    # The version has exactly those files, was tested like any other, and serves.
    admin = mezzo.admin
    version = admin.ok("GET", "/v1/registry/models/served/versions/1")
    assert sorted(file["path"] for file in version["files"]) == sorted(logged)
    assert admin.ok("GET", "/v1/registry/models/served/versions/1/test")
    assert admin.ok("POST", "/v1/registry/models/served/versions/1/load")["served"] is True
    x = list(range(WIDTH))
    answer = admin.ok("POST", "/v2/models/served/infer", {
        "inputs": [{"name": "x", "shape": [1, WIDTH], "datatype": "FP32", "data": x}]})
    assert answer["outputs"][0]["data"] == [sum(x) * 0.5] * WIDTH
    assert answer["model_version"] == "1"


@pytest.mark.covers("GET /api/2.0/mlflow/experiments/get-by-name", "POST /api/2.0/mlflow/experiments/create",
                    "GET /api/2.0/mlflow/experiments/get", "POST /api/2.0/mlflow/experiments/set-experiment-tag",
                    "POST /api/2.0/mlflow/experiments/search", "GET /api/2.0/mlflow/experiments/search",
                    "POST /api/2.0/mlflow/runs/create", "GET /api/2.0/mlflow/runs/get", "POST /api/2.0/mlflow/runs/update",
                    "POST /api/2.0/mlflow/runs/log-batch", "POST /api/2.0/mlflow/runs/log-metric",
                    "POST /api/2.0/mlflow/runs/log-parameter", "POST /api/2.0/mlflow/runs/set-tag",
                    "POST /api/2.0/mlflow/runs/delete-tag", "POST /api/2.0/mlflow/runs/outputs",
                    "GET /api/2.0/mlflow/metrics/get-history", "POST /api/2.0/mlflow/runs/log-inputs")
def test_what_a_run_says_is_the_lineage_of_its_version(mezzo):
    from mlflow.entities import Dataset, DatasetInput

    client = mezzo.client
    experiment = mlflow.set_experiment("lineage")
    client.set_experiment_tag(experiment.experiment_id, "team", "search")
    assert client.get_experiment(experiment.experiment_id).tags["team"] == "search"
    assert "lineage" in [one.name for one in client.search_experiments()]
    with mlflow.start_run(run_name="trial") as run:
        run_id = run.info.run_id
        mlflow.log_params({"rate": 0.1, "layers": 3})
        mlflow.log_param("seed", 7)
        for step in range(3):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"accuracy": 0.75, "diverged": math.inf})
        mlflow.set_tag("mlflow.source.git.commit", "abc123")
        mlflow.set_tags({"gone": "1", "kept": "2"})
        client.delete_tag(run_id, "gone")
        client.log_inputs(run_id, [DatasetInput(Dataset("faces", "d1", "local", "{}", profile="x" * 20_000))])
        info = log("model", 4.0, "lineage")
    mlflow.set_experiment(experiment_id="0")

    found = client.get_run(run_id)
    assert (found.info.status, found.info.run_name, found.info.experiment_id) == ("FINISHED", "trial", experiment.experiment_id)
    assert found.data.params == {"rate": "0.1", "layers": "3", "seed": "7"}
    assert found.data.metrics["loss"] == pytest.approx(1 / 3) and found.data.metrics["diverged"] == math.inf
    assert [(one.dataset.name, one.dataset.source) for one in found.inputs.dataset_inputs] == [("faces", "{}")]
    assert "gone" not in found.data.tags and found.data.tags["kept"] == "2"
    assert [output.model_id for output in found.outputs.model_outputs] == [info.model_id]
    assert [point.value for point in client.get_metric_history(run_id, "loss")][:3] == [1, 1 / 2, 1 / 3]
    message = refused("INVALID_PARAMETER_VALUE", client.log_param, run_id, "seed", 8)
    assert "seed" in message and client.get_run(run_id).data.params["seed"] == "7"

    version = mezzo.admin.ok("GET", "/v1/registry/models/lineage/versions/1")["lineage"]
    assert (version["run_id"], version["code"], version["data"]) == (run_id, "abc123", "faces@d1")
    assert version["metrics"] == {"accuracy": 0.75, "diverged": "Infinity", "loss": pytest.approx(1 / 3)}
    assert [found.name for found in client.search_model_versions(f"run_id = '{run_id}'")] == ["lineage"]


@pytest.mark.covers("POST /api/2.0/mlflow/runs/search", "POST /api/2.0/mlflow/runs/delete", "POST /api/2.0/mlflow/runs/restore",
                    "POST /api/2.0/mlflow/logged-models/search", "DELETE /api/2.0/mlflow/logged-models/{i}",
                    "DELETE /api/2.0/mlflow/logged-models/{i}/tags/{k}", "POST /api/2.0/mlflow/logged-models/{i}/params",
                    "DELETE /api/2.0/mlflow/model-versions/delete", "DELETE /api/2.0/mlflow-artifacts/artifacts/{p}")
def test_register_model_by_each_uri_and_what_goes_away(mezzo):
    client = mezzo.client
    experiment = mlflow.set_experiment("uris")
    with mlflow.start_run() as run:
        info = log("net", 2.0)
        run_id = run.info.run_id
    mlflow.set_experiment(experiment_id="0")
    by_run = mlflow.register_model(f"runs:/{run_id}/net", "uris", await_registration_for=60 * SLOWNESS)
    by_id = mlflow.register_model(f"models:/{info.model_id}", "uris", await_registration_for=60 * SLOWNESS)
    copied = client.copy_model_version(f"models:/uris/{by_id.version}", "uris-copy")
    assert [client.get_model_version("uris", one.version).status for one in (by_run, by_id)] == ["READY", "READY"]
    digests = {mezzo.admin.ok("GET", f"/v1/registry/models/{name}/versions/{number}")["digest"]
               for name, number in (("uris", by_run.version), ("uris", by_id.version), ("uris-copy", copied.version))}
    assert len(digests) == 1

    found = client.search_logged_models([experiment.experiment_id], filter_string="name = 'net'")
    assert [one.model_id for one in found] == [info.model_id]
    client.log_model_params(info.model_id, {"depth": "9"})
    assert client.get_logged_model(info.model_id).params["depth"] == "9"
    client.set_logged_model_tags(info.model_id, {"a": "1"})
    client.delete_logged_model_tag(info.model_id, "a")
    assert "a" not in client.get_logged_model(info.model_id).tags
    assert [one.info.run_id for one in client.search_runs([experiment.experiment_id])] == [run_id]
    client.delete_run(run_id)
    assert client.search_runs([experiment.experiment_id]) == []
    assert "deleted" in refused("INVALID_PARAMETER_VALUE", client.log_metric, run_id, "late", 1)
    client.restore_run(run_id)
    assert len(client.search_runs([experiment.experiment_id])) == 1

    path = f"{FILES}/models/{info.model_id}"
    assert mezzo.raw("DELETE", f"{path}/requirements.txt")[0] == 200
    assert mezzo.raw("GET", f"{path}/requirements.txt")[0] == 404
    client.delete_logged_model(info.model_id)
    refused("RESOURCE_DOES_NOT_EXIST", client.get_logged_model, info.model_id, status=404)
    client.delete_model_version("uris", by_run.version)
    refused("RESOURCE_DOES_NOT_EXIST", client.get_model_version, "uris", by_run.version)
    # What was registered is whole all the same.
    assert "model.onnx" in os.listdir(mlflow.artifacts.download_artifacts(f"models:/uris/{by_id.version}"))


def test_what_is_no_model_that_can_be_served_is_rejected_with_the_reason(mezzo):
    client = mezzo.client
    with mlflow.start_run() as run:
        mlflow.log_text("nothing", "empty/note.txt")
        mlflow.log_text("flavors: {}", "broken/MLmodel")
        mlflow.log_text("this is no protobuf", "broken/model.onnx")
        artifact_uri = run.info.artifact_uri
    client.create_registered_model("broken")
    message = refused("INVALID_PARAMETER_VALUE", client.create_model_version, "broken", f"{artifact_uri}/empty", run.info.run_id)
    assert "no file MLmodel" in message
    refused("RESOURCE_DOES_NOT_EXIST", client.create_model_version, "broken", f"{artifact_uri}/absent", run.info.run_id)
    assert client.search_model_versions("name = 'broken'") == []
    made = client.create_model_version("broken", f"{artifact_uri}/broken", run.info.run_id, await_creation_for=0)
    deadline = time.monotonic() + 60 * SLOWNESS
    while (now := client.get_model_version("broken", made.version)).status == "PENDING_REGISTRATION":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert now.status == "FAILED_REGISTRATION" and now.status_message
    status, answer = mezzo.raw("POST", f"{API}/registered-models/alias", {"name": "broken", "alias": "x", "version": made.version})
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE") and "rejected" in answer["message"]


def test_paths_of_artifacts_stay_where_they_belong(mezzo):
    with mlflow.start_run() as run:
        run_id = run.info.run_id
        mlflow.log_text("here", "a/b.txt")
    root = f"{FILES}/runs/{run_id}"
    assert mezzo.server.request("GET", f"{root}/a/b.txt", headers={"Authorization": f"Bearer {mezzo.admin.key}"})[2] == b"here"
    bad = ("../x", "a/../../x", "a/%2e%2e/x", "%2e%2e%2fx", "a%2f..%2fx", "..%5cx", "a%5cb", "/etc/passwd", "a//b", "a/", "%00",
           "a%00b", ".hidden", "a/.git/x", "a/b.txt/c", "a" * 300, "caf%C3%A9", "/".join("abcdefghi"), "%252e%252e/x")
    for path in bad:
        for method in ("PUT", "GET", "DELETE"):
            body = b"x" if method == "PUT" else None
            status, _, _ = mezzo.server.request(method, f"{root}/{path}", body, {"Authorization": f"Bearer {mezzo.admin.key}"})
            assert status in (400, 404), (method, path, status)
    status, answer = mezzo.raw("PUT", f"{root}/a", b"x")
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE") and "'a' is both a file and a folder" in answer["message"]
    for path in ("../..", "runs/..", "/etc", "etc", "runs/1/../2", "", "runs"):
        assert mezzo.raw("GET", f"{FILES}?path={path}")[0] == 400, path
    assert [file.path for file in mezzo.client.list_artifacts(run_id, "a")] == ["a/b.txt"]
    listed = mezzo.client.list_artifacts(run_id)
    assert [(file.path, file.is_dir) for file in listed] == [("a", True)]  # Nothing of the above is there.
    status, answer = mezzo.raw("PUT", f"{FILES}/versions/kept/1/MLmodel", b"other")
    assert (status, answer["error_code"]) in ((403, "PERMISSION_DENIED"),) and "never change" in answer["message"]


@pytest.mark.covers("POST /api/2.0/mlflow-artifacts/mpu/create/{p}", "POST /api/2.0/mlflow-artifacts/mpu/complete/{p}",
                    "POST /api/2.0/mlflow-artifacts/mpu/abort/{p}", "PUT /api/2.0/mlflow-artifacts/mpu/parts/{u}/{n}")
def test_large_files_come_in_parts(mezzo, monkeypatch, tmp_path):
    """As the client does it by itself from 500 MiB on, with smaller numbers."""
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", "3000")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", "1000")
    content = os.urandom(10_500)
    (tmp_path / "large.bin").write_bytes(content)
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(tmp_path / "large.bin"), "a/b")
        run_id = run.info.run_id
    fetched = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="a/b/large.bin", dst_path=str(tmp_path / "to"))
    assert open(fetched, "rb").read() == content
    log("parts", 8.0, "parts")  # Its weights have 4 KiB.
    assert mezzo.client.get_model_version("parts", "1").status == "READY"

    mpu, target = "/api/2.0/mlflow-artifacts/mpu", f"runs/{run_id}/c"
    headers = {"Authorization": f"Bearer {mezzo.admin.key}"}

    def begin(parts):
        return mezzo.raw("POST", f"{mpu}/create/{target}", {"path": "/any/where/x.bin", "num_parts": parts})

    def wrong(answer, status, code, text):
        assert (answer[0], answer[1]["error_code"]) == (status, code) and text in answer[1]["message"], answer

    for parts in (0, 10_001):
        wrong(begin(parts), 400, "INVALID_PARAMETER_VALUE", f"not in {parts}")
    wrong(mezzo.raw("POST", f"{mpu}/create/runs/{run_id}", {"path": "/", "num_parts": 1}), 400, "INVALID_PARAMETER_VALUE", "'path'")
    wrong(mezzo.raw("POST", f"{mpu}/create/runs/{'0' * 32}/c", {"path": "x", "num_parts": 1}), 404, "RESOURCE_DOES_NOT_EXIST", "run")
    status, made = begin(2)
    assert status == 200 and [one["part_number"] for one in made["credentials"]] == [1, 2]
    assert made["credentials"][0]["url"].startswith(mezzo.server.http_url + mpu)
    upload = made["upload_id"]

    def put(number, body, key=headers):
        return mezzo.server.request("PUT", f"{mpu}/parts/{upload}/{number}", body, key)

    etags = [put(number, body)[1]["ETag"] for number, body in ((1, b"first"), (2, b"second"))]
    assert put(3, b"x")[0] == put(0, b"x")[0] == 400 and put(1, b"x", {"Authorization": "Bearer mz_wrong"})[0] == 401

    def complete(*parts, path="x.bin"):
        return mezzo.raw("POST", f"{mpu}/complete/{target}", {"path": path, "upload_id": upload, "parts": [
            {"part_number": number, "etag": etag} for number, etag in parts]})

    wrong(complete((1, etags[0])), 400, "INVALID_PARAMETER_VALUE", "has 2 parts, not 1")
    wrong(complete((1, etags[1]), (2, etags[1])), 400, "INVALID_PARAMETER_VALUE", "part 1 is another one")
    wrong(complete((1, etags[0]), (1, etags[1])), 400, "INVALID_PARAMETER_VALUE", "'part_number'")
    wrong(complete((1, etags[0]), (2, etags[1]), path="y.bin"), 404, "RESOURCE_DOES_NOT_EXIST", "y.bin")
    assert complete((1, etags[0]), (2, etags[1])) == (200, {})
    assert mezzo.server.request("GET", f"{FILES}/{target}/x.bin", headers=headers)[2] == b"firstsecond"
    wrong(complete((1, etags[0]), (2, etags[1])), 404, "RESOURCE_DOES_NOT_EXIST", upload)

    upload = begin(1)[1]["upload_id"]
    assert put(1, b"x")[0] == 200
    assert mezzo.raw("POST", f"{mpu}/abort/{target}", {"path": "x.bin", "upload_id": upload}) == (200, {})
    wrong((put(1, b"x")[0], json.loads(put(1, b"x")[2])), 404, "RESOURCE_DOES_NOT_EXIST", upload)
    assert mezzo.server.request("GET", f"{FILES}/{target}/x.bin", headers=headers)[2] == b"firstsecond"


def test_a_file_that_is_too_large_is_refused_before_it_is_read(mezzo):
    with mlflow.start_run() as run:
        path = f"{FILES}/runs/{run.info.run_id}/large.bin"
    headers = {"Authorization": f"Bearer {mezzo.admin.key}", "Content-Length": str((512 << 20) + 1)}
    status, answer = mezzo.raw("PUT", path, b"", headers=headers)
    assert (status, answer["error_code"]) == (413, "RESOURCE_LIMIT_EXCEEDED")
    assert "536870913 bytes; the limit is 536870912" in answer["message"]
    assert mezzo.raw("GET", path)[0] == 404


def test_what_is_not_served_is_an_endpoint_that_is_not_there(mezzo):
    for method, path in (("GET", "/api/2.0/mlflow/nothing"), ("POST", "/api/2.0/mlflow/traces"), ("GET", "/api/2.0/mlflow"),
                         ("GET", "/api/3.0/mlflow/nothing"), ("GET", "/api/2.0/mlflow-artifacts/presigned/x")):
        status, answer = mezzo.raw(method, path, b"{}" if method == "POST" else None)
        assert (status, answer["error_code"]) == (404, "ENDPOINT_NOT_FOUND"), path
    status, headers, text = mezzo.server.request("GET", f"{API}/registered-models/create",
                                                 headers={"Authorization": f"Bearer {mezzo.admin.key}"})
    assert (status, headers["Allow"], json.loads(text)["error_code"]) == (405, "POST", "ENDPOINT_NOT_FOUND")
    for body in (b"{", b"[]", b"5", b'{"name": {"a": 1}}', b'{"name": ""}', b"{}", b'{"name": null}'):
        status, answer = mezzo.raw("POST", f"{API}/registered-models/create", body)
        assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), body


def test_keys_and_tenants(mezzo, monkeypatch):
    """A key as token or as password; who may only read; what another tenant has is unknown."""
    admin, url = mezzo.admin, mezzo.server.http_url
    for tenant in ("red", "green"):
        make_tenant(admin, tenant, platform=True)  # Only their keys may operate.
    make_tenant(admin, "blue")
    red, green = (make_key(admin, tenant, scopes=["operate"]).key for tenant in ("red", "green"))
    blue = make_key(admin, "blue", scopes=["read"]).key
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", red)
    with mlflow.start_run() as run:
        mlflow.log_text("red's", "note.txt")
        info = log("mine", 1.0, "red-model")
    run_id = run.info.run_id
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN")

    client = MlflowClient(url, url)
    refused("UNAUTHENTICATED", client.search_registered_models, status=401)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "anybody")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", red)
    assert client.get_registered_model("red-model").name == "red-model"
    assert client.get_run(run_id).info.run_id == run_id
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", red + "x")
    refused("UNAUTHENTICATED", client.get_registered_model, "red-model", status=401)

    # Everybody's model is seen by all, its files by its own tenant and by operators.
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", blue)
    assert client.get_model_version("red-model", "1").status == "READY"
    assert mezzo.raw("GET", f"{FILES}/versions/red-model/1/MLmodel", key=blue)[1]["error_code"] == "PERMISSION_DENIED"
    # A tenant's own is unknown to others: not even the error tells.
    admin.ok("PATCH", "/v1/registry/models/red-model", {"tenant": "red"})
    message = refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, "red-model", status=404)
    assert message.replace("red-model", "x") == \
        refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, "absent").replace("absent", "x")
    assert client.search_registered_models("name = 'red-model'") == []
    assert client.search_model_versions("name = 'red-model'") == []
    refused("RESOURCE_DOES_NOT_EXIST", client.get_model_version_download_uri, "red-model", "1")
    for call in (lambda: client.create_registered_model("blue-model"), lambda: client.create_run("0")):
        refused("PERMISSION_DENIED", call, status=403)
    # What is tracked is its tenant's alone, whatever a key may do.
    for key in (blue, green):
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", key)
        refused("RESOURCE_DOES_NOT_EXIST", client.get_run, run_id, status=404)
        refused("RESOURCE_DOES_NOT_EXIST", client.get_logged_model, info.model_id, status=404)
        for path in (f"runs/{run_id}/note.txt", f"models/{info.model_id}/MLmodel"):
            assert mezzo.raw("GET", f"{FILES}/{path}", key=key)[0] == 404, path
        for path in (f"runs/{run_id}", f"models/{info.model_id}"):
            assert mezzo.raw("GET", f"{FILES}?path={path}", key=key)[0] == 404, path
    assert mezzo.raw("POST", f"{API}/registered-models/create", {"name": "green-model"}, key=green)[0] == 200
    for source in (f"models:/{info.model_id}", f"runs:/{run_id}", f"mlflow-artifacts:/runs/{run_id}"):
        status, answer = mezzo.raw("POST", f"{API}/model-versions/create", {"name": "green-model", "source": source}, key=green)
        assert (status, answer["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST"), answer
    for method in ("PUT", "DELETE"):
        body = b"green's" if method == "PUT" else None
        status, answer = mezzo.raw(method, f"{FILES}/runs/{run_id}/note.txt", body, key=green)
        assert (status, answer["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert mezzo.server.request("GET", f"{FILES}/runs/{run_id}/note.txt", headers={"Authorization": f"Bearer {red}"})[2] == b"red's"
    # A password works where MLflow's client calls, and nowhere else.
    basic = "Basic " + base64.b64encode(f"x:{admin.key}".encode()).decode()
    assert mezzo.raw("GET", f"{API}/registered-models/search", headers={"Authorization": basic})[0] == 200
    assert mezzo.raw("GET", "/v1/registry/models", headers={"Authorization": basic})[0] == 401


def test_artifacts_that_are_never_registered_go(tmp_path):
    config = CONFIG + "registry: {upload_lifetime: 2s, content_grace: 0s, max_artifacts: 1MiB}\n"
    with Server(config=config, data_dir=str(tmp_path)) as server:
        mezzo = Mezzo(server)
        model = mezzo.raw("POST", f"{API}/logged-models", {"experiment_id": "0", "name": "m"})[1]["model"]["info"]["model_id"]
        root = f"{FILES}/models/{model}"
        assert mezzo.raw("PUT", f"{root}/a.bin", b"a" * (600 << 10))[0] == 200
        status, answer = mezzo.raw("PUT", f"{root}/b.bin", b"b" * (600 << 10))
        assert (status, answer["error_code"]) == (400, "RESOURCE_LIMIT_EXCEEDED") and "1048576" in answer["message"]
        assert mezzo.raw("GET", f"{root}/b.bin")[0] == 404
        headers = {"Authorization": f"Bearer {mezzo.admin.key}"}
        deadline = time.monotonic() + 60 * SLOWNESS
        while server.request("GET", f"{root}/a.bin", headers=headers)[0] != 404:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        # Its room is free again.
        assert mezzo.raw("PUT", f"{root}/b.bin", b"b" * (600 << 10))[0] == 200


def test_what_is_tracked_outlives_a_crash(tmp_path):
    with Server(config=CONFIG, data_dir=str(tmp_path)) as server:
        mezzo = Mezzo(server)
        run = mezzo.raw("POST", f"{API}/runs/create", {"run_name": "r", "tags": [{"key": "a", "value": "1"}]})[1]["run"]["info"]["run_id"]
        mezzo.raw("POST", f"{API}/runs/log-batch", {"run_id": run, "params": [{"key": "p", "value": "2"}],
                                                    "metrics": [{"key": "m", "value": "NaN", "timestamp": 1, "step": 0}]})
        assert mezzo.raw("PUT", f"{FILES}/runs/{run}/f.txt", b"content")[0] == 200
        before = mezzo.raw("GET", f"{API}/runs/get?run_id={run}")
        server.kill()
    with Server(config=CONFIG, data_dir=str(tmp_path)) as server:
        mezzo.server = server
        assert mezzo.raw("GET", f"{API}/runs/get?run_id={run}") == before
        assert before[1]["run"]["data"]["metrics"][0]["value"] == "NaN"
        headers = {"Authorization": f"Bearer {mezzo.admin.key}"}
        assert server.request("GET", f"{FILES}/runs/{run}/f.txt", headers=headers)[2] == b"content"


def test_what_was_registered_stays_and_deleted_runs_go(tmp_path):
    config = CONFIG + "registry: {upload_lifetime: 6s, content_grace: 0s, tests: {enabled: false}}\n"
    with Server(config=config, data_dir=str(tmp_path)) as server:
        mezzo = Mezzo(server)
        headers = {"Authorization": f"Bearer {mezzo.admin.key}"}

        def await_gone(path):
            deadline = time.monotonic() + 60 * SLOWNESS
            while server.request("GET", path, headers=headers)[0] != 404:
                assert time.monotonic() < deadline, path
                time.sleep(0.2)

        def run():
            return mezzo.raw("POST", f"{API}/runs/create", {})[1]["run"]["info"]["run_id"]

        kept, other = run(), run()
        mezzo.raw("POST", f"{API}/registered-models/create", {"name": "kept"})
        assert mezzo.raw("PUT", f"{FILES}/runs/{kept}/m/MLmodel", b"flavors: {}")[0] == 200
        made = mezzo.raw("POST", f"{API}/model-versions/create", {"name": "kept", "source": f"runs:/{kept}/m"})
        assert made[1]["model_version"]["status"] == "READY", made
        assert mezzo.raw("PUT", f"{FILES}/runs/{other}/x", b"never registered")[0] == 200
        await_gone(f"{FILES}/runs/{other}/x")
        file = f"{FILES}/runs/{kept}/m/MLmodel"
        assert server.request("GET", file, headers=headers)[2] == b"flavors: {}"
        assert mezzo.raw("DELETE", f"{API}/model-versions/delete", {"name": "kept", "version": "1"}) == (200, {})
        await_gone(file)

        assert mezzo.raw("POST", f"{API}/runs/delete", {"run_id": other}) == (200, {})
        assert mezzo.raw("GET", f"{API}/runs/get?run_id={other}")[1]["run"]["info"]["lifecycle_stage"] == "deleted"
        await_gone(f"{API}/runs/get?run_id={other}")
        assert mezzo.raw("GET", f"{API}/runs/get?run_id={kept}")[0] == 200
