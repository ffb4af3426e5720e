"""How the console's files are served: from memory, compressed, guarded, and nothing but them."""

import gzip
import json
import re

import pytest
from mezzo_server import Server


def body_of(answer):
    status, headers, body = answer
    return gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body


@pytest.fixture(scope="module")
def page(house):
    status, headers, body = house.server.get("/console")
    assert status == 200, "built without the console"
    return headers, body.decode()


def test_the_page_runs_nothing_inline(page):
    headers, html = page
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["Cache-Control"] == "no-cache" and headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*\ssrc=)", html) and "<style" not in html and " style=" not in html
    assert not re.search(r"\son\w+=", html)


def test_files_are_kept_for_good_and_compressed(house, page):
    names = re.findall(r'(?:src|href)="(/console/assets/[^"]+)"', page[1])
    assert len(names) >= 2
    for name in names:
        plain = house.server.get(name)
        packed = house.server.get(name, {"Accept-Encoding": "gzip"})
        assert plain[0] == packed[0] == 200
        assert packed[1]["Content-Encoding"] == "gzip" and "Content-Encoding" not in plain[1]
        assert gzip.decompress(packed[2]) == plain[2] and len(packed[2]) < len(plain[2])
        assert "immutable" in plain[1]["Cache-Control"]
        assert house.server.get(name, {"If-None-Match": plain[1]["ETag"]})[0] == 304
    total = sum(len(house.server.get(name, {"Accept-Encoding": "gzip"})[2]) for name in names)
    assert total < 120_000, f"the console has grown to {total} bytes on the wire"


@pytest.mark.parametrize("path", ["/console/../v2", "/console/assets/../../etc/passwd", "/console/%2e%2e/%2e%2e/etc/passwd", "/console/assets/..%2f..%2fetc%2fpasswd",
                                  "/console//etc/passwd", "/console/assets/%00", "/console/.stamp", "/console/index.html", "/console/assets"])
def test_no_path_leads_elsewhere(house, path):
    status, _, body = house.server.get(path)
    assert status in (400, 404) and b"root:" not in body


def test_only_reading_is_served(house):
    status, headers, _ = house.server.request("POST", "/console", b"{}")
    assert status == 405 and headers["Allow"] == "GET, HEAD"
    status, headers, body = house.server.request("HEAD", "/console/")
    assert status == 200 and body == b"" and int(headers["Content-Length"]) > 0


def test_the_sign_in_tells_no_secret(house):
    status, headers, body = house.server.get("/console/sign-in.json")
    assert status == 200 and headers["Cache-Control"] == "no-store"
    found = json.loads(body)
    assert set(found) == {"object", "version", "issuers"} and found["issuers"] == []
    assert found["version"] == json.loads(house.server.get("/v2", {"Authorization": f"Bearer {house.viewer.key}"})[2])["version"]


def test_it_can_be_turned_off(tmp_path):
    with Server(config="http: {console: false}\n", data_dir=str(tmp_path)) as server:
        assert server.get("/console")[0] == server.get("/console/sign-in.json")[0] == 404
