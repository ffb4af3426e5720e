"""What the tests' pipelines run: "trains" y = x * FACTOR into out/, and does what else its arguments say."""

import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import onnx_bytes  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("what", choices=["train", "evaluate", "hang", "fail", "escape", "hungry", "nothing", "broken"])
parser.add_argument("--factor", type=float, default=2)
parser.add_argument("--auc", type=float, default=0.95)
parser.add_argument("--sleep", type=float, default=0)
parser.add_argument("--until", default="", help="a file: wait for it")
parser.add_argument("--note", default="", help="a file: a line for each time this has begun")
parser.add_argument("--secret", default="", help="a file that is not to be read")
parser.add_argument("--port", type=int, default=0, help="of loopback: somebody listens there")
args = parser.parse_args()

if args.note:
    with open(args.note, "a") as notes:
        notes.write(f"{os.environ['MEZZO_STAGE']} {os.environ['MEZZO_ATTEMPT']} {os.getpid()}\n")
time.sleep(args.sleep)
if args.what == "fail":
    print("the data is not there", file=sys.stderr)
    sys.exit(3)
if args.what == "hang":
    # Children too, one of them in a session of its own.
    for more in ({}, {"start_new_session": True}):
        child = subprocess.Popen(["sleep", "1000"], **more)
        if args.note:
            with open(args.note, "a") as notes:
                notes.write(f"child 0 {child.pid}\n")
    time.sleep(1000)
if args.what == "hungry":
    kept = bytearray(1 << 33)
    kept[::4096] = b"x" * len(kept[::4096])
if args.what == "escape":
    found = {}
    for name, attempt in (("read_secret", lambda: open(args.secret).read()),
                          ("write_outside", lambda: open("/tmp/mezzo-escaped", "w")),
                          ("list_above", lambda: os.listdir("..")),
                          ("read_parent", lambda: open(f"/proc/{os.getppid()}/environ").read()),
                          ("connect", lambda: socket.create_connection(("127.0.0.1", args.port), 10)),
                          ("datagram", lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)),
                          ("unix_socket", lambda: socket.socket(socket.AF_UNIX))):
        try:
            attempt()
            found[name] = 1
        except OSError:
            found[name] = 0
    found["variables"] = len([name for name in os.environ if name.startswith(("MEZZO_API", "SECRET"))])
    pathlib.Path("metrics.json").write_text(json.dumps(found))
    sys.exit(0)
if args.what == "train":
    pathlib.Path("out/model.onnx").write_bytes(onnx_bytes.times(args.factor))
    pathlib.Path("metrics.json").write_text(json.dumps({"auc": args.auc}))
if args.what == "broken":
    pathlib.Path("out/model.onnx").write_bytes(b"no model")
if args.what == "evaluate":
    assert (pathlib.Path("in") / "model.onnx").read_bytes(), "the stage before has left its files"
    assert json.loads(pathlib.Path("trigger.json").read_text())["kind"]
    pathlib.Path("metrics.json").write_text(json.dumps({"loss": 1 - args.auc}))
