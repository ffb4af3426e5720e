"""The console in a real browser against the real server. CONSOLE_SCREENSHOTS=1 also writes docs/images/console/."""

import contextlib
import csv
import io
import os
import re
import time

import pytest
from conftest import WAIT_MS, Traffic
from mezzo_server import ROOT, SLOWNESS
from playwright.sync_api import expect
from test_tenants import make_key

SHOTS = ROOT / "docs" / "images" / "console"


@pytest.fixture(autouse=True)
def patience():
    expect.set_options(timeout=WAIT_MS)


def shoot(page, name):
    """A picture for the documentation, when they are asked for."""
    if not os.environ.get("CONSOLE_SCREENSHOTS"):
        return
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)
    page.screenshot(path=SHOTS / f"{name}.png")


def heading(page, text):
    return expect(page.get_by_role("heading", name=text, exact=True, level=1))


def paint(house, prompts, caller=None):
    """Pictures of the built-in model, by jobs; their ids."""
    caller = caller or house.painter
    ids = []
    for number, prompt in enumerate(prompts):
        status, job = caller("POST", "/v1/jobs", {"kind": "image", "model": "emoji", "input": {"prompt": prompt, "seed": number, "steps": 12}})
        assert status == 202, job
        ids.append(job["id"])
    for job in ids:
        assert house.await_job(caller, job, "succeeded", "failed", seconds=120)["status"] == "succeeded"
    return ids


def test_a_key_signs_in_and_stays_out_of_every_address(visit, house):
    one = visit()
    page = one.page
    page.goto(house.page)
    expect(page.get_by_label("API key or token")).to_be_focused()
    shoot(page, "sign-in")
    one.sign_in(house.admin.key)
    heading(page, "Overview").to_be_visible()
    expect(page.get_by_role("complementary").get_by_text("Administrator")).to_be_visible()

    page.reload()
    heading(page, "Overview").to_be_visible()
    assert not [address for address in one.requested if house.admin.key in address]
    assert house.admin.key not in page.evaluate("document.cookie + JSON.stringify(localStorage)")
    assert {address.split("/")[2] for address in one.requested if address.startswith("http")} == {house.server.http}, "it asks nobody else"

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key or token")).to_be_visible()
    assert house.admin.key not in page.evaluate("JSON.stringify(sessionStorage)")
    page.reload()
    expect(page.get_by_label("API key or token")).to_be_visible()


def test_a_wrong_key_is_refused_with_its_reason(visit, house):
    page = visit().page
    page.goto(house.page)
    page.get_by_label("API key or token").fill("mz_" + "0" * 53)
    page.get_by_role("button", name="Sign in").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Signing in did not work")
    expect(alert).to_contain_text(re.compile("key_"))
    expect(page.get_by_role("navigation")).to_have_count(0)


def test_a_revoked_key_signs_out_and_says_why(visit, house):
    passing = make_key(house.admin, "acme", scopes=["read"])
    page = visit().sign_in(passing.key, "#/jobs")
    heading(page, "Jobs").to_be_visible()
    key = passing.ok("GET", "/v1/whoami")["key"]
    house.admin.ok("DELETE", f"/v1/tenants/acme/keys/{key}")
    expect(page.get_by_role("alert")).to_contain_text("You have been signed out")


def test_the_overview_is_live(visit, house):
    page = visit().sign_in(house.admin.key)
    with Traffic(house):
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        table = page.get_by_role("table", name="Busiest models")
        expect(table.get_by_role("link", name="simple")).to_be_visible()
        tile = page.locator(".tile", has_text="Requests / s").locator("strong")
        expect(tile).not_to_have_text("0")
        seen = {tile.inner_text()}
        deadline = time.monotonic() + 20 * SLOWNESS
        while len(seen) < 3:  # It changes by itself.
            assert time.monotonic() < deadline, seen
            time.sleep(0.2)
            seen.add(tile.inner_text())
        assert page.locator(".chart canvas").count() == 3
        if os.environ.get("CONSOLE_SCREENSHOTS"):
            for round_ in range(16):  # So that all five minutes have something to show.
                with Traffic(house, pause=0.004) if round_ % 4 == 2 else contextlib.nullcontext():
                    paint(house, ["a cat", "a red heart", "the sun", "a fish"][: round_ % 5])
                    time.sleep(15)
            paint(house, ["a cat", "the sun"])
            shoot(page, "overview")
            page.emulate_media(color_scheme="dark")
            shoot(page, "overview-dark")


def test_a_picture_is_painted_and_hangs_in_the_gallery(visit, house):
    page = visit().sign_in(house.painter.key, "#/playground")
    page.get_by_label("Prompt", exact=True).fill("a red apple")
    page.get_by_label("Seed").fill("7")
    page.get_by_text("More settings").click()
    page.get_by_label("Steps").fill("12")
    page.get_by_role("button", name="Make", exact=True).click()
    made = page.locator(".made")
    expect(made.get_by_text("succeeded")).to_be_visible(timeout=120_000 * SLOWNESS)
    picture = made.locator(".pictures img")
    expect(picture).to_have_count(1)
    page.wait_for_function("() => document.querySelector('.made .pictures img').naturalWidth > 0")
    shoot(page, "playground")

    page.get_by_role("link", name="Gallery").click()
    piece = page.locator(".gallery img").first
    expect(piece).to_be_visible()
    page.wait_for_function("() => document.querySelector('.gallery img').naturalWidth > 0")
    piece.click()
    expect(page.get_by_role("link", name="Download image-0.png")).to_be_visible()
    expect(page.get_by_text("succeeded")).to_be_visible()
    shoot(page, "job")
    # Another tenant sees nothing of it.
    other = visit().sign_in(house.developer.key, "#/gallery")
    expect(other.get_by_text("Nothing has been painted yet.")).to_be_visible()


def test_a_film_is_made_and_plays(visit, house):
    page = visit().sign_in(house.painter.key, "#/playground")
    page.get_by_role("radio", name="Video").click()
    page.get_by_label("Shots, one in each line").fill("a red apple\n")
    page.get_by_label("Seconds a shot").fill("4")
    page.get_by_text("More settings").click()
    page.get_by_label("Steps").fill("4")
    page.get_by_role("button", name="Make", exact=True).click()
    made = page.locator(".made")
    expect(made.get_by_role("progressbar").or_(made.get_by_text("succeeded")).first).to_be_visible()
    expect(made.get_by_text("succeeded")).to_be_visible(timeout=240_000 * SLOWNESS)
    page.wait_for_function("() => { const film = document.querySelector('.made video'); return film && film.duration >= 3.9 && film.videoWidth === 1280; }")
    page.get_by_role("link", name="Gallery").click()
    expect(page.locator(".gallery .film")).to_have_count(1)


def test_the_playground_says_what_is_wrong(visit, house):
    page = visit().sign_in(house.painter.key, "#/playground")
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("Say what is to be seen.")
    page.get_by_label("Prompt", exact=True).fill("a cat")
    page.get_by_label("Size").fill("63x64")
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text(re.compile("63|size|multiple", re.I), timeout=60_000 * SLOWNESS)


def test_a_job_moves_by_itself_is_cancelled_and_runs_again(visit, house):
    job = house.developer("POST", "/v1/jobs", {"kind": "inference", "model": "delay_short", "delay_seconds": 3600, "input": {"inputs": []}})[1]["id"]
    page = visit().sign_in(house.developer.key, "#/jobs")
    row = page.get_by_role("row").filter(has_text=job[-8:])
    expect(row).to_contain_text("scheduled")
    row.get_by_role("link").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("cancelled")).to_be_visible()
    page.get_by_role("button", name="Run again").click()
    expect(page).not_to_have_url(re.compile(job))
    # The stream tells the end without a reload.
    expect(page.get_by_text("failed", exact=True)).to_be_visible(timeout=60_000 * SLOWNESS)
    expect(page.get_by_role("alert")).to_contain_text("It failed")


def test_models_are_loaded_and_unloaded_by_who_may(visit, house):
    page = visit().sign_in(house.admin.key, "#/models")
    page.get_by_role("searchbox").fill("mlp")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="mlp", exact=True))
    row.get_by_role("button", name="Load").click()
    expect(row).to_contain_text("ready")
    row.get_by_role("link").click()
    expect(page.get_by_text("Inputs")).to_be_visible()
    row.get_by_role("button", name="Unload").click()
    page.get_by_role("dialog").get_by_role("button", name="Unload").click()
    expect(row).to_contain_text("unavailable")
    page.get_by_role("searchbox").fill("")
    page.evaluate("location.hash = '#/models'")
    expect(page.get_by_role("link", name="simple", exact=True)).to_be_visible()
    shoot(page, "models")

    reader = visit().sign_in(house.viewer.key, "#/models")
    expect(reader.get_by_role("link", name="simple", exact=True)).to_be_visible()
    expect(reader.get_by_text("Read only")).to_be_visible()
    expect(reader.get_by_role("button", name="Unload")).to_have_count(0)


def test_rooms_say_what_they_need(visit, house):
    page = visit().sign_in(house.viewer.key)
    heading(page, "Jobs").to_be_visible()  # Not the overview, which is not theirs to see.
    page.get_by_role("link", name="Limits").click()
    expect(page.get_by_text("This needs the scope “admin”. Your key has: read.")).to_be_visible()
    page.get_by_role("link", name="Playground").click()
    expect(page.get_by_text("This needs the scope “infer”.")).to_be_visible()


def test_usage_is_shown_by_tenant_and_saved_as_csv(visit, house):
    with Traffic(house):
        time.sleep(1)
    page = visit().sign_in(house.admin.key, "#/usage")
    table = page.get_by_role("table", name="Usage")
    for tenant in ("acme", "studio"):
        expect(table.get_by_role("row").filter(has_text=tenant)).to_be_visible()
    expect(page.locator(".chart canvas")).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(saved.value.path().read_text())))
    assert {"acme", "studio"} <= {row["tenant"] for row in rows}
    shoot(page, "usage")
    own = visit().sign_in(house.developer.key, "#/usage")
    own.get_by_role("radio", name="tenant").click()
    expect(own.get_by_role("table").get_by_role("row").filter(has_text="acme")).to_be_visible()
    expect(own.get_by_text("studio")).to_have_count(0)


def test_cache_and_limits_are_shown(visit, house):
    house.admin.ok("PUT", "/v1/limits/acme-requests", {"kind": "requests", "tenant": "acme", "rate": 500, "burst": 1000})
    page = visit().sign_in(house.admin.key, "#/limits")
    row = page.get_by_role("row").filter(has_text="acme-requests")
    expect(row).to_contain_text("500 a second, 1,000 at once")
    house.admin("DELETE", "/v1/limits/acme-requests")
    page.get_by_role("link", name="Cache").click()
    expect(page.get_by_text("No model keeps answers")).to_be_visible()


def luminance(page):
    red, green, blue = map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3])
    return (red + green + blue) / 3


def test_dark_and_light_follow_the_system_until_one_is_chosen(visit, house):
    one = visit(color_scheme="dark")
    page = one.sign_in(house.admin.key)
    assert luminance(page) < 60
    page.get_by_label("Appearance").select_option("light")
    assert luminance(page) > 200
    page.reload()
    heading(page, "Overview").to_be_visible()
    assert luminance(page) > 200
    page.get_by_label("Appearance").select_option("system")
    assert luminance(page) < 60
    page.emulate_media(color_scheme="light")
    assert luminance(page) > 200


def test_chinese_is_chosen_or_preferred(visit, house):
    page = visit(locale="zh-CN").sign_in(house.admin.key)
    heading(page, "总览").to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    for room in ("模型", "任务", "作品", "试验场", "用量", "缓存", "限额"):
        page.get_by_role("link", name=room, exact=True).click()
        heading(page, room).to_be_visible()
    with Traffic(house):
        page.get_by_role("link", name="总览").click()
        expect(page.get_by_role("table", name="最忙的模型").get_by_role("link", name="simple")).to_be_visible()
        shoot(page, "overview-zh")
    page.get_by_label("语言").select_option("en")
    heading(page, "Overview").to_be_visible()
    page.reload()
    heading(page, "Overview").to_be_visible()


def test_the_keyboard_is_enough(visit, house):
    page = visit().page
    page.goto(house.page)
    expect(page.get_by_label("API key or token")).to_be_focused()
    page.keyboard.type(house.admin.key)
    page.keyboard.press("Enter")
    heading(page, "Overview").to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("m")
    heading(page, "Models").to_be_visible()
    expect(page.get_by_role("link", name="simple", exact=True)).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("simple")
    expect(page.get_by_role("link", name="emoji/unet")).to_have_count(0)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="simple", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("INPUT0")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Keyboard shortcuts")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("p")
    heading(page, "Playground").to_be_visible()
    page.get_by_role("radio", name="Picture").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Video")).to_be_focused()
    expect(page.get_by_label("Shots, one in each line")).to_be_visible()


def test_small_screens_lose_nothing(visit, house):
    page = visit(viewport={"width": 390, "height": 800}).sign_in(house.admin.key)
    for room in ("Models", "Jobs", "Playground", "Usage", "Overview"):
        page.get_by_role("button", name="Menu").click()
        page.get_by_role("link", name=room, exact=True).click()
        heading(page, room).to_be_visible()
        expect(page.get_by_role("navigation")).not_to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, room
    shoot(page, "overview-small")


def test_a_server_that_goes_away_is_noticed_and_found_again(visit, house):
    one = visit()
    page = one.sign_in(house.admin.key)
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    page.get_by_role("link", name="Models").click()
    one.context.set_offline(True)
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    one.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    one.errors.clear()


def test_the_gallery_for_the_documentation(visit, house):
    paint(house, ["a dog", "a yellow star", "pizza", "a blue fish", "a red heart", "the sun", "a house", "a rocket"]
          if os.environ.get("CONSOLE_SCREENSHOTS") else ["a dog", "pizza"])
    page = visit(color_scheme="dark").sign_in(house.painter.key, "#/gallery")
    expect(page.locator(".gallery img").nth(1)).to_be_visible()
    shown = page.locator(".gallery li").count()
    assert shown >= 2
    page.wait_for_function("() => [...document.querySelectorAll('.gallery img')].every((one) => one.naturalWidth > 0)")
    shoot(page, "gallery-dark")
    page.get_by_role("link", name="Jobs").click()
    expect(page.get_by_role("row").nth(2)).to_be_visible()
    shoot(page, "jobs-dark")
