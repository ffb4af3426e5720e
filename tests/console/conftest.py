"""Servers, callers and browsers of the console's tests."""

import contextlib
import pathlib
import shutil
import sys
import threading
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "conformance")]

from mezzo_server import EXAMPLES, MODELS, ROOT, SLOWNESS, Server  # noqa: E402
from test_tenants import Admin, first_key, make_key, make_tenant  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Patience of everything that waits for the page.
WAIT_MS = 15_000 * SLOWNESS
SIZE = {"width": 1280, "height": 800}


class House:
    """A server with a painter and plain models, two tenants, and a key for each role."""

    def __init__(self, server):
        self.server = server
        self.admin = Admin(server, first_key(server))
        make_tenant(self.admin, "acme", tiers=["paid", "urgent", "free"])
        make_tenant(self.admin, "studio")
        self.developer = make_key(self.admin, "acme", scopes=["infer"])
        self.viewer = make_key(self.admin, "acme", scopes=["read"])
        self.painter = make_key(self.admin, "studio", scopes=["infer"])

    @property
    def page(self):
        return f"{self.server.http_url}/console/"

    def await_job(self, caller, job, *statuses, seconds=60):
        deadline = time.monotonic() + seconds * SLOWNESS
        while (now := caller.ok("GET", f"/v1/jobs/{job}"))["status"] not in statuses:
            assert time.monotonic() < deadline, now
            time.sleep(0.1)
        return now


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name in ("simple", "identity_fp32", "delay_short", "classifier", "mlp"):
        shutil.copytree(MODELS / name, folder / name)
    shutil.copytree(ROOT / "models-src" / "emoji", folder / "emoji")
    shutil.copytree(EXAMPLES / "minilm", folder / "minilm")  # The painter's text encoder.
    startup = '["simple", "identity_fp32", "delay_short", "classifier", "emoji", "minilm"]'
    config = f"models: {{control: explicit, startup: {startup}}}\nartifacts: {{min_free: 0}}\n"
    with Server(models=folder, config=config, data_dir=str(tmp_path_factory.mktemp("data"))) as server:
        yield House(server)


class Traffic:
    """Calls of both tenants while it lasts."""

    def __init__(self, house, pause=0.01):
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(house, caller, pause)) for caller in (house.developer, house.painter)]
        for thread in self._threads:
            thread.start()

    def _run(self, house, caller, pause):
        from test_usage import BODY

        headers = {"Authorization": f"Bearer {caller.key}"}
        number = 0
        while not self._stop.wait(pause):
            number += 1
            body = BODY if number % 40 else BODY.replace(b"INT32", b"FP32")  # One of forty is wrong.
            house.server.request("POST", "/v2/models/simple/infer", body, headers)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.fail("Chromium is missing: ./dev test installs it")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        yield launched
        launched.close()


class Visit:
    """A page of the console in a browser profile of its own. What a page reports as an error fails the test."""

    def __init__(self, browser, house, **options):
        self.house = house
        self.context = browser.new_context(**{"viewport": SIZE, "locale": "en-GB", "color_scheme": "light", **options})
        self.context.set_default_timeout(WAIT_MS)
        self.page = self.context.new_page()
        self.errors = []
        self.requested = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("request", lambda request: self.requested.append(request.url))

    def sign_in(self, key, place=""):
        """The page behind the sign-in, whatever its language and size."""
        self.page.goto(self.house.page + place)
        self.page.locator("input[name=key]").fill(key)
        self.page.keyboard.press("Enter")
        self.page.locator("main#content h1, main#content .empty").first.wait_for()
        return self.page

    def close(self):
        self.context.close()
        # A refusal is what some tests want to see; a browser calls it an error.
        assert [error for error in self.errors if "Failed to load resource" not in error] == []


@contextlib.contextmanager
def visits(browser, place):
    """Begins visits of a place, each in a profile of its own; all end with it."""
    made = []

    def begin(**options):
        made.append(Visit(browser, place, **options))
        return made[-1]

    yield begin
    for one in made:
        one.close()


@pytest.fixture
def visit(browser, house):
    with visits(browser, house) as begin:
        yield begin
