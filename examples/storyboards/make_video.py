#!/usr/bin/env python3
"""Makes a video from a storyboard on a running server, and fetches it: the video, its subtitles and its thumbnail.

    examples/storyboards/make_video.py --model <image model> examples/storyboards/product.json --out /tmp/video

Standard library only. The key of a server that asks for one comes from MEZZO_API_KEY."""

import argparse
import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


class Server:
    def __init__(self, url, key):
        self.url = url.rstrip("/") + "/"
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = dict(self.headers, **({"Content-Type": "application/json"} if data else {}))
        request = urllib.request.Request(urllib.parse.urljoin(self.url, path), data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            sys.exit(f"{path}: {error.code} {error.read().decode(errors='replace')[:500]}")

    def fetch(self, url, path):
        """A signed URL, which may be a path of this server; it carries its own right."""
        with urllib.request.urlopen(urllib.parse.urljoin(self.url, url), timeout=120) as answer, open(path, "wb") as file:
            while piece := answer.read(1 << 18):
                file.write(piece)


def wait(server, job, patience):
    """The job at its end; tells every change of stage."""
    until, stage = time.monotonic() + patience, None
    while True:
        job = server.ask(f"v1/jobs/{job['id']}?wait=1")
        if job.get("stage") != stage:
            stage = job.get("stage")
            print(f"{100 * job['progress']:4.0f} %  {stage or job['status']}", flush=True)
        if job["status"] in ("succeeded", "failed", "cancelled"):
            return job
        if time.monotonic() > until:
            server.ask(f"v1/jobs/{job['id']}/cancel", {})
            sys.exit(f"not done after {patience} seconds: cancelled")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("storyboard", type=pathlib.Path)
    parser.add_argument("--model", default="", help="the image model that paints the shots")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("."))
    parser.add_argument("--patience", type=float, default=3600, help="seconds")
    options = parser.parse_args()
    server = Server(options.url, os.environ.get("MEZZO_API_KEY"))
    request = {"kind": "storyboard", "model": options.model, "input": json.loads(options.storyboard.read_text())}
    job = wait(server, server.ask("v1/jobs", request), options.patience)
    if job["status"] != "succeeded":
        sys.exit(f"{job['status']}: {json.dumps(job.get('error'), ensure_ascii=False)}")
    result = job["result"]
    wanted = {item["artifact"] for item in (result["video"], result["thumbnail"], *result["subtitles"])}
    options.out.mkdir(parents=True, exist_ok=True)
    page = {"has_more": True, "last_key": ""}
    while page["has_more"]:
        after = urllib.parse.quote(page["last_key"], safe="")
        page = server.ask(f"v1/jobs/{job['id']}/artifacts?limit=100" + (f"&after={after}" if after else ""))
        for artifact in page["data"]:
            if artifact["key"] in wanted:
                path = options.out / artifact["name"]
                server.fetch(artifact["url"], path)
                print(path)
    for note in result["notes"]:
        print("note:", note)


if __name__ == "__main__":
    main()
