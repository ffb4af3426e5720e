"""OpenAI's images and videos through the official client. Their jobs are those of `mezzo_fake_media`, which makes texts
that say what they were made from: what a client sees of the protocol does not hang on a model."""

import base64
import io
import json
import subprocess
import threading
import urllib.error
import urllib.request

import mezzo_server
import openai
import pytest

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")  # Of the client, about another server.
BINARY = mezzo_server.BINARY.parents[3] / "tests" / "openai" / "mezzo_fake_media"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def url():
    with subprocess.Popen([BINARY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        port = process.stdout.readline().strip()
        assert port, "mezzo_fake_media did not start"
        yield f"http://127.0.0.1:{port}"
        process.stdin.close()
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def client(url):
    with openai.OpenAI(base_url=url + "/v1", api_key="any", max_retries=0, timeout=60) as made:
        yield made


def fetch(address, headers=None, method="GET"):
    """(status, headers by lower-case name, body)"""
    request = urllib.request.Request(address, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, {name.lower(): value for name, value in answer.headers.items()}, answer.read()


def picture(data):
    return base64.b64decode(data.b64_json).decode()


@pytest.mark.covers("POST /v1/images/generations")
def test_generates_pictures(client):
    answer = client.images.generate(model="m", prompt="a cat", n=2, size="64x32", output_format="webp",
                                    extra_body={"seed": 40, "steps": 4, "guidance": 2.5, "negative_prompt": "dogs"})

    assert [picture(data) for data in answer.data] == ["a cat 0", "a cat 1"]
    assert answer.data[1].seed == 41
    assert (answer.size, answer.output_format, answer.background) == ("64x32", "webp", "opaque")
    assert answer.created > 1_700_000_000


def test_urls_of_pictures_can_be_fetched_and_not_guessed(client):
    answer = client.images.generate(model="m", prompt="a cat", response_format="url")
    address = answer.data[0].url

    status, headers, body = fetch(address)
    assert (status, body) == (200, b"a cat 0")
    assert headers["content-type"] == "image/png"
    assert headers["x-content-type-options"] == "nosniff"
    assert fetch(address, method="HEAD")[1]["content-length"] == "7"
    assert fetch(address, {"Range": "bytes=2-4"})[::2] == (206, b"cat")
    forged = fetch(address.replace("image-0", "image-1"))
    assert forged[0] == 403 and json.loads(forged[2])["error"]["code"] == "blob_url_invalid"


def test_a_stream_has_partial_pictures_and_the_finished_one(client):
    events = list(client.images.generate(model="m", prompt="a cat", stream=True, partial_images=2))

    assert [event.type for event in events] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert [event.partial_image_index for event in events[:2]] == [0, 1]
    assert [picture(event) for event in events] == ["part 0", "part 1", "a cat 0"]
    assert events[2].size == "64x32"


def test_a_failure_in_a_stream_is_the_clients_error(client):
    with pytest.raises(openai.APIError) as error:
        list(client.images.generate(model="m", prompt="crash this", stream=True))
    assert error.value.code == "engine_failed"


@pytest.mark.covers("POST /v1/images/edits")
def test_edits_take_a_picture_and_a_mask(client):
    answer = client.images.edit(model="m", prompt="a hat", image=("cat.png", PNG + b"cat"), mask=("m.png", PNG + b"head"),
                                n=2, extra_body={"strength": 0.5})
    assert picture(answer.data[1]) == "a hat + cat + head 1"

    listed = client.images.edit(model="m", prompt="a hat", image=[io.BytesIO(PNG + b"dog")])
    assert picture(listed.data[0]) == "a hat + dog 0"


def test_an_edit_can_be_streamed(client):
    events = list(client.images.edit(model="m", prompt="a hat", image=("cat.png", PNG + b"cat"), stream=True,
                                     partial_images=1))
    assert [event.type for event in events] == ["image_edit.partial_image", "image_edit.completed"]


@pytest.mark.parametrize("members, kind, param, code", [
    ({"n": 11}, openai.BadRequestError, "n", "media_request"),
    ({"size": "big"}, openai.BadRequestError, "size", "media_request"),
    ({"background": "transparent"}, openai.BadRequestError, "background", "media_request"),
    ({"prompt": "refuse this"}, openai.BadRequestError, None, "image_request"),
    ({"prompt": "fail this"}, openai.BadRequestError, "prompt", "prompt_too_long"),
    ({"prompt": "crash this"}, openai.InternalServerError, None, "engine_failed"),
])
def test_errors_say_what_is_wrong(client, members, kind, param, code):
    with pytest.raises(kind) as error:
        client.images.generate(**{"model": "m", "prompt": "a cat", **members})
    assert (error.value.param, error.value.code) == (param, code)


def test_a_client_that_gives_up_cancels_its_job(client, url):
    impatient = client.with_options(timeout=0.5)
    with pytest.raises(openai.APITimeoutError):
        impatient.images.generate(model="m", prompt="wait here")

    def newest():
        return json.loads(fetch(url + "/v1/jobs?kind=image&limit=1")[2])["data"][0]

    job = json.loads(fetch(f"{url}/v1/jobs/{newest()['id']}?wait=20")[2])
    assert job["status"] == "cancelled"


@pytest.mark.covers("POST /v1/videos", "GET /v1/videos/{v}", "GET /v1/videos/{v}/content")
def test_a_video_is_made_polled_and_downloaded(client):
    video = client.videos.create_and_poll(model="m", prompt="a boat", seconds="15", size="1280x720", poll_interval_ms=50)

    assert (video.status, video.progress, video.seconds, video.size) == ("completed", 100, "15", "1280x720")
    assert video.prompt == "a boat" and video.error is None
    assert client.videos.download_content(video.id).read() == b"video of a boat"
    assert client.videos.download_content(video.id, variant="thumbnail").read() == b"thumbnail of a boat"
    assert client.videos.download_content(video.id, variant="spritesheet").read() == b"sprites of a boat"
    assert client.videos.retrieve(video.id) == video


def test_a_video_begins_with_its_reference(client):
    video = client.videos.create_and_poll(model="m", prompt="a boat", input_reference=("a.png", PNG + b"a beach"),
                                          poll_interval_ms=50)
    assert client.videos.download_content(video.id).read() == b"video of a beach, then a boat"


@pytest.mark.covers("GET /v1/videos", "POST /v1/videos/{v}/remix", "DELETE /v1/videos/{v}")
def test_videos_are_listed_remixed_and_deleted(client):
    first = client.videos.create_and_poll(model="m", prompt="first", poll_interval_ms=50)
    remix = client.videos.remix(first.id, prompt="second")
    assert remix.remixed_from_video_id == first.id

    ids = [video.id for video in client.videos.list(limit=1)]  # Goes on page by page.
    assert ids.index(remix.id) < ids.index(first.id)
    assert client.videos.delete(first.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(first.id)


def test_a_failed_video_says_why(client):
    video = client.videos.create_and_poll(model="m", prompt="crash this", poll_interval_ms=50)
    assert (video.status, video.error.code) == ("failed", "engine_failed")
    with pytest.raises(openai.BadRequestError) as error:
        client.videos.download_content(video.id)
    assert error.value.code == "video_not_ready"


@pytest.mark.covers("GET /v1/jobs/{j}/artifacts")
def test_the_artifacts_of_a_job_are_listed_with_urls(client, url):
    video = client.videos.create_and_poll(model="m", prompt="a boat", poll_interval_ms=50)

    listed = json.loads(fetch(f"{url}/v1/jobs/{video.id.removeprefix('video_')}/artifacts")[2])
    assert [item["name"] for item in listed["data"]] == ["sprites-v1.webp", "thumbnail-v1.webp", "video-v1.mp4"]
    assert fetch(listed["data"][2]["url"])[2] == b"video of a boat"
    assert fetch(f"{url}/v1/jobs/unknown/artifacts")[0] == 404


def test_many_callers_each_get_their_own(client):
    answers = {}

    def ask(i):
        answers[i] = picture(client.images.generate(model="m", prompt=f"cat {i}").data[0])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {i: f"cat {i} 0" for i in range(16)}
