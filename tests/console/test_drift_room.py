"""Drift as the room of models shows it, of calls that a real server has looked at."""

import json
import random
import re
import time

import pytest
from conftest import WAIT_MS, Visit
from mezzo_server import SLOWNESS, Server
from playwright.sync_api import expect
from test_console import shoot

CONFIG = "drift: {one_in: 1, reference_calls: 64, min_calls: 64, window: 20s, flush: 100ms, sustain: 1s, threshold: 1.0}\n"
SOURCE = """
from mezzo_worker import TensorSpec

class Model:
    inputs = [TensorSpec("x", "FP32", [-1])]
    outputs = [TensorSpec("y", "FP32", [-1])]

    def __init__(self, context):
        pass

    def predict(self, inputs, context):
        return {"y": inputs["x"] * 0 + 7}
"""


class Place:
    def __init__(self, server):
        self.server, self.page, self.dice = server, f"{server.http_url}/console/", random.Random(3)

    def infer(self, calls, mean):
        for _ in range(calls):
            body = {"inputs": [{"name": "x", "shape": [8], "datatype": "FP32", "data": [self.dice.gauss(mean, 1) for _ in range(8)]}]}
            status, _, text = self.server.request("POST", "/v2/models/calm/infer", json.dumps(body).encode(), timeout=60)
            assert status == 200, text

    def drift(self):
        status, _, text = self.server.get("/v1/drift/calm/1")
        return json.loads(text) if status == 200 else None


@pytest.fixture(name="place", scope="module")
def place_of_a_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "calm" / "1").mkdir(parents=True)
    (folder / "calm" / "1" / "model.py").write_text(SOURCE)
    (folder / "calm" / "model.yaml").write_text("batching: {max_batch_size: 0}\n")
    with Server(models=folder, config=CONFIG, env={"PATH": "/usr/bin:/bin"}) as server:
        yield Place(server)


def test_a_shift_is_seen_and_becomes_the_reference(browser, place):
    expect.set_options(timeout=2 * WAIT_MS)

    def until(check):
        deadline = time.monotonic() + 90 * SLOWNESS
        while not ((now := place.drift()) and check(now)):
            assert time.monotonic() < deadline, now
            yield now

    for _ in until(lambda now: len(now["tensors"]) == 2 and all(one["psi"] is not None for one in now["tensors"])):
        place.infer(20, 0)
    visit = Visit(browser, place)
    page = visit.page
    page.goto(place.page + "#/models/calm")
    expect(page.get_by_text("as it was", exact=True)).to_be_visible()
    drawn = page.get_by_role("img", name=re.compile("^x: PSI 0"))
    expect(drawn).to_be_visible()
    steady = place.drift()["tensors"]
    assert drawn.locator("> div").count() == len(next(one for one in steady if one["name"] == "x")["histogram"]["now"])

    for _ in until(lambda now: now["drifted_since"]):
        place.infer(40, 3)
    expect(page.get_by_text(re.compile("^drifts since"))).to_be_visible()  # Without a reload.
    expect(page.locator(".tensor").filter(has_text=re.compile("^x")).locator(".fill-bad").first).to_be_attached()
    expect(page.locator(".tensor").filter(has_text=re.compile("^y")).locator(".fill-bad")).to_have_count(0)

    page.evaluate("location.hash = '#/drift'")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="calm", exact=True))
    expect(row).to_contain_text("drifts")
    worst = max((one for one in place.drift()["tensors"] if one["psi"] is not None), key=lambda one: one["psi"])
    expect(row).to_contain_text(worst["name"])
    page.get_by_role("radio", name="drifts").click()
    expect(page).to_have_url(re.compile(r"#/drift\?which=drifted$"))
    row.get_by_role("link").click()
    expect(page.get_by_role("img", name=re.compile(r"^x: PSI and KS over time, \d+ values$"))).to_be_visible()
    drawn = page.get_by_role("img", name=re.compile(r"^x: PSI and KS over time, [3-9] values$"))
    expect(drawn).to_be_visible(timeout=4 * WAIT_MS)  # It goes on by itself.
    expect(drawn.locator(".u-legend")).to_contain_text("Threshold")
    shoot(page, "drift")

    page.get_by_role("button", name="New reference").click()
    page.get_by_role("dialog").get_by_role("button", name="New reference").click()
    for _ in until(lambda now: now["drifted_since"] is None and any(one["name"] == "x" and one["psi"] is not None for one in now["tensors"])):
        place.infer(40, 3)
    expect(page.get_by_text("as it was", exact=True)).to_be_visible()
    visit.close()
