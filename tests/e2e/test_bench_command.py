"""`mezzo bench` against a real server."""

import json
import subprocess

from mezzo_server import BINARY, MODELS, SLOWNESS, Server


def test_a_connection_that_the_server_closed_before_its_first_request_fails_nothing():
    with Server(models=[MODELS], config="http: {idle_timeout: 100ms}\n") as server:
        # The model is slow: now and then a request needs a connection that nobody has used since it was opened.
        done = subprocess.run([BINARY, "bench", "--url", server.http_url, "--model", "delay_long", "--rate", "30", "--duration", "3s", "--warmup", "0s",
                               "--connections", "16", "--json", "-"], capture_output=True, text=True, timeout=60 * SLOWNESS, check=False)
    assert done.returncode == 0, done.stderr
    flow = json.loads(done.stdout)["flows"][0]
    assert flow["ok"] == flow["intended"] > 0, flow["failures"]
