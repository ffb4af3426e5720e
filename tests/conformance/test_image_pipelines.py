"""Pictures and videos through the official client from the real server, painted by a tiny random pipeline in Diffusers'
layout: what they show is noise, but it is the same noise for the same seed."""

import base64
import http.server
import json
import shutil
import struct
import subprocess
import threading
import urllib.error
import urllib.request

import mezzo_server
import openai
import pytest

PIPELINES = mezzo_server.ROOT / "tests" / "golden" / "generation" / "pipelines"
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(PIPELINES / "sd1", folder / "sd1")
    with mezzo_server.Server(models=folder, config="artifacts: {min_free: 0}\n") as server:
        yield server


@pytest.fixture(scope="module")
def client(painter):
    with openai.OpenAI(base_url=painter.http_url + "/v1", api_key="any", max_retries=0, timeout=120) as made:
        yield made


def file_of(data):
    return base64.b64decode(data.b64_json)


def png_size(file):
    assert file.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", file[16:24])


def generate(client, **members):
    extra = {"steps": 3, "seed": 7, **members.pop("extra_body", {})}
    return client.images.generate(**{"model": "sd1", "prompt": "a cat", "size": "64x64", "extra_body": extra, **members})


def test_a_pipeline_paints_what_was_asked_for(client):
    answer = generate(client, n=2)
    files = [file_of(data) for data in answer.data]
    assert [png_size(file) for file in files] == [(64, 64)] * 2
    assert [data.seed for data in answer.data] == [7, 8]
    assert answer.size == "64x64"
    assert files[0] != files[1]


def test_the_same_seed_gives_the_same_picture(client):
    first, again, other = (file_of(generate(client, extra_body={"seed": seed}).data[0]) for seed in (7, 7, 8))
    assert first == again and first != other


def test_formats(client):
    assert file_of(generate(client, output_format="jpeg", output_compression=50).data[0]).startswith(b"\xff\xd8\xff")
    assert file_of(generate(client, output_format="webp").data[0])[8:12] == b"WEBP"


def test_a_url_gives_the_file(client):
    with urllib.request.urlopen(generate(client, response_format="url").data[0].url) as answer:
        assert answer.headers["Content-Type"] == "image/png"
        assert png_size(answer.read()) == (64, 64)


def test_a_stream_shows_pictures_on_the_way(client):
    events = list(generate(client, stream=True, partial_images=2, extra_body={"steps": 6}))
    assert events[-1].type == "image_generation.completed"
    assert {event.type for event in events[:-1]} == {"image_generation.partial_image"}
    assert [event.partial_image_index for event in events[:-1]] == [0, 1]
    assert png_size(file_of(events[-1])) == (64, 64)


def test_an_edit_starts_from_a_picture(client):
    picture = file_of(generate(client).data[0])
    near, far = (file_of(client.images.edit(model="sd1", prompt="a dog", image=("a.png", picture),
                                            extra_body={"steps": 4, "seed": 1, "strength": strength}).data[0])
                 for strength in (0.3, 1.0))
    assert png_size(near) == (64, 64)
    assert near != far != picture


@pytest.mark.parametrize("members, code", [
    ({"size": "63x64"}, "image_request"),
    ({"model": "nobody"}, "model_not_found"),
    ({"extra_body": {"sampler": "nonsense"}}, "sampler_unknown"),
])
def test_what_a_pipeline_cannot_do_is_refused(client, members, code):
    with pytest.raises(openai.APIStatusError) as error:
        generate(client, **members)
    assert error.value.code == code and error.value.status_code in (400, 404)


def test_the_job_of_a_picture_lists_its_artifacts(painter, client):
    raw = client.images.with_raw_response.generate(model="sd1", prompt="a cat", size="64x64", extra_body={"steps": 2})
    job = raw.headers["X-Mezzo-Job"]
    listed = json.loads(painter.get(f"/v1/jobs/{job}/artifacts")[2])
    assert [item["name"] for item in listed["data"]] == ["image-0.png"]
    with urllib.request.urlopen(listed["data"][0]["url"]) as answer:
        assert answer.read() == file_of(raw.parse().data[0])


def test_a_video_of_painted_shots(client):
    video = client.videos.create_and_poll(model="sd1", prompt="a boat", seconds="15", size="1280x720", poll_interval_ms=500,
                                          extra_body={"steps": 1, "seed": 3}, timeout=600)
    assert video.status == "completed", video.error
    film = client.videos.download_content(video.id).read()
    assert film[4:8] == b"ftyp"
    assert client.videos.download_content(video.id, variant="thumbnail").read()[8:12] == b"WEBP"


def post(server, path, body):
    data = b"" if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.http_url + path, data=data, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as answer:
        return answer.code, json.loads(answer.read())


@pytest.fixture(scope="module")
def film(painter):
    """A finished video of two painted shots."""
    shots = [{"prompt": prompt, "duration": 0.5, "motion": "still", "transition": "cut"} for prompt in ("a cat", "a dog")]
    body = {"kind": "storyboard", "model": "sd1", "tier": "urgent",
            "input": {"resolution": "720p", "aspect": "square", "music": "none", "shots": shots, "painting": {"steps": 2, "seed": 1}}}
    status, job = post(painter, "/v1/jobs?wait=60", body)
    assert status == 200 and job["status"] == "succeeded", job
    return job


@pytest.mark.covers("POST /v1/jobs/{j}/shots/{n}/redo")
def test_one_shot_is_made_again_and_the_video_has_a_new_version(painter, film):
    status, again = post(painter, f"/v1/jobs/{film['id']}/shots/1/redo?wait=60", {"shot": {"prompt": "a bird"}, "painting": {"seed": 9}})
    assert status == 200 and again["status"] == "succeeded", again
    assert again["kind"] == "storyboard" and again["tier"] == "urgent"
    result = again["result"]
    assert result["version"] == 2 and result["redo_of"] == film["id"]
    assert result["shots"][0] == film["result"]["shots"][0]
    assert result["shots"][1]["artifact"] != film["result"]["shots"][1]["artifact"]


def test_a_redo_without_a_body_paints_the_same_shot_by_another_seed(painter, film):
    status, again = post(painter, f"/v1/jobs/{film['id']}/shots/0/redo?wait=60", None)
    assert status == 200 and again["status"] == "succeeded", again
    assert again["result"]["shots"][0]["seed"] != film["result"]["shots"][0]["seed"]


@pytest.mark.parametrize(("path", "body", "status", "words"), [
    ("shots/2/redo?wait=60", {}, 200, "redo names shot 2, and the video has 2"),
    ("shots/0/redo", {"prompt": "x"}, 400, "unknown member 'prompt'"),
    ("shots/0/redo", {"shot": 3}, 400, "'shot' must be an object"),
    ("shots/0/redo", {"shot": {"shot": 3}}, 400, "'shot.shot' is not a member"),
    ("shots/0/redo", {"painting": {"steps": -1}}, 400, "'painting.steps' is not a whole number"),
    ("shots/x/redo", {}, 404, "there is no POST"),
    ("shots/99999999999999999999/redo", {}, 404, "is not the number of a shot"),
])
def test_a_redo_that_can_not_be(painter, film, path, body, status, words):
    code, answer = post(painter, f"/v1/jobs/{film['id']}/{path}", body)
    assert code == status, answer
    assert words in json.dumps(answer)


def test_only_finished_storyboards_are_made_again(painter):
    status, job = post(painter, "/v1/jobs?wait=60", {"kind": "image", "model": "sd1", "input": {"prompt": "a cat", "size": "64x64", "steps": 1}})
    assert status == 200
    code, answer = post(painter, f"/v1/jobs/{job['id']}/shots/0/redo", {})
    assert code == 400 and "job_not_ended" in json.dumps(answer), answer
    assert post(painter, "/v1/jobs/none/shots/0/redo", {})[0] == 404


# --- files that jobs use --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cat(client):
    """A picture of 64x64."""
    return file_of(generate(client).data[0])


def upload(server, content, content_type="image/png", headers=None):
    request = urllib.request.Request(server.http_url + "/v1/uploads", data=content, method="POST",
                                     headers={"Content-Type": content_type, **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as answer:
        return answer.code, json.loads(answer.read())


def edit(server, image, **more):
    body = {"kind": "image", "model": "sd1", "tier": "urgent", "input": {"prompt": "a dog", "image": image, "steps": 2, "seed": 3, **more}}
    return post(server, "/v1/jobs?wait=60", body)


@pytest.mark.covers("POST /v1/uploads")
def test_an_uploaded_picture_is_edited_and_shown_in_a_video(painter, cat):
    status, kept = upload(painter, cat)
    assert status == 201
    assert kept["object"] == "upload" and kept["bytes"] == len(cat) and kept["content_type"] == "image/png"
    status, job = edit(painter, {"artifact": kept["artifact"]})
    assert status == 200 and job["status"] == "succeeded", job
    assert job["result"]["images"][0]["width"] == 64
    story = {"resolution": "720p", "aspect": "square", "music": "none",
             "shots": [{"picture": kept["artifact"], "duration": 1}], "logo": {"picture": kept["artifact"]}}
    status, job = post(painter, "/v1/jobs?wait=60", {"kind": "storyboard", "input": story})
    assert status == 200 and job["status"] == "succeeded", job
    assert job["result"]["shots"] == [{"artifact": kept["artifact"], "painted": False}]


def test_uploads_that_are_refused(painter):
    status, answer = upload(painter, b"x", "text/html")
    assert status == 400 and "upload_type" in json.dumps(answer) and "image/png" in answer["detail"]
    status, answer = upload(painter, b"")
    assert status == 400 and "upload_empty" in json.dumps(answer)
    status, kept = upload(painter, b"<script>", "image/png")
    assert status == 201
    status, job = edit(painter, {"artifact": kept["artifact"]})
    assert job["status"] == "failed" and job["error"]["code"] == "picture_invalid", job


@pytest.fixture
def album(cat):
    """Somebody's server: /cat.png, and errors by their numbers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802 - the library's name
            found = self.path.startswith("/cat.png")
            content = cat if found else b"no"
            self.send_response(200 if found else int(self.path[1:]))
            if not found:
                self.send_header("Location", "/cat.png")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_port}"
        listener.shutdown()


def test_a_picture_by_its_address(tmp_path, album):
    shutil.copytree(PIPELINES / "sd1", tmp_path / "models" / "sd1")
    config = "artifacts: {min_free: 0}\njobs: {fetch_from_private: true, fetch_over_http: true}\n"
    with mezzo_server.Server(models=tmp_path / "models", config=config) as server:
        status, job = edit(server, {"url": album + "/cat.png?key=1"})
        assert status == 200 and job["status"] == "succeeded", job
        story = {"resolution": "720p", "aspect": "square", "music": "none", "shots": [{"picture": album + "/cat.png", "duration": 1}]}
        status, job = post(server, "/v1/jobs?wait=60", {"kind": "storyboard", "input": story})
        assert status == 200 and job["status"] == "succeeded", job
        for path, words in (("/404", "answered HTTP 404"), ("/302", "answered HTTP 302")):
            _, job = edit(server, {"url": album + path})
            assert job["status"] == "failed" and job["error"]["code"] == "fetch_refused", job
            assert words in job["error"]["message"] and "image" in job["error"]["message"]


def test_addresses_inside_are_not_asked_for(painter, album):
    for address in (album.replace("http:", "https:") + "/cat.png", "https://169.254.169.254/latest", "https://[::1]/"):
        _, job = edit(painter, {"url": address})
        assert job["status"] == "failed" and job["error"]["code"] == "address_not_allowed", job
    _, job = edit(painter, {"url": album + "/cat.png"})
    assert job["status"] == "failed" and job["error"]["code"] == "bad_url", job
    status, answer = edit(painter, {"url": "file:///etc/passwd"})
    assert status == 400 and "http or https address" in json.dumps(answer), answer


def test_a_pipeline_of_one_size_draws_that_size_only(tmp_path, cat):
    """`fixed_dims` of the denoising network: static shapes for providers that specialise."""
    folder = tmp_path / "models" / "sd1"
    shutil.copytree(PIPELINES / "sd1", folder)
    (folder / "unet" / "model.yaml").write_text("fixed_dims: {height: 8, width: 8}\n")
    with mezzo_server.Server(models=tmp_path / "models", config="artifacts: {min_free: 0}\n") as server:
        def draw(size):
            return post(server, "/v1/images/generations", {"model": "sd1", "prompt": "a cat", "size": size, "steps": 3, "seed": 7})

        status, answer = draw("64x64")
        assert status == 200, answer
        assert png_size(base64.b64decode(answer["data"][0]["b64_json"])) == (64, 64)
        assert base64.b64decode(answer["data"][0]["b64_json"]) == cat
        status, answer = draw("128x128")
        assert status == 400, answer
        assert answer["error"]["message"] == "'size' is 128x128; this pipeline was fixed to 64x64"


def test_the_command_starts_from_a_file(painter, cat, tmp_path):
    (tmp_path / "cat.png").write_bytes(cat)
    done = subprocess.run([mezzo_server.BINARY, "generate", "a dog", "--url", painter.http_url, "--model", "sd1", "--steps", "2",
                           "--image", tmp_path / "cat.png", "--strength", "0.5", "--out", tmp_path / "out"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = (tmp_path / "out").glob("*image-0.png")
    assert png_size(made.read_bytes()) == (64, 64)
