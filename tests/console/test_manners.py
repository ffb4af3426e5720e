"""What holds in every room: addresses that keep what was chosen, titles, zones, actions done once, what is old says so, and empty rooms that say why."""

import json
import re

import pytest
from conftest import WAIT_MS, Visit
from mezzo_server import Server
from playwright.sync_api import expect
from test_console import heading
from test_tenants import make_key

OVERVIEW = re.compile("/v1/overview/events")


@pytest.fixture(autouse=True)
def patience():
    expect.set_options(timeout=WAIT_MS)


def test_a_filter_stands_in_the_address_and_survives_a_reload_and_the_way_back(visit, house):
    page = visit().sign_in(house.admin.key, "#/models")
    page.get_by_role("searchbox").fill("SIMP")
    expect(page.get_by_role("link", name="identity_fp32")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"#/models\?q=SIMP$"))
    page.reload()
    expect(page.get_by_role("searchbox")).to_have_value("SIMP")
    page.get_by_role("link", name="simple", exact=True).click()
    expect(page).to_have_url(re.compile(r"#/models/simple\?q=SIMP$"))
    expect(page.get_by_role("link", name="identity_fp32")).to_have_count(0)
    page.get_by_role("link", name="Jobs", exact=True).click()
    page.get_by_label("Status").select_option("failed")
    page.get_by_label("Kind").select_option("image")
    expect(page).to_have_url(re.compile(r"#/jobs\?status=failed&kind=image$"))
    page.get_by_role("link", name="Usage", exact=True).click()
    page.get_by_role("radio", name="kind").click()
    page.get_by_label("Measure").select_option("failed")
    page.go_back()
    expect(page.get_by_label("Status")).to_have_value("failed")
    expect(page.get_by_label("Kind")).to_have_value("image")
    page.get_by_label("Status").select_option("")
    expect(page).to_have_url(re.compile(r"#/jobs\?kind=image$"))
    page.go_forward()
    expect(page.get_by_role("radio", name="kind")).to_have_attribute("aria-checked", "true")
    expect(page.get_by_label("Measure")).to_have_value("failed")
    page.goto(f"{house.page}#/jobs?status=nonsense")
    expect(page.get_by_label("Status")).to_have_value("")


def test_every_place_has_a_title_of_its_own(visit, house):
    job = house.admin("POST", "/v1/jobs", {"kind": "inference", "model": "simple", "delay_seconds": 3600, "input": {"inputs": []}})[1]["id"]
    page = visit().sign_in(house.admin.key)
    for place, title in (("overview", "Overview · Mezzo"), ("models/simple", "simple · Models · Mezzo"), ("registry/a%2F1", "a/1 · Registry · Mezzo"),
                         (f"jobs/{job}", f"…{job[-8:]} · Jobs · Mezzo"), ("retirement?stage=warned", "Retirement · Mezzo"), ("nowhere", "Mezzo")):
        page.evaluate(f"location.hash = '#/{place}'")
        expect(page).to_have_title(title)
    house.admin("POST", f"/v1/jobs/{job}/cancel")


def test_times_are_of_the_viewers_zone_which_is_named(visit, house):
    job = house.admin("POST", "/v1/jobs", {"kind": "inference", "model": "simple", "delay_seconds": 3600, "input": {"inputs": []}})[1]
    page = visit(timezone_id="Asia/Shanghai").sign_in(house.admin.key, f"#/jobs/{job['id']}")
    expect(page.get_by_text("Times: Asia/Shanghai (GMT+8)")).to_be_visible()
    at = page.locator("dl time").first
    expect(at).to_have_attribute("datetime", job["created_at"])
    hours = (int(job["created_at"][11:13]) + 8) % 24
    expect(at).to_contain_text(f"{hours:02d}{job['created_at'][13:19]}")
    expect(at).to_have_attribute("title", re.compile(r"2\d{3}.*(GMT\+8|CST)"))
    house.admin("POST", f"/v1/jobs/{job['id']}/cancel")


def test_an_action_is_done_once_however_often_it_is_pressed(visit, house):
    job = house.developer("POST", "/v1/jobs", {"kind": "inference", "model": "delay_short", "delay_seconds": 3600, "input": {"inputs": []}})[1]["id"]
    one = visit()
    page = one.sign_in(house.developer.key, f"#/jobs/{job}")
    told, held = [], []

    def hold(route):
        told.append(route.request.url)
        held.append(route)

    page.route(f"**/v1/jobs/{job}/cancel", hold)
    button = page.get_by_role("button", name="Cancel")
    button.evaluate("(one) => { one.click(); one.click(); one.click(); }")  # Before anything is drawn.
    expect(button).to_be_disabled()
    expect(button).to_have_attribute("aria-busy", "true")
    assert len(told) == 1, told
    held[0].continue_()
    expect(page.get_by_text("cancelled", exact=True)).to_be_visible()
    assert len(told) == 1, told


def test_a_key_that_is_held_down_answers_no_question(visit, house):
    one = visit()
    page = one.sign_in(house.admin.key, "#/models")
    told = []
    page.on("request", lambda request: request.url.endswith("/unload") and told.append(request.url))
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="identity_fp32", exact=True))
    row.get_by_role("button", name="Unload").click()
    yes = page.get_by_role("dialog").get_by_role("button", name="Unload")
    yes.focus()
    yes.evaluate("(one) => one.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', repeat: true, bubbles: true, cancelable: true })) && one.click()")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(row).to_contain_text("ready")
    assert told == []


def test_what_is_old_says_of_when_it_is(visit, house):
    one = visit(timezone_id="UTC")
    page = one.sign_in(house.admin.key, "#/models")
    expect(page.get_by_role("link", name="simple", exact=True)).to_be_visible()
    one.context.set_offline(True)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server does not answer")
    expect(alert).to_contain_text(re.compile(r"What is shown is of .*\d\d:\d\d:\d\d\."))
    expect(page.get_by_role("link", name="simple", exact=True)).to_be_visible()  # It is still there to be read.
    one.context.set_offline(False)
    expect(alert).to_have_count(0)  # By itself.
    # A database that is gone: the server answers, and says what it lacks.
    broken = {"type": "about:blank", "title": "Unavailable", "status": 503, "detail": "the database does not answer"}
    page.route("**/v1/limits?*", lambda route: route.fulfill(status=503, headers={"X-Mezzo-Reason": "database_unavailable", "Retry-After": "5"}, json=broken))
    page.get_by_role("link", name="Limits").click()
    expect(alert).to_contain_text("the database does not answer Again in 5 s.")
    expect(alert).to_contain_text("database_unavailable")
    expect(alert).not_to_contain_text("What is shown is of")  # Nothing is.


def test_an_overview_that_hears_nothing_says_since_when(visit, house):
    one = visit()
    status, _, body = house.server.get("/v1/overview", {"Authorization": f"Bearer {house.admin.key}"})
    assert status == 200
    second = json.loads(body)["latest"]
    asked = []

    def answer(route):
        asked.append(route.request.url)
        if len(asked) > 1:
            return route.abort()
        return route.fulfill(headers={"Content-Type": "text/event-stream"}, body=f"event: overview\ndata: {json.dumps(second)}\n\n")

    one.page.route(OVERVIEW, answer)
    page = one.sign_in(house.admin.key)
    expect(page.get_by_role("alert")).to_contain_text(re.compile(r"The server does not answer.*What is shown is of .*\d\d:\d\d", re.S))
    expect(page.get_by_text("reconnecting…")).to_be_visible()
    page.unroute(OVERVIEW)
    expect(page.get_by_text("live", exact=True)).to_be_visible(timeout=4 * WAIT_MS)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_who_signs_in_again_is_where_they_were(visit, house):
    passing = make_key(house.admin, "acme", scopes=["read"])
    page = visit().sign_in(passing.key, "#/jobs?status=failed")
    heading(page, "Jobs").to_be_visible()
    house.admin.ok("DELETE", f"/v1/tenants/acme/keys/{passing.ok('GET', '/v1/whoami')['key']}")
    expect(page.get_by_role("alert")).to_contain_text("You have been signed out")
    page.get_by_label("API key or token").fill(house.viewer.key)
    page.keyboard.press("Enter")
    heading(page, "Jobs").to_be_visible()
    expect(page.get_by_label("Status")).to_have_value("failed")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_new_server_has_rooms_that_say_why_they_are_empty(browser, tmp_path):
    class Place:
        def __init__(self, server):
            self.page = f"{server.http_url}/console/"

    says = {
        "models": "This server has no models.", "registry": "Nothing is registered.", "releases": "No release yet.", "pipelines": "No pipelines yet.", "pipelines?show=runs": "No runs yet.",
        "drift": "drift.one_in says", "retirement": "No version is being retired, and none is archived.", "jobs": "No jobs yet.", "gallery": "Nothing has been painted yet.",
        "playground": "This server has no model that paints.", "usage": "Nothing was used in this time.", "cache": "No model keeps answers.", "limits": "There are no limits.", "nothing": "There is no such room.",
    }
    with Server(data_dir=str(tmp_path)) as server:
        visit = Visit(browser, Place(server))
        page = visit.page
        page.goto(f"{server.http_url}/console/#/overview")
        heading(page, "Overview").to_be_visible()
        expect(page.get_by_text("No model has been asked yet.")).to_be_visible()
        for room, text in says.items():
            page.evaluate(f"location.hash = '#/{room}'")
            expect(page.locator("main").get_by_text(text)).to_be_visible()
            expect(page.get_by_role("alert")).to_have_count(0)
        visit.close()
