"""Rooms of a server with 1,000 models of 5 versions and 200 tenants: paged and searched by the server, and never more rows than a page has."""

import concurrent.futures
import shutil

import pytest
from conftest import WAIT_MS, Visit
from mezzo_server import MODELS, Server
from playwright.sync_api import expect
from test_tenants import Admin, first_key, make_key, make_tenant

COUNT, VERSIONS, TENANTS = 1000, 5, 200
PAGE = 100


class Crowd:
    def __init__(self, server):
        from test_usage import BODY

        self.server = server
        self.admin = Admin(server, first_key(server))
        self.page = f"{server.http_url}/console/"
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(self.register, range(COUNT)))
            list(pool.map(lambda number: self.call(number, BODY), range(TENANTS)))

    def register(self, number):
        name = f"model-{number:04d}"
        self.admin.ok("POST", "/v1/registry/models", {"name": name, "tags": {"team": f"t{number % 7}"}})
        for _ in range(VERSIONS):
            self.admin.ok("POST", f"/v1/registry/models/{name}/versions", {"lineage": {"source": "s3://models/there"}})

    def call(self, number, body):
        tenant = f"tenant-{number:03d}"
        make_tenant(self.admin, tenant)
        key = make_key(self.admin, tenant, scopes=["infer"]).key
        for _ in range(1 + number // 50):
            assert self.server.request("POST", "/v2/models/simple/infer", body, {"Authorization": f"Bearer {key}"})[0] == 200


@pytest.fixture(autouse=True)
def patience():
    expect.set_options(timeout=2 * WAIT_MS)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(MODELS / "simple", folder / "simple")
    for number in range(COUNT):
        shutil.copytree(MODELS / "simple", folder / f"plain-{number:04d}", copy_function=lambda source, target: None if source.endswith(".pbtxt") else shutil.copy(source, target))
    config = "models: {control: explicit, startup: [simple]}\n"
    with Server(models=folder, config=config, data_dir=str(tmp_path_factory.mktemp("data"))) as server:
        yield Crowd(server)


@pytest.fixture
def one(browser, crowd):
    visit = Visit(browser, crowd)
    yield visit
    visit.close()


def rows(page, name):
    return page.get_by_role("table", name=name, exact=True).locator("tbody tr")


def test_the_registry_is_paged_and_searched_by_the_server(one, crowd):
    page = one.sign_in(crowd.admin.key, "#/registry")
    expect(rows(page, "Registry")).to_have_count(PAGE)
    expect(page.get_by_role("navigation", name="Pages")).to_contain_text("1 to 100")
    expect(page.get_by_role("button", name="Back")).to_be_disabled()
    for number in range(1, COUNT // PAGE):
        page.get_by_role("button", name="Next").click()
        expect(page.get_by_role("navigation", name="Pages")).to_contain_text(f"{number}01 to {'1,000' if number == 9 else f'{number + 1}00'}")
        expect(page.get_by_role("link", name=f"model-{number}00".replace("model-", "model-0"), exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    page.get_by_role("button", name="Back").click()
    expect(page.get_by_role("link", name="model-0800", exact=True)).to_be_visible()
    page.get_by_role("searchbox").fill("EL-0777")
    expect(rows(page, "Registry")).to_have_count(1)
    expect(page.get_by_role("navigation", name="Pages")).to_have_count(0)
    page.get_by_role("link", name="model-0777").click()
    expect(rows(page, "Versions")).to_have_count(VERSIONS)
    asked = [address for address in one.requested if "/v1/registry/models?" in address]
    assert asked and all(f"limit={PAGE}" in address for address in asked)


def test_the_room_of_models_draws_a_page_at_a_time(one, crowd):
    page = one.sign_in(crowd.admin.key, "#/models")
    expect(rows(page, "Models")).to_have_count(PAGE)
    expect(page.get_by_role("navigation", name="Pages")).to_contain_text("1 to 100 of 1,001")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("link", name="plain-0100", exact=True)).to_be_visible()
    page.get_by_role("searchbox").fill("simple")
    expect(rows(page, "Models")).to_have_count(1)
    page.get_by_role("searchbox").fill("plain-09")
    expect(page.get_by_role("link", name="plain-0900", exact=True)).to_be_visible()
    expect(rows(page, "Models")).to_have_count(PAGE)


def test_the_usage_of_200_tenants_is_legible(one, crowd):
    page = one.sign_in(crowd.admin.key, "#/usage")
    expect(page.get_by_role("navigation", name="Pages")).to_contain_text(f"1 to 50 of {TENANTS}", timeout=4 * WAIT_MS)
    expect(rows(page, "Usage")).to_have_count(50)
    expect(page.locator(".u-legend .u-series")).to_have_count(7)  # Time, five names, the others.
    expect(page.locator(".u-legend")).to_contain_text("others")
    expect(page.locator("tfoot")).to_contain_text("Total")
    for _ in range(TENANTS // 50 - 1):
        page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    page.get_by_label("Measure").select_option("device_ms")
    expect(page.get_by_role("navigation", name="Pages")).to_contain_text("1 to 50")  # Another order begins with its first page.
