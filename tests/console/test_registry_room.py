"""The room of the registry in a real browser: versions that were tested, one that was rejected, aliases that move, what served when."""

import json
import os
import re
import subprocess
import time

import pytest
import yaml
from conftest import WAIT_MS, Visit, visits
from mezzo_server import BINARY, MODELS, ROOT, SLOWNESS, Server
from playwright.sync_api import expect
from test_console import shoot
from test_tenants import Admin, first_key, make_key, make_tenant


class Shelf:
    """A registry with a model of two good versions and one that was rejected."""

    def __init__(self, server, folder):
        self.server = server
        self.admin = Admin(server, first_key(server))
        make_tenant(self.admin, "acme")
        self.viewer = make_key(self.admin, "acme", scopes=["read"])
        self.page = f"{server.http_url}/console/"
        good = folder / "good"
        good.mkdir()
        (good / "model.onnx").write_bytes((MODELS / "simple" / "1" / "model.onnx").read_bytes())
        (good / "config.pbtxt").write_text((MODELS / "simple" / "config.pbtxt").read_text().replace('name: "simple"\n', "", 1))
        self.push(good, "--tag", "team=search", "--code", "0a1b2c", "--data", "s3://data/2026-11", "--alias", "production")
        (good / "notes.txt").write_text("version two")
        self.push(good, "--tag", "team=search", "--tag", "trained=nightly")
        bad = folder / "bad"
        bad.mkdir()
        (bad / "model.onnx").write_bytes(b"this is no model")
        self.push(bad, fails=True)
        states = {one["version"]: one["state"] for one in self.admin.ok("GET", "/v1/registry/models/ranker/versions")["data"]}
        assert states == {1: "ready", 2: "ready", 3: "rejected"}, states

    def push(self, folder, *args, fails=False):
        done = subprocess.run([BINARY, "model", "push", folder, "--name", "ranker", "--wait", *args, "--url", self.server.http_url], capture_output=True,
                              text=True, timeout=180 * SLOWNESS, env={**os.environ, "MEZZO_API_KEY": self.admin.key}, check=False)
        assert (done.returncode != 0) == fails, (done.stdout, done.stderr)

    def version(self, named):
        return self.admin.ok("GET", f"/v1/registry/models/ranker/versions/{named}")


@pytest.fixture(autouse=True)
def patience():
    expect.set_options(timeout=2 * WAIT_MS)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    with Server(config="artifacts: {min_free: 0}\n", data_dir=str(tmp_path_factory.mktemp("data"))) as server:
        yield Shelf(server, tmp_path_factory.mktemp("folders"))


@pytest.fixture
def visit(browser, shelf):
    with visits(browser, shelf) as begin:
        yield begin


def row_of(page, version):
    return page.get_by_role("table", name="Versions").get_by_role("row").filter(has=page.get_by_role("link", name=str(version), exact=True))


def test_models_are_listed_and_found(visit, shelf):
    for name in ("a_b", "axb"):
        if shelf.admin("GET", f"/v1/registry/models/{name}")[0] == 404:
            shelf.admin.ok("POST", "/v1/registry/models", {"name": name})
    page = visit().sign_in(shelf.admin.key, "#/registry")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="ranker", exact=True))
    expect(row).to_contain_text("production 1")
    page.get_by_role("searchbox").fill("A_B")
    expect(page.get_by_role("link", name="axb", exact=True)).to_have_count(0)  # The underscore is itself.
    expect(page.get_by_role("link", name="a_b", exact=True)).to_be_visible()
    page.get_by_role("searchbox").fill("nothing like it")
    expect(page.get_by_text("No model matches.")).to_be_visible()
    page.get_by_role("searchbox").fill("RANK")
    page.get_by_role("link", name="ranker", exact=True).click()
    expect(page.get_by_role("heading", name="What served when")).to_be_visible()


def test_a_version_shows_what_it_is_and_how_its_test_went(visit, shelf):
    page = visit().sign_in(shelf.admin.key, "#/registry/ranker")
    expect(row_of(page, 1)).to_contain_text("ready")
    expect(row_of(page, 3)).to_contain_text("rejected")
    expect(row_of(page, 3)).to_contain_text(shelf.version(3)["reason"])
    expect(row_of(page, 3).get_by_role("button")).to_have_count(0)
    row_of(page, 1).get_by_role("link", name="1", exact=True).click()
    main = page.locator("main")
    known = shelf.version(1)
    for text in (known["digest"], "0a1b2c", "s3://data/2026-11", "team search", "production", "model.onnx", "config.pbtxt"):
        expect(main).to_contain_text(text)
    report = shelf.admin.ok("GET", "/v1/registry/models/ranker/versions/1/test")
    table = page.get_by_role("table", name="Test on arrival")
    assert report["verdict"] == "passed" and len(report["checks"]) > 3
    expect(table.get_by_role("row")).to_have_count(len(report["checks"]) + 1)
    for check in report["checks"]:
        row = table.get_by_role("row").filter(has=page.get_by_text(check["name"], exact=True))
        expect(row).to_contain_text(check["outcome"])
        for measured in check.get("measured", {}):
            expect(row).to_contain_text(measured)
    shoot(page, "version")

    page.evaluate("location.hash = '#/registry/ranker%2F3'")
    expect(page.get_by_role("note")).to_contain_text(shelf.version(3)["reason"])
    expect(page.get_by_role("table", name="Test on arrival")).to_contain_text("failed")
    expect(page.get_by_role("button", name="Load")).to_have_count(0)


def test_an_alias_is_moved_and_removed_and_the_timeline_remembers(visit, shelf):
    page = visit().sign_in(shelf.admin.key, "#/registry/ranker")
    page.get_by_label("Alias", exact=True).fill("staging")
    page.locator("main form select").select_option("2")
    page.get_by_role("button", name="Point it there").click()
    expect(row_of(page, 2)).to_contain_text("staging")
    assert shelf.version("staging")["version"] == 2
    page.locator("main form select").select_option("1")
    page.get_by_role("button", name="Point it there").click()
    expect(row_of(page, 1)).to_contain_text("staging")
    assert shelf.version("staging")["version"] == 1
    lane = page.get_by_role("img", name=re.compile("^staging: "))
    expect(lane).to_have_accessible_name(re.compile(r"^staging: 2, .*; 1, "))
    assert lane.locator(".lane-span").count() == 2

    page.get_by_role("button", name="Remove alias staging").click()
    expect(page.get_by_role("dialog")).to_contain_text("Remove the alias staging of ranker?")
    page.get_by_role("dialog").get_by_role("button", name="Remove alias staging").click()
    expect(row_of(page, 1)).not_to_contain_text("staging")
    assert shelf.admin("GET", "/v1/registry/models/ranker/versions/staging")[0] == 404
    page.get_by_text(re.compile(r"^All changes \(")).click()
    expect(page.get_by_role("table", name=re.compile("^All changes"))).to_contain_text("alias_deleted")


def test_a_wrong_alias_is_refused_in_the_servers_words(visit, shelf):
    page = visit().sign_in(shelf.admin.key, "#/registry/ranker")
    page.get_by_label("Alias", exact=True).fill("latest")
    page.get_by_role("button", name="Point it there").click()
    expect(page.get_by_role("alert")).to_contain_text("registry_alias_reserved")
    assert shelf.admin.ok("GET", "/v1/registry/models/ranker")["aliases"] == {"production": 1}


def test_a_version_is_loaded_serves_and_can_be_released(visit, shelf):
    page = visit().sign_in(shelf.admin.key, "#/registry/ranker")
    row_of(page, 2).get_by_role("button", name="Load").click()
    expect(row_of(page, 2)).to_contain_text("served here")
    served = shelf.admin.ok("GET", "/v1/registry/served")["data"]
    assert [(one["model"], one["version"], one["ready"]) for one in served] == [("ranker", 2, True)]
    expect(page.get_by_role("img", name=re.compile("^version 2 served: 2, "))).to_be_visible()
    row_of(page, 2).get_by_role("button", name="Unload").click()
    expect(row_of(page, 2)).not_to_contain_text("served here")
    assert shelf.admin.ok("GET", "/v1/registry/served")["data"] == []
    row_of(page, 2).get_by_role("button", name="Load").click()
    expect(row_of(page, 2)).to_contain_text("served here")
    shelf.admin.ok("PUT", "/v1/routes/ranker", {"stable": "2"})
    expect(page.get_by_role("img", name="Split of the calls: stable 2: 100%")).to_be_visible()
    shoot(page, "registry")
    row_of(page, 1).get_by_role("link", name="Release").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Begin a release")
    expect(page.get_by_label("Model", exact=True)).to_have_value("ranker")
    expect(page.get_by_label("New version", exact=True)).to_have_value("1")
    page.evaluate("location.hash = '#/registry/ranker%2F2'")
    page.get_by_role("button", name="Unload").click()
    expect(page.get_by_role("alert")).to_contain_text("version_in_use")  # Its route names it.
    assert [one["version"] for one in shelf.admin.ok("GET", "/v1/registry/served")["data"]] == [2]


DRIFT = {
    "object": "drift", "model": "ranker", "version": 1, "threshold": 0.25, "drifted_since": "2026-11-23T05:00:00Z", "told": True,
    "tensors": [
        {"name": "INPUT0", "direction": "input", "calls": 640, "psi": 1.75, "ks": 0.61, "not_finite": 3,
         "reference": {"source": "first calls", "calls": 1000, "made_at": "2026-11-22T05:00:00Z"},
         "histogram": {"edges": [0, 1, 2], "reference": [100, 500, 300, 100], "now": [10, 30, 100, 500]}},
        {"name": "OUTPUT0", "direction": "output", "calls": 640, "psi": None, "ks": None, "not_finite": 0,
         "reference": {"source": "version 2", "calls": 1000, "made_at": "2026-11-22T05:00:00Z"}},
    ],
}


def test_drift_is_drawn_and_taken_as_the_new_reference(visit, shelf):
    """Of answers as the contract has them; the test below holds them against it, and test_drift_room.py has a server that sees drift."""
    one = visit()
    told = []

    def answer(route):
        path = route.request.url.split("/v1/drift")[1]
        if route.request.method == "POST":
            told.append(path)
            return route.fulfill(json={"object": "drift.reset", "model": "ranker", "version": 1})
        return route.fulfill(json=DRIFT if path == "/ranker/1" else {"object": "list", "data": [DRIFT]})

    one.page.route(re.compile("/v1/drift"), answer)
    page = one.sign_in(shelf.admin.key, "#/registry/ranker%2F1")
    expect(page.get_by_text(re.compile("drifts since"))).to_be_visible()
    drawn = page.get_by_role("img", name="INPUT0: PSI 1.75, KS 0.61")
    heights = drawn.locator("span").evaluate_all("all => all.map((one) => parseFloat(one.style.height))")
    shares = [count / sum(counts) for pair in zip([100, 500, 300, 100], [10, 30, 100, 500]) for count, counts in zip(pair, ([100, 500, 300, 100], [10, 30, 100, 500]))]
    assert heights == pytest.approx([100 * share / max(shares) for share in shares], abs=0.01)
    expect(page.get_by_text("3 values are not finite.")).to_be_visible()
    expect(page.locator(".tensor").nth(1)).to_contain_text("too few calls")
    page.get_by_role("button", name="New reference").click()
    expect(page.get_by_role("dialog")).to_contain_text("become what all later ones are held against")
    assert told == []
    page.get_by_role("dialog").get_by_role("button", name="New reference").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    deadline = time.monotonic() + 30 * SLOWNESS
    while told != ["/ranker/1/reset"]:
        assert time.monotonic() < deadline, told
        page.wait_for_timeout(50)
    page.evaluate("location.hash = '#/registry/ranker%2F2'")
    expect(page.get_by_role("heading", name="Test on arrival")).to_be_visible()
    expect(page.get_by_role("heading", name="Drift")).to_have_count(0)  # Nobody looks at version 2.


def test_what_is_played_is_what_the_contract_says():
    schemas = yaml.safe_load((ROOT / "schema" / "openapi.yaml").read_text())["components"]["schemas"]
    assert set(schemas["Drift"]["required"]) == set(DRIFT)
    tensor = schemas["DriftTensor"]
    assert set(tensor["required"]) == set(DRIFT["tensors"][1]) and set(tensor["properties"]) == set(DRIFT["tensors"][0])
    assert set(tensor["properties"]["histogram"]["required"]) == set(DRIFT["tensors"][0]["histogram"])


def test_who_reads_sees_everything_and_changes_nothing(visit, shelf):
    page = visit().sign_in(shelf.viewer.key, "#/registry/ranker")
    expect(row_of(page, 1)).to_contain_text("ready")
    expect(page.get_by_text("Read only")).to_be_visible()
    expect(page.locator("main").get_by_role("button")).to_have_count(0)
    expect(page.get_by_role("heading", name="Route")).to_have_count(0)  # Which needs the scope observe.
    page.get_by_role("link", name="Releases").click()
    expect(page.get_by_text("This needs the scope “observe”")).to_be_visible()


def test_a_version_is_retired_and_comes_back_and_one_in_use_is_not(visit, shelf, tmp_path):
    (tmp_path / "model.onnx").write_bytes((MODELS / "simple" / "1" / "model.onnx").read_bytes())
    (tmp_path / "notes.txt").write_text("nobody needs it")
    shelf.push(tmp_path)
    number = shelf.version("latest")["version"]
    page = visit().sign_in(shelf.admin.key, f"#/registry/ranker%2F{number}")
    page.get_by_role("button", name="Retire").click()
    expect(page.get_by_role("dialog")).to_contain_text(f"Version {number} of ranker gets no new calls")
    assert shelf.version(number)["retirement"] == "serving", "asking changes nothing"
    page.get_by_role("dialog").get_by_role("button", name="Retire").click()
    expect(page.locator(".page-head")).to_contain_text(re.compile("draining|archiving|retired"))
    assert shelf.version(number)["retirement"] in ("draining", "archiving", "archived")
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_role("button", name="Restore")).to_have_count(0)
    assert (shelf.version(number)["state"], shelf.version(number)["retirement"]) == ("ready", "serving")

    page.evaluate("location.hash = '#/registry/ranker%2Fproduction'")
    page.get_by_role("button", name="Retire").click()
    page.get_by_role("dialog").get_by_role("button", name="Retire").click()
    expect(page.get_by_role("alert")).to_contain_text("version_in_use")
    assert shelf.version("production")["retirement"] == "serving"


def test_the_room_of_retirement_shows_what_leaves_and_takes_it_back(visit, shelf, tmp_path):
    (tmp_path / "model.onnx").write_bytes((MODELS / "simple" / "1" / "model.onnx").read_bytes())
    (tmp_path / "notes.txt").write_text("on its way")
    shelf.push(tmp_path)
    number = shelf.version("latest")["version"]
    page = visit().sign_in(shelf.admin.key, "#/retirement")
    shelf.admin.ok("POST", f"/v1/registry/models/ranker/versions/{number}/retire")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="ranker", exact=True)).filter(has=page.get_by_role("cell", name=str(number), exact=True))
    expect(row).to_contain_text("draining")  # Without a reload.
    (known,) = [one for one in shelf.admin.ok("GET", "/v1/registry/retirements")["data"] if one["version"] == number]
    assert known["stage"] == "draining"
    expect(row.locator("time").nth(0)).to_have_attribute("datetime", known["since"])
    expect(row.locator("time").nth(1)).to_have_attribute("datetime", known["next_at"])
    expect(row).to_contain_text("by hand")
    page.get_by_label("Stage").select_option("warned")
    expect(page).to_have_url(re.compile(r"#/retirement\?stage=warned$"))
    expect(page.get_by_text("No version matches.")).to_be_visible()
    page.get_by_label("Stage").select_option("draining")
    reader = visit().sign_in(shelf.viewer.key, "#/retirement")
    expect(reader.get_by_role("link", name="ranker", exact=True)).to_be_visible()
    expect(reader.get_by_role("button", name="Restore")).to_have_count(0)
    if os.environ.get("CONSOLE_SCREENSHOTS"):
        page.get_by_label("Stage").select_option("")
        shoot(page, "retirement")
    page.get_by_role("button", name=f"Restore version {number} of ranker").click()
    expect(row).to_have_count(0)
    assert (shelf.version(number)["state"], shelf.version(number)["retirement"]) == ("ready", "serving")


def test_lineage_names_who_when_and_the_parent_it_came_from(visit, shelf):
    made = shelf.admin.ok("POST", "/v1/registry/models/ranker/versions", {"lineage": {"source": "s3://models/there", "parent": 1, "code": "git:9f8e", "data": "s3://data/x", "metrics": {"auc": 0.93461111}}})
    page = visit().sign_in(shelf.viewer.key, f"#/registry/ranker%2F{made['version']}")
    panel = page.locator("section.panel").filter(has=page.get_by_role("heading", name="Where it comes from"))
    for text in ("git:9f8e", "s3://data/x", "auc 0.935", made["created_by"]):
        expect(panel).to_contain_text(text)
    expect(panel.locator("time")).to_have_attribute("datetime", made["created_at"])
    panel.get_by_role("link", name="1", exact=True).click()
    expect(page).to_have_url(re.compile("#/registry/ranker%2F1$"))
    shelf.admin.ok("DELETE", f"/v1/registry/models/ranker/versions/{made['version']}")


def test_what_is_not_there_says_so(visit, shelf):
    page = visit().sign_in(shelf.admin.key, "#/registry/nothing")
    expect(page.get_by_role("alert")).to_contain_text("registry_model_unknown")
    page.evaluate("location.hash = '#/registry/ranker%2F99'")
    expect(page.get_by_role("alert")).to_contain_text("registry_version_unknown")


def test_phones_and_chinese(visit, shelf):
    phone = visit(viewport={"width": 390, "height": 800}, locale="zh-CN", color_scheme="dark").sign_in(shelf.admin.key, "#/registry/ranker")
    for place, seen in (("#/registry/ranker", "何时由谁服务"), ("#/registry/ranker%2F1", "到达测试"), ("#/registry/ranker%2F3", "到达测试")):
        phone.evaluate(f"location.hash = '{place}'")
        expect(phone.get_by_role("heading", name=seen)).to_be_visible()
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, place
    phone.evaluate("location.hash = '#/registry'")
    expect(phone.get_by_role("link", name="ranker", exact=True)).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_an_empty_registry_and_none_at_all(browser, tmp_path):
    class Place:
        def __init__(self, server):
            self.page = f"{server.http_url}/console/"

    with Server(data_dir=str(tmp_path)) as server:
        visit = Visit(browser, Place(server))
        page = visit.page
        page.goto(f"{server.http_url}/console/#/registry")
        expect(page.get_by_text("Nothing is registered")).to_be_visible()
        page.get_by_role("link", name="Releases").click()
        expect(page.get_by_text("No release yet")).to_be_visible()
        # A server without the parts answers as it does for every unknown address.
        unknown = json.loads(server.get("/v1/nothing-of-the-kind")[2])
        assert unknown["error"]["code"] == "unknown_url"
        for room, text in (("registry", "This server has no registry"), ("releases", "This server has no database"), ("pipelines", "This server runs no pipelines")):
            page.route(f"**/v1/{'registry/models' if room == 'registry' else room}?*",
                       lambda route: route.fulfill(status=404, json=unknown, headers={"X-Mezzo-Reason": "unknown_url"}))
            page.goto("about:blank")
            page.goto(f"{server.http_url}/console/#/{room}")
            expect(page.get_by_text(text)).to_be_visible()
        visit.close()
