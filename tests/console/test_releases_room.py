"""The rooms of releases and routes in a real browser, with versions that differ, calls that come, and a server that decides."""

import json
import os
import re
import sys
import threading
import time

import pytest
from conftest import WAIT_MS, visits
from mezzo_server import ROOT, SLOWNESS, Server
from playwright.sync_api import expect
from test_console import heading, shoot

sys.path.insert(0, str(ROOT / "tests" / "releases"))

from test_release import LOOSE, SOURCE  # noqa: E402
from test_tenants import Admin, first_key, make_key  # noqa: E402

PYTHON = {"PATH": "/usr/bin:/bin"}
STEPS = [{"weight": 2000, "min_duration_s": 2, "min_calls": 20}, {"weight": 5000, "min_duration_s": 2, "min_calls": 20}, {"weight": 10000}]
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}).encode()


class Ward:
    """A server of one model with versions 1 (good), 2 (good) and 3 (raises at every third call)."""

    def __init__(self, server, model):
        self.server, self.model = server, model
        self.admin = Admin(server, first_key(server))
        self.observer = make_key(self.admin, "platform", scopes=["observe"])
        self.page = f"{server.http_url}/console/"

    def fresh(self, stable="1"):
        """No release that runs, and all calls at the stable version."""
        for one in self.admin.ok("GET", f"/v1/releases?model={self.model}")["data"]:
            if one["state"] in ("preparing", "running", "paused", "promoting", "settling"):
                self.admin.ok("POST", f"/v1/releases/{one['id']}/roll_back", {})
        self.admin.ok("PUT", f"/v1/routes/{self.model}", {"stable": stable})

    def start(self, candidate, **more):
        spec = {"model": self.model, "candidate": str(candidate), "steps": STEPS, "settle_s": 60, "analysis": LOOSE, **more}
        return self.admin.ok("POST", "/v1/releases", spec)["id"]

    def state(self, release):
        return self.admin.ok("GET", f"/v1/releases/{release}")

    def await_state(self, release, *states, seconds=120):
        deadline = time.monotonic() + seconds * SLOWNESS
        while (now := self.state(release))["state"] not in states:
            assert time.monotonic() < deadline, now
            time.sleep(0.1)
        return now

    def route(self):
        return self.admin.ok("GET", f"/v1/routes/{self.model}")

    def infer(self):
        status, headers, text = self.server.request("POST", f"/v2/models/{self.model}/infer", BODY, {"Authorization": f"Bearer {self.admin.key}"}, 60)
        return status, json.loads(text).get("model_version"), headers.get("X-Mezzo-Route")


class Calls:
    """Calls without an end while it lasts; what failed of them."""

    def __init__(self, ward, pause=0.005):
        self.failures, self._stop = [], threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ward, pause), daemon=True)

    def _run(self, ward, pause):
        while not self._stop.wait(pause):
            answer = ward.infer()
            if answer[0] != 200:
                self.failures.append(answer)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._stop.set()
        self._thread.join(60 * SLOWNESS)


@pytest.fixture(autouse=True)
def patience():
    expect.set_options(timeout=2 * WAIT_MS)


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for version in (1, 2, 3):
        (folder / "ranker" / str(version)).mkdir(parents=True)
        (folder / "ranker" / str(version) / "model.py").write_text(SOURCE.format(version=version))
    (folder / "ranker" / "model.yaml").write_text("versions: {policy: all}\nbatching: {max_batch_size: 0}\n")
    with Server(models=folder, env=PYTHON, data_dir=str(tmp_path_factory.mktemp("data"))) as server:
        yield Ward(server, "ranker")


@pytest.fixture
def visit(browser, ward):
    with visits(browser, ward) as begin:
        yield begin


def rollback_button(page):
    return page.locator("main").get_by_role("button", name="Roll back", exact=True)


def test_the_rollback_button_changes_the_route_and_says_so(visit, ward):
    ward.fresh()
    release = ward.start(2, automatic=False)
    with Calls(ward) as calls:
        ward.await_state(release, "running")
        page = visit().sign_in(ward.admin.key, f"#/releases/{release}")
        bar = page.get_by_role("img", name=re.compile("Split of the calls"))
        expect(bar).to_have_accessible_name("Split of the calls: stable 1: 60%, baseline 1: 20%, canary 2: 20%")
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        before = ward.route()
        assert {arm["version"] for arm in before["route"]["split"]["arms"]} == {"1", "2"}

        rollback_button(page).click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("All calls of ranker go back to version 1, on every host within a second")
        expect(dialog).to_contain_text("Version 2 gets no further call")
        yes = dialog.get_by_role("button", name="Roll back now")
        expect(yes).to_be_focused()
        assert ward.route()["revision"] == before["revision"], "asking changes nothing"
        page.keyboard.press("Enter")
        result = page.locator(".outcome")
        expect(result).to_contain_text("Rolled back in")
        expect(result).to_contain_text("all calls go to version 1")
        route = ward.route()
        assert route["revision"] > before["revision"] and route["route"]["stable"] == "1"
        assert {arm["version"] for arm in route["route"].get("split", {}).get("arms", [{"version": "1"}])} == {"1"}
        expect(result).to_contain_text(f"revision {route['revision']}")
        expect(bar).to_have_accessible_name("Split of the calls: stable 1: 100%")
        expect(rollback_button(page)).to_have_count(0)
        assert all(ward.infer()[1] == "1" for _ in range(20))
    assert not calls.failures, calls.failures[:3]
    took = re.search(r"Rolled back in ([\d.,]+) (µs|ms|s)", result.inner_text())
    seconds = float(took[1].replace(",", "")) * {"µs": 1e-6, "ms": 1e-3, "s": 1}[took[2]]
    assert seconds < 5 * SLOWNESS  # One second on a machine of its own: bench/suites/releases.py measures that.


def test_the_room_follows_a_release_step_by_step_without_a_reload(visit, ward):
    ward.fresh()
    with Calls(ward):
        page = visit().sign_in(ward.admin.key, "#/releases")
        release = ward.start(2)
        row = page.get_by_role("row").filter(has_text="1 → 2").first
        expect(row).to_contain_text(re.compile("preparing|running"))
        row.get_by_role("link").click()
        bar = page.get_by_role("img", name=re.compile("Split of the calls"))
        expect(bar).to_have_accessible_name(re.compile("canary 2: 50%"), timeout=120_000 * SLOWNESS)
        expect(page.locator(".steps [aria-current=step]")).to_contain_text("50%")
        expect(bar).to_have_accessible_name(re.compile("canary 2: 100%|stable 2: 100%"), timeout=120_000 * SLOWNESS)
        expect(page.locator("main")).to_contain_text("settling", timeout=60_000 * SLOWNESS)
        # All that happened stands there, oldest first.
        timeline = page.locator(".timeline")
        for kind in ("preparing", "running", "promoting", "settling"):
            expect(timeline.get_by_text(kind, exact=True).first).to_be_visible()
        ward.await_state(release, "settling", "succeeded")
    assert page.url.endswith(release)


def test_a_bad_version_is_rolled_back_and_the_evidence_shows_why(visit, ward):
    ward.fresh()
    with Calls(ward) as calls:
        release = ward.start(3, steps=[{"weight": 5000, "min_duration_s": 120, "min_calls": 20}, {"weight": 10000}])
        page = visit().sign_in(ward.admin.key, f"#/releases/{release}")
        ended = ward.await_state(release, "rolled_back", seconds=180)
        expect(page.locator("main")).to_contain_text("rolled back")
        expect(page.locator(".release-reason")).to_contain_text(ended["reason"])
        expect(rollback_button(page)).to_have_count(0)
    assert not calls.failures, calls.failures[:3]
    looks = ward.admin.ok("GET", f"/v1/releases/{release}/evidence")["data"]
    assert looks, "what it was rolled back for is kept"
    for metric in looks[-1]["verdict"]["evidence"]:
        expect(page.locator("main")).to_contain_text(metric["sentence"])
    panel = page.locator(".evidence").filter(has_text=re.compile("^Error rate"))
    assert panel.locator("canvas").count() == 2, "the rates, and p against its line"
    errors = next(one for one in looks[-1]["verdict"]["evidence"] if one["metric"] == "error_rate")
    expect(panel.get_by_role("img", name=re.compile(r"Error rate: new version"))).to_be_visible()
    expect(panel.get_by_role("img", name=re.compile(r"Error rate: p .*, rolled back at"))).to_be_visible()
    expect(panel).to_contain_text("worse" if errors["crossed"] else "no difference shown")
    expect(page.get_by_role("heading", name="Guardrails")).to_be_visible()
    # What is drawn is what was measured: some pixel of the canary's line has its color.
    assert panel.locator("canvas").first.evaluate("""canvas => {
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        let drawn = 0;
        for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200 && data[i] > 140 && data[i + 2] < 90) drawn++;
        return drawn;
    }""") > 5


def test_a_release_is_begun_paused_resumed_promoted_and_taken_back_by_hand(visit, ward):
    ward.fresh()
    page = visit().sign_in(ward.admin.key, "#/releases/new")
    heading_text = page.get_by_role("heading", level=1)
    expect(heading_text).to_contain_text("Begin a release")
    page.get_by_label("Model", exact=True).fill("ranker")
    page.get_by_label("New version", exact=True).fill("2")
    page.get_by_label("Steps").fill("10, 100")
    page.get_by_label("Moves on by itself").uncheck()
    page.get_by_role("button", name="Begin a release").click()
    expect(page).to_have_url(re.compile(r"#/releases/[0-9a-f-]{36}$"))
    release = page.url.rsplit("/", 1)[1]
    spec = ward.state(release)["spec"]
    assert (spec["model"], spec["candidate"], spec["stable"], spec["automatic"]) == ("ranker", "2", "1", False)
    assert [step["weight"] for step in spec["steps"]] == [1000, 10000]

    main = page.locator("main")
    main.get_by_role("button", name="Pause").click()
    expect(page.locator(".outcome")).to_contain_text("Paused in")
    assert ward.state(release)["state"] == "paused"
    main.get_by_role("button", name="Go on").click()
    expect(main.get_by_role("button", name="Pause")).to_be_visible()
    assert ward.state(release)["state"] == "running"
    main.get_by_role("button", name="Promote").click()
    expect(page.get_by_role("dialog")).to_contain_text("before the tests are done")
    page.get_by_role("dialog").get_by_role("button", name="Promote now").click()
    expect(page.locator(".outcome")).to_contain_text("all calls go to version 2")
    assert ward.route()["route"]["stable"] == "1", "the old version stays warm"
    assert ward.state(release)["state"] == "settling"
    rollback_button(page).click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert ward.state(release)["state"] == "settling", "closing the question changes nothing"
    rollback_button(page).click()
    page.keyboard.press("Enter")
    expect(page.locator(".outcome")).to_contain_text("Rolled back in")
    assert ward.state(release)["state"] == "rolled_back"
    assert ward.infer()[1] == "1"


@pytest.mark.parametrize("field,value,label,said", [
    ("New version", "two", "New version", "candidate must be a version's number, not 'two'"),
    ("New version", "1", "New version", "candidate and stable are the same version"),
    ("Steps", "50, 25", "Steps", "the weights of steps must grow from step to step, up to 10000"),
    ("Steps", "", "Steps", "steps must be 1 to 20"),
    ("Steps", "many, 100", "Steps", "'weight' of a step must be a whole number"),
    ("Calls a step, at least", "0", "Calls a step, at least", "min_calls of a step must be 1 to 100000000"),
])
def test_the_servers_words_stand_at_the_field(visit, ward, field, value, label, said):
    ward.fresh()
    before = ward.route()["revision"]
    page = visit().sign_in(ward.admin.key, "#/releases/new/ranker/2")
    expect(page.get_by_label("Model", exact=True)).to_have_value("ranker")
    page.get_by_label(field, exact=True).or_(page.get_by_label(re.compile(f"^{field}"))).first.fill(value)
    page.get_by_role("button", name="Begin a release").click()
    refused = page.locator(".refused")
    expect(refused.get_by_role("alert")).to_contain_text(said)
    expect(refused.get_by_role("alert")).to_contain_text("release_spec")
    expect(refused.get_by_label(re.compile(f"^{label}"))).to_have_attribute("aria-invalid", "true")
    assert ward.route()["revision"] == before
    assert not [one for one in ward.admin.ok("GET", "/v1/releases?model=ranker")["data"] if one["state"] in ("preparing", "running")]


def test_two_releases_of_one_model_are_refused_at_the_model(visit, ward):
    ward.fresh()
    release = ward.start(2, automatic=False)
    page = visit().sign_in(ward.admin.key, "#/releases/new/ranker/3")
    page.get_by_role("button", name="Begin a release").click()
    expect(page.locator(".refused").get_by_role("alert")).to_contain_text(f"has a release already that has not ended: '{release}'")
    ward.admin.ok("POST", f"/v1/releases/{release}/cancel", {})


def test_an_experiment_names_its_winner(visit, ward):
    ward.fresh()
    page = visit().sign_in(ward.admin.key, "#/releases/new/ranker")
    page.get_by_role("radio", name="experiment").click()
    page.get_by_label("Arms, one in each line").fill("old 1 50\nnew 2 40")
    page.get_by_role("button", name="Begin a release").click()
    expect(page.locator(".refused").get_by_role("alert")).to_contain_text("sum to 9000, not to 10000")
    page.get_by_label("Arms, one in each line").fill("old 1 50\nnew 2 50")
    page.get_by_role("button", name="Begin a release").click()
    bar = page.get_by_role("img", name=re.compile("Split of the calls"))
    expect(bar).to_have_accessible_name(re.compile("old 1: 50%, new 2: 50%"))
    page.locator("main").get_by_role("button", name="Promote").click()
    page.get_by_label("The arm that wins").select_option("new")
    page.get_by_role("dialog").get_by_role("button", name="Promote now").click()
    expect(page.locator(".outcome")).to_contain_text("Promoted in")
    release = page.url.rsplit("/", 1)[1]
    assert ward.state(release)["winner"] == "2"


def test_the_room_asks_where_no_stream_is_to_be_had(visit, ward):
    ward.fresh()
    release = ward.start(2, automatic=False)
    ward.await_state(release, "running")
    one = visit()
    busy = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "64 watchers already", "error": {"code": "releases_busy"}}
    one.page.route("**/watch", lambda route: route.fulfill(status=503, json=busy, headers={"X-Mezzo-Reason": "releases_busy"}))
    page = one.sign_in(ward.admin.key, f"#/releases/{release}")
    expect(page.get_by_role("img", name=re.compile("canary 2: 20%"))).to_be_visible()
    expect(page.get_by_text("live", exact=True)).to_have_count(0)
    ward.admin.ok("POST", f"/v1/releases/{release}/roll_back", {})
    expect(page.get_by_role("img", name="Split of the calls: stable 1: 100%")).to_be_visible()
    expect(rollback_button(page)).to_have_count(0)


def test_who_only_observes_has_no_buttons(visit, ward):
    ward.fresh()
    release = ward.start(2, automatic=False)
    ward.await_state(release, "running")
    page = visit().sign_in(ward.observer.key, f"#/releases/{release}")
    expect(page.get_by_text("Read only")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("canary 2: 20%"))).to_be_visible()
    for name in ("Roll back", "Promote", "Pause", "Cancel"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    page.evaluate("location.hash = '#/releases/new'")
    expect(page.get_by_text("This needs the scope “operate”")).to_be_visible()
    ward.admin.ok("POST", f"/v1/releases/{release}/cancel", {})


def test_a_release_that_is_not_there_says_so(visit, ward):
    page = visit().sign_in(ward.admin.key, "#/releases/0193e000-0000-7000-8000-000000000000")
    expect(page.get_by_role("alert")).to_contain_text("release_missing")


def test_a_route_shows_its_rules_and_goes_back_to_a_revision(visit, ward):
    ward.fresh()
    first = ward.route()["revision"]
    ward.admin.ok("PUT", "/v1/routes/ranker?why=trial", {
        "stable": "1", "rules": [{"header": "x-beta", "equals": "yes", "version": "2"}], "shadows": [{"version": "3", "share": 100}],
        "split": {"sticky": "tenant", "salt": "s", "arms": [{"name": "stable", "version": "1", "weight": 7000}, {"name": "blue", "version": "2", "weight": 3000}]}})
    page = visit().sign_in(ward.admin.key, "#/models/ranker")
    expect(page.get_by_role("img", name="Split of the calls: stable 1: 70%, blue 2: 30%")).to_be_visible()
    main = page.locator("main")
    for text in ("x-beta: yes → 2", "1% → 3", "tenant"):
        expect(main).to_contain_text(text)
    page.get_by_text(re.compile(r"^The latest \d+ revisions")).click()
    expect(main).to_contain_text("trial")
    page.get_by_role("button", name=f"Go back to revision {first}", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("stable 1: 100%")
    page.get_by_role("dialog").get_by_role("button", name=f"Go back to revision {first}").click()
    expect(page.get_by_role("img", name="Split of the calls: stable 1: 100%")).to_be_visible()
    now = ward.route()
    assert now["route"] == {"stable": "1"} and now["revision"] == first + 2 and now["why"] == f"back to revision {first}"


def test_the_keyboard_is_enough_to_roll_back(visit, ward):
    ward.fresh()
    release = ward.start(2, automatic=False)
    ward.await_state(release, "running")
    page = visit().sign_in(ward.admin.key)
    heading(page, "Overview").to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("r")
    heading(page, "Releases").to_be_visible()
    expect(page.get_by_role("row").nth(1)).to_be_visible()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "row-link":
            break
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(release))
    expect(rollback_button(page)).to_be_visible()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "big-danger":
            break
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.locator(".outcome")).to_contain_text("Rolled back in")
    assert ward.state(release)["state"] == "rolled_back"


def test_a_held_key_and_a_double_click_roll_back_once(visit, ward):
    ward.fresh()
    release = ward.start(2, automatic=False)
    ward.await_state(release, "running")
    page = visit().sign_in(ward.admin.key, f"#/releases/{release}")
    told, held = [], []
    page.route(f"**/v1/releases/{release}/roll_back", lambda route: (told.append(route.request.url), held.append(route)))
    rollback_button(page).focus()
    page.keyboard.down("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    for _ in range(5):
        page.keyboard.down("Enter")  # Still the same one: a browser repeats it.
    expect(dialog).to_be_visible()
    assert told == [] and ward.state(release)["state"] == "running"
    page.keyboard.up("Enter")
    dialog.get_by_role("button", name="Roll back now").evaluate("(one) => { one.click(); one.click(); }")
    expect(dialog).to_have_count(0)
    expect(rollback_button(page)).to_be_disabled()
    assert len(told) == 1, told
    held[0].continue_()
    expect(page.get_by_role("status").filter(has_text="Rolled back in")).to_be_visible()
    assert len(told) == 1 and ward.state(release)["state"] == "rolled_back"


def test_phones_chinese_and_dark(visit, ward):
    """Nothing is wider than a phone; every control has a name; both appearances have enough contrast where it matters."""
    ward.fresh()
    with Calls(ward):
        release = ward.start(2, automatic=False, steps=[{"weight": 2500, "min_duration_s": 1, "min_calls": 20}, {"weight": 5000, "min_duration_s": 60, "min_calls": 100},
                                                        {"weight": 10000}])
        ward.await_state(release, "running")
        deadline = time.monotonic() + 60 * SLOWNESS
        while not ward.state(release)["latest"]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        if os.environ.get("CONSOLE_SCREENSHOTS"):
            time.sleep(90)  # So that the plots have something to show.
        phone = visit(viewport={"width": 390, "height": 800}).sign_in(ward.admin.key, f"#/releases/{release}")
        expect(rollback_button(phone)).to_be_visible()
        expect(phone.locator(".evidence").first).to_be_visible()
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390
        shoot(phone, "release-small")
        for place in ("#/releases", "#/releases/new", "#/models/ranker"):
            phone.evaluate(f"location.hash = '{place}'")
            expect(phone.locator("main h1")).to_be_visible()
            phone.wait_for_timeout(500)
            assert phone.evaluate("document.documentElement.scrollWidth") <= 390, place
            assert phone.evaluate("""[...document.querySelectorAll('main input, main select, main textarea, main button')]
                .filter((one) => !(one.labels?.length || one.ariaLabel || one.textContent.trim())).length""") == 0, place

        chinese = visit(locale="zh-CN", color_scheme="dark").sign_in(ward.admin.key, f"#/releases/{release}")
        expect(chinese.locator("main").get_by_role("button", name="回滚", exact=True)).to_be_visible()
        expect(chinese.get_by_role("heading", name="证据")).to_be_visible()
        expect(chinese.locator(".evidence").first).to_be_visible()
        shoot(chinese, "release-zh-dark")
        light = visit().sign_in(ward.admin.key, f"#/releases/{release}")
        expect(light.locator(".evidence").first).to_be_visible()
        shoot(light, "release")
        for page in (chinese, light):
            assert page.evaluate("""(() => {
                const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
                const luminance = (text) => { const [r, g, b] = text.match(/[0-9.]+/g).map(Number); return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b); };
                const style = getComputedStyle(document.querySelector('.big-danger'));
                const [a, b] = [luminance(style.color), luminance(style.backgroundColor)].sort((x, y) => y - x);
                return (a + 0.05) / (b + 0.05);
            })()""") >= 4.5
