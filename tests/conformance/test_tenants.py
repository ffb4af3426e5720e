"""Tenants, projects, users and keys through the platform's API."""

import hashlib
import json
import re
import time

import pytest
from mezzo_server import SLOWNESS, Server


class Admin:
    """Calls with one key."""

    def __init__(self, server, key):
        self.server, self.key = server, key

    def __call__(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        status, _, text = self.server.request(method, path, None if body is None else json.dumps(body).encode(), headers)
        return status, json.loads(text)

    def ok(self, method, path, body=None):
        status, answer = self(method, path, body)
        assert status in (200, 201), answer
        return answer

    def await_status(self, wanted, method, path, seconds=10):
        deadline = time.monotonic() + seconds * SLOWNESS
        while (status := self(method, path)[0]) != wanted:
            assert time.monotonic() < deadline, status
            time.sleep(0.01)


def first_key(server):
    """Printed after the line of the log that says where the server listens."""
    deadline = time.monotonic() + 10 * SLOWNESS
    while not (found := re.findall(r"the admin key is (mz_\S+) \(it is not shown again\)", "".join(server.raw))):
        assert time.monotonic() < deadline, server.raw
        time.sleep(0.01)
    assert len(found) == 1
    return found[0]


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with Server(data_dir=str(tmp_path_factory.mktemp("data"))) as server:
        yield Admin(server, first_key(server))


def make_tenant(admin, tenant, **settings):
    admin.ok("POST", "/v1/tenants", {"id": tenant, **settings})


def make_key(admin, tenant, **facts):
    return Admin(admin.server, admin.ok("POST", f"/v1/tenants/{tenant}/keys", facts)["key"])


def test_the_first_start_shows_a_key_once_and_no_log_has_it(tmp_path):
    with Server(data_dir=str(tmp_path)) as server:
        key = first_key(server)
        assert not any(key in json.dumps(line) for line in server.log)
        assert Admin(server, key).ok("GET", "/v1/whoami")["scopes"] == ["admin"]
        assert Admin(server, None).ok("GET", "/v1/whoami")["tenant"] == "anonymous"
    with Server(data_dir=str(tmp_path)) as server:
        assert "admin key" not in "".join(server.raw)
        assert Admin(server, key).ok("GET", "/v1/whoami")["tenant"] == "platform"


def test_on_an_address_that_others_reach_nobody_is_anonymous(tmp_path):
    with Server("--set", "http.address=0.0.0.0", data_dir=str(tmp_path)) as server:
        assert Admin(server, None)("GET", "/v1/whoami")[0] == 401
        assert Admin(server, first_key(server))("GET", "/v1/whoami")[0] == 200


@pytest.mark.covers("GET /v1/whoami")
def test_a_caller_learns_who_it_is(platform):
    make_tenant(platform, "who")
    platform.ok("POST", "/v1/tenants/who/projects", {"id": "shop"})
    caller = make_key(platform, "who", project="shop", scopes=["infer", "keys"])
    answer = caller.ok("GET", "/v1/whoami")
    assert answer["tenant"] == "who" and answer["project"] == "shop" and answer["scopes"] == ["infer", "keys"]
    assert caller.key.startswith(f"mz_{answer['key']}_")


@pytest.mark.covers("GET /v1/tenants", "POST /v1/tenants", "GET /v1/tenants/{t}", "PATCH /v1/tenants/{t}")
def test_tenants_are_made_listed_and_changed(platform):
    for name in ("list-a", "list-b", "list-c"):
        make_tenant(platform, name, name=name.upper(), weight=2)
    assert platform("POST", "/v1/tenants", {"id": "list-a"})[1]["error"]["code"] == "tenant_exists"
    page = platform.ok("GET", "/v1/tenants?limit=1&after=list-a")
    assert [tenant["id"] for tenant in page["data"]] == ["list-b"] and page["has_more"] and page["last_id"] == "list-b"
    changed = platform.ok("PATCH", "/v1/tenants/list-a", {"weight": 0.5, "classes": ["bulk"]})
    assert changed == platform.ok("GET", "/v1/tenants/list-a")
    assert (changed["name"], changed["weight"], changed["classes"]) == ("LIST-A", 0.5, ["bulk"])


@pytest.mark.covers("GET /v1/tenants/{t}/projects", "POST /v1/tenants/{t}/projects", "GET /v1/tenants/{t}/users", "POST /v1/tenants/{t}/users",
        "DELETE /v1/tenants/{t}/users")
def test_projects_and_users_are_the_tenants_own_business(platform):
    make_tenant(platform, "own")
    manager = make_key(platform, "own", role="admin")
    assert manager.ok("POST", "/v1/tenants/own/projects", {"id": "p", "name": "P"})["tenant"] == "own"
    assert [project["id"] for project in manager.ok("GET", "/v1/tenants/own/projects")["data"]] == ["p"]
    user = {"issuer": "https://id.example", "subject": "u1", "role": "developer"}
    manager.ok("POST", "/v1/tenants/own/users", user)
    manager.ok("POST", "/v1/tenants/own/users", user | {"role": "viewer"})
    assert [entry["role"] for entry in manager.ok("GET", "/v1/tenants/own/users")["data"]] == ["viewer"]
    manager.ok("DELETE", "/v1/tenants/own/users?issuer=https://id.example&subject=u1")
    assert manager("DELETE", "/v1/tenants/own/users?issuer=https://id.example&subject=u1")[0] == 404


@pytest.mark.covers("GET /v1/tenants/{t}/keys", "POST /v1/tenants/{t}/keys", "POST /v1/tenants/{t}/keys/{k}/rotate", "DELETE /v1/tenants/{t}/keys/{k}")
def test_a_key_lives_is_rotated_and_revoked(platform):
    make_tenant(platform, "life")
    issued = platform.ok("POST", "/v1/tenants/life/keys", {"name": "ci", "expires_in_seconds": 3600})
    old = Admin(platform.server, issued["key"])
    old.ok("GET", "/v1/whoami")
    rotated = platform.ok("POST", f"/v1/tenants/life/keys/{issued['id']}/rotate", {"overlap_seconds": 3})
    new = Admin(platform.server, rotated["key"])
    new.ok("GET", "/v1/whoami")
    assert old("GET", "/v1/whoami")[0] == 200, "the old key goes on for the overlap"
    old.await_status(401, "GET", "/v1/whoami")
    assert old("GET", "/v1/whoami")[1]["error"]["code"] in ("key_expired", "key_unknown")
    platform.ok("DELETE", f"/v1/tenants/life/keys/{rotated['id']}")
    assert new("GET", "/v1/whoami")[0] == 401, "what has been answered holds on this host"
    listed = platform.ok("GET", "/v1/tenants/life/keys")["data"]
    assert len(listed) == 2 and not any("key" in key and key.get("key", "").startswith("mz_") for key in listed)
    assert {key["id"]: key["revoked_at"] is not None for key in listed} == {issued["id"]: False, rotated["id"]: True}


def test_a_suspended_tenant_is_out_at_once(platform):
    make_tenant(platform, "late")
    caller = make_key(platform, "late")
    for suspended, status in ((True, 401), (False, 200)):
        platform.ok("PATCH", "/v1/tenants/late", {"suspended": suspended})
        assert caller("GET", "/v1/models")[0] == status


def test_other_tenants_are_not_there(platform):
    """Every route that names a tenant, a key or a job, with the ids of another tenant."""
    for name in ("mine", "theirs"):
        make_tenant(platform, name)
        platform.ok("POST", f"/v1/tenants/{name}/projects", {"id": "p"})
    mine = make_key(platform, "mine", role="admin")
    theirs = make_key(platform, "theirs", role="admin")
    key = theirs.ok("GET", "/v1/tenants/theirs/keys")["data"][0]["id"]
    for method, path, body in (("GET", "", None), ("GET", "/projects", None), ("POST", "/projects", {"id": "q"}), ("GET", "/users", None),
                               ("POST", "/users", {"issuer": "i", "subject": "s", "role": "viewer"}),
                               ("DELETE", "/users?issuer=i&subject=s", None), ("GET", "/keys", None), ("POST", "/keys", {}),
                               ("POST", f"/keys/{key}/rotate", {}), ("DELETE", f"/keys/{key}", None)):
        status, answer = mine(method, f"/v1/tenants/theirs{path}", body)
        assert (status, answer["error"]["code"]) == (404, "tenant_unknown"), (method, path)
        missing = mine(method, f"/v1/tenants/nowhere{path}", body)
        assert missing[0] == 404 and missing[1]["error"]["code"] == answer["error"]["code"], "one can't tell them apart"
    for method, path in (("DELETE", f"/v1/tenants/mine/keys/{key}"), ("POST", f"/v1/tenants/mine/keys/{key}/rotate")):
        assert mine(method, path, None if method == "DELETE" else {})[1]["error"]["code"] == "key_not_found"
    assert mine("PATCH", "/v1/tenants/mine", {"weight": 1000})[0] == 403
    assert mine("GET", "/v1/tenants")[0] == 403
    assert theirs("GET", "/v1/whoami")[0] == 200, "their key still works"


def test_nobody_gives_away_what_they_have_not(platform):
    make_tenant(platform, "give")
    operator = make_key(platform, "give", role="operator")
    admin = make_key(platform, "give", role="admin")
    code = lambda caller, path, body: caller("POST", path, body)[1].get("error", {}).get("code")  # noqa: E731
    assert code(operator, "/v1/tenants/give/keys", {"scopes": ["manage"]}) == "scope_not_yours"
    assert code(operator, "/v1/tenants/give/keys", {"role": "admin"}) == "scope_not_yours"
    assert code(operator, "/v1/tenants/give/keys", {"scopes": ["infer"]}) is None
    for scope in ("admin", "operate", "observe"):
        assert code(admin, "/v1/tenants/give/keys", {"scopes": [scope]}) == "scope_not_yours"
        assert code(platform, "/v1/tenants/give/keys", {"scopes": [scope]}) == "scope_not_here"
    strong = admin.ok("GET", "/v1/whoami")["key"]
    assert code(operator, f"/v1/tenants/give/keys/{strong}/rotate", {}) == "scope_not_yours", "that would hand over its rights"
    assert operator("DELETE", f"/v1/tenants/give/keys/{strong}")[1]["error"]["code"] == "scope_not_yours"
    assert operator("POST", "/v1/tenants/give/users", {"issuer": "i", "subject": "s", "role": "viewer"})[0] == 403
    assert platform("PATCH", "/v1/tenants/platform", {"suspended": True})[1]["error"]["code"] == "tenant_own"


@pytest.mark.parametrize(("path", "body", "words"), [
    ("/v1/tenants", {"id": "Bad Name"}, "must be 1 to 64 characters of a-z"),
    ("/v1/tenants", {}, "'id' is missing"),
    ("/v1/tenants", {"id": "x", "wieght": 1}, "unknown member 'wieght'"),
    ("/v1/tenants", {"id": "x", "weight": 0}, "'weight' must be a number in (0, 1000], got 0"),
    ("/v1/tenants", {"id": "x", "classes": ["fast"]}, "not 'fast'"),
    ("/v1/tenants", {"id": "x", "name": "n" * 201}, "'name' has 201 bytes; the limit is 200"),
    ("/v1/tenants/platform/keys", {"scopes": ["root"]}, "scope must be read, infer, keys, manage, observe, operate or admin, not 'root'"),
    ("/v1/tenants/platform/keys", {"scopes": ["read"], "role": "viewer"}, "say the same"),
    ("/v1/tenants/platform/keys", {"expires_in_seconds": -1}, "must be a number in (0,"),
    ("/v1/tenants/platform/keys", {"project": "nowhere"}, "no project 'nowhere'"),
    ("/v1/tenants/platform/users", {"issuer": "i", "subject": "s", "role": "king"}, "not 'king'")])
def test_bad_requests_are_named(platform, path, body, words):
    status, answer = platform("POST", path, body)
    assert status in (400, 404) and words in answer["error"]["message"], answer
    assert answer["status"] == status and answer["detail"] == answer["error"]["message"]


@pytest.mark.covers("GET /v1/whoami")
def test_a_host_without_a_database_knows_who_its_configuration_lets_in(tmp_path):
    key = "a-key-of-acme"
    config = ("jobs: {enabled: false}\ntenants:\n"
              f"- {{id: acme, scopes: [read, infer], key_sha256: [{hashlib.sha256(key.encode()).hexdigest()}]}}\n")
    with Server(config=config, data_dir=str(tmp_path)) as server:
        known = Admin(server, key).ok("GET", "/v1/whoami")
        assert (known["tenant"], known["scopes"]) == ("acme", ["infer"]), "which includes reading"
        assert Admin(server, "another key")("GET", "/v1/whoami")[0] == 401
        assert Admin(server, key)("GET", "/v1/tenants")[0] == 404
