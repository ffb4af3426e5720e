"""Every room against axe-core's rules (WCAG 2.1 A and AA, and its best practices), light and dark, wide and on a phone; and what it can't see:
that the keyboard alone reaches everything."""

import os
import subprocess
import sys

import pytest
from conftest import WAIT_MS, Visit
from mezzo_server import BINARY, MODELS, ROOT, SLOWNESS
from playwright.sync_api import expect
from test_console import paint

AXE = ROOT / "console" / "node_modules" / "axe-core" / "axe.min.js"
ROOMS = ("overview", "models", "models/simple", "registry", "registry/shown", "registry/shown%2F1", "registry/shown%2F2", "releases", "releases/new", "releases/RELEASE",
         "pipelines", "pipelines?show=runs", "pipelines/p%2Fnightly", "pipelines/run%2FRUN", "drift", "drift/simple%2F1", "retirement", "jobs", "jobs/JOB", "gallery", "playground",
         "playground?make=film", "usage", "cache", "limits", "nothing")
LOOKS = {"light": {"color_scheme": "light"}, "dark": {"color_scheme": "dark"}, "phone": {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}, "locale": "zh-CN"}}
PIPELINE = "description: Tests again\nmodel: shown\nstages:\n  - {name: retest, kind: test, version: 1, approval: {role: operator}}\n"


@pytest.fixture(autouse=True)
def patience():
    expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="module")
def axe():
    if not AXE.exists():  # A server that was built without the console brings no packages.
        subprocess.run([sys.executable, ROOT / "tools" / "console.py", "setup"], check=True)
    return AXE.read_text()


@pytest.fixture(scope="module")
def furnished(house, tmp_path_factory):
    """Something to see in every room; the words that addresses above stand for."""
    from test_usage import BODY

    admin = house.admin
    folder = tmp_path_factory.mktemp("shown")
    (folder / "model.onnx").write_bytes((MODELS / "simple" / "1" / "model.onnx").read_bytes())
    push = [BINARY, "model", "push", folder, "--name", "shown", "--wait", "--url", house.server.http_url]
    env = {**os.environ, "MEZZO_API_KEY": admin.key}
    subprocess.run([*push, "--alias", "production", "--tag", "team=search", "--code", "0a1b2c"], check=True, env=env, timeout=120 * SLOWNESS)
    (folder / "notes.txt").write_text("two")
    subprocess.run(push, check=True, env=env, timeout=120 * SLOWNESS)
    (folder / "notes.txt").write_text("three")
    subprocess.run(push, check=True, env=env, timeout=120 * SLOWNESS)
    admin.ok("POST", "/v1/registry/models/shown/versions/2/retire")
    headers = {"Authorization": f"Bearer {admin.key}", "Content-Type": "application/yaml"}
    assert house.server.request("PUT", "/v1/pipelines/nightly", PIPELINE.encode(), headers)[0] in (200, 201)
    run = admin.ok("POST", "/v1/pipelines/nightly/runs", {})["id"]
    admin.ok("PUT", "/v1/routes/shown", {"stable": "1"})
    release = admin.ok("POST", "/v1/releases", {"model": "shown", "stable": "1", "candidate": "3"})["id"]
    (job,) = paint(house, ["a cat"])
    paint(house, ["a dog"], admin)
    admin.ok("PUT", "/v1/limits/acme-requests", {"kind": "requests", "tenant": "acme", "rate": 500, "burst": 1000})
    for _ in range(200):
        house.server.request("POST", "/v2/models/simple/infer", BODY, {"Authorization": f"Bearer {admin.key}"})
    yield {"RUN": run, "RELEASE": release, "JOB": job}
    admin("DELETE", "/v1/limits/acme-requests")


def violations(page, axe):
    """What axe finds that is serious or critical: rule, element, and why."""
    page.evaluate(axe)
    found = page.evaluate("async () => (await axe.run(document, { resultTypes: ['violations'] })).violations")
    return [(rule["id"], node["target"], node["any"][:1] and node["any"][0]["message"]) for rule in found if rule["impact"] in ("serious", "critical") for node in rule["nodes"]]


@pytest.mark.parametrize("look", LOOKS)
def test_no_room_has_a_serious_violation(browser, house, furnished, axe, look):
    visit = Visit(browser, house, **LOOKS[look])
    page = visit.page
    page.goto(house.page)
    expect(page.locator("input[name=key]")).to_be_focused()
    wrong = {"sign-in": violations(page, axe)}
    visit.sign_in(house.admin.key)
    painter = None
    for room in ROOMS:
        address = room
        for word, value in furnished.items():
            address = address.replace(word, value)
        at = page
        if "JOB" in room:  # Which is its tenant's.
            painter = Visit(browser, house, **LOOKS[look])
            at = painter.sign_in(house.painter.key, f"#/{address}")
        else:
            page.evaluate(f"location.hash = '#/{address}'")
        at.locator("main h1, main > .empty").first.wait_for()
        at.wait_for_function("() => !document.querySelector('main [role=status].delayed')")
        at.wait_for_timeout(250)  # What comes after the frame: tables, plots.
        if found := violations(at, axe):
            wrong[room] = found
        assert at.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{room} is wider than the screen"
    page.evaluate("location.hash = '#/releases'")
    page.locator("main h1").wait_for()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    wrong["keys"] = violations(page, axe)
    page.keyboard.press("Escape")
    if painter:
        painter.close()
    visit.close()
    said = [f"{room}: {rule} at {target}: {why}" for room, found in wrong.items() for rule, target, why in found]
    assert not said, "\n".join(said)


def test_the_check_sees_what_is_wrong(browser, house, axe):
    """Otherwise the test above would say nothing."""
    visit = Visit(browser, house)
    page = visit.page
    page.goto(house.page)
    expect(page.locator("input[name=key]")).to_be_focused()
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"/console/icon.svg\"><p id=\"pale\">pale</p>')")
    page.evaluate("Object.assign(document.querySelector('#pale').style, { color: '#ccc', background: '#fff' })")
    assert {"image-alt", "color-contrast"} <= {rule for rule, *_ in violations(page, axe)}
    visit.close()


def test_every_action_is_reached_by_tab_and_is_seen_to_be(browser, house, furnished):
    """From the skip link through everything that can be pressed, and what has the focus is outlined."""
    visit = Visit(browser, house)
    page = visit.sign_in(house.admin.key)
    for room in ("retirement", "registry/shown%2F1", f"releases/{furnished['RELEASE']}", "usage", "releases/new"):
        page.goto("about:blank")
        page.goto(f"{house.page}#/{room}")
        page.locator("main h1").wait_for()
        expect(page.locator("main button, main a").first).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main#content")).to_be_focused()
        wanted = page.evaluate("""() => [...document.querySelectorAll('main button, main a[href], main input, main select, main summary')]
            .filter((one) => !one.disabled && one.tabIndex >= 0 && one.checkVisibility({ visibilityProperty: true }) && !one.closest('details:not([open]) > :not(summary)'))
            .map((one, at) => (one.dataset.wanted = at)).length""")
        assert wanted > 0
        seen, plain = set(), []
        for _ in range(3 * wanted + 20):
            page.keyboard.press("Tab")
            now = page.evaluate("""() => { const one = document.activeElement; const style = getComputedStyle(one);
                return { at: one.dataset.wanted, outlined: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2, what: one.outerHTML.slice(0, 120) } }""")
            if now["at"] is not None:
                seen.add(now["at"])
                if not now["outlined"]:
                    plain.append(now["what"])
            elif len(seen) >= wanted:
                break
        # Live rows may have come anew without the mark: those are counted among the rest.
        left = page.evaluate("() => [...document.querySelectorAll('main [data-wanted]')].map((one) => one.dataset.wanted)")
        assert set(left) <= seen, (room, set(left) - seen)
        assert plain == [], room
    visit.close()
