"""docs/reference/metrics.md, from what a server with one model and a few requests exposes. Run by `./dev docs`."""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import mezzo_server  # noqa: E402

PAGE = mezzo_server.ROOT / "docs" / "reference" / "metrics.md"
HEAD = """# Metrics reference

Written by `./dev docs` from a running server; `tests/e2e/test_metrics_page.py` fails when it is old. `/metrics` answers in
OpenMetrics text. Histograms of times have buckets from 50 µs to 10 min; those of sizes, powers of two.

| metric | type | labels | meaning |
| --- | --- | --- | --- |
"""


def exercise(server):
    """One call that succeeds, one that the model refuses, one by a route: so that every family of the call path has a series."""
    good = (b'{"inputs":[{"name":"INPUT0","shape":[1,16],"datatype":"INT32","data":[%s]},'
            b'{"name":"INPUT1","shape":[1,16],"datatype":"INT32","data":[%s]}]}') % ((b"1," * 16)[:-1], (b"2," * 16)[:-1])
    assert server.request("POST", "/v2/models/simple/infer", good)[0] == 200
    assert server.request("POST", "/v2/models/simple/infer", good.replace(b"INPUT1", b"INPUT9"))[0] == 400
    route = (b'{"stable":"1","split":{"arms":[{"name":"stable","version":"1","weight":10000},'
             b'{"name":"canary","version":"latest","weight":0}]},"shadows":[{"version":"1","share":1}]}')
    assert server.request("PUT", "/v1/routes/simple", route)[0] == 200
    assert server.request("POST", "/v2/models/simple/infer", good)[0] == 200


def render(text):
    """The page for one exposition."""
    types, helps, labels = {}, {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line[7:].rsplit(" ", 1)
            types[name] = kind
        elif line.startswith("# HELP "):
            name, words = line[7:].split(" ", 1)
            helps[name] = words
        elif not line.startswith("#"):
            name, _, rest = line.partition("{")
            if not rest:
                continue
            family = re.sub(r"_(bucket|sum|count)$", "", name) if name not in types else name
            found = re.findall(r'([a-z_]+)="', rest.rpartition("}")[0])
            labels[family] = [label for label in found if label != "le"]
    rows = [f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels.get(name, []))} | {helps[name]} |\n"
            for name, kind in sorted(types.items())]
    return HEAD + "".join(rows)


def current():
    with mezzo_server.Server("--set", "models.control=explicit", "--set", "models.startup=[simple]",
                             models=[mezzo_server.MODELS]) as server:
        exercise(server)
        return render(server.get("/metrics")[2].decode())


if __name__ == "__main__":
    PAGE.write_text(current())
