#!/usr/bin/env python3
"""`./dev demo`: starts a server on the example models and lets it do its main job on real input. Standard library only."""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python" / "models"))

import magika_features  # noqa: E402
import wordpiece  # noqa: E402

DOCUMENTS = [
    "The cat sleeps on the warm windowsill all afternoon.",
    "Add two eggs and a cup of flour, then bake for forty minutes.",
    "The central bank raised interest rates by half a percent.",
    "A goalkeeper's late save kept the match level.",
    "Restart the router before you call the help desk.",
    "Chlorophyll lets plants turn sunlight into sugar.",
    "The flight to Lisbon was delayed by fog.",
    "Batching requests makes better use of an accelerator.",
]
QUERIES = ["my internet connection does not work", "how do I make a cake", "why are leaves green",
           "serving models efficiently"]
BOLD, DIM, PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")


def say(text):
    print(f"\n{BOLD}{text}{PLAIN}", flush=True)


class Client:
    def __init__(self, url):
        self.url = url

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.read()

    def post(self, path, body, headers=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers or {})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.headers, answer.read()

    def infer(self, model, tensors, output):
        """One v2 inference with binary tensors: {name: (type, shape, struct format, values)} → floats of `output`."""
        inputs, payload = [], b""
        for name, (datatype, shape, code, values) in tensors.items():
            raw = struct.pack(f"<{len(values)}{code}", *values)
            inputs.append({"name": name, "datatype": datatype, "shape": shape,
                           "parameters": {"binary_data_size": len(raw)}})
            payload += raw
        head = json.dumps({"inputs": inputs,
                           "outputs": [{"name": output, "parameters": {"binary_data": True}}]}).encode()
        headers, body = self.post(f"/v2/models/{model}/infer", head + payload,
                                  {"Inference-Header-Content-Length": str(len(head)),
                                   "Content-Type": "application/octet-stream"})
        length = int(headers["Inference-Header-Content-Length"])
        raw = body[length:]
        return struct.unpack(f"<{len(raw) // 4}f", raw)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def server(binary):
    http_port, grpc_port = free_port(), free_port()
    log = tempfile.NamedTemporaryFile("w+", suffix=".log")
    data = tempfile.TemporaryDirectory()
    process = subprocess.Popen([binary, "serve", "--models", ROOT / "models", "--http-port", str(http_port), "--grpc-port",
                                str(grpc_port), "--set", f"data_dir={data.name}"], stderr=log)
    try:
        client = Client(f"http://127.0.0.1:{http_port}")
        deadline = time.monotonic() + 60
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                sys.exit("the server did not get ready:\n" + log.read())
            with contextlib.suppress(OSError):
                client.get("/v2/health/ready")
                break
            time.sleep(0.02)
        yield client, f"127.0.0.1:{grpc_port}"
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        print(f"\nThe server has ended (exit code {code}).")


def real_files():
    """Files of several kinds that every host has, this project's among them."""
    candidates = [ROOT / "README.md", ROOT / "src/mezzo/inference/local_service.cc", ROOT / "examples/demo.py",
                  ROOT / "CMakePresets.json", ROOT / ".ci/run", ROOT / "models/minilm/1/model.onnx",
                  ROOT / "docs/images/top.png", pathlib.Path("/bin/ls"), pathlib.Path("/etc/ssl/certs/ca-certificates.crt"),
                  pathlib.Path("/usr/share/perl5/CPAN.pm"), pathlib.Path("/var/lib/dpkg/status")]
    return [path for path in candidates if path.is_file()]


def identify(client):
    say("What kind of file is it?  (Magika's model, v2 protocol, binary tensors)")
    config = magika_features.load(ROOT / "models/magika/1/magika.json")
    for path in real_files():
        with open(path, "rb") as file:
            content = file.read(4096)
            file.seek(0, os.SEEK_END)
            size = file.tell()
            if size > 4096:
                file.seek(size - 4096)
                content += file.read()
        values = magika_features.features(content, config)
        if values is None:
            print(f"  {magika_features.label_without_model(content, config):>12}         {path.name}")
            continue
        scores = client.infer("magika", {"bytes": ("INT32", [1, len(values)], "i", values)}, "target_label")
        name, score = magika_features.label(scores, config)
        print(f"  {name:>12}  {score:5.1%}  {path.name}")


def embed_v2(client, text, vocabulary):
    ids = wordpiece.encode(text, vocabulary)
    shape = [1, len(ids)]
    return client.infer("minilm", {"input_ids": ("INT64", shape, "q", ids),
                                   "attention_mask": ("INT64", shape, "q", [1] * len(ids)),
                                   "token_type_ids": ("INT64", shape, "q", [0] * len(ids))}, "sentence_embedding")


def search(client):
    say("Which sentence is meant?  (MiniLM, /v1/embeddings)")
    _, body = client.post("/v1/embeddings", {"model": "minilm", "input": DOCUMENTS + QUERIES})
    vectors = [item["embedding"] for item in json.loads(body)["data"]]
    documents, queries = vectors[:len(DOCUMENTS)], vectors[len(DOCUMENTS):]
    for text, query in zip(QUERIES, queries):
        scores = [sum(a * b for a, b in zip(query, document)) for document in documents]
        best = max(range(len(scores)), key=scores.__getitem__)
        print(f"  {text}\n    {scores[best]:.2f}  {DOCUMENTS[best]}")
    vocabulary = wordpiece.load_vocabulary(ROOT / "models/minilm/1/vocab.txt")
    raw = embed_v2(client, DOCUMENTS[0], vocabulary)
    agreement = sum(a * b for a, b in zip(raw, documents[0]))
    print(f"  {DIM}the same sentence, tokenized here and sent by v2: cosine {agreement:.6f}{PLAIN}")
    if agreement < 0.9999:
        sys.exit("the two protocols disagree")


PICTURES = ["red heart", "rainbow", "watermelon", "four leaf clover", "soccer ball", "sun"]


def generate(client, binary):
    """Pictures and a video by the built-in model, as durable jobs with their progress."""
    out = ROOT / "out"
    say(f"Pictures from prompts  (mezzo generate, the model emoji, into {out.name}/)")
    sys.stdout.flush()
    for prompt in PICTURES:
        print(f"  {prompt}", flush=True)
        subprocess.run([binary, "generate", prompt, "--url", client.url, "--out", out, "--seed", "7"], check=True)
    say("A 15 s product video from a storyboard  (examples/storyboards/demo.json)")
    sys.stdout.flush()
    subprocess.run([binary, "generate", "--storyboard", ROOT / "examples/storyboards/demo.json", "--url", client.url,
                    "--out", out], check=True)


def put_under_load(client, binary, grpc, seconds):
    say(f"Both models under load for {seconds} s  (mezzo bench, HTTP and gRPC)")
    tokens = "shape=input_ids:1x32,shape=attention_mask:1x32,shape=token_type_ids:1x32"
    ranges = "range=input_ids:1000..30000,range=attention_mask:1..1,range=token_type_ids:0..0"
    flows = [f"name=minilm,model=minilm,concurrency=16,{tokens},{ranges}",
             "name=magika,model=magika,concurrency=8,protocol=grpc,shape=bytes:1x2048,range=bytes:0..255"]
    command = [binary, "bench", "--url", client.url, "--grpc", grpc, "--duration", f"{seconds}s"]
    for flow in flows:
        command += ["--flow", flow]
    sys.stdout.flush()
    subprocess.run(command, check=True)
    say("Where to look")
    print(f"  metrics     {client.url}/metrics\n  statistics  {client.url}/v2/models/stats\n"
          f"  live view   {pathlib.Path(binary).name} top --url {client.url}")
    for entry in json.loads(client.get("/v2/models/stats"))["model_stats"]:
        mean = int(entry["inference_count"]) / max(1, int(entry["execution_count"]))
        print(f"  {entry['name']}: {entry['inference_count']} rows in {entry['execution_count']} batches, {mean:.1f} a batch")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    binary = str(pathlib.Path(options.binary).resolve())
    started = time.monotonic()
    with server(binary) as (client, grpc):
        print(f"Mezzo is ready after {time.monotonic() - started:.1f} s at {client.url} and {grpc}.")
        identify(client)
        search(client)
        generate(client, binary)
        put_under_load(client, binary, grpc, options.seconds)


if __name__ == "__main__":
    main()
