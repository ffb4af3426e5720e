"""People by OIDC: a real issuer's keys over loopback HTTP, tokens signed by openssl, the roles' rights on routes and RPCs."""

import base64
import hashlib
import hmac
import http.server
import json
import subprocess
import threading
import time

import pytest
import tritonclient.grpc
from mezzo_server import MODELS, SLOWNESS, Server
from test_tenants import Admin, first_key

INFER = {"inputs": [{"name": name, "shape": [1, 16], "datatype": "INT32", "data": list(range(16))} for name in ("INPUT0", "INPUT1")]}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    """An RSA key pair of the issuer."""

    def __init__(self, folder, kid):
        self.kid, self.file = kid, folder / f"{kid}.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.file],
                       check=True, capture_output=True)
        modulus = subprocess.run(["openssl", "rsa", "-in", self.file, "-noout", "-modulus"], check=True, capture_output=True, text=True).stdout
        self.jwk = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": b64(bytes.fromhex(modulus.strip().split("=")[1])), "e": "AQAB"}

    def sign(self, claims, **header):
        head = {"alg": "RS256", "kid": self.kid, "typ": "JWT", **header}
        text = b64(json.dumps(head).encode()) + "." + b64(json.dumps(claims).encode())
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.file], input=text.encode(), check=True, capture_output=True).stdout
        return f"{text}.{b64(signature)}"


class Issuer:
    """Discovery and keys over HTTP on loopback."""

    def __init__(self, folder):
        self.first, self.second = Key(folder, "first"), Key(folder, "second")
        self.keys, self.fetches, self.down = [self.first], 0, False
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                pages = {"/.well-known/openid-configuration": {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"},
                         "/keys": {"keys": [key.jwk for key in issuer.keys]}}
                issuer.fetches += self.path == "/keys"
                page = None if issuer.down else pages.get(self.path)
                body = json.dumps(page).encode()
                self.send_response(503 if page is None else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def claims(self, subject="alice", **extra):
        claims = {"iss": self.url, "sub": subject, "aud": "mezzo", "iat": int(time.time()), "exp": int(time.time()) + 600, **extra}
        return {name: value for name, value in claims.items() if value is not None}

    def config(self):
        return f"""
oidc:
  - issuer: {self.url}
    audience: [mezzo]
    roles_claim: realm_access.roles
    role_map: {{viewers: viewer, devs: developer, ops: operator, admins: admin}}
    tenant_claim: org
    tenants: [acme, other, platform]
    allow_http: true
"""

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def issuer(tmp_path):
    issuer = Issuer(tmp_path)
    yield issuer
    issuer.close()


class World:
    def __init__(self, issuer, server):
        self.issuer, self.server = issuer, server
        self.admin = Admin(server, first_key(server))
        for tenant in ("acme", "other", "elsewhere"):
            self.admin.ok("POST", "/v1/tenants", {"id": tenant})
        deadline = time.monotonic() + 10 * SLOWNESS
        while self.person()("GET", "/v1/whoami")[0] == 503:  # The keys are on their way.
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def person(self, *groups, subject="alice", org="acme", key=None, header=None, **extra):
        claims = self.issuer.claims(subject, org=org, realm_access={"roles": list(groups)}, **extra)
        return Admin(self.server, (key or self.issuer.first).sign(claims, **(header or {})))


@pytest.fixture
def world(issuer, tmp_path):
    with Server(models=MODELS, config=issuer.config(), data_dir=str(tmp_path / "data")) as server:
        yield World(issuer, server)
        assert server.terminate() == 0
        text = "".join(server.raw)
        assert "eyJ" not in text, "a token stands in the log"


ROUTES = {  # method, path, body: the scope
    ("GET", "/v1/whoami", None): "read",
    ("GET", "/v2/models/simple", None): "read",
    ("POST", "/v2/models/simple/infer", "infer"): "infer",
    ("GET", "/v1/tenants/{own}/keys", None): "keys",
    ("GET", "/v1/tenants/{own}/users", None): "manage",
    ("GET", "/metrics", None): "observe",
    ("POST", "/v2/repository/index", "{}"): "read",
    ("GET", "/v1/tenants", None): "admin",
    ("GET", "/v1/limits", None): "admin",
}
RIGHTS = {
    ("viewers", "acme"): {"read"},
    ("devs", "acme"): {"read", "infer"},
    ("ops", "acme"): {"read", "infer", "keys"},
    ("admins", "acme"): {"read", "infer", "keys", "manage"},
    ("viewers", "platform"): {"read", "observe"},
    ("devs", "platform"): {"read", "infer", "observe"},
    ("ops", "platform"): {"read", "infer", "keys", "observe"},
    ("admins", "platform"): {"read", "infer", "keys", "manage", "observe", "admin"},
}


def test_a_person_may_what_their_role_may(world):
    for (group, tenant), scopes in RIGHTS.items():
        person = world.person(group, "unmapped", org=tenant)
        for (method, path, body), scope in ROUTES.items():
            data = json.dumps(INFER).encode() if body == "infer" else body and body.encode()
            status, headers, text = world.server.request(method, path.replace("{own}", tenant), data, {"Authorization": f"Bearer {person.key}"})
            assert status == (200 if scope in scopes else 403), (group, tenant, method, path, text)
            if status == 403:
                assert headers["X-Mezzo-Reason"] == "scope_missing", headers
        assert person.ok("GET", "/v1/whoami")["tenant"] == tenant
    theirs = world.person("admins", org="acme")
    for path in ("", "/keys", "/users", "/projects"):
        assert theirs("GET", f"/v1/tenants/other{path}")[0] == 404, "another tenant is not there"


def test_the_users_of_a_tenant_go_before_claims(world):
    nobody = world.person(subject="bob")
    assert nobody("GET", "/v1/whoami") == (403, nobody("GET", "/v1/whoami")[1])
    assert nobody("GET", "/v1/whoami")[1]["error"]["code"] == "person_unknown"
    user = {"issuer": world.issuer.url, "subject": "bob", "role": "operator"}
    world.admin.ok("POST", "/v1/tenants/acme/users", user)
    assert nobody.ok("GET", "/v1/whoami")["scopes"] == ["infer", "keys"]
    world.admin.ok("POST", "/v1/tenants/acme/users", user | {"role": "viewer"})
    assert world.person("admins", subject="bob").ok("GET", "/v1/whoami")["scopes"] == ["read"], "the database's role, not the claim's"
    world.admin.ok("POST", "/v1/tenants/other/users", user)
    unclear = world.person(subject="bob", org=None)
    assert unclear("GET", "/v1/whoami")[1]["error"]["code"] == "person_ambiguous"
    assert world.person(subject="bob", org="other").ok("GET", "/v1/whoami")["tenant"] == "other"
    world.admin.ok("DELETE", f"/v1/tenants/acme/users?issuer={world.issuer.url}&subject=bob")
    world.admin.ok("DELETE", f"/v1/tenants/other/users?issuer={world.issuer.url}&subject=bob")
    assert nobody("GET", "/v1/whoami")[0] == 403
    dev = world.person("devs")
    assert dev("GET", "/v1/whoami")[0] == 200
    world.admin.ok("PATCH", "/v1/tenants/acme", {"suspended": True})
    assert dev("GET", "/v1/whoami")[0] == 403
    assert world.person("devs", org="elsewhere")("GET", "/v1/whoami")[0] == 403, "not one of this issuer's tenants"


def test_what_is_wrong_with_a_token_is_said(world):
    issuer, now = world.issuer, int(time.time())
    good = world.person("devs").key
    public = json.dumps(issuer.first.jwk).encode()

    def forged(alg):
        text = b64(json.dumps({"alg": alg, "kid": "first"}).encode()) + "." + good.split(".")[1]
        return f"{text}.{b64(hmac.new(public, text.encode(), hashlib.sha256).digest()) if alg != 'none' else ''}"

    cases = {
        "token_malformed": ["a.b.c", world.person("devs", header={"crit": ["exp"]}).key, world.person("devs", exp=None).key],
        "token_algorithm": [forged("none"), forged("HS256"), world.person("devs", header={"alg": "ES256"}).key],
        "token_signature": [good.rsplit(".", 1)[0] + "." + world.person("ops").key.rsplit(".", 1)[1], world.person("devs", key=issuer.second).key],
        "token_audience": [world.person("devs", aud="other").key],
        "token_issuer": [world.person("devs", iss="http://127.0.0.1:1").key],
        "token_expired": [world.person("devs", exp=now - 120).key, world.person("devs", nbf=now + 600).key],
    }
    for reason, tokens in cases.items():
        for token in tokens:
            for headers in ({"Authorization": f"Bearer {token}"}, {"X-Api-Key": token}):
                status, answer, body = world.server.get("/v1/whoami", headers)
                assert (status, answer["X-Mezzo-Reason"]) == (401, reason), body
                assert 'error="invalid_token"' in answer["WWW-Authenticate"]
                assert len(token) < 9 or token.split(".")[1] not in body.decode()
    assert world.server.get("/v1/whoami")[1]["WWW-Authenticate"] == 'Bearer realm="mezzo"', "there is no anonymous caller beside an issuer"
    assert world.server.get("/v1/whoami", {"Authorization": f"Bearer {good}"})[0] == 200


def test_grpc_takes_the_same_tokens(world):
    client = tritonclient.grpc.InferenceServerClient(world.server.grpc)
    tensors = [tritonclient.grpc.InferInput(name, [1, 16], "INT32") for name in ("INPUT0", "INPUT1")]
    for tensor in tensors:
        tensor.set_data_from_numpy(__import__("numpy").arange(16, dtype="int32").reshape(1, 16))

    def infer(token):
        return client.infer("simple", tensors, headers={"authorization": f"Bearer {token}"})

    assert infer(world.person("devs").key).as_numpy("OUTPUT0")[0, 3] == 6
    assert infer(world.person("devs", padding="x" * 5000).key).as_numpy("OUTPUT0")[0, 3] == 6, "a large token"
    for token, status in ((world.person("viewers").key, "PERMISSION_DENIED"), (world.person("devs", aud="x").key, "UNAUTHENTICATED")):
        with pytest.raises(tritonclient.utils.InferenceServerException) as refused:
            infer(token)
        assert status in refused.value.status()
    client.close()


def test_rotation_is_followed_and_a_removed_key_is_out(world):
    old, new = world.person("devs"), world.person("devs", key=world.issuer.second)
    old.ok("GET", "/v1/whoami")
    world.issuer.keys = [world.issuer.second]
    assert new("GET", "/v1/whoami")[0] == 401, "the call does not wait for the issuer"
    for _ in range(200):  # A flood of tokens with a key that nobody knows.
        assert new("GET", "/v1/whoami")[0] in (200, 401)
    assert world.issuer.fetches <= 2
    new.await_status(200, "GET", "/v1/whoami", seconds=20)
    assert old("GET", "/v1/whoami")[1]["error"]["code"] == "token_signature"
    assert world.issuer.fetches <= 3
    world.issuer.down = True
    assert world.person("ops", key=world.issuer.second)("GET", "/v1/whoami")[0] == 200, "what is known goes on"
    metrics = Admin(world.server, world.admin.key).server.request("GET", "/metrics", headers={"Authorization": f"Bearer {world.admin.key}"})[2]
    assert b'mezzo_tenancy_tokens_total{result="token_signature"}' in metrics


def test_an_issuer_that_comes_late(issuer, tmp_path):
    issuer.down = True
    config = issuer.config() + "    tenant: acme\n"
    with Server(config=config, data_dir=str(tmp_path / "data")) as server:
        Admin(server, first_key(server)).ok("POST", "/v1/tenants", {"id": "acme"})
        person = Admin(server, issuer.first.sign(issuer.claims(realm_access={"roles": ["devs"]})))
        status, headers, _ = server.get("/v1/whoami", {"Authorization": f"Bearer {person.key}"})
        assert (status, headers["X-Mezzo-Reason"]) == (503, "issuer_unavailable") and int(headers["Retry-After"]) >= 1
        issuer.down = False
        person.await_status(200, "GET", "/v1/whoami", seconds=20)
        assert person.ok("GET", "/v1/whoami")["tenant"] == "acme"


def test_keys_over_plain_http_must_be_allowed(issuer):
    with pytest.raises(RuntimeError, match="allow_http"):
        Server(config=issuer.config().replace("allow_http: true", "allow_http: false"))
