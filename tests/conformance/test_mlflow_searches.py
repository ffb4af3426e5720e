"""MLflow's own client searches runs and experiments; what it must find, MLflow's own SearchUtils says."""

import json
import math
import random
import threading

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.utils.search_utils import SearchUtils
from test_mlflow import API, Mezzo, mezzo, no_run_is_left, refused  # noqa: F401: fixtures
from test_tenants import make_key, make_tenant

STATUSES = ("RUNNING", "FINISHED", "FAILED")


def make_run(client, experiment, name, start=0, status="FINISHED", end=None, metrics=None, params=None, tags=None):
    run = client.create_run(experiment, start_time=start, run_name=name, tags=tags).info.run_id
    client.log_batch(run, [Metric(key, value, 1, 0) for key, value in (metrics or {}).items()],
                     [Param(key, value) for key, value in (params or {}).items()])
    if status != "RUNNING":
        client.set_terminated(run, status, end_time=end)
    return run


def paged(search, **kwargs):
    """All of it, by pages of different sizes, each within its limit."""
    found, token, size = [], None, 1
    while True:
        page = search(max_results=size, page_token=token, **kwargs)
        assert len(page) <= size
        found += list(page)
        token, size = page.token, size % 7 + 2
        if not token:
            return found
        assert page, "a page that is not the last is not empty"


@pytest.fixture(scope="module")
def zoo(mezzo):
    """An experiment with runs of every kind: (its id, all runs)."""
    client, dice = mezzo.client, random.Random(6)
    experiment = client.create_experiment("zoo")
    for number in range(40):
        metrics = {key: dice.choice([dice.uniform(-1, 1), 0.5, 0.0, math.nan, math.inf, -math.inf, 1e-300, 1e300])
                   for key in ("acc", "val loss", "x/y") if dice.random() < 0.75}
        params = {key: dice.choice(["cnn", "CNN", "cnn_2", "it's", "50%", "", "[a-z]*?"])
                  for key in ("model", "the rate") if dice.random() < 0.75}
        tags = {key: dice.choice(["a", "b", "Ab", "a_b", 'q"q']) for key in ("team", "a.b") if dice.random() < 0.7}
        start = dice.choice([1000, 2000, 3000, 4000, 5000 + number])
        make_run(client, experiment, dice.choice(["red", "Red", "green one", "b_ue"]), start, dice.choice(STATUSES),
                 start + dice.choice([0, 7, 500]), metrics, params, tags)
    runs = list(client.search_runs([experiment], max_results=100))
    assert len(runs) == 40
    return experiment, runs


def some_filter(dice, runs):
    text = lambda value: "'" + value.replace("'", "''") + "'" if "'" not in value else f'"{value}"'
    sign = lambda: dice.choice(["=", "!=", "<", "<=", ">", ">="])
    words = ["cnn", "CNN", "cnn_2", "it's", "50%", "a", "Ab", "red", "Red", "RUNNING", "FINISHED", "%", "c%", "%n%", "_ed", "a_b", "RED%", ""]

    def piece():
        kind = dice.randrange(8)
        if kind <= 1:
            key = dice.choice(["metrics.acc", "metric.`val loss`", 'metrics."x/y"', "metrics.none"])
            return f"{key} {sign()} {dice.choice(['0.5', '0', '-0.25', '1e-300', '.5', '1E3', '-1'])}"
        if kind <= 3:
            key = dice.choice(["params.model", "parameter.`the rate`", "tags.team", "tag.`a.b`", "params.none"])
            if dice.random() < 0.3:
                return f"{key} {dice.choice(['IS NULL', 'IS NOT NULL'])}"
            return f"{key} {dice.choice(['=', '!=', 'LIKE', 'ILIKE'])} {text(dice.choice(words))}"
        if kind == 4:
            return f"attributes.status {dice.choice(['=', '!='])} '{dice.choice(STATUSES)}'"
        if kind == 5:
            return f"{dice.choice(['run_name', 'attribute.run_name'])} {dice.choice(['=', '!=', 'LIKE', 'ILIKE'])} {text(dice.choice(words))}"
        if kind == 6:
            ids = ", ".join(f"'{run.info.run_id}'" for run in dice.sample(runs, dice.randint(1, 20)))
            return f"attributes.run_id {dice.choice(['IN', 'NOT IN'])} ({ids})"
        return f"{dice.choice(['start_time', 'attributes.end_time'])} {sign()} {dice.choice([1000, 2007, 3000, 4500])}"

    return " and ".join(piece() for _ in range(dice.choice([1, 1, 2, 2, 3])))


def some_order(dice):
    keys = ["metrics.acc", "metrics.`val loss`", "metrics.none", "params.model", "params.`the rate`", "tags.team", "attributes.status",
            "attributes.run_name", "start_time", "attributes.end_time", "attributes.run_id"]
    return [key + dice.choice(["", " ASC", " DESC"]) for key in dice.sample(keys, dice.choice([0, 1, 1, 2, 3]))]


@pytest.mark.covers("POST /api/2.0/mlflow/runs/search")
@pytest.mark.parametrize("seed", range(4))
def test_runs_are_found_and_ordered_as_mlflow_does(mezzo, zoo, seed):
    experiment, runs = zoo
    dice = random.Random(seed)
    found_some = 0
    for _ in range(60):
        filter_string, order_by = some_filter(dice, runs), some_order(dice)
        wanted = SearchUtils.sort(SearchUtils.filter(runs, filter_string), order_by)
        found = mezzo.client.search_runs([experiment], filter_string, order_by=order_by, max_results=100)
        # Texts are ordered as the database does, numbers and times exactly.
        exact = not any(key.startswith(("params", "tags", "attributes.run_name", "attributes.status")) for key in order_by)
        names = lambda some: [run.info.run_id for run in some]
        assert sorted(names(found)) == sorted(names(wanted)), filter_string
        if exact:
            assert names(found) == names(wanted), (filter_string, order_by)
        found_some += 0 < len(found) < len(runs)
    assert found_some > 20, "filters that say nothing test nothing"


@pytest.mark.parametrize("seed", range(3))
def test_pages_are_the_whole_once(mezzo, zoo, seed):
    experiment, runs = zoo
    dice = random.Random(100 + seed)
    for _ in range(8):
        order_by = some_order(dice)
        whole = mezzo.client.search_runs([experiment], order_by=order_by, max_results=100)
        pages = paged(mezzo.client.search_runs, experiment_ids=[experiment], order_by=order_by)
        assert [run.info.run_id for run in pages] == [run.info.run_id for run in whole] and len(whole) == len(runs), order_by


def test_a_run_that_comes_between_two_pages_moves_nothing(mezzo):
    client = mezzo.client
    experiment = client.create_experiment("pages")
    made = [make_run(client, experiment, f"r{number}", start=number, metrics={"m": number}) for number in range(6)]
    search = lambda token: client.search_runs([experiment], order_by=["metrics.m DESC"], max_results=2, page_token=token)
    first = search(None)
    make_run(client, experiment, "better", start=99, metrics={"m": 99})
    client.delete_run(made[4])  # It was on the first page.
    second, third = (page := search(first.token)), search(page.token)
    assert [run.info.run_id for page in (first, second, third) for run in page] == made[::-1]
    assert not third.token


def test_what_the_client_does_with_searches(mezzo, zoo):
    """search_runs as a table, over all experiments; the best of a few; a filter by name."""
    experiment, runs = zoo
    table = mlflow.search_runs(experiment_names=["zoo"], filter_string="metrics.acc >= 0", order_by=["metrics.acc DESC"])
    wanted = [run.info.run_id for run in SearchUtils.sort(SearchUtils.filter(runs, "metrics.acc >= 0"), ["metrics.acc DESC"])]
    assert list(table["run_id"]) == wanted and len(wanted) > 3
    assert set(table["experiment_id"]) == {experiment}
    everything = mlflow.search_runs(search_all_experiments=True, filter_string="tags.team = 'a'", output_format="list")
    assert {run.info.run_id for run in runs if run.data.tags.get("team") == "a"} <= {run.info.run_id for run in everything}
    assert [one.name for one in mlflow.search_experiments(filter_string="name = 'zoo'")] == ["zoo"]
    # A run is found by the name that it has now.
    client = mezzo.client
    run = make_run(client, experiment, "first name")
    client.set_tag(run, "mlflow.runName", "second name")
    assert client.get_run(run).info.run_name == "second name"
    client.update_run(run, name="third name")
    assert [found.info.run_id for found in client.search_runs([experiment], "run_name = 'third name'")] == [run]
    # Of a metric only the last step counts, whatever came last.
    client.log_batch(run, [Metric("late", value, 1, step) for step, value in ((0, 1.0), (2, 5.0), (1, 9.0))])
    client.log_metric(run, "late", 7.0, step=1)
    assert client.search_runs([experiment], "metrics.late > 5") == []
    assert [found.data.metrics["late"] for found in client.search_runs([experiment], "metrics.late = 5")] == [5.0]
    client.delete_run(run)


def test_deleted_runs_are_seen_by_those_who_ask(mezzo):
    client = mezzo.client
    experiment = client.create_experiment("views")
    kept, gone = (make_run(client, experiment, name) for name in ("kept", "gone"))
    client.delete_run(gone)
    names = lambda view: sorted(run.info.run_name for run in client.search_runs([experiment], run_view_type=view))
    assert (names(ViewType.ACTIVE_ONLY), names(ViewType.DELETED_ONLY), names(ViewType.ALL)) == (["kept"], ["gone"], ["gone", "kept"])
    assert client.get_run(gone).info.lifecycle_stage == "deleted"
    for call in (lambda: client.update_run(gone, name="other"), lambda: client.set_terminated(gone, "FAILED"),
                 lambda: client.delete_tag(gone, "mlflow.runName"), lambda: client.set_tag(gone, "a", "b")):
        assert f"the run '{gone}' is deleted" in refused("INVALID_PARAMETER_VALUE", call, status=400)
    client.restore_run(gone)
    assert client.get_run(gone).info.status == "FINISHED"
    assert names(ViewType.ACTIVE_ONLY) == ["gone", "kept"] and names(ViewType.DELETED_ONLY) == []
    assert client.search_runs([]) == [] and kept


def test_what_a_search_cant_do_is_said_exactly(mezzo, zoo):
    experiment, _ = zoo
    search = lambda **kwargs: mezzo.client.search_runs([experiment], **kwargs)
    for filter_string, message in (
            ("metrics.acc LIKE 'x'", "the filter, character 13: expected =, !=, <, <=, > or >=, got 'LIKE'"),
            ("metrics.acc > 'x'", "the filter, character 15: expected a number, got 'x'"),
            ("metrics.acc > 1 OR metrics.acc < 0", "the filter, character 17: expected AND or an end, got 'OR'"),
            ("params.model > '1'", "the filter, character 14: expected =, !=, LIKE, ILIKE, IS NULL or IS NOT NULL, got '>'"),
            ("datasets.name = 'x'", "the filter, character 1: expected metrics.<key>, params.<key>, tags.<key>, run_id, run_name, status, "
                                    "user_id, start_time or end_time, got 'datasets'"),
            ("attributes.nothing = 'x'", "got 'nothing'"),
            ("params.model = 'x'; DROP TABLE tracking_runs", "the filter, character 19: expected AND or an end, got ';'"),
            ("params.model LIKE '" + "x" * 257 + "'", "is longer than 256 bytes"),
            ("params.model LIKE 'x\\'", "ends in a backslash"),
            (" AND ".join(["metrics.a > 1"] * 11), "a filter has at most 10 comparisons"),
            ("x" * 4097, "the filter has 4097 bytes; the limit is 4096")):
        assert message in refused("INVALID_PARAMETER_VALUE", search, filter_string=filter_string, status=400), filter_string
    for order_by, message in ((["metrics.acc sideways"], "order_by, character 13: expected ASC, DESC or an end, got 'sideways'"),
                              (["dataset.name"], "got 'dataset'"), (["run_id"] * 2, "order_by has 'run_id' twice"),
                              ([f"metrics.m{i}" for i in range(9)], "order_by has 9 columns; the limit is 8")):
        assert message in refused("INVALID_PARAMETER_VALUE", search, order_by=order_by, status=400), order_by
    token = search(max_results=1, order_by=["metrics.acc"]).token
    for other, order_by in ((token, ["params.model"]), (token, []), ("x", []), ("bm8=", []), ("W10=", []), ("WzEsMl0=", [])):
        message = refused("INVALID_PARAMETER_VALUE", search, page_token=other, order_by=order_by, status=400)
        assert message.endswith("is not where a page of this search ends") and f"'{other[:64]}" in message
    status, answer = mezzo.raw("POST", f"{API}/runs/search", {"experiment_ids": [experiment], "run_view_type": "SOME"})
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE") and "got 'SOME'" in answer["message"]
    for asked in (0, 50_001):
        status, answer = mezzo.raw("POST", f"{API}/runs/search", {"experiment_ids": [experiment], "max_results": asked})
        assert status == 400 and f"'max_results' must be 1 to 50000, got {asked}" in answer["message"]
    # Values are values.
    for nasty in ("' OR '1'='1", "x'; DROP TABLE tracking_runs; --", "$1", "%s", "\\", "\x01"):
        assert mezzo.client.search_runs([experiment], "params.model = '" + nasty.replace("'", "''") + "'") == []


@pytest.mark.covers("POST /api/2.0/mlflow/experiments/update", "POST /api/2.0/mlflow/experiments/delete",
                    "POST /api/2.0/mlflow/experiments/restore", "POST /api/2.0/mlflow/experiments/delete-experiment-tag")
def test_experiments_are_renamed_deleted_and_restored(mezzo):
    client = mezzo.client
    experiment = client.create_experiment("before", tags={"team": "a"})
    early, run = make_run(client, experiment, "early"), make_run(client, experiment, "run")
    client.rename_experiment(experiment, "after")
    assert client.get_experiment_by_name("before") is None
    assert client.get_experiment_by_name("after").experiment_id == experiment
    client.rename_experiment(experiment, "after")
    client.create_experiment("taken")
    for name in ("taken", "Default"):
        assert f"'{name}'" in refused("RESOURCE_ALREADY_EXISTS", client.rename_experiment, experiment, name, status=400)
    assert "has 251 bytes" in refused("INVALID_PARAMETER_VALUE", client.rename_experiment, experiment, "x" * 251, status=400)
    assert client.get_experiment(experiment).name == "after"
    client.delete_experiment_tag(experiment, "team")
    assert client.get_experiment(experiment).tags == {}
    assert "'team'" in refused("RESOURCE_DOES_NOT_EXIST", client.delete_experiment_tag, experiment, "team", status=404)

    client.delete_run(early)
    client.delete_experiment(experiment)
    assert client.get_experiment(experiment).lifecycle_stage == "deleted"
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    assert client.search_runs([experiment]) == []
    deleted = f"the experiment {experiment} is deleted"
    for call in (lambda: client.delete_experiment(experiment), lambda: client.rename_experiment(experiment, "x"),
                 lambda: client.set_experiment_tag(experiment, "a", "b"), lambda: client.delete_experiment_tag(experiment, "a"),
                 lambda: client.create_run(experiment), lambda: client.restore_run(run),
                 lambda: mlflow.initialize_logged_model("m", experiment_id=experiment)):
        assert deleted in refused("INVALID_PARAMETER_VALUE", call, status=400)
    assert "which is deleted" in refused("RESOURCE_ALREADY_EXISTS", client.create_experiment, "after", status=400)
    assert "deleted" in refused("INVALID_PARAMETER_VALUE", client.log_metric, run, "m", 1, status=400)
    client.restore_experiment(experiment)
    assert client.get_experiment(experiment).lifecycle_stage == "active"
    # What was deleted by itself stays so.
    assert [(one.info.run_id, one.info.lifecycle_stage) for one in client.search_runs([experiment])] == [(run, "active")]
    assert client.get_run(early).info.lifecycle_stage == "deleted"
    assert "is not deleted" in refused("INVALID_PARAMETER_VALUE", client.restore_experiment, experiment, status=400)
    client.log_metric(run, "m", 1)

    for call, what in ((lambda: client.delete_experiment("0"), "deleted"), (lambda: client.rename_experiment("0", "x"), "renamed")):
        assert f"can't be {what}" in refused("INVALID_PARAMETER_VALUE", call, status=400)
    refused("INVALID_PARAMETER_VALUE", client.restore_experiment, "0")
    for call in (client.delete_experiment, client.restore_experiment, lambda id: client.rename_experiment(id, "x")):
        assert "999999" in refused("RESOURCE_DOES_NOT_EXIST", call, "999999", status=404)
    client.set_experiment_tag("0", "team", "all")
    assert client.get_experiment("0").tags == {"team": "all"}
    client.delete_experiment_tag("0", "team")


@pytest.mark.covers("POST /api/2.0/mlflow/experiments/search", "GET /api/2.0/mlflow/experiments/search")
def test_experiments_are_found_by_filters(mezzo):
    client = mezzo.client
    made = {name: client.create_experiment(name, tags={"team": team, "any key": "it's"} if team else {})
            for name, team in (("seek-a", "x"), ("seek-b", "y"), ("Seek-C", "x"), ("seek-d", None))}
    names = lambda text, **kwargs: [one.name for one in client.search_experiments(filter_string=text, **kwargs)]
    assert names("name LIKE 'seek-%'") == ["seek-d", "seek-b", "seek-a"]  # The newest first.
    assert names("name ILIKE 'SEEK-%'", order_by=["creation_time ASC"]) == ["seek-a", "seek-b", "Seek-C", "seek-d"]
    assert names("name LIKE 'seek-%' AND name != 'seek-b'", order_by=["name DESC"]) == ["seek-d", "seek-a"]
    assert names("name ILIKE 'seek-%' AND tags.team = 'x'", order_by=["experiment_id"]) == ["seek-a", "Seek-C"]
    assert names("name LIKE 'seek-%' AND tags.team != 'x'") == ["seek-b"]
    assert names("name LIKE 'seek-%' AND tags.team IS NULL") == ["seek-d"]
    assert names("tags.`any key` = 'it''s' AND tags.team IS NOT NULL", order_by=["experiment_id DESC"]) == ["Seek-C", "seek-b", "seek-a"]
    assert names(f"experiment_id IN ('{made['seek-a']}', '{made['seek-b']}')", order_by=["name"]) == ["seek-a", "seek-b"]
    assert names(f"experiment_id = '{made['seek-d']}'") == ["seek-d"]
    assert names("name = 'Default'") == ["Default"] and names("name LIKE 'seek-%' AND name = 'Default'") == []
    created = client.get_experiment(made["seek-b"]).creation_time
    assert "seek-b" in names(f"creation_time = {created}") and "seek-b" not in names(f"creation_time > {created}")
    before = client.get_experiment(made["seek-a"]).last_update_time
    client.set_experiment_tag(made["seek-a"], "touched", "1")
    assert client.get_experiment(made["seek-a"]).last_update_time >= before
    assert names("name LIKE 'seek-%'", order_by=["last_update_time DESC"])[0] == "seek-a"
    client.delete_experiment(made["seek-b"])
    assert names("name LIKE 'seek-%'", view_type=ViewType.DELETED_ONLY) == ["seek-b"]
    assert names("name LIKE 'seek-%'", view_type=ViewType.ALL) == ["seek-d", "seek-b", "seek-a"]
    assert names("name LIKE 'seek-%'") == ["seek-d", "seek-a"]

    for order_by in ([], ["name"], ["creation_time"], ["last_update_time DESC", "name"], ["experiment_id"]):
        whole = [one.experiment_id for one in client.search_experiments(order_by=order_by)]
        found = paged(client.search_experiments, order_by=order_by)
        assert [one.experiment_id for one in found] == whole and len(whole) == len(set(whole)) and "0" in whole, order_by
    status, answer = mezzo.raw("GET", f"{API}/experiments/search?filter=name%20LIKE%20%27seek-%25%27&order_by=name&max_results=1")
    assert status == 200 and [one["name"] for one in answer["experiments"]] == ["seek-a"] and answer["next_page_token"]
    for text, message in (("metrics.a > 1", "expected name, experiment_id, creation_time, last_update_time or tags.<key>, got 'metrics'"),
                          ("experiment_id LIKE '1'", "expected =, !=, IN or NOT IN, got 'LIKE'"),
                          ("experiment_id = 'x'", "expected the number of an experiment in quotes, got 'x'"),
                          ("creation_time > 1.5", "expected a whole number, got '1.5'")):
        assert message in refused("INVALID_PARAMETER_VALUE", names, text, status=400), text
    assert "got 'tags'" in refused("INVALID_PARAMETER_VALUE", names, "", order_by=["tags.team"], status=400)
    assert "is not where a page" in refused("INVALID_PARAMETER_VALUE", names, "", page_token="bm8=", status=400)


@pytest.mark.covers("POST /api/2.0/mlflow/runs/log-batch", "GET /api/2.0/mlflow/metrics/get-history")
def test_batches_have_limits_and_histories_pages(mezzo):
    run = mezzo.client.create_run("0").info.run_id
    metrics = [{"key": "m", "value": number, "timestamp": number, "step": number} for number in range(1001)]
    pairs = lambda count: [{"key": f"k{number}", "value": "v"} for number in range(count)]
    for name, entries, limit in (("metrics", metrics, 1000), ("params", pairs(101), 100), ("tags", pairs(101), 100)):
        other = {"params": pairs(1)} if name != "params" else {"tags": pairs(1)}
        status, answer = mezzo.raw("POST", f"{API}/runs/log-batch", {"run_id": run, name: entries, **other})
        assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        assert answer["message"] == f"'{name}' has {limit + 1} entries; the limit is {limit}"
    data = mezzo.client.get_run(run).data
    assert (data.metrics, data.params, "k0" in data.tags) == ({}, {}, False)  # Nothing of them was taken.
    assert mezzo.raw("POST", f"{API}/runs/log-batch", {"run_id": run, "metrics": metrics[:1000], "params": pairs(100),
                                                       "tags": pairs(100)}) == (200, {})
    assert mezzo.client.get_run(run).data.metrics == {"m": 999}
    found, token = [], ""
    while True:
        status, page = mezzo.raw("GET", f"{API}/metrics/get-history?run_id={run}&metric_key=m&max_results=300{token}")
        assert status == 200 and len(page["metrics"]) <= 300
        found += [point["step"] for point in page["metrics"]]
        if not page.get("next_page_token"):
            break
        token = f"&page_token={page['next_page_token']}"
    assert found == list(range(1000))
    assert [point.step for point in mezzo.client.get_metric_history(run, "m")] == list(range(1000))
    # A parameter that has another value: nothing of the batch is taken.
    status, answer = mezzo.raw("POST", f"{API}/runs/log-batch", {
        "run_id": run, "metrics": [{"key": "new", "value": 1, "timestamp": 1}], "params": [{"key": "k0", "value": "w"}]})
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE") and "'k0' is 'v' already" in answer["message"]
    assert "new" not in mezzo.client.get_run(run).data.metrics


def test_many_who_log_at_once_lose_nothing(mezzo):
    run = mezzo.client.create_run("0").info.run_id
    failed = []

    def log(worker):
        try:
            for step in range(20):
                mezzo.client.log_batch(run, [Metric("shared", worker * 100 + step, 1, worker * 100 + step), Metric(f"own{worker}", step, 1, step)])
        except Exception as error:  # noqa: BLE001: told below
            failed.append(error)

    threads = [threading.Thread(target=log, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert mezzo.client.get_run(run).data.metrics == {"shared": 319, **{f"own{worker}": 19 for worker in range(4)}}
    assert len(mezzo.client.get_metric_history(run, "shared")) == 80


def test_a_tenant_sees_nothing_of_anothers(mezzo, monkeypatch):
    url = mezzo.server.http_url
    keys = {}
    for tenant in ("north", "south"):
        make_tenant(mezzo.admin, tenant, platform=True)
        keys[tenant] = make_key(mezzo.admin, tenant, scopes=["operate"]).key
    client = MlflowClient(url, url)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", keys["north"])
    experiment = client.create_experiment("norths", tags={"secret": "s"})
    run = make_run(client, experiment, "norths", metrics={"m": 1}, params={"p": "1"}, tags={"t": "1"})
    in_default = make_run(client, "0", "norths too", metrics={"m": 1})
    client.set_experiment_tag("0", "norths", "1")

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", keys["south"])
    for view in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL):
        for filter_string in ("", "metrics.m = 1", "params.p = '1'", "params.p IS NULL", "tags.t = '1'", f"run_id IN ('{run}', '{in_default}')"):
            assert client.search_runs([experiment, "0"], filter_string, view, order_by=["metrics.m"]) == []
        for filter_string in ("name = 'norths'", "tags.secret = 's'", "tags.norths = '1'", f"experiment_id = '{experiment}'"):
            assert client.search_experiments(view, filter_string=filter_string) == []
    assert [one.name for one in client.search_experiments(ViewType.ALL)] == ["Default"]
    assert client.get_experiment("0").tags == {} and client.get_experiment_by_name("norths") is None
    for call in (client.get_experiment, client.delete_experiment, client.restore_experiment, client.create_run,
                 lambda id: client.rename_experiment(id, "mine"), lambda id: client.set_experiment_tag(id, "a", "b"),
                 lambda id: client.delete_experiment_tag(id, "secret")):
        message = refused("RESOURCE_DOES_NOT_EXIST", call, experiment, status=404)
        assert message.replace(experiment, "#") == refused("RESOURCE_DOES_NOT_EXIST", call, "987654", status=404).replace("987654", "#")
    for call in (client.get_run, client.delete_run, client.restore_run, lambda id: client.log_metric(id, "m", 5),
                 lambda id: client.get_metric_history(id, "m"), lambda id: client.set_tag(id, "t", "x"), lambda id: client.delete_tag(id, "t")):
        refused("RESOURCE_DOES_NOT_EXIST", call, run, status=404)
    client.create_experiment("norths")  # Names are each tenant's own.

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", keys["north"])
    assert client.get_experiment(experiment).tags == {"secret": "s"} and client.get_experiment("0").tags == {"norths": "1"}
    kept = client.get_run(run)
    assert (kept.data.metrics, kept.data.params, kept.data.tags["t"], kept.info.lifecycle_stage) == ({"m": 1}, {"p": "1"}, "1", "active")
    token = client.search_runs([experiment, "0"], max_results=1).token
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", keys["south"])
    assert client.search_runs([experiment, "0"], page_token=token) == []
    assert json.dumps(mezzo.raw("POST", f"{API}/runs/search", {"experiment_ids": [experiment]}, key=keys["south"])[1]) == '{"runs": []}'
