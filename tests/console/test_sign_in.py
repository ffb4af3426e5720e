"""People sign in to the console at an OpenID issuer: authorization code with PKCE, against a real server and a real browser."""

import base64
import hashlib
import http.server
import json
import threading
import time
import urllib.parse

import pytest
from conftest import Visit
from mezzo_server import SLOWNESS, Server
from playwright.sync_api import expect
from test_oidc import Key
from test_tenants import Admin, first_key


class Issuer:
    """Discovery, keys, the page that sends people back, and the tokens for their codes."""

    def __init__(self, folder):
        self.key = Key(folder, "one")
        self.codes, self.asked, self.refuse = {}, [], False
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, status, page, **headers):
                body = json.dumps(page).encode()
                self.send_response(status)
                for name, value in {"Access-Control-Allow-Origin": "*", "Content-Type": "application/json", **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                path, _, query = self.path.partition("?")
                if path == "/authorize":
                    asked = dict(urllib.parse.parse_qsl(query))
                    issuer.asked.append(asked)
                    back = {"state": asked["state"]}
                    if issuer.refuse:
                        back.update(error="access_denied", error_description="not today")
                    else:
                        back["code"] = f"code-{len(issuer.codes)}"
                        issuer.codes[back["code"]] = asked
                    return self.answer(302, {}, Location=f"{asked['redirect_uri']}?{urllib.parse.urlencode(back)}")
                pages = {"/.well-known/openid-configuration": {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys",
                                                               "authorization_endpoint": f"{issuer.url}/authorize",
                                                               "token_endpoint": f"{issuer.url}/token"},
                         "/keys": {"keys": [issuer.key.jwk]}}
                return self.answer(200 if path in pages else 404, pages.get(path))

            def do_POST(self):
                form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                asked = issuer.codes.pop(form.get("code"), None)  # Once.
                digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
                proof = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
                if asked is None or proof != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
                    return self.answer(400, {"error": "invalid_grant"})
                return self.answer(200, {"access_token": issuer.token(), "token_type": "Bearer"})

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self):
        now = int(time.time())
        return self.key.sign({"iss": self.url, "sub": "alice", "aud": "mezzo", "iat": now, "exp": now + 600, "groups": ["devs"]})


@pytest.fixture
def issuer(tmp_path):
    issuer = Issuer(tmp_path)
    yield issuer
    issuer.server.shutdown()
    issuer.server.server_close()


class Place:
    def __init__(self, server):
        self.server, self.page = server, f"{server.http_url}/console/"


@pytest.fixture
def place(issuer, tmp_path):
    config = f"""
oidc:
  - {{issuer: "{issuer.url}", audience: [mezzo], client_id: console, roles_claim: groups, role_map: {{devs: developer}}, tenant: acme, allow_http: true}}
"""
    with Server(config=config, data_dir=str(tmp_path / "data")) as server:
        admin = Admin(server, first_key(server))
        admin.ok("POST", "/v1/tenants", {"id": "acme"})
        deadline = time.monotonic() + 10 * SLOWNESS
        while Admin(server, issuer.token())("GET", "/v1/whoami")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Place(server)


def test_a_person_signs_in_at_the_issuer(browser, issuer, place):
    visit = Visit(browser, place)
    page = visit.page
    page.goto(place.page)
    page.get_by_role("button", name="Sign in with 127.0.0.1").click()
    expect(page.get_by_role("navigation")).to_be_visible()
    expect(page.get_by_role("complementary")).to_contain_text("acme")
    expect(page.get_by_role("complementary")).to_contain_text("alice")
    expect(page.get_by_role("complementary")).to_contain_text("Developer")
    asked = issuer.asked[0]
    assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256" and asked["client_id"] == "console"
    assert asked["redirect_uri"] == place.page
    assert "code=" not in page.url and "state=" not in page.url
    assert issuer.codes == {}
    visit.close()


def test_a_refusal_of_the_issuer_is_shown(browser, issuer, place):
    issuer.refuse = True
    visit = Visit(browser, place)
    page = visit.page
    page.goto(place.page)
    page.get_by_role("button", name="Sign in with 127.0.0.1").click()
    expect(page.get_by_role("alert")).to_contain_text("not today")
    visit.close()


def test_an_answer_to_another_question_is_not_taken(browser, issuer, place):
    visit = Visit(browser, place)
    page = visit.page
    page.goto(place.page)
    page.evaluate("sessionStorage.setItem('mezzo.signing-in', JSON.stringify({state: 'mine', verifier: 'x', token_endpoint: location.origin}))")
    page.goto(f"{place.page}?code=stolen&state=other")
    expect(page.get_by_role("alert")).to_contain_text("not to the question")
    expect(page.get_by_role("navigation")).to_have_count(0)
    visit.close()


def test_a_new_server_lets_this_host_in(browser, tmp_path):
    """Until the first account is made; then a key is asked for."""
    with Server(data_dir=str(tmp_path / "data")) as server:
        visit = Visit(browser, Place(server))
        page = visit.page
        page.goto(f"{server.http_url}/console/#/models")
        expect(page.get_by_role("complementary")).to_contain_text("this host, without a key")
        expect(page.get_by_text("This server has no models.")).to_be_visible()
        Admin(server, first_key(server)).ok("POST", "/v1/tenants", {"id": "acme"})
        expect(page.get_by_label("API key or token")).to_be_visible()  # The room asks again, and is refused.
        visit.close()
